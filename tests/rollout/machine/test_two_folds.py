"""Two folds of one log are equal by digest, also with these in between: restarts of control, cold starts, upgrades, take-overs.

A digest leaves out what a router knows only of itself: its slots, its stamps, and the generation at which its boot begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.control.store.records.effective import effective_entries
from router.errors import InternalError, Refusal
from router.rollout.facts.entry import Entry
from router.rollout.facts.record import Record
from router.rollout.machine.limits import RolloutLimits
from router.rollout.machine.machine import Machine
from router.rollout.machine.registry import Registry
from router.rollout.machine.replay import rebuild
from router.rollout.model import events as ev
from router.rollout.model.target import State
from router.rollout.placement.effects import Effects, adopted, first
from router.rollout.placement.slot_table import SlotTable
from router.rollout.proposals.proposal import ProposalRules
from tests import entry_types
from tests.example_counts import examples
from tests.rollout.machine import test_approval_properties, test_machine_properties
from tests.rollout.playbook import AWAY, SECOND, TRIGGER, Playbook
from tests.stored.folds import LONG_SEEDS, long_entries
from tests.stored.form_43fbe49 import in_that_form, members

NIGHTLY: Final = 10_000
SHARES: Final = 5
SHRINKING_S: Final = 600
"""A failure is shrunk for up to five minutes before it is reported."""
RESTARTS: Final = st.sampled_from(["cold", "warm", "settings"])
SCENE_NAMES: Final = (
    *(
        "new",
        "candidate",
        "fails",
        "refuses",
        "answers",
        "lift",
        "again",
        "mark",
        "drained",
        "tick",
        "ask",
        "yes",
        "no",
    ),
)
SCENES: Final = st.sampled_from(("new", "fails", "lift", *SCENE_NAMES))
"""Several events with a purpose: events alone seldom lead far."""
SINGLE: Final = st.one_of(test_machine_properties.EVENTS, test_approval_properties.EVENTS)
EVENTS: Final = st.one_of(SCENES, SCENES, SCENES, RESTARTS, SINGLE)
HISTORIES: Final = st.lists(st.tuples(EVENTS, st.sampled_from([0.1, 1.0, 30.0, 400.0])), min_size=12, max_size=40)
TERMS: Final = (
    RolloutLimits(warmup_probes=1, recover_probes=5, verify_timeout_s=60.0, rollback_drain_timeout_s=20.0),
    RolloutLimits(proposals=ProposalRules(50.0, "rollback", 100.0, promote_needs_approval=True)),
    RolloutLimits(),
)


class Restarted(Playbook):
    """A playbook whose control may end and start again, with its shared memory (warm) or without it (cold)."""

    def __init__(self) -> None:
        self.boot = 1
        self.wall_s = 1_000.0
        super().__init__(TERMS[0])

    def _entry(self, record: Record) -> Entry:
        at = self.wall_s + self.now_ns / SECOND
        return replace(super()._entry(record), at=at, boot=self.boot)

    def cold(self) -> None:
        """The machine is switched on again: another boot, on a monotonic clock that begins anew."""
        self.wall_s += self.now_ns / SECOND + 5.0
        self.boot += 1
        self.now_ns = SECOND
        boot = Entry.of(entry_types.BOOT, "", "control", {"boot": self.boot}, self.wall_s + 1.0, self.now_ns, self.boot)
        self.fold(boot)
        self._start(rebuild("svc", self.entries))
        self.table = first(self.registry, SlotTable()).table

    def warm(self) -> None:
        """Control alone is started again: it finds the same state, to the last stamp, and slots that agree with it."""
        found = rebuild("svc", self.entries)
        assert found.as_dict() == self.registry.as_dict()
        assert adopted(found, self.table) == Effects(self.table)
        self._start(found)

    def _start(self, registry: Registry) -> None:
        issued, limits = self.machine.issued, self.machine.limits
        self.registry = registry
        self.machine = Machine(registry, limits)
        self.machine.reserve(issued)

    def scene(self, name: str) -> list[object]:
        """Return the events of a scene, as the roles are now; tuples are probes."""
        registry = self.registry
        active, standby, candidate = registry.active, registry.standby, registry.candidate
        good = [(standby.version, True, 3)] if standby is not None else []
        fresh = f"v{5 + len(self.entries)}"
        deploy = ev.DeployAsked(fresh, (f"http://{fresh}:1",), "ci", replace=True)
        marked = next(iter(registry.quarantines), None)
        lifted = ev.Override("ann", "for now", 300.0)
        pending = [proposal.id for proposal in registry.proposals.pending()]
        away = registry.of_state(State.UNREACHABLE)
        scenes: dict[str, list[object]] = {
            "new": [deploy, (fresh, True, 5), ev.SwitchAsked(fresh, "ann", "weekly", "promoted")],
            "candidate": [deploy, (fresh, True, 5)],
            "fails": [*good, ev.VerdictReached(TRIGGER, False)],
            "refuses": [*good, ev.VerdictReached(AWAY, True)],
            "answers": [(away.version, True, 30)] if away is not None else [],
            "lift": [ev.ReleaseAsked(marked, "ann", "to look", 300.0)] if marked else [],
            "again": [ev.DeployAsked(marked, (), "ann", True, lifted)] if marked else [],
            "mark": [ev.QuarantineAsked(candidate.version, "ann", "odd")] if candidate is not None else [],
            "drained": [ev.Ticked(frozenset(version for version in registry.targets if version != fresh))] * 3,
            "tick": [ev.Ticked()] * 3,
            "ask": [ev.ProposalDue(active.version, "latency", TRIGGER)] if active is not None else [],
            "yes": [*good, *(ev.ProposalDecided(one, "approve", "bob", "yes") for one in pending)],
            "no": [ev.ProposalDecided(one, "deny", "bob", "no") for one in pending],
        }
        return scenes[name]

    def play(self, event: object) -> None:
        """Play one event, or those of a scene; a refusal changes nothing."""
        if isinstance(event, str) and event in SCENE_NAMES:
            for single in self.scene(event):
                self.play(single)
            return
        try:
            match event:
                case "cold":
                    self.cold()
                case "warm":
                    self.warm()
                case "settings":
                    terms = TERMS[(TERMS.index(self.machine.limits) + 1) % len(TERMS)]
                    self.record(Record.of(entry_types.SETTINGS_CHANGED, "operator", {"version": len(self.entries)}))
                    self.machine.reconfigure(terms)
                case str():
                    test_machine_properties._rehearse(self, event)
                case _:
                    test_approval_properties.apply_event(self, event)
        except Refusal:
            pass


def played(history: Iterable[tuple[object, float]]) -> Restarted:
    playbook = Restarted()
    playbook.seed()
    playbook.probe("v2", times=3)
    for event, after_s in history:
        playbook.now_ns += int(after_s * SECOND)
        playbook.play(event)
    return playbook


def folded(entries: Iterable[Entry]) -> Registry:
    registry = Registry("svc")
    for entry in entries:
        registry.apply(entry)
    return registry


def elsewhere(entries: Sequence[Entry], cold_starts: Iterable[float]) -> list[Entry]:
    """Return the log as another router folds it: none of the boots of the first one, stamps and boots of its own.

    It starts cold at these parts of the log, and once more at its end.
    """
    places = {int(part * len(entries)) for part in cold_starts}
    found: list[Entry] = []
    boot, now_ns = 7, 10**12

    def starts(at: float) -> None:
        nonlocal boot, now_ns
        boot, now_ns = boot + 1, 3 * SECOND
        found.append(Entry.of(entry_types.BOOT, "", "control", {"boot": boot}, at, now_ns, boot))

    for place, entry in enumerate(entries):
        now_ns += 1_000 * SECOND
        if place in places:
            starts(entry.at)
        if entry.type != entry_types.BOOT:
            found.append(replace(entry, monotonic_ns=now_ns, boot=boot))
    starts(entries[-1].at + 1.0)
    return found


def in_one_go_and_with_a_copy(entries: list[Entry], middle: int) -> Registry:
    """Fold `entries`; from `middle` on with a copy, beside which nothing of the original changes."""
    original = folded(entries[:middle])
    before = original.as_dict()
    second = original.after(entries[middle:])
    assert original.as_dict() == before, "the fold of a copy has changed the original"
    return second


def check(history: list[tuple[object, float]], cut: float, parts: list[float]) -> None:
    playbook = played(history)
    entries = playbook.entries
    middle = 1 + int(cut * (len(entries) - 1))
    older = in_that_form(entries)
    folds = {
        "rebuilt": rebuild("svc", entries),
        "without boots": folded(entry for entry in entries if entry.type != entry_types.BOOT),
        "on another router": folded(elsewhere(entries, parts)),
        "on another router, started again": rebuild("svc", elsewhere(entries, parts)),
        "as 43fbe49 wrote them": rebuild("svc", older),
        "upgraded in the middle": rebuild("svc", [*older[:middle], *entries[middle:]]),
        "on another router that was upgraded": folded(elsewhere([*older[:middle], *entries[middle:]], parts)),
        "copied in the middle": in_one_go_and_with_a_copy(entries, middle),
    }
    expected = playbook.registry.digest()
    assert {name for name, registry in folds.items() if registry.digest() != expected} == set()
    prefixes = (entries[:middle], elsewhere(entries[:middle], parts), older[:middle])
    assert len({folded(prefix).digest() for prefix in prefixes}) == 1


CUTS: Final = st.floats(0.0, 1.0)
PARTS: Final = st.lists(st.floats(0.0, 1.0), max_size=4)


@pytest.mark.timeout(SHRINKING_S)
@settings(max_examples=examples(800))
@given(HISTORIES, CUTS, PARTS)
def test_two_folds_of_one_history_are_equal(
    history: list[tuple[object, float]], cut: float, parts: list[float]
) -> None:
    check(history, cut, parts)


@pytest.mark.nightly
@pytest.mark.timeout(600 + SHRINKING_S)
@pytest.mark.parametrize("share", range(SHARES))
@settings(max_examples=NIGHTLY // SHARES)
@given(history=HISTORIES, cut=CUTS, parts=PARTS)
def test_two_folds_of_many_histories_are_equal(
    share: int, history: list[tuple[object, float]], cut: float, parts: list[float]
) -> None:
    """NIGHTLY histories; in shares, so that several processes try them."""
    del share
    check(history, cut, parts)


@pytest.mark.parametrize("seed", LONG_SEEDS)
def test_two_folds_of_a_long_journal_are_equal(seed: int) -> None:
    entries = effective_entries(long_entries(seed, 2_000))
    renamed = [replace(entry, service=entry.service and "svc") for entry in entries]
    whole = folded(renamed)
    assert folded(elsewhere(renamed, (0.1, 0.3, 0.31, 0.7))).digest() == whole.digest()
    assert in_one_go_and_with_a_copy(renamed, 1_000).digest() == whole.digest()


def test_the_digest_tells_two_states_from_each_other() -> None:
    one, other = played([]), played([(ev.FreezeAsked("ann", "hold"), 1.0)])
    assert one.registry.digest() != other.registry.digest()
    assert one.registry.digest() == played([("cold", 1.0), ("warm", 1.0)]).registry.digest()


def test_an_illegal_entry_is_illegal_in_both_forms() -> None:
    """The older form adds slots and changes nothing else."""
    entries = played([]).entries
    data = {"generation": 1 << 30, "states": {"v2": "ready"}, "from": "v1", "to": "v2", "reason": "x"}
    illegal = Entry.of(**(entries[-1].as_dict() | {"type": "promoted", "data": data}))
    for log in ([*entries, illegal], in_that_form([*entries, illegal])):
        with pytest.raises(InternalError):
            folded(log)
    assert [entry.fact for entry in in_that_form(entries)] == [entry.fact for entry in entries]
    placed = [known["data"]["target"] for known in members(entries) if "target" in known["data"]]
    assert [target["slot"] for target in placed] == [0, 1]
