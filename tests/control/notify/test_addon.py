"""Notifications reach their receivers after the swap, once, through restarts. A failing receiver delays only its own channel."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from router.control.notify import addon as notify_addon
from router.control.notify.addon import NotifyAddon
from router.control.store import outbox
from router.errors import Refusal
from router.rollout.facts.entry import Entry
from router.runtime import clock
from router.settings.settings import Settings
from tests import entry_types
from tests.control.control_harness import ControlHarness, FakeWorkers, new_segment, settings
from tests.control.hook_harness import past
from tests.control.receiver import Receiver, receiving
from tests.texts import golden
from tests.waiting import until

Start = Callable[..., Awaitable[tuple[ControlHarness, NotifyAddon]]]


def channel(name: str, receiver: Receiver, **more: Any) -> dict[str, Any]:
    return {"name": name, "kind": "webhook", "url": receiver.url, **more}


def settings_of(folder: Path, *channels: dict[str, Any]) -> Settings:
    return Settings.model_validate({**settings(folder).model_dump(), "notify": list(channels)})


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Begin a life with these channels; each ends the one before."""
    segment = new_segment()
    workers = FakeWorkers(segment)
    lives: list[tuple[ControlHarness, NotifyAddon]] = []

    async def end() -> None:
        control, addon = lives.pop()
        await addon.close()
        await control.end()

    async def begin(*channels: dict[str, Any], **more: Any) -> tuple[ControlHarness, NotifyAddon]:
        if lives:
            await end()
        before = await past(tmp_path)
        control = await ControlHarness(settings_of(tmp_path, *channels), segment, workers, tmp_path).begin()
        addon = NotifyAddon(control.control_loop, control.settings, tmp_path, before, **more)
        control.control_loop.add_addons(addon)
        lives.append((control, addon))
        return lives[-1]

    yield begin
    await end()
    workers.close()
    segment.close()


async def rolled_back(control: ControlHarness) -> None:
    """Roll back by hand, and let the offices hear of it."""
    await control.operations.rollback(service="svc", reason="wrong scores", actor="ann")
    control.control_loop.tick(control.now_ns, 0.0)


async def test_a_rollback_reaches_every_channel_that_wants_it(start: Start) -> None:
    async with receiving() as every, receiving() as switches, receiving() as others:
        control, addon = await start(
            channel("every", every),
            channel("switches", switches, events=["switch"]),
            channel("others", others, services=["other"]),
        )
        await rolled_back(control)
        await every.until(1)
        (event,) = every.events()
        assert event["type"] == "dev.rollback-router.rollback"
        assert (event["data"]["from"], event["data"]["to"], event["data"]["actor"]) == ("v1", "v2", "ann")
        assert event["data"]["confirmed_ms"] is not None, "it is told once the workers have confirmed"
        assert event["data"]["links"]["Details"].startswith("http://127.0.0.1:8081/v1/incidents/svc-1-")
        assert (switches.got, others.got) == ([], [])
        await until(lambda: addon.listing()["channels"][0]["sent"] == 1)


async def test_one_that_hangs_and_one_that_fails_hold_up_nobody(start: Start) -> None:
    async with receiving(None) as hangs, receiving(500) as fails, receiving() as works:
        control, addon = await start(channel("hangs", hangs), channel("fails", fails), channel("works", works))
        await rolled_back(control)
        assert control.states()["v2"] == "active"
        await works.until(1)
        await hangs.until(1)
        await fails.until(1)
        await until(lambda: not len(addon.deliveries["works"]))
        assert {name: len(found) for name, found in addon.deliveries.items()} == {"hangs": 1, "fails": 1, "works": 0}
        assert addon.status("svc") == {"notifications": {"pending": 2, "failing": []}}
        slowest_ms = 0.0
        for _ in range(200):
            begun_ns = clock.now_ns()
            control.control_loop.tick(control.now_ns, 0.0)
            slowest_ms = max(slowest_ms, (clock.now_ns() - begun_ns) / 1e6)
        assert slowest_ms < 1000, "a tick never waits for a receiver, whose time is 10 s"


async def test_a_channel_that_fails_is_an_alarm_which_the_others_hear_of(start: Start) -> None:
    async with receiving(500) as fails, receiving() as works:
        control, addon = await start(channel("fails", fails), channel("works", works), pause_min_s=0.001)
        await rolled_back(control)
        await fails.until(3)
        addon.on_second(clock.now_ns())
        (alarm,) = [found for found in control.control_loop.alarms.listing() if found["code"] == "notification_failing"]
        assert alarm["detail"] == golden("notify.one_fails")
        await works.until(2)
        assert [event["data"].get("code") for event in works.events()] == [None, "notification_failing"]
        fails.statuses = [200]
        await until(lambda: not addon.deliveries["fails"].failing)
        addon.on_second(clock.now_ns())
        assert "notification_failing" not in {found["code"] for found in control.control_loop.alarms.listing()}
        values = {
            tuple(sample.labels.values()): sample.value
            for family in addon.metrics()
            for sample in family.samples
            if family.name == "rollback_router_notifications"
        }
        assert values["fails", "sent"] == 1
        assert values["works", "sent"] == 2


async def test_what_is_undelivered_survives_a_restart_and_is_delivered_once(start: Start) -> None:
    async with receiving(500) as down, receiving() as works:
        control, addon = await start(channel("ops", down), channel("works", works))
        await rolled_back(control)
        await down.until(1)
        await until(lambda: not len(addon.deliveries["works"]))
        down.statuses = [200]
        _, addon = await start(channel("ops", down), channel("works", works))
        await down.until(2)
        assert down.events()[0]["id"] == down.events()[1]["id"]
        await until(lambda: not len(addon.deliveries["ops"]))
        _, addon = await start(channel("ops", down), channel("works", works))
        assert [len(delivery) for delivery in addon.deliveries.values()] == [0, 0]
        assert (len(down.got), len(works.got)) == (2, 1)


async def test_a_fact_whose_notice_was_never_made_is_told_after_the_restart(start: Start, tmp_path: Path) -> None:
    async with receiving() as works:
        control, _ = await start(channel("works", works))
        await control.operations.rollback(service="svc", reason="wrong scores", actor="ann")
        await control.until_idle()
        # No tick: control was killed right after the swap.
        await start(channel("works", works))
        await works.until(1)
        assert works.events()[0]["data"]["reason"] == "wrong scores"


async def test_what_was_journalled_in_vain_or_makes_no_sense_is_not_told(start: Start, tmp_path: Path) -> None:
    async with receiving() as works:
        control, addon = await start(channel("works", works))
        await addon.close()
        box = outbox.Outbox(outbox.opened(tmp_path, clock.wall_s())[0], lambda why: None)
        box.put("works", {"id": "of another release"}, clock.wall_s())
        await box.close()
        data = {"generation": 5, "states": {}, "from": "v1", "to": "v2", "reason": "never stored"}
        facts = [
            Entry.of(entry_types.PROPOSED, "svc", "ann", {"kind": "rollback"}, clock.wall_s(), 0, 1, 88),
            Entry.of(entry_types.NO_BETTER_TARGET, "svc", "ann", {}, clock.wall_s(), 0, 1, 89),
            Entry.of(entry_types.PROMOTED, "svc", "ann", data, clock.wall_s(), 1, 1, 90),
            Entry.of(entry_types.ABANDONED, "svc", "control", {"abandons": 90}, clock.wall_s(), 2, 1, 91),
        ]
        again = NotifyAddon(control.control_loop, control.settings, tmp_path, facts)
        again.on_second(clock.now_ns() + 10_000_000_000)
        assert [len(delivery) for delivery in again.deliveries.values()] == [0]
        await again.close()


async def test_a_new_channel_is_not_told_of_the_past(start: Start) -> None:
    async with receiving() as old, receiving() as new:
        control, addon = await start(channel("old", old))
        await rolled_back(control)
        await until(lambda: not len(addon.deliveries["old"]))
        _, addon = await start(channel("old", old), channel("new", new))
        assert [len(delivery) for delivery in addon.deliveries.values()] == [0, 0]
        assert (len(old.got), len(new.got)) == (1, 0)


async def test_an_outbox_that_cannot_be_read_costs_an_alarm(start: Start, tmp_path: Path) -> None:
    (tmp_path / outbox.FILE).write_bytes(b"nonsense " * 200)
    async with receiving() as works:
        control, _ = await start(channel("works", works))
        assert [alarm["code"] for alarm in control.control_loop.alarms.listing()] == ["outbox_unreadable"]
        await rolled_back(control)
        await works.until(1)


async def test_a_disk_that_takes_nothing_costs_nothing_but_the_outbox(start: Start, tmp_path: Path) -> None:
    (tmp_path / outbox.FILE).mkdir()
    async with receiving() as works:
        control, _ = await start(channel("works", works))
        assert [alarm["code"] for alarm in control.control_loop.alarms.listing()] == ["outbox_unavailable"]
        await rolled_back(control)
        await works.until(1)


async def test_other_channels(start: Start, tmp_path: Path) -> None:
    async with receiving(500) as first, receiving() as second:
        control, addon = await start()
        assert not (tmp_path / outbox.FILE).exists()
        addon.reconfigure(settings_of(tmp_path, channel("ops", first)))
        await rolled_back(control)
        await first.until(1)
        addon.reconfigure(settings_of(tmp_path, channel("ops", second)))
        await second.until(1)
        assert second.events()[0]["data"]["reason"] == "wrong scores"
        addon.reconfigure(settings_of(tmp_path))
        assert addon.deliveries == {}
        assert addon.listing() == {"channels": []}


async def test_links_of_others_are_asked_for_when_it_is_sent(start: Start, tmp_path: Path) -> None:
    async with receiving() as works:
        control, addon = await start(
            channel("works", works),
            decision_links=lambda notification: {"Approve": f"http://x/{notification.id}?signature=SECRET"},
        )
        await rolled_back(control)
        await works.until(1)
        assert set(works.events()[0]["data"]["links"]) == {"Details", "Approve"}
    await addon.close()
    assert b"SECRET" not in (tmp_path / outbox.FILE).read_bytes()


async def test_a_missing_extra_is_said_at_the_start(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify_addon, "missing_extra", lambda channel: "pip install it")
    async with receiving() as works:
        control, addon = await start(channel("works", works))
        addon.on_second(clock.now_ns())
        assert [alarm["detail"] for alarm in control.control_loop.alarms.listing()] == ["channel works: pip install it"]


async def test_a_test_message_says_what_came_back(start: Start) -> None:
    async with receiving() as works, receiving(404) as fails:
        _, addon = await start(channel("works", works, events=["switch"]), channel("fails", fails))
        found = (await addon.test(None, "ann"))["channels"]
        assert [(settings_of["channel"], settings_of["ok"], settings_of["detail"]) for settings_of in found] == [
            ("works", True, "200 ok"),
            ("fails", False, golden("notify.answered_404")),
        ]
        assert works.events()[0]["data"]["title"] == golden("notify.test_message")
        assert len((await addon.test("works", "ann"))["channels"]) == 1
        with pytest.raises(Refusal, match="there is no channel 'mail'; there are: works, fails"):
            await addon.test("mail", "ann")


async def test_what_is_lost_is_an_alarm_that_the_other_channels_get(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving(404) as gone, receiving() as works:
        control, addon = await start(
            channel("gone", gone, give_up_after_s=0.001), channel("works", works), pause_min_s=0.001
        )
        await rolled_back(control)
        await until(lambda: addon.deliveries["gone"].counts["given_up"] == 1)
        addon.on_second(clock.now_ns())
        (alarm,) = [
            found for found in control.control_loop.alarms.listing() if found["code"] == "notification_given_up"
        ]
        assert alarm["detail"].startswith("channel gone: svc: rolled back by ann from v1 to v2 (id svc-rolled_back-")
        await until(lambda: "notification_given_up" in [event["data"].get("code") for event in works.events()])
        listed = addon.listing()["channels"][0]
        assert (listed["given_up"] >= 1, listed["last_lost"] in alarm["detail"]) == (True, True)
        monkeypatch.setattr(notify_addon, "GIVEN_UP_SHOWN_S", -1.0)
        addon.on_second(clock.now_ns())
        assert "notification_given_up" not in {found["code"] for found in control.control_loop.alarms.listing()}


async def test_a_rollback_is_delivered_by_a_receiver_that_said_404_before_the_restart(start: Start) -> None:
    async with receiving(404) as moved:
        control, _ = await start(channel("ops", moved), pause_min_s=0.001)
        await rolled_back(control)
        await moved.until(5)
        moved.statuses = [200]
        _, addon = await start(channel("ops", moved))
        await until(lambda: addon.deliveries["ops"].counts["sent"] == 1)
        assert len({event["id"] for event in moved.events() if event["data"].get("from")}) == 1


async def test_a_test_message_that_arrives_sends_what_waits(start: Start) -> None:
    async with receiving(503) as down:
        control, addon = await start(channel("ops", down), pause_min_s=3600.0)
        await rolled_back(control)
        await until(lambda: addon.listing()["channels"][0]["failures"] == 1)
        assert addon.listing()["channels"][0]["next_attempt_at"] is not None
        down.statuses = [200]
        await addon.test("ops", "ann")
        await until(lambda: addon.deliveries["ops"].counts["sent"] == 1)
