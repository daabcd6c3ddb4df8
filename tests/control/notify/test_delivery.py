"""One channel: order, retries, and where they end. Pauses are not waited for: they are noted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from router.control.notify.delivery import Delivery
from router.control.notify.delivery_queue import JITTER, PAUSE_MAX_S
from router.control.notify.receiver_answer import DeliveryFailedError, failure
from router.rollout.notifications.notification import Notification
from router.runtime import clock
from router.settings.sections.notify import Channel
from tests.control.notify.test_messages import NOTIFICATION
from tests.texts import golden
from tests.waiting import until

OK, DOWN, REFUSED = "200 ok", DeliveryFailedError("500"), DeliveryFailedError("400", refused=True)


class Scripted:
    """A sender that says what it is told to, in order; the last one for ever. "hangs" does."""

    route = ", by the proxy p:1 (test)"

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
    """A delivery that runs on a clock of its own: a pause moves the clock, and is noted."""

    def __init__(self, sender: Scripted, **settings: Any) -> None:
        document = {"name": "ops", "kind": "webhook", "url": "http://x"} | settings
        self.sender = sender
        self.finished: list[str] = []
        self.pauses: list[float] = []
        self.now_s = 1000.0
        self.delivery = Delivery(
            Channel.model_validate(document),
            sender,
            lambda notification: {},
            lambda name, notification: self.finished.append(notification.id),
            now_s=lambda: self.now_s,
        )
        self.task: asyncio.Task[None] | None = None

    def begin(self) -> Line:
        self.task = asyncio.create_task(self.delivery.run())
        return self

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
        waits = line.delivery._pause

        async def pause(seconds: float | None) -> None:
            if seconds is None:
                await waits(None)
                return
            line.pauses.append(seconds)
            line.now_s += seconds + 1e-6
            await asyncio.sleep(0)

        monkeypatch.setattr(line.delivery, "_pause", pause)
        lines.append(line.begin())
        return line

    yield begin
    for line in lines:
        assert line.task is not None
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


@pytest.mark.parametrize(("asked_s", "failing"), [(3600.0, True), (61.0, True), (60.0, False), (None, False)])
async def test_a_receiver_that_asks_for_a_long_wait_fails_at_once(
    start: StartLine, asked_s: float | None, failing: bool
) -> None:
    line = await start(DeliveryFailedError("429", retry_after_s=asked_s), OK)
    line.delivery.enqueue(notification(0))
    seen = set()
    async with asyncio.timeout(5):
        while not line.finished:
            seen.add((line.delivery.as_document()["failures"], line.delivery.failing))
            await asyncio.sleep(0)
    assert (1, failing) in seen
    assert not line.delivery.failing, "it works again"


async def test_a_channel_that_fails_says_so_until_it_works_again(start: StartLine) -> None:
    line = await start(DOWN, DOWN, DOWN, OK)
    line.delivery.enqueue(notification(0))
    seen = set()
    async with asyncio.timeout(5):
        while not line.finished:
            seen.add((line.delivery.as_document()["failures"], line.delivery.failing, line.delivery.last_error))
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
        pytest.param(REFUSED, {"give_up_after_s": 60}, 61.0, 1, id="refused, and too old"),
    ],
)
async def test_where_it_ends(
    start: StartLine, answer: DeliveryFailedError, settings: dict[str, Any], age_s: float, tries: int
) -> None:
    line = await start(*[answer] * tries, OK, **settings)
    line.delivery.enqueue(notification(0, age_s))
    await line.until(1)
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
    line = Line(Scripted(DeliveryFailedError("429", retry_after_s=3600))).begin()
    line.delivery.enqueue(notification(0))
    await until(lambda: line.delivery.as_document()["failures"] == 1)
    other = Scripted(OK)
    line.delivery.reconfigure(line.delivery.channel, other)
    await line.until(1)
    assert other.sent == ["n0"]
    assert line.task is not None
    line.task.cancel()


@pytest.mark.parametrize(
    ("topic", "settings", "useful_s"),
    [
        ("rollback", {}, 86_400),
        ("incident", {}, 86_400),
        ("proposal", {}, 86_400),
        ("no_better_target", {}, 86_400),
        ("switch", {}, 3600),
        ("alarm", {}, 3600),
        ("drill", {}, 3600),
        ("alert", {}, 3600),
        ("alarm", {"give_up_others_after_s": 60}, 60),
        ("alarm", {"give_up_after_s": 30}, 30),
        ("rollback", {"give_up_others_after_s": 60}, 86_400),
    ],
)
def test_how_long_a_notification_is_of_use(topic: str, settings: dict[str, Any], useful_s: float) -> None:
    assert Line(Scripted(OK), **settings).delivery.useful_s(notification(0, topic=topic)) == useful_s


async def test_default_limits_try_a_rollback_for_a_day() -> None:
    """attempts_max must not end it before: the pauses are at least 240 s in the end."""
    channel = Channel.model_validate({"name": "ops", "kind": "webhook", "url": "http://x"})
    assert channel.attempts_max * PAUSE_MAX_S * (1 - JITTER) > channel.give_up_after_s


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 410, 413, 418, 422, 429, 451, 500, 502, 503, 504, 302])
async def test_no_answer_ends_a_notification(start: StartLine, status: int) -> None:
    """A receiver that comes back after minutes gets the rollback."""
    error = failure("webhook", status, {}, b"", 0.0)
    assert error is not None
    line = await start(*[error] * 12, OK)
    line.delivery.enqueue(notification(0))
    await line.until(1)
    assert (line.delivery.counts["sent"], len(line.sender.sent)) == (1, 13)
    assert sum(line.pauses) > 600


async def test_retry_after_is_kept_for_all_that_waits(start: StartLine) -> None:
    line = await start(DeliveryFailedError("429", retry_after_s=30), OK)
    line.delivery.enqueue(notification(0))
    line.delivery.enqueue(notification(1, service="risk"))
    await line.until(2)
    assert line.finished == ["n0", "n1"]
    assert sum(line.pauses) == pytest.approx(30, abs=0.1)


async def test_what_is_over_its_time_is_given_up_with_what_failed(
    start: StartLine, caplog: pytest.LogCaptureFixture
) -> None:
    line = await start(DOWN, OK)
    line.delivery.enqueue(notification(0, topic="rollback"))
    line.delivery.enqueue(notification(1, 4000.0, topic="alarm"))
    line.delivery.enqueue(notification(2, 4000.0, topic="incident"))
    await line.until(3)
    assert line.delivery.counts == {"sent": 2, "given_up": 1, "dropped": 0}
    assert line.finished[0] == "n1"
    document = line.delivery.as_document()
    assert document["last_lost"] == golden("notify.lost", id="n1")
    assert document["last_lost_at"] is not None
    assert golden("notify.given_up_log", id="n1") in caplog.text


async def test_a_lost_alarm_about_channels_is_not_news(start: StartLine) -> None:
    line = await start(DOWN, OK)
    line.delivery.enqueue(notification(0, 4000.0, topic="alarm", data={"code": "notification_given_up"}))
    await line.until(1)
    assert (line.delivery.counts["given_up"], line.delivery.last_lost) == (1, None)


async def test_a_time_limit_names_the_proxy(start: StartLine) -> None:
    line = await start("hangs", OK, timeout_s=0.01)
    line.delivery.enqueue(notification(0))
    await until(lambda: line.delivery.last_error is not None or line.finished != [])
    error = (await Line(Scripted("hangs"), timeout_s=0.01).delivery.send(notification(0)))[0]
    assert error is not None
    assert error.detail == golden("notify.timeout_by_proxy")


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
