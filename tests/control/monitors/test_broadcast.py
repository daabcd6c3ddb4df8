"""A listener that is too far behind loses its place, and nobody else notices."""

from __future__ import annotations

from router.control.monitors.broadcast import SUBSCRIBERS_MAX, Broadcast


def test_every_listener_gets_every_event() -> None:
    broadcast = Broadcast(2)
    first, second = broadcast.subscribe(), broadcast.subscribe()
    broadcast.publish({"seq": 1})
    assert (first.get_nowait(), second.get_nowait()) == ({"seq": 1}, {"seq": 1})
    broadcast.unsubscribe(first)
    broadcast.publish({"seq": 2})
    assert (first.empty(), second.get_nowait()) == (True, {"seq": 2})


def test_a_slow_subscriber_is_dropped() -> None:
    broadcast = Broadcast(2)
    slow, quick = broadcast.subscribe(), broadcast.subscribe()
    for seq in range(3):
        broadcast.publish({"seq": seq})
        assert quick.get_nowait() == {"seq": seq}
    assert (slow.get_nowait(), slow.empty(), len(broadcast)) == (None, True, 1)
    broadcast.unsubscribe(slow)


def test_the_oldest_listener_makes_room() -> None:
    broadcast = Broadcast()
    subscribers = [broadcast.subscribe() for _ in range(SUBSCRIBERS_MAX + 1)]
    assert (subscribers[0].get_nowait(), len(broadcast)) == (None, SUBSCRIBERS_MAX)
    assert all(listener.empty() for listener in subscribers[1:])
