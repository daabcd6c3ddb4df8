"""One channel: order, retries, and where they end. Pauses are not waited for: they are noted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from router.control.notify.delivery import PAUSE_MAX_S, PAUSE_MIN_S, Delivery, pause_s
from router.control.notify.senders import DeliveryFailedError
from router.rollout.notifications.notification import Notification
from router.runtime import clock
from router.settings.sections.notify import Channel
from tests.control.notify.test_messages import NOTIFICATION
from tests.waiting import until

OK, DOWN, REFUSED = "200 ok", DeliveryFailedError("500"), DeliveryFailedError("400", refused=True)


class Scripted:
    """A sender that says what it is told to, in order; the last one for ever. "hangs" does."""

    def __init__(self, *answers: str | DeliveryFailedError) -> None:
        self.answers = list(answers)
        self.sent: list[str] = []

    async def send(self, notification: Notification, links: Mapping[str, str]) -> str:
        self.sent.append(notification.id)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer == "hangs":
            await asyncio.Event().wait()
        if isinstance(answer, DeliveryFailedError):
            raise answer
        return answer

    async def close(self) -> None:
        pass


class Line:
    """A delivery that runs, what it has finished, and how long it has paused."""

    def __init__(self, sender: Scripted, pause_min_s: float = PAUSE_MIN_S, **settings: Any) -> None:
        document = {"name": "ops", "kind": "webhook", "url": "http://x"} | settings
        self.sender = sender
        self.finished: list[str] = []
        self.pauses: list[float] = []
        self.delivery = Delivery(
            Channel.model_validate(document),
            sender,
            lambda notification: {},
            lambda name, notification: self.finished.append(notification.id),
            pause_min_s,
        )
        self.task = asyncio.create_task(self.delivery.run())

    async def until(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.finished) < count:
                await asyncio.sleep(0)


StartLine = Callable[..., Awaitable[Line]]


@pytest.fixture
async def start(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StartLine]:
    lines: list[Line] = []

    async def begin(*answers: str | DeliveryFailedError, **settings: Any) -> Line:
        line = Line(Scripted(*answers), **settings)

        async def pause(seconds: float) -> None:
            line.pauses.append(seconds)
            await asyncio.sleep(0)

        monkeypatch.setattr(line.delivery, "_pause", pause)
        lines.append(line)
        return line

    yield begin
    for line in lines:
        line.task.cancel()
        await asyncio.gather(line.task, return_exceptions=True)


def notification(number: int, age_s: float = 0.0, **more: Any) -> Notification:
    return replace(NOTIFICATION, id=f"n{number}", at=clock.wall_s() - age_s, **more)


async def test_order_is_kept_through_failures(start: StartLine) -> None:
    line = await start(DOWN, DOWN, OK)
    for number in range(3):
        line.delivery.enqueue(notification(number))
    await line.until(3)
    assert line.finished == ["n0", "n1", "n2"]
    assert line.sender.sent == ["n0", "n0", "n0", "n1", "n2"]
    assert line.delivery.counts == {"sent": 3, "given_up": 0, "dropped": 0}
    assert 0.8 <= line.pauses[0] <= 1.2
    assert 1.6 <= line.pauses[1] <= 2.4
    assert not line.delivery.failing


async def test_a_channel_that_fails_says_so_until_it_works_again(start: StartLine) -> None:
    line = await start(DOWN, DOWN, DOWN, OK)
    line.delivery.enqueue(notification(0))
    seen = set()
    async with asyncio.timeout(5):
        while not line.finished:
            seen.add((line.delivery.failures, line.delivery.failing, line.delivery.last_error))
            await asyncio.sleep(0)
    assert {(1, False, "500"), (2, True, "500")} <= seen
    document = line.delivery.as_document()
    assert (document["failing"], document["last_error"], document["sent"], document["pending"]) == (False, None, 1, 0)
    assert "url" not in document


@pytest.mark.parametrize(
    ("answer", "settings", "age_s", "tries"),
    [
        pytest.param(DOWN, {"attempts_max": 4}, 0.0, 4, id="too often"),
        pytest.param(DOWN, {"give_up_after_s": 60}, 61.0, 1, id="too old"),
        pytest.param(REFUSED, {}, 0.0, 3, id="refused"),
    ],
)
async def test_where_it_ends(
    start: StartLine, answer: DeliveryFailedError, settings: dict[str, Any], age_s: float, tries: int
) -> None:
    line = await start(*[answer] * tries, OK, **settings)
    line.delivery.enqueue(notification(0, age_s))
    line.delivery.enqueue(notification(1))
    await line.until(2)
    assert line.sender.sent == ["n0"] * tries + ["n1"]
    assert line.delivery.counts == {"sent": 1, "given_up": 1, "dropped": 0}


async def test_a_receiver_that_hangs_is_given_its_time_and_tried_again(start: StartLine) -> None:
    line = await start("hangs", OK, timeout_s=0.01)
    line.delivery.enqueue(notification(0))
    await line.until(1)
    assert line.sender.sent == ["n0", "n0"]


async def test_a_full_queue_drops_the_oldest_that_is_not_under_way(start: StartLine) -> None:
    line = await start("hangs", queue_max=3)
    line.delivery.enqueue(notification(0))
    await until(lambda: line.sender.sent == ["n0"])
    for number in range(1, 5):
        line.delivery.enqueue(notification(number))
    assert line.finished == ["n1", "n2"]
    assert (line.delivery.counts["dropped"], len(line.delivery)) == (2, 3)
    assert line.sender.sent == ["n0"]


async def test_other_settings_are_tried_at_once() -> None:
    line = Line(Scripted(DOWN), pause_min_s=100.0)
    line.delivery.enqueue(notification(0))
    async with asyncio.timeout(5):
        while not line.sender.sent:
            await asyncio.sleep(0)
    other = Scripted(OK)
    line.delivery.reconfigure(line.delivery.channel, other)
    await line.until(1)
    assert other.sent == ["n0"]
    line.task.cancel()


@pytest.mark.parametrize(
    ("settings", "of", "wanted"),
    [
        ({}, notification(0), True),
        ({"events": ["switch"]}, notification(0), False),
        ({"services": ["fraud"]}, notification(0), True),
        ({"services": ["risk"]}, notification(0), False),
        ({"services": ["risk"]}, notification(0, service="", topic="alarm"), True),
        ({}, notification(0, topic="alert"), False),
    ],
)
async def test_what_a_channel_is_told(
    start: StartLine, settings: dict[str, Any], of: Notification, wanted: bool
) -> None:
    assert (await start(OK, **settings)).delivery.accepts(of) is wanted


def test_pauses_grow_up_to_a_limit_and_are_not_all_the_same() -> None:
    assert [pause_s(attempt, 0.5) for attempt in (1, 2, 5, 9, 10, 90)] == [1, 2, 16, 256, PAUSE_MAX_S, PAUSE_MAX_S]
    assert (pause_s(1, 0.0), pause_s(1, 1.0)) == pytest.approx((0.8, 1.2))
    assert pause_s(2000, 0.5) == PAUSE_MAX_S
