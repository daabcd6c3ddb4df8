"""Samples of requests become a reference, in the journal, and drift: an alarm, a fact, and a trigger where that is asked for."""

from __future__ import annotations

import asyncio
import json
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from router.control.quality.addon import FRESH_NS, QualityAddon, _bodies
from router.control.views import metrics
from router.rollout.facts.entry import Entry
from router.rollout.judge.baseline import estimate
from router.rollout.model.events import Accepted
from router.rollout.quality.drift import DriftJudge, DriftStatus
from router.rollout.units import SECOND_NS
from router.settings.settings import Settings
from router.shm import layout as at
from router.shm.capture_ring import Capture, CaptureRing
from tests.control.control_harness import ControlHarness, settings
from tests.texts import golden
from tests.waiting import until

SECTION = {
    "fields": [{"pointer": "/amount", "kind": "number"}],
    "learn_requests": 200,
    "learn_s": 2.0,
    "requests_min": 100,
    "share_min": 0.1,
    "sustained_s": 3.0,
    "window_s": 30.0,
}


class Day:
    """The add-on over a control, and requests."""

    def __init__(self, control: ControlHarness, **section: Any) -> None:
        self.control = control
        self.entries: list[Entry] = []
        self.configured = self.settings(**section)
        self.addon = self.opened()

    def settings(self, **section: Any) -> Settings:
        return settings(self.control.folder, inputs={**SECTION, **section})

    def opened(self) -> QualityAddon:
        """Return an add-on like the one of a start."""
        addon = QualityAddon(self.control.control_loop, self.configured, self.entries)
        self.control.control_loop.add_addons(addon)
        return addon

    def accept(self) -> None:
        baseline = estimate(500, 0, 0.95, None)
        self.control.service_controller.handle(Accepted(baseline.as_dict()), self.control.now_ns)

    async def pass_by(self, seconds: int, amount: Any = 5, worker: int = 0) -> None:
        """Fifty requests a second, and a look each."""
        ring = CaptureRing(self.control.segment, worker, at.CAPTURE_INPUTS)
        for _ in range(seconds):
            self.control.now_ns += SECOND_NS
            for number in range(50):
                ring.write(
                    self.control.now_ns, 0, json.dumps({"amount": amount if number % 2 else number % 10}).encode()
                )
            await self.addon.evaluate(self.control.now_ns)

    @property
    def inputs(self) -> dict[str, Any]:
        found = self.control.queries.service_status("svc")["inputs"]
        assert isinstance(found, dict)
        return found

    async def journal(self, kind: str) -> list[dict[str, Any]]:
        """Return the data of such entries, once the disk has all."""
        await until(lambda: not self.control.service_controller.executor.unjournalled)
        entries = (await self.control.queries.journal(0, 1000))["entries"]
        return [entry["data"] for entry in entries if entry["type"] == kind]


@pytest.fixture
async def day(control: ControlHarness) -> Day:
    made = Day(control)
    made.accept()
    return made


def alarms(day: Day) -> list[tuple[str, str]]:
    listed = day.control.control_loop.alarms.listing()
    return [(alarm["code"], alarm["detail"]) for alarm in listed if alarm["code"] == "input_drift"]


async def test_a_reference_is_learned_and_journalled_without_values(day: Day) -> None:
    assert (day.inputs["state"], day.inputs["reference"]) == ("not_configured", None)
    await day.pass_by(6)
    assert day.inputs["reference"]["version"] == "v1"
    assert day.inputs["reference"]["fields"]["/amount"] | {"usual_missing": 0} == {
        "kind": "number", "low": 0, "high": 8, "categories": 0, "usual_missing": 0, "judged": True,
    }  # fmt: skip
    (learned,) = await day.journal("inputs_learned")
    assert learned["reference"]["shapes"].keys() == {"/amount"}


async def test_drift_is_said_once_and_is_over_once(day: Day) -> None:
    await day.pass_by(6)
    assert alarms(day) == []
    await day.pass_by(8, amount=500)
    ((_, detail),) = alarms(day)
    assert detail.startswith("/amount is outside the reference range in ")
    assert day.inputs["drifting"] is True
    await day.pass_by(40)
    assert (alarms(day), day.inputs["drifting"]) == ([], False)
    began, over = await day.journal("input_drift")
    assert (began["state"], began["field"], began["what"], began["action"]) == ("began", "/amount", "out", "observe")
    assert began["share"] > began["limit"] == 0.1
    assert over["state"] == "over"


async def test_by_default_it_judges_nobody(day: Day) -> None:
    await day.pass_by(6)
    await day.pass_by(8, amount=500)
    day.control.control_loop.tick(day.control.now_ns, 0.0)
    assert [result.name for result in day.control.service_controller.verdict.results if result.kind == "quality"] == []
    assert not day.control.service_controller.verdict.pending


@pytest.mark.parametrize("action", ["ask", "rollback"])
async def test_where_it_is_asked_for_it_is_a_trigger(day: Day, action: str) -> None:
    day.addon.reconfigure(day.settings(action=action))
    await day.pass_by(6)
    await day.pass_by(8, amount=500)
    source = day.addon.trigger_sources()["svc"]
    (result,) = source(day.control.now_ns)
    assert (result.name, result.state, result.action, result.failing) == ("quality.inputs", "fail", action, True)
    assert (result.limit, result.sustained_s, result.distance) == (0.1, 3.0, "acts now")
    (stale,) = source(day.control.now_ns + FRESH_NS + 1)
    assert (stale.state, stale.failing) == ("inconclusive", False)


async def test_people_are_asked_or_it_goes_back(day: Day) -> None:
    day.addon.reconfigure(day.settings(action="ask"))
    await day.pass_by(6)
    await day.pass_by(8, amount=500)
    day.control.probe("v2", times=3)
    day.control.control_loop.tick(day.control.now_ns, 0.0)
    day.control.control_loop.tick(day.control.now_ns + SECOND_NS // 10, 0.0)
    (proposed,) = await day.journal("proposed")
    assert proposed["evidence"]["trigger"]["detail"] == "inputs"
    day.addon.reconfigure(day.settings(action="rollback"))
    day.control.control_loop.tick(day.control.now_ns + SECOND_NS // 5, 0.0)
    (rolled_back,) = await day.journal("rolled_back")
    assert (rolled_back["to"], rolled_back["trigger"]["kind"], rolled_back["trigger"]["detail"]) == (
        "v2",
        "quality",
        "inputs",
    )


async def test_a_restart_knows_what_was_learned(day: Day) -> None:
    await day.pass_by(6)
    (learned,) = await day.journal("inputs_learned")
    day.entries = [Entry.of("inputs_learned", "svc", "control", learned, 1.0, 1, 1)]
    day.addon = day.opened()
    await day.pass_by(8, amount=500)
    assert day.inputs["drifting"] is True
    day.entries.append(Entry.of("inputs_forgotten", "svc", "ann", {"reason": "x"}, 2.0, 2, 1))
    day.addon = day.opened()
    assert day.inputs["reference"] is None


async def test_people_may_have_it_learned_anew(day: Day) -> None:
    await day.pass_by(6)
    await day.pass_by(8, amount=500)
    document = await day.addon.relearn(service="svc", actor="ann", reason="a new market")
    assert document["message"] == golden("drift.forgotten")
    await day.pass_by(8, amount=500)
    assert day.inputs["reference"]["fields"]["/amount"]["high"] == 500
    assert alarms(day) == []
    assert await day.journal("inputs_forgotten") == [{"reason": "a new market"}]


async def test_samples_of_every_worker_are_read_once(day: Day) -> None:
    await day.pass_by(2, worker=0)
    await day.pass_by(1, worker=1)
    assert day.inputs["learned"] == 150
    await day.addon.evaluate(day.control.now_ns)
    assert day.inputs["learned"] == 150


async def test_other_settings_hold_from_the_next_look_on(day: Day) -> None:
    await day.pass_by(6)
    day.addon.reconfigure(day.settings(fields=[{"pointer": "/other"}]))
    await day.pass_by(1)
    assert day.inputs["reason"] == golden("drift.unlearned", learned=50, seconds=2)
    day.addon.reconfigure(settings(day.control.folder))
    await day.pass_by(1)
    assert day.control.queries.service_status("svc")["inputs"] is None


async def test_a_tick_starts_one_look_at_a_time(day: Day) -> None:
    day.addon.on_second(day.control.now_ns)
    day.addon.on_second(day.control.now_ns)
    assert len(day.control.control_loop.tasks) == 1
    await until(lambda: not len(day.control.control_loop.tasks))
    assert day.inputs["state"] == "inconclusive"


async def test_a_look_that_hangs_keeps_no_rollback_waiting(day: Day, monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on = threading.Event()
    monkeypatch.setattr(DriftJudge, "take", lambda *_: goes_on.wait(5) and DriftStatus())
    try:
        day.addon.on_second(day.control.now_ns)
        done = await asyncio.wait_for(day.control.operations.rollback(service="svc", actor="ann", reason="look"), 2)
        assert (done["active"], done["confirmed"]) == ("v2", True)
        day.addon.on_second(day.control.now_ns)
        assert day.addon.status("svc")["inputs"]["state"] == "not_configured"
    finally:
        goes_on.set()


async def test_figures(day: Day) -> None:
    await day.pass_by(6)
    await day.pass_by(8, amount=500)
    text = metrics.render(day.control.queries).decode()
    assert 'rollback_router_input_drift{service="svc"} 1.0' in text
    assert 'rollback_router_input_drift_limit{service="svc"} 0.1' in text


def test_samples_of_a_service_that_had_the_place_before_are_left_out() -> None:
    captures = {2: [Capture(number, at_ns, 2, b"%d" % at_ns) for number, at_ns in enumerate((10, 20))]}
    executor: Any = SimpleNamespace(index=2, since_ns=15)
    assert _bodies(executor, captures) == [b"20"]
    assert _bodies(SimpleNamespace(index=1, since_ns=0), captures) == []  # type: ignore[arg-type]
