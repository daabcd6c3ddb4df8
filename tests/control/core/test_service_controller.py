from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from router.control.core.probe import ProbeResult
from router.control.core.probes import Probes
from router.control.core.service_controller import first_byte_timeout_s, limits
from router.control.monitors.observed_day import ObservedDay
from router.rollout.judge.active.judge_inputs import JudgeInputs
from router.rollout.judge.verdict import Note, TriggerResult, Verdict, conclude
from router.rollout.machine.limits import RolloutLimits
from router.rollout.model.events import ProposalDue
from router.rollout.outcome import Outcome
from router.rollout.units import SECOND_NS
from tests.control.control_harness import ControlHarness, FakeWorkers, new_segment, settings
from tests.texts import golden

Start = Callable[..., Awaitable[ControlHarness]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    segment = new_segment()
    workers = FakeWorkers(segment)
    lives: list[ControlHarness] = []

    async def begin(**service: Any) -> ControlHarness:
        lives.append(await ControlHarness(settings(tmp_path, **service), segment, workers, tmp_path).begin())
        return lives[-1]

    yield begin
    for control in lives:
        await control.end()
    workers.close()
    segment.close()


class Watching:
    """Notes what is asked of the probes. `replaced`, if given, is closed with it."""

    def __init__(self, result: ProbeResult | None = None, replaced: Probes | None = None) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.hurried: dict[int, bool] = {}
        self.result = result
        self.replaced = replaced

    def watch(
        self,
        service: str,
        version: str,
        endpoints: tuple[str, ...],
        probe: object,
        *,
        hurried: bool = False,
        rewrite: object = None,
    ) -> None:
        self.asked.append(("watch", version, endpoints, probe))
        self.hurried[version] = hurried

    def unwatch(self, service: str, version: str) -> None:
        self.asked.append(("unwatch", version))

    async def close(self) -> None:
        if self.replaced is not None:
            await self.replaced.close()

    async def probe_now(self, service: str, version: str, timeout_s: float) -> ProbeResult:
        self.asked.append(("probe_now", version, timeout_s))
        assert self.result is not None
        return self.result


def failing(control: ControlHarness) -> None:
    if control.states()["v1"] == "active":
        control.workers.serve(0, Outcome.SERVER_ERROR, 5)


def test_what_the_settings_tell_the_machine(tmp_path: Path) -> None:
    configured = settings(tmp_path)
    assert limits(configured, configured.services["svc"]) == RolloutLimits()
    probe = {"method": "POST", "body": "{}", "warmup_probes": 7, "recover_probes": 9}
    configured = settings(tmp_path, probe=probe, first_byte_timeout_s=3.0)
    configured = configured.model_copy(
        update={
            "timeouts": configured.timeouts.model_copy(
                update={"rollback_drain_timeout_s": "none", "verify_timeout_s": 5}
            )
        }
    )
    assert limits(configured, configured.services["svc"]) == RolloutLimits(
        inference=True,
        warmup_probes=7,
        recover_probes=9,
        gate_timeout_s=2.0,
        verify_timeout_s=5,
        rollback_drain_timeout_s=None,
    )
    assert first_byte_timeout_s(configured, configured.services["svc"]) == 3.0
    assert first_byte_timeout_s(settings(tmp_path), settings(tmp_path).services["svc"]) == 600.0


async def test_exactly_those_versions_are_watched_that_should_be_warm(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = await start()
    probes: Any = Watching(replaced=control.control_loop.probes)
    monkeypatch.setattr(control.control_loop, "probes", probes)
    control.service_controller.reconfigure(control.settings)  # the probes of the harness watch the versions already
    control.service_controller.watch(probes)
    control.service_controller.watch(probes)
    assert probes.asked == [
        ("watch", "v1", ("http://127.0.0.1:1",), "none"),
        ("watch", "v2", ("http://127.0.0.1:2",), "none"),
    ]
    probes.asked.clear()
    await control.operations.rollback(service="svc", reason="bad", actor="ann")
    assert probes.asked == [("unwatch", "v1")]


async def test_other_settings_change_the_probes(start: Start) -> None:
    control = await start()
    probes: Any = Watching()
    control.service_controller.watch(probes)
    probes.asked.clear()
    changed = settings(control.folder, probe={"path": "/health", "warmup_probes": 2})
    control.service_controller.reconfigure(changed)
    control.service_controller.watch(probes)
    assert [asked[:2] for asked in probes.asked] == [("watch", "v1"), ("watch", "v2")]
    assert probes.asked[0][3] == changed.services["svc"].probe
    assert control.service_controller.machine.limits.warmup_probes == 2


@pytest.mark.parametrize("good", [True, False])
async def test_the_gate_asks_the_standby_for_a_fresh_inference(
    start: Start, good: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = await start(probe={"method": "POST", "body": "{}"})
    probes: Any = Watching(ProbeResult(good, "status 500", 1.0), control.control_loop.probes)
    monkeypatch.setattr(control.control_loop, "probes", probes)
    control.probe("v2", times=3)
    control.tick(3)
    control.tick(30, lambda: failing(control))
    assert control.states() == {"v1": "active", "v2": "standby"}
    await control.until_idle()
    assert ("probe_now", "v2", 2.0) in probes.asked
    assert (control.states()["v2"] == "active") is good
    assert good or control.service_controller.machine.blocked_reason == golden(
        "gate.fresh_probe_failed", detail="status 500"
    )


async def test_a_rule_that_observes_only_raises_an_alarm(start: Start) -> None:
    control = await start(rules={"hard_failure": {"action": "observe"}, "error_rate": {"action": "observe"}})
    control.probe("v2", times=3)
    control.tick(3)
    control.tick(30, lambda: failing(control))
    assert control.states() == {"v1": "active", "v2": "standby"}
    assert [alarm["code"] for alarm in control.control_loop.alarms.listing()] == ["would_roll_back"]
    control.tick(700, lambda: control.workers.serve(0, Outcome.OK, 5))
    assert control.control_loop.alarms.listing() == []


async def test_probes_alone_show_that_a_version_is_unreachable(start: Start) -> None:
    control = await start()
    control.probe("v2", times=3)
    control.probe("v1", ok=False, refused=True)
    control.tick(40)
    assert control.states()["v1"] == "active"
    control.now_ns += 2_000_000_000
    control.tick(2)
    assert control.states() == {"v1": "unreachable", "v2": "active"}
    assert control.service_controller.registry.quarantines == {}
    assert control.queries.service_status("svc")["no_way_back"] == golden("standby.unreachable")
    control.probe("v1", times=30)
    assert control.states() == {"v1": "standby", "v2": "active"}


async def test_an_accepted_version_leaves_its_baseline_in_the_journal(start: Start) -> None:
    control = await start(acceptance={"after_s": 2, "requests_min": 10})
    control.tick(40, lambda: control.workers.serve(0, Outcome.OK))
    status = control.queries.service_status("svc")
    assert (status["state"], status["acceptance"]["accepted"]) == ("accepted", True)
    assert status["baseline"]["faults"] == 0
    await control.until_idle()
    entries = (await control.queries.journal(0, 100))["entries"]
    assert [entry["type"] for entry in entries if entry["service"]][2:] == ["accepted"]


async def test_what_it_did_as_active_does_not_count_against_the_standby(start: Start) -> None:
    control = await start()
    control.tick(3)
    control.workers.serve(0, Outcome.SERVER_ERROR, 9)
    control.tick(3)
    await control.operations.switch(service="svc", to="v2", actor="ann")
    control.service_controller.registry.active_since_ns = control.now_ns
    control.workers.serve(1, Outcome.OK, 9)
    control.tick(20)
    shares = control.service_controller.shares(control.now_ns)
    assert shares is None or shares[2] == 0


async def test_a_failing_standby_raises_an_alarm(start: Start) -> None:
    control = await start()
    control.probe("v2", times=3)
    control.tick(1)
    assert control.queries.service_status("svc")["way_back"] is True
    control.probe("v2", ok=False, refused=True)
    control.tick(1)
    shown = control.queries.service_status("svc")
    assert (shown["way_back"], shown["standby"]) == (False, "v2")
    assert shown["no_way_back"].startswith("the last probes of v2 failed: ")
    assert [alarm["code"] for alarm in control.control_loop.alarms.listing()] == ["standby_failing"]
    control.probe("v2")
    control.tick(1)
    assert control.queries.service_status("svc")["way_back"] is True
    assert control.control_loop.alarms.listing() == []


async def test_a_note_of_the_verdict_is_an_alarm_until_it_is_gone(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = await start()
    notes = [
        (Note("poison_request", "3f fails"), Note("queue_grows", "12 wait")),
        (Note("queue_grows", "13 wait"),),
        (),
    ]
    verdicts = iter(conclude((), notes=found) for found in notes)
    monkeypatch.setattr(control.service_controller.judge, "evaluate", lambda inputs, now_ns: next(verdicts))
    control.tick()
    assert {alarm["code"]: alarm["detail"] for alarm in control.alarms.listing()} == {
        "poison_request": "3f fails",
        "queue_grows": "12 wait",
    }
    control.tick()
    assert [(alarm["code"], alarm["detail"]) for alarm in control.alarms.listing()] == [("queue_grows", "13 wait")]
    control.tick()
    assert control.alarms.listing() == []


# -- a verdict that holds: what depends on the time is reported all the same
def hold(control: ControlHarness, monkeypatch: pytest.MonkeyPatch, verdict: Verdict) -> None:
    """Let the judge return the same verdict at each tick from now on."""
    monkeypatch.setattr(control.service_controller.judge, "evaluate", lambda inputs, now_ns: verdict)
    control.tick(3)


async def test_a_rule_that_asks_asks_again_while_the_verdict_holds(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = await start(proposals={"expire_after_s": 60, "repeat_after_s": 600})
    late = TriggerResult("latency", "", "fail", "ask", "half of them are late", failing=True)
    hold(control, monkeypatch, conclude((late,)))
    registry = control.service_controller.registry
    assert [proposal.state for proposal in registry.proposals.known.values()] == ["open"]
    control.now_ns += 61 * SECOND_NS
    control.tick(3)
    assert [proposal.state for proposal in registry.proposals.known.values()] == ["expired"]
    control.now_ns += 600 * SECOND_NS
    control.tick()
    assert [proposal.state for proposal in registry.proposals.known.values()] == ["expired", "open"]


async def test_the_line_of_an_observed_day_comes_while_the_verdict_holds(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    control = await start()
    begun_ns = control.now_ns
    control.service_controller.observation = ObservedDay("svc", begun_ns)
    hold(control, monkeypatch, conclude(()))
    control.now_ns += 86_400 * SECOND_NS
    control.tick()
    assert ObservedDay("svc", begun_ns).line(control.now_ns) in caplog.messages


async def test_a_due_proposal_is_applied_once_the_standby_is_fit_while_the_verdict_holds(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = await start(proposals={"at_expiry": "rollback"})
    control.probe("v2", ok=False, refused=True)
    control.tick()
    slow = {"kind": "latency", "detail": "", "reason": "half of them are late", "evidence_since_ns": None}
    control.service_controller.handle(ProposalDue("v1", "latency", slow), control.now_ns)
    hold(control, monkeypatch, conclude(()))
    control.now_ns += 1801 * SECOND_NS
    control.tick(30)
    assert control.states()["v1"] == "active"
    control.probe("v2", times=3)
    control.tick(30)
    assert control.states()["v2"] == "active"


async def test_the_inputs_of_the_judge_are_one_object_while_they_are_equal(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = await start()
    seen: list[JudgeInputs] = []
    monkeypatch.setattr(
        control.service_controller.judge, "evaluate", lambda inputs, now_ns: seen.append(inputs) or conclude(())
    )
    control.tick(2)
    assert seen[0] is seen[1]
    control.probe("v1", ok=False, refused=True)
    control.tick(2)
    assert seen[1].probes_unreachable_since_ns is None
    assert seen[2].probes_unreachable_since_ns is not None
    assert seen[2] is seen[3]
