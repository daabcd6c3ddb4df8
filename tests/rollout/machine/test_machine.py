from __future__ import annotations

import pytest

from router.errors import Refusal
from router.rollout.facts.record import Record
from router.rollout.machine.limits import RolloutLimits
from router.rollout.model import events as ev
from router.rollout.model.commands import CheckStandby, ClearAlarm, CutSlot, FillSlot, PublishRoute, RaiseAlarm
from router.rollout.model.route import Flag, Route
from tests.rollout.playbook import AWAY, BOOT, SECOND, TRIGGER, Playbook
from tests.texts import golden

V3 = ("http://v3:1",)


def deploy(version: str = "v3", **more: object) -> ev.DeployAsked:
    return ev.DeployAsked(version, (f"http://{version}:1",), "ann", **more)  # type: ignore[arg-type]


def refused(playbook: Playbook, event: ev.Event) -> Refusal:
    before = playbook.registry.as_dict()
    with pytest.raises(Refusal) as caught:
        playbook.tell(event)
    assert playbook.registry.as_dict() == before
    return caught.value


def test_a_switch_changes_active_and_standby_over() -> None:
    playbook = Playbook().seed()
    assert playbook.tell(ev.SwitchAsked("v2", "ann", "try")) == [
        Record.of(
            "switched",
            "ann",
            {
                "generation": BOOT + 1,
                "from": "v1",
                "states": {"v2": "active", "v1": "standby"},
                "to": "v2",
                "reason": "try",
            },
        ),
        PublishRoute(Route(BOOT + 1, active=1, standby=0)),
    ]
    assert playbook.tell(ev.SwitchAsked("v2", "ann", "again")) == []


def test_deploy_verify_promote() -> None:
    playbook = Playbook().seed()
    assert playbook.tell(deploy()) == [
        Record.of(
            "version_deployed",
            "ann",
            {
                "generation": BOOT + 1,
                "target": {"version": "v3", "endpoints": ["http://v3:1"]},
                "states": {"v3": "verifying"},
            },
        ),
        FillSlot(2, 1, "v3", V3, True),
        PublishRoute(Route(BOOT + 1, active=0, standby=1, candidate=2)),
    ]
    assert refused(playbook, ev.SwitchAsked("v3", "ann", "", "promoted")).code == "version_not_ready"
    assert playbook.probe("v3", times=4) == []
    assert playbook.probe("v3") == [
        Record.of("version_verified", "control", {"states": {"v3": "ready"}, "good_probes": 5})
    ]
    commands = playbook.tell(ev.SwitchAsked("v3", "ann", "go", "promoted"))
    assert commands[-1] == PublishRoute(Route(BOOT + 2, active=2, standby=0))
    assert playbook.states() == {"v1": "standby", "v2": "draining", "v3": "active"}
    assert playbook.tell(ev.Ticked(frozenset({"v2"}))) == [
        Record.of("drained", "control", {"states": {"v2": "retired"}, "version": "v2", "after_s": 0.0})
    ]
    assert playbook.slot("v2") is None


def test_a_bad_probe_starts_the_verification_again() -> None:
    playbook = Playbook().seed()
    playbook.tell(deploy())
    playbook.probe("v3", times=4)
    playbook.probe("v3", ok=False)
    assert playbook.probe("v3", times=4) == []
    assert playbook.probe("v3") != []


def test_a_version_that_is_not_ready_in_time_fails_and_gives_its_slot_back() -> None:
    playbook = Playbook().seed()
    playbook.tell(deploy())
    playbook.probe("v3", ok=False)
    assert playbook.tell(ev.Ticked(), after_s=900) == []
    commands = playbook.tell(ev.Ticked(), after_s=1)
    assert commands == [
        Record.of(
            "version_failed",
            "control",
            {
                "generation": BOOT + 2,
                "states": {"v3": "failed"},
                "reason": golden("version.not_ready"),
            },
        ),
        PublishRoute(Route(BOOT + 2, active=0, standby=1)),
    ]
    assert playbook.slot("v3") == 2
    playbook.tell(ev.Ticked(frozenset({"v3"})))
    assert (playbook.states()["v3"], playbook.slot("v3")) == ("failed", None)
    assert playbook.tell(ev.Ticked(frozenset({"v3"}))) == [], "it has drained"
    assert playbook.tell(deploy())[1] == FillSlot(3, 1, "v3", V3, True)


def test_a_verdict_goes_back_and_quarantines() -> None:
    playbook = Playbook().seed("v2", "v1")
    playbook.probe("v1", times=3)
    assert playbook.verdict() == [
        Record.of(
            "rolled_back",
            "verdict",
            {
                "generation": BOOT + 1,
                "from": "v2",
                "states": {"v1": "active", "v2": "draining"},
                "to": "v1",
                "reason": "10 of 10 failed",
                "incident": "svc-1-2",
                "automatic": True,
                "trigger": TRIGGER,
                "evidence": None,
                "unreachable": False,
                "quarantine": {"v2": {"reason": "10 of 10 failed", "incident": "svc-1-2"}},
                "bounded": ["v2"],
            },
        ),
        PublishRoute(Route(BOOT + 1, active=1, flags=Flag.REDISPATCH)),
    ]
    assert refused(playbook, ev.SwitchAsked("v2", "ann", "")).code == "version_quarantined"
    assert refused(playbook, deploy("v2")).code == "version_quarantined"


def test_an_override_releases_with_the_deploy() -> None:
    playbook = Playbook().seed("v2", "v1")
    playbook.tell(ev.RollbackAsked("bad", "ann"))
    commands = playbook.tell(deploy("v2", override=ev.Override("bob", "fixed")))
    assert isinstance(commands[0], Record)
    assert commands[0].fact.to_data()["override"] == {"actor": "bob", "reason": "fixed"}
    assert playbook.registry.quarantines == {}
    assert playbook.states() == {"v1": "active", "v2": "verifying"}


def test_an_unreachable_version_is_not_quarantined_and_becomes_standby() -> None:
    playbook = Playbook().seed("v2", "v1")
    playbook.probe("v1", times=3)
    playbook.verdict(away=True)
    assert (playbook.states(), playbook.registry.quarantines) == ({"v1": "active", "v2": "unreachable"}, {})
    assert refused(playbook, ev.SwitchAsked("v2", "ann", "")).code == "version_unreachable"
    assert playbook.probe("v2", times=29) == []
    assert playbook.probe("v2") == [
        Record.of(
            "standby_restored", "control", {"generation": BOOT + 2, "states": {"v2": "standby"}, "good_probes": 30}
        ),
        PublishRoute(Route(BOOT + 2, active=1, standby=0)),
    ]


def test_an_operator_may_promote_an_unreachable_version_after_a_check() -> None:
    playbook = Playbook().seed("v2", "v1")
    playbook.probe("v1", times=3)
    playbook.verdict(away=True)
    playbook.probe("v2")
    playbook.tell(ev.SwitchAsked("v2", "ann", "back", "promoted", checked=True))
    assert playbook.states() == {"v1": "standby", "v2": "active"}


def test_at_most_one_automatic_rollback_per_promotion() -> None:
    playbook = Playbook().seed("v2", "v1")
    playbook.probe("v1", times=3)
    playbook.verdict(away=True)
    playbook.probe("v2", times=30)
    assert playbook.states() == {"v1": "active", "v2": "standby"}
    held = playbook.verdict(after_s=5)
    assert [type(command) for command in held] == [Record, RaiseAlarm]
    assert playbook.machine.blocked_reason == golden("gate.rolled_back_already")
    playbook.tell(ev.SwitchAsked("v2", "ann", "by hand"))
    playbook.probe("v1", times=3)
    playbook.verdict(after_s=5)
    assert playbook.states() == {"v1": "active", "v2": "draining"}


def test_no_better_target_is_raised_once_and_checked_each_second() -> None:
    playbook = Playbook().seed("v2", "v1")
    playbook.probe("v1", ok=False)
    why = "the last 3 probes of v1 were not all good: http://v1:1: bad"
    assert playbook.verdict() == [
        Record.of("no_better_target", "verdict", {"active": "v2", "obstacles": [why], "trigger": TRIGGER}),
        RaiseAlarm("no_better_target", golden("gate.nothing_better", why=why)),
    ]
    assert playbook.verdict(after_s=1) == []
    playbook.probe("v1", times=3)
    assert playbook.verdict(after_s=0.9) == []
    commands = playbook.verdict(after_s=0.1)
    assert commands[2:] == [ClearAlarm("no_better_target"), ClearAlarm("both_fail"), ClearAlarm("automation_frozen")]
    assert playbook.states() == {"v1": "active", "v2": "draining"}


def test_a_hold_ends_when_the_verdict_has_long_not_failed() -> None:
    playbook = Playbook().seed("v2", None)
    playbook.verdict()
    assert playbook.tell(ev.Ticked(), after_s=30) == []
    assert playbook.tell(ev.Ticked(), after_s=0.1) == [
        ClearAlarm("no_better_target"),
        ClearAlarm("both_fail"),
        ClearAlarm("automation_frozen"),
    ]
    assert playbook.machine.blocked_reason is None


def test_a_freeze_stops_automation_and_not_operators() -> None:
    playbook = Playbook().seed("v2", "v1")
    playbook.probe("v1", times=3)
    assert playbook.tell(ev.FreezeAsked("ann", "migration")) == [Record.of("frozen", "ann", {"reason": "migration"})]
    assert playbook.tell(ev.FreezeAsked("bob", "too")) == []
    result = "the active version fails and nothing is done about it: frozen by ann: migration"
    assert playbook.verdict() == [RaiseAlarm("automation_frozen", result)]
    assert playbook.verdict(after_s=1) == []
    playbook.tell(ev.RollbackAsked("by hand", "ann"))
    assert playbook.states() == {"v1": "active", "v2": "draining"}


def test_a_freeze_without_a_reason_is_named_by_its_actor() -> None:
    playbook = Playbook().seed("v2", "v1")
    playbook.tell(ev.FreezeAsked("ann", ""))
    assert playbook.registry.freeze_text == "frozen by ann"


def test_the_gate_needs_a_fresh_inference_if_configured() -> None:
    playbook = Playbook(RolloutLimits(inference=True)).seed("v2", "v1")
    playbook.probe("v1", times=3)
    assert playbook.verdict() == [CheckStandby("v1", BOOT, 1.0)]
    assert playbook.verdict(after_s=0.1) == []
    held = playbook.tell(ev.StandbyChecked(False, "status 500", BOOT))
    assert [type(command) for command in held] == [Record, RaiseAlarm]
    assert playbook.verdict(after_s=1) == [CheckStandby("v1", BOOT, 1.0)]
    playbook.tell(ev.StandbyChecked(True, "", BOOT))
    assert playbook.states() == {"v1": "active", "v2": "draining"}


def test_a_probe_result_without_a_check_changes_nothing() -> None:
    playbook = Playbook(RolloutLimits(inference=True)).seed("v2", "v1")
    playbook.probe("v1", times=3)
    playbook.verdict()
    playbook.tell(ev.SwitchAsked("v1", "ann", "first"))
    assert playbook.tell(ev.StandbyChecked(True, "", BOOT)) == []
    assert playbook.states() == {"v1": "active", "v2": "standby"}


@pytest.mark.parametrize(
    ("shares", "goes"),
    [
        (None, True),
        ((1.0, 1.0, 1), True),
        ((0.49, 1.0, 5), True),
        ((0.8, 1.0, 5), False),
        ((1.0, 1.0, 50), False),
        ((0.0, 0.0, 50), True),
    ],
    ids=["none rescued", "too few", "better", "half as bad", "both bad", "slow, and no fault anywhere"],
)
def test_the_standby_must_do_better_with_what_was_rescued(shares: tuple[float, float, int] | None, goes: bool) -> None:
    playbook = Playbook().seed("v2", "v1")
    playbook.probe("v1", times=3)
    playbook.tell(ev.VerdictReached(TRIGGER, False, shares))
    assert (playbook.states()["v1"] == "active") is goes


def test_one_bad_endpoint_of_three_does_not_close_the_gate() -> None:
    playbook = Playbook().seed("v2", "v1")
    playbook.tell(ev.EndpointsAsked("v1", ("http://a:1", "http://b:1", "http://c:1"), "ann"))
    for url, good in (("http://a:1", True), ("http://b:1", False), ("http://c:1", True)):
        for _ in range(3):
            playbook.tell(ev.ProbeCompleted("svc", "v1", url, good, not good, "", 1.0, playbook.now_ns, False))
    assert playbook.machine.gate.objections() == []


def test_the_drain_of_a_failed_version_is_cut_once() -> None:
    playbook = Playbook().seed("v2", "v1")
    playbook.tell(ev.RollbackAsked("bad", "ann"))
    assert playbook.tell(ev.Ticked(), after_s=300) == []
    assert playbook.tell(ev.Ticked(), after_s=0.5) == [
        Record.of("drain_cut", "control", {"version": "v2", "after_s": 300.5}),
        CutSlot(0, BOOT + 1),
    ]
    assert playbook.tell(ev.Ticked(), after_s=1) == []


def test_a_plain_switch_leaves_the_drain_unbounded() -> None:
    playbook = Playbook().seed()
    playbook.tell(deploy())
    playbook.probe("v3", times=5)
    playbook.tell(ev.SwitchAsked("v3", "ann", "", "promoted"))
    assert playbook.tell(ev.Ticked(), after_s=100_000) == []


def test_a_drain_without_limit_is_never_cut() -> None:
    playbook = Playbook(RolloutLimits(rollback_drain_timeout_s=None)).seed("v2", "v1")
    playbook.tell(ev.RollbackAsked("bad", "ann"))
    assert playbook.tell(ev.Ticked(), after_s=100_000) == []


def test_a_second_deploy_waits_for_the_first_or_replaces_it() -> None:
    playbook = Playbook().seed()
    playbook.tell(deploy())
    assert playbook.tell(deploy()) == []
    assert refused(playbook, deploy("v4")).code == "verifying"
    commands = playbook.tell(deploy("v4", replace=True))
    assert commands[-1] == PublishRoute(Route(BOOT + 2, active=0, standby=1, candidate=3))
    assert playbook.states() == {"v1": "active", "v2": "standby", "v3": "draining", "v4": "verifying"}


def test_a_known_label_with_other_endpoints_is_refused() -> None:
    playbook = Playbook().seed()
    error = refused(playbook, ev.DeployAsked("v2", ("http://elsewhere:1",), "ann"))
    assert (error.code, error.facts) == ("endpoints_differ", {"endpoints": ["http://v2:1"]})


def test_seven_slots_and_no_more() -> None:
    playbook = Playbook().seed()
    for number in range(3, 8):
        playbook.tell(deploy(f"v{number}", replace=True))
    assert playbook.table.free_slot() is None
    playbook.tell(ev.Ticked(frozenset({"v4"})))
    assert playbook.tell(deploy("v8", replace=True))[1] == FillSlot(3, 2, "v8", ("http://v8:1",), True)


def test_a_draining_version_that_comes_again_keeps_its_slot() -> None:
    playbook = Playbook().seed()
    playbook.tell(deploy())
    playbook.tell(ev.RetireAsked("v3", "ann"))
    assert playbook.states()["v3"] == "draining"
    again = playbook.tell(deploy())
    assert ([type(command) for command in again], playbook.slot("v3")) == ([Record, PublishRoute], 2)


def test_retire() -> None:
    playbook = Playbook().seed()
    assert refused(playbook, ev.RetireAsked("v1", "ann")).code == "version_in_use"
    assert refused(playbook, ev.RetireAsked("v9", "ann")).code == "version_unknown"
    commands = playbook.tell(ev.RetireAsked("v2", "ann", cut=True))
    assert [type(command) for command in commands] == [Record, PublishRoute, CutSlot]
    assert refused(playbook, ev.RollbackAsked("x", "ann")).code == "no_standby"


def test_quarantine_and_release_by_hand() -> None:
    playbook = Playbook().seed()
    assert refused(playbook, ev.QuarantineAsked("v1", "ann", "odd")).code == "version_in_use"
    playbook.tell(ev.QuarantineAsked("v2", "ann", "odd"))
    assert (playbook.states()["v2"], list(playbook.registry.quarantines)) == ("draining", ["v2"])
    assert playbook.tell(ev.QuarantineAsked("v2", "ann", "odd")) == []
    assert playbook.tell(ev.ReleaseAsked("v2", "ann", "fine")) == [
        Record.of("released", "ann", {"release": ["v2"], "reason": "fine"})
    ]
    assert playbook.registry.quarantines == {}


def test_moved_endpoints_are_a_new_route_in_the_same_incarnation() -> None:
    playbook = Playbook().seed()
    commands = playbook.tell(ev.EndpointsAsked("v2", ("http://new:1",), "ann"))
    assert commands[1:] == [
        FillSlot(1, 1, "v2", ("http://new:1",), False),
        PublishRoute(Route(BOOT + 1, active=0, standby=1)),
    ]
    assert playbook.tell(ev.EndpointsAsked("v2", ("http://new:1",), "ann")) == []


def test_a_refusal_names_the_quarantine_of_a_retired_version() -> None:
    playbook = Playbook().seed()
    playbook.tell(ev.QuarantineAsked("v2", "ann", "late answers"))
    playbook.tell(ev.RetireAsked("v2", "ann", ""))
    refusal = refused(playbook, ev.SwitchAsked("v2", "ann", "", override=ev.Override("ann", "I know")))
    assert refusal.code == "version_not_ready"
    assert refusal.facts == {"state": playbook.states()["v2"], "quarantined": True}


def test_a_version_known_to_be_down_needs_an_override() -> None:
    playbook = Playbook().seed()
    playbook.probe("v2", ok=False)
    assert refused(playbook, ev.SwitchAsked("v2", "ann", "")).code == "version_not_ready"
    playbook.tell(ev.SwitchAsked("v2", "ann", "", override=ev.Override("ann", "I know")))
    assert playbook.states() == {"v1": "standby", "v2": "active"}


def test_the_baseline_of_an_accepted_version() -> None:
    playbook = Playbook().seed()
    plain = {"requests": 500}
    assert playbook.tell(ev.Accepted(plain)) == [Record.of("accepted", "control", {"version": "v1", "baseline": plain})]
    assert playbook.tell(ev.Accepted(plain)) == [Record.of("baseline", "control", {"version": "v1", "baseline": plain})]
    assert (playbook.registry.baseline, playbook.registry.targets["v1"].accepted) == (plain, True)


def test_a_probe_of_a_version_that_is_gone_is_ignored() -> None:
    playbook = Playbook().seed()
    before = playbook.machine.streaks.changes
    event = ev.ProbeCompleted("svc", "v0", "http://v2:1", True, False, "", 1.0, SECOND, False)
    assert playbook.tell(event) == []
    assert playbook.machine.streaks.changes == before


def test_unreachable_rollbacks_name_their_trigger() -> None:
    playbook = Playbook().seed("v2", "v1")
    playbook.probe("v1", times=3)
    record = playbook.verdict(away=True)[0]
    assert isinstance(record, Record)
    assert (record.fact.to_data()["trigger"], record.fact.to_data()["unreachable"]) == (AWAY, True)
    assert "quarantine" not in record.fact.to_data()
