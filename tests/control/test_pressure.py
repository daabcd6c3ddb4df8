"""The alarm of overload: up while limits on all clients act, over after ten quiet seconds."""

from __future__ import annotations

from router.control.alarms import Alarms
from router.control.pressure import Pressure
from router.shm import layout as at
from router.shm import wall
from router.shm.lanes import Lanes

SECOND_NS = 1_000_000_000


def test_it_is_up_while_limits_act_and_over_after_ten_quiet_seconds() -> None:
    memory = wall.create(2, 1)
    alarms, words, layout = Alarms(), memory.words, memory.layout
    pressure = Pressure(Lanes(memory), alarms)
    words[layout.lane(0) + at.W_LIMITED + at.LIMITED_REQUESTS] = 7  # of a past that nobody of us has seen
    pressure.look(0)
    assert alarms.listing() == []
    for worker in (0, 1):
        words[layout.lane(worker) + at.W_LIMITED + at.LIMITED_REQUESTS] += 90
    words[layout.lane(1) + at.W_LIMITED + at.LIMITED_DESCRIPTORS] += 1
    pressure.look(SECOND_NS // 2)
    assert alarms.listing() == [], "once a second is enough"
    pressure.look(SECOND_NS)
    (alarm,) = alarms.listing()
    assert (alarm["code"], alarm["detail"]) == (
        "overloaded",
        "limits reached in the last 10 s: requests_max 180 times, descriptors 1 times; the rest is refused early (503)",
    )
    for second in range(2, 11):
        pressure.look(second * SECOND_NS)
    assert len(alarms.listing()) == 1
    pressure.look(11 * SECOND_NS)
    assert alarms.listing() == []


def test_limits_on_one_client_alarm_nobody() -> None:
    memory = wall.create(1, 1)
    alarms = Alarms()
    pressure = Pressure(Lanes(memory), alarms)
    pressure.look(0)
    for limit in (at.LIMITED_PER_CLIENT, at.LIMITED_HEADER_TIMEOUT, at.LIMITED_BODY_RATE, at.LIMITED_WRITE_RATE):
        memory.words[memory.layout.lane(0) + at.W_LIMITED + limit] += 1
    pressure.look(SECOND_NS)
    assert alarms.listing() == []
