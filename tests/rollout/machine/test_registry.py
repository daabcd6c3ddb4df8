from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from router.control.store.records.effective import effective_entries, effective_of
from router.errors import InternalError
from router.rollout.facts import entry as facts_entry
from router.rollout.facts.entry import Entry, route_generation
from router.rollout.facts.record import Record
from router.rollout.machine.registry import HISTORY_MAX, RETIRED_MAX, Registry
from router.rollout.machine.replay import rebuild
from router.rollout.model.events import (
    CriterionSet,
    DeployAsked,
    FreezeAsked,
    Origin,
    ProposalDue,
    QuarantineAsked,
    RegisterAsked,
    RollbackAsked,
    SwitchAsked,
)
from router.rollout.model.route import Route, first_generation
from router.rollout.placement.effects import route_of
from router.rollout.placement.slot_table import SlotTable
from tests import entry_types
from tests.rollout.playbook import BOOT, SECOND, Playbook
from tests.texts import golden


def fact(kind: str, seq: int, service: str = "svc", **data: Any) -> Entry:
    return Entry.of(kind, service, "ann", data, 1.0, SECOND, 1, seq)


@pytest.mark.parametrize(
    "data",
    [
        {"states": {"v9": "active"}},
        {"states": {"v1": "verifying"}},
        {"states": {"v2": "active"}},
    ],
    ids=["unknown", "not in the table", "two active"],
)
def test_what_cannot_be_is_refused_and_changes_nothing(data: dict[str, Any]) -> None:
    playbook = Playbook().seed()
    before = playbook.registry.as_dict()
    with pytest.raises(InternalError):
        playbook.registry.after([fact("promoted", 9, generation=BOOT + 1, **data)])
    assert playbook.registry.as_dict() == before


def test_a_new_boot_keeps_the_roles_and_starts_the_clock_and_the_generations_anew() -> None:
    playbook = Playbook().seed()
    playbook.registry.apply(Entry.of(entry_types.BOOT, "", "control", {"boot": 2}, 5.0, 77, 2))
    assert playbook.registry.generation == first_generation(2) + 1
    assert playbook.registry.recorded_generation == BOOT, "a start is this router's own"
    assert playbook.states() == {"v1": "active", "v2": "standby"}
    assert playbook.registry.active_since_ns == 77
    assert {target.since_ns for target in playbook.registry.targets.values()} == {77}


def test_a_record_is_folded_on_a_copy() -> None:
    """No member of the registry changes; the copy is what `apply` makes of it."""
    playbook = Playbook().seed("v2", "v1")
    playbook.tell(SwitchAsked("v1", "ann", "x"))
    before, state = playbook.registry, playbook.registry.as_dict()
    for event in (
        RollbackAsked("bad", "ann"),
        QuarantineAsked("v2", "ann", "odd"),
        CriterionSet("fault_share", 0.1, "ann", "why"),
        ProposalDue("v1", "latency", {"kind": "latency", "reason": "slow"}),
        DeployAsked("v3", ("http://v3:1",), "ann"),
        FreezeAsked("ann", "hold"),
    ):
        records = [command for command in playbook.machine.handle(event, 1) if isinstance(command, Record)]
        entries = [Entry(record.fact, "svc", record.actor, 9.0, 9, 1, 9) for record in records]
        after = before.after(entries)
        assert before.as_dict() == state, type(event).__name__
        assert after.as_dict() != state
        other = rebuild("svc", playbook.entries)
        other.become(other.after(entries))
        assert (other.as_dict(), other.digest()) == (after.as_dict(), after.digest())


def test_a_registry_is_built_from_own_entries_and_boots() -> None:
    playbook = Playbook().seed()
    other = [replace(e, service="other") for e in playbook.entries[1:]]
    assert rebuild("svc", [*playbook.entries, *other]).as_dict() == playbook.registry.as_dict()


def test_a_change_that_was_overtaken_before_its_store_never_became_true() -> None:
    playbook = Playbook().seed("v2", "v1")
    entries = list(playbook.entries)
    ends = {"from": "v2", "to": "v1", "reason": "x"}
    lost = fact("switched", 4, generation=BOOT + 1, base=BOOT, states={"v1": "active", "v2": "standby"}, **ends)
    playbook.machine.reserve(BOOT + 1)
    playbook.tell(RollbackAsked("bad", "ann"))
    rolled_back = playbook.entries[-1]
    assert (rolled_back.fact.to_data()["generation"], rolled_back.fact.to_data()["base"]) == (BOOT + 2, BOOT)
    assert rebuild("svc", effective_of("svc", [*entries, lost, rolled_back])).as_dict() == playbook.registry.as_dict()


def test_an_abandoned_entry_never_became_true() -> None:
    playbook = Playbook().seed()
    before = playbook.registry.as_dict()
    playbook.tell(SwitchAsked("v2", "ann", "x"))
    playbook.entries.append(fact(entry_types.ABANDONED, 5, abandons=playbook.entries[-1].seq))
    assert rebuild("svc", effective_of("svc", playbook.entries)).as_dict() == before


def test_a_route_that_shared_memory_never_saw_never_became_true() -> None:
    playbook = Playbook().seed()
    before = playbook.registry.as_dict()
    playbook.tell(SwitchAsked("v2", "ann", "x"))
    assert rebuild("svc", effective_of("svc", playbook.entries, BOOT)).as_dict() == before
    assert rebuild("svc", effective_of("svc", playbook.entries, BOOT + 1)).as_dict() == playbook.registry.as_dict()
    assert len(effective_entries(playbook.entries, BOOT)) == len(playbook.entries) - 1


def test_a_start_reads_each_entry_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0

    def counted(entry: Entry) -> int | None:
        nonlocal looks
        looks += 1
        return route_generation(entry)

    playbook = Playbook().seed()
    for number in range(300):
        playbook.tell(SwitchAsked("v2" if number % 2 == 0 else "v1", "ann", "x"))
    monkeypatch.setattr(facts_entry, "route_generation", counted)
    assert len(effective_entries(playbook.entries, playbook.registry.generation)) == len(playbook.entries)
    assert looks <= 3 * len(playbook.entries)


def test_confirmations_reach_the_last_switch_and_the_incident() -> None:
    playbook = Playbook().seed("v2", "v1")
    playbook.tell(RollbackAsked("bad", "ann"))
    playbook.registry.apply(fact(entry_types.CONFIRMED, 5, generation=BOOT + 1, swap_us=40, confirmed_ms=2.5))
    assert playbook.registry.last_switch is not None
    assert (playbook.registry.last_switch["swap_us"], playbook.registry.last_switch["confirmed_ms"]) == (40, 2.5)
    assert [(result["swap_us"], result["confirmed_ms"]) for result in playbook.registry.incidents] == [(40, 2.5)]
    assert playbook.registry.generation == BOOT + 1


def test_missing_standby() -> None:
    playbook = Playbook()
    assert playbook.registry.missing_standby() == golden("gate.no_active")
    playbook.seed("v2", "v1")
    assert playbook.registry.missing_standby() is None
    playbook.tell(RollbackAsked("bad", "ann"))
    assert playbook.registry.missing_standby() == "there is no standby"


def test_history_is_bounded() -> None:
    playbook = Playbook().seed()
    for number in range(2 * HISTORY_MAX):
        playbook.tell(SwitchAsked("v2" if number % 2 == 0 else "v1", "ann", "x"))
    assert len(playbook.registry.history["v1"]) == HISTORY_MAX


def test_long_retired_versions_are_forgotten_but_never_a_quarantined_one() -> None:
    playbook = Playbook().seed()
    for number in range(RETIRED_MAX + 3):
        version = f"old{number}"
        playbook.tell(DeployAsked(version, ("http://x:1",), "ann", replace=True))
        data: dict[str, Any] = {"states": {version: "draining"}, "generation": playbook.registry.generation}
        if number == 0:
            data["quarantine"] = {version: {"reason": "bad", "incident": None}}
        playbook.registry.apply(fact("retired", 0, **data))
        playbook.registry.apply(fact("drained", 0, states={version: "retired"}, freed=[version]))
    assert "old0" in playbook.registry.targets
    assert "old1" not in playbook.registry.targets
    assert len(playbook.registry.targets) <= RETIRED_MAX + 4


def test_an_empty_registry_means_no_route() -> None:
    assert route_of(Registry("svc"), SlotTable(), 0) == Route(0)


def test_a_copy_that_drops_retired_versions_leaves_the_registry_alone() -> None:
    playbook = Playbook().seed()
    for number in range(RETIRED_MAX):
        playbook.tell(RegisterAsked(f"r{number}", ("http://r:1",), "ann", Origin("s3://m/r")))
    registry, digest = playbook.registry, playbook.registry.digest()
    more = [
        replace(
            fact("version_registered", 0, states={f"x{n}": "registered"}, target={"version": f"x{n}", "endpoints": []}),
            at=1e9,
        )
        for n in range(3)
    ]
    after = registry.after(more)
    assert len(after.targets) < len(registry.targets) + 3, "some were dropped"
    assert registry.digest() == digest
    assert not registry.equals(after)
    assert registry.equals(registry.after(()))


def test_registries_are_equal_by_their_members() -> None:
    playbook = Playbook().seed("v2", "v1")
    again = rebuild("svc", playbook.entries)
    assert playbook.registry.equals(again)
    for event in (FreezeAsked("ann", "hold"), CriterionSet("fault_share", 0.1, "ann", "why")):
        playbook.tell(event)
        assert not playbook.registry.equals(again), type(event).__name__
        again = rebuild("svc", playbook.entries)
        assert playbook.registry.equals(again)
