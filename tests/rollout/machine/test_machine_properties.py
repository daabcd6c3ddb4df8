"""Whatever is asked, in whatever order: the promises that hold by construction."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from router.errors import Refusal
from router.rollout.facts.record import Command, Record
from router.rollout.machine.replay import rebuild
from router.rollout.model import events as ev
from router.rollout.model.target import PLACED, ROLES
from tests import entry_types
from tests.example_counts import examples
from tests.rollout.playbook import AWAY, TRIGGER, Playbook

VERSIONS = st.sampled_from(["v1", "v2", "v3", "v4"])
METRICS = st.sampled_from(["fault_share", "late_share"])
OVERRIDES = st.sampled_from([None, None, ev.Override("ann", "sure"), ev.Override("ann", "for now", 500.0)])


def _deploys(version: str, replace: bool, override: ev.Override | None) -> ev.DeployAsked:
    return ev.DeployAsked(version, (f"http://{version}:1",), "ann", replace, override)


EVENTS = st.one_of(
    st.builds(_deploys, VERSIONS, st.booleans(), OVERRIDES),
    st.builds(
        ev.SwitchAsked,
        VERSIONS,
        st.just("ann"),
        st.just("why"),
        st.sampled_from(["promoted", "switched"]),
        OVERRIDES,
        st.booleans(),
    ),
    st.just(ev.RollbackAsked("bad", "ann")),
    st.builds(ev.VerdictReached, st.just(TRIGGER), st.just(False)),
    st.builds(ev.VerdictReached, st.just(AWAY), st.just(True)),
    st.builds(ev.RetireAsked, VERSIONS, st.just("ann"), st.booleans()),
    st.builds(ev.EndpointsAsked, VERSIONS, st.just(("http://moved:1",)), st.just("ann")),
    st.builds(ev.QuarantineAsked, VERSIONS, st.just("ann"), st.just("odd")),
    st.builds(ev.ReleaseAsked, VERSIONS, st.just("ann"), st.just("fine"), st.sampled_from([None, 2.0, 500.0])),
    st.builds(ev.RegisterAsked, VERSIONS, st.sampled_from([(), ("http://v4:1",)]), st.just("ann")),
    st.sampled_from([ev.FreezeAsked("ann", "hold"), ev.UnfreezeAsked("ann", "go")]),
    st.builds(ev.Ticked, st.frozensets(VERSIONS)),
    st.just(ev.Accepted({"requests": 500})),
    st.builds(ev.CriterionSet, METRICS, st.sampled_from([0.01, 0.5]), st.just("ann"), st.just("sure")),
    st.builds(ev.CriterionRemoved, METRICS, st.just("ann"), st.just("sure")),
    st.builds(ev.ProposalDue, VERSIONS, st.sampled_from(["latency", "business:churn"]), st.just(TRIGGER)),
    st.builds(
        ev.ProposalDecided,
        st.sampled_from(["svc-rollback-1", "svc-rollback-2"]),
        st.sampled_from(["approve", "deny"]),
        st.just("ann"),
        override=OVERRIDES,
    ),
    st.tuples(VERSIONS, st.booleans(), st.sampled_from([1, 3, 5, 30])),
    st.sampled_from(["drill", "away", "home", "over"]),
    st.just("there"),
)


def _rehearse(playbook: Playbook, step: str) -> list[Command]:
    """Play a step of a drill; the roles it was planned for may be long gone."""
    registry = playbook.registry
    if step == "there":  # so often that a verdict meets it
        return [*_rehearse(playbook, "drill"), *_rehearse(playbook, "away")]
    drill, active, standby = registry.drill, registry.active, registry.standby
    for target in (active, standby) if step in ("drill", "away") else ():
        if target is not None:
            playbook.probe(target.version, times=3)
    if step == "drill" and drill is None and active is not None and standby is not None:
        observed = {"drill": f"d{len(playbook.entries)}", "mode": "real", "from": active.version, "to": standby.version}
        playbook.record(Record.of(entry_types.DRILL_STARTED, "ann", observed))
    elif step == "over" and drill is not None:
        playbook.record(Record.of(entry_types.DRILL_ENDED, "control", {"drill": drill["drill"], "result": "stopped"}))
    elif step in ("away", "home"):
        kept = (dict(registry.quarantines), registry.automatic_left, registry.last_switch, registry.incidents)
        commands = playbook.tell(ev.DrillMoveAsked(drill["drill"] if drill else "none", step == "home"))
        assert kept == (registry.quarantines, registry.automatic_left, registry.last_switch, registry.incidents)
        return commands
    return []


@settings(max_examples=examples(150))
@given(st.lists(st.tuples(EVENTS, st.sampled_from([0.1, 1.0, 400.0, 1000.0])), max_size=40))
def test_promises_of_every_history(history: list[tuple[object, float]]) -> None:
    playbook = Playbook().seed()
    automatic_since_person = 0
    for event, after_s in history:
        marked = set(playbook.registry.quarantines)
        roles = {version: ROLES.get(target.state, "none") for version, target in playbook.registry.targets.items()}
        before = playbook.registry.as_dict()
        standby, in_drill = playbook.registry.standby, playbook.registry.in_drill
        playbook.now_ns += int(after_s * 1e9)
        try:
            if isinstance(event, tuple):
                version, ok, times = event
                commands = playbook.probe(version, ok, times) if version in playbook.registry.targets else []
            elif isinstance(event, str):
                commands = _rehearse(playbook, event)
            else:
                commands = playbook.tell(event)  # type: ignore[arg-type]
        except Refusal:
            assert playbook.registry.as_dict() == before
            continue

        slots = [held.slot for held in playbook.table.held.values()]
        for target in playbook.registry.targets.values():
            assert target.state not in PLACED or target.version in playbook.table.held
            assert target.may_hold_slot or target.version not in playbook.table.held
        held = [target.state for target in playbook.registry.targets.values() if target.state in ROLES]
        assert len(slots) == len(set(slots))
        assert len([ROLES[state] for state in held]) == len({ROLES[state] for state in held})

        for record in (command for command in commands if isinstance(command, Record)):
            assert not (in_drill and record.fact.type == "rolled_back" and record.fact.to_data()["automatic"])
            if record.fact.type == "rolled_back" and record.fact.to_data()["automatic"]:
                automatic_since_person += 1
                assert standby is not None
                assert playbook.registry.active is not None
                assert playbook.registry.active.version == standby.version
                assert automatic_since_person <= 1
            elif record.fact.type in ("promoted", "switched"):
                automatic_since_person = 0

        if getattr(event, "override", None) is None:
            for version in marked & set(playbook.registry.quarantines):
                gained = ROLES.get(playbook.registry.targets[version].state, "none")
                assert gained not in ("active", "standby", "candidate") or gained == roles[version]

        live = playbook.registry.active_periods.open
        assert (live["version"] if live else None) == (
            playbook.registry.active.version if playbook.registry.active else None
        )
        assert not playbook.registry.temporary_releases.keys() & playbook.registry.quarantines.keys()

    assert rebuild("svc", playbook.entries).as_dict() == playbook.registry.as_dict()


@settings(max_examples=examples(30))
@given(st.lists(st.tuples(EVENTS, st.sampled_from([0.1, 400.0])), max_size=15))
def test_every_prefix_of_the_journal_gives_the_state_of_that_time(history: list[tuple[object, float]]) -> None:
    playbook = Playbook().seed()
    observed = {len(playbook.entries): playbook.registry.as_dict()}
    for event, after_s in history:
        playbook.now_ns += int(after_s * 1e9)
        try:
            if isinstance(event, tuple):
                if event[0] in playbook.registry.targets:
                    playbook.probe(*event)
            elif isinstance(event, str):
                _rehearse(playbook, event)
            else:
                playbook.tell(event)  # type: ignore[arg-type]
        except Refusal:
            continue
        observed[len(playbook.entries)] = playbook.registry.as_dict()
    for length, state in observed.items():
        assert rebuild("svc", playbook.entries[:length]).as_dict() == state
