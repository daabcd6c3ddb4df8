"""Whatever asks and whoever answers, in whatever order: each proposal is decided once, and a decision is what is."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from router.errors import Refusal
from router.rollout.machine.limits import RolloutLimits
from router.rollout.machine.replay import rebuild
from router.rollout.model import events as ev
from router.rollout.proposals.proposal import ProposalRules
from tests.example_counts import examples
from tests.rollout.playbook import TRIGGER, Playbook
from tests.rollout.proposal_playbook import SLOW

VERSIONS = st.sampled_from(["v1", "v2", "v3"])
IDS = st.sampled_from([f"svc-{kind}-{number}" for kind in ("rollback", "promotion") for number in (1, 2, 3)])
PEOPLE = st.sampled_from(["ann", "bob"])
OVERRIDES = st.sampled_from([None, None, ev.Override("ann", "sure")])
EVENTS = st.one_of(
    st.builds(ev.ProposalDue, VERSIONS, st.sampled_from(["latency", "business:churn"]), st.just(SLOW)),
    st.builds(
        ev.ProposalDecided,
        IDS,
        st.sampled_from(["approve", "deny"]),
        PEOPLE,
        st.just("why"),
        OVERRIDES,
        st.booleans(),
        st.just(None),
        st.just(None),
        st.booleans(),
    ),
    st.builds(lambda version: ev.DeployAsked(version, (f"http://{version}:1",), "ann", True), VERSIONS),
    st.builds(
        ev.SwitchAsked,
        VERSIONS,
        PEOPLE,
        st.just("x"),
        st.sampled_from(["promoted", "switched"]),
        OVERRIDES,
        st.booleans(),
    ),
    st.just(ev.RollbackAsked("bad", "ann")),
    st.builds(ev.VerdictReached, st.just(TRIGGER), st.just(False)),
    st.sampled_from([ev.FreezeAsked("ann", "hold"), ev.UnfreezeAsked("ann", "go")]),
    st.builds(ev.ReleaseAsked, VERSIONS, st.just("ann"), st.just("fine")),
    st.just(ev.Ticked(frozenset(range(7)))),
    st.tuples(VERSIONS, st.booleans(), st.sampled_from([1, 5])),
)
TERMS = ProposalRules(50.0, "rollback", 100.0, promote_needs_approval=True, promotion_expire_after_s=200.0)


def apply_event(playbook: Playbook, event: object) -> None:
    """Hand over one event, and what the bench makes of a default that is due."""
    if isinstance(event, tuple):
        if event[0] in playbook.registry.targets:
            playbook.probe(*event)
    else:
        playbook.tell(event)  # type: ignore[arg-type]
    for waiting in playbook.registry.proposals.pending():
        if waiting.state == "due":
            playbook.tell(ev.VerdictReached(SLOW, False, proposal=waiting.id))


@settings(max_examples=examples(80), deadline=None)
@given(
    st.lists(st.tuples(EVENTS, st.sampled_from([0.1, 1.0, 30.0, 300.0])), max_size=40),
    st.sampled_from(["hold", "rollback"]),
)
def test_promises_of_every_history_with_questions(history: list[tuple[object, float]], at_expiry: str) -> None:
    playbook = Playbook(RolloutLimits(proposals=ProposalRules(50.0, at_expiry, 100.0, True, 200.0))).seed()  # type: ignore[arg-type]
    playbook.probe("v2", times=3)
    ended: dict[str, str] = {}
    for event, after_s in history:
        playbook.now_ns += int(after_s * 1e9)
        known = len(playbook.entries)
        before = playbook.registry.as_dict()
        try:
            apply_event(playbook, event)
        except Refusal:
            assert playbook.registry.as_dict() == before
            continue
        proposals = playbook.registry.proposals
        waiting = [(proposal.kind, proposal.version) for proposal in proposals.pending()]
        assert len(waiting) == len(set(waiting)), "one question about one version"
        for name, state in ended.items():
            assert proposals.known[name].state == state, "what was decided stays so"
        for entry in playbook.entries[known:]:
            if (name := entry.fact.to_data().get("proposal")) is None or entry.type not in (
                "rolled_back",
                "promoted",
                "switched",
            ):
                continue
            assert name not in ended
            assert proposals.known[name].state == ("expired" if entry.fact.to_data().get("automatic") else "approved")
            assert (
                proposals.known[name].version == entry.fact.to_data()["from" if entry.type == "rolled_back" else "to"]
            )
        ended |= {name: proposal.state for name, proposal in proposals.known.items() if not proposal.pending}
    types = [entry.type for entry in playbook.entries]
    switches = [
        entry
        for entry in playbook.entries
        if entry.fact.to_data().get("proposal") and "from" in entry.fact.to_data() and "states" in entry.fact.to_data()
    ]
    assert types.count("approved") == len([entry for entry in switches if not entry.fact.to_data().get("automatic")])
    assert rebuild("svc", playbook.entries).as_dict() == playbook.registry.as_dict()


@settings(max_examples=examples(30), deadline=None)
@given(st.lists(st.tuples(EVENTS, st.sampled_from([0.1, 60.0])), max_size=15))
def test_every_prefix_of_the_journal_gives_the_pending_proposals(history: list[tuple[object, float]]) -> None:
    playbook = Playbook(RolloutLimits(proposals=TERMS)).seed()
    playbook.probe("v2", times=3)
    seen = {}
    for event, after_s in history:
        playbook.now_ns += int(after_s * 1e9)
        try:
            apply_event(playbook, event)
        except Refusal:
            continue
        seen[len(playbook.entries)] = playbook.registry.as_dict()["proposals"]
    for length, state in seen.items():
        assert rebuild("svc", playbook.entries[:length]).proposals.as_dict() == state
