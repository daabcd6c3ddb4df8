"""What a record changes in this router: the slots that are filled, the route that is published, the attempts that are cut.

Pure: (versions before, registry after, facts, slot table) → (slot table, commands). Each router derives its own effects, so a
record that another router has decided has them, too.

    version gets a role, holds no slot   fill a free slot; without one, that of the version that was without a role for longest
    version that holds a slot moves      fill its slot again
    fact publishes a route               publish the roles; with REDISPATCH if the fact is a rollback, or a drill that fails
    fact cuts a drain                    cut the slot of its version
    version is retired, or drained       free its slot

Several records that are applied together publish one route.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from router.errors import InternalError
from router.rollout.facts.drills import DrillSwitched
from router.rollout.facts.entry import Entry, route_generation
from router.rollout.facts.fact import Fact
from router.rollout.facts.router_itself import DrainCut
from router.rollout.facts.switches import RolledBack
from router.rollout.facts.versions import Retired
from router.rollout.machine.registry import Registry
from router.rollout.model.commands import CutSlot, Effect, FillSlot, PublishRoute, RaiseAlarm
from router.rollout.model.route import NO_SLOT, Flag, Route
from router.rollout.model.target import PLACED, ROLES, Target
from router.rollout.placement.slot_table import SlotTable

CUT_FOR_SLOT = "drain_cut_for_slot"


@dataclass(frozen=True, slots=True)
class Effects:
    """`table` is the slot table after the effects. `commands` are in the order in which they are carried out."""

    table: SlotTable
    commands: tuple[Effect, ...] = ()


def effects(before: Mapping[str, Target], registry: Registry, entries: Sequence[Entry], table: SlotTable) -> Effects:
    """Return the effects of `entries`, which have led from the versions `before` to `registry`."""
    generation = max((route_generation(entry) or 0 for entry in entries), default=0)
    targets = registry.targets
    if generation == 0 and targets is before:
        return Effects(table, tuple(_cuts(entries, registry, table)))
    table = table.freed(_gone(targets, table)).with_roles(targets, generation or registry.generation)
    table, fills = _placed(registry, table)
    fills += [_fill(targets[version], table, fresh=False) for version in _moved(before, targets, table, fills)]
    publish = [PublishRoute(route_of(registry, table, generation, _flags(entries, targets)))] if generation else []
    return Effects(table, (*fills, *publish, *_cuts(entries, registry, table)))


def adopted(registry: Registry, table: SlotTable) -> Effects:
    """Return the effects that make `table`, as a previous control has left it, agree with the registry; no route is published."""
    targets, generation = registry.targets, registry.generation
    table = table.freed(_gone(targets, table)).with_roles(targets, generation)
    table, fills = _placed(registry, table)
    return Effects(table.with_roles(targets, generation), tuple(fills))


def first(registry: Registry, table: SlotTable) -> Effects:
    """Return the effects that publish the present route for the first time in this memory."""
    found = adopted(registry, table)
    return Effects(found.table, (*found.commands, PublishRoute(route_of(registry, found.table, registry.generation))))


def _placed(registry: Registry, table: SlotTable) -> tuple[SlotTable, list[Effect]]:
    """Return the table in which every version that needs a slot has one, and the commands that fill them."""
    commands: list[Effect] = []
    for target in registry.roles.placed:
        if target.version not in table.held:
            slot = table.free_slot()
            if slot is None:
                table, slot, cut = _freed_by_cut(registry, table, target.version)
                commands += cut
            table = table.placed(target.version, slot)
            commands.append(_fill(target, table, fresh=True))
    return table, commands


def route_of(registry: Registry, table: SlotTable, generation: int, flags: Flag = Flag.NONE) -> Route:
    """Return the route of `generation` to the slots of the versions with a role."""

    def slot_of(target: Target | None) -> int:
        slot = table.slot_of(target.version) if target is not None else None
        return NO_SLOT if slot is None else slot

    roles = registry.roles
    return Route(generation, slot_of(roles.active), slot_of(roles.standby), slot_of(roles.candidate), flags=flags)


def _fill(target: Target, table: SlotTable, *, fresh: bool) -> FillSlot:
    held = table.held[target.version]
    return FillSlot(held.slot, held.incarnation, target.version, target.endpoints, fresh, target.rewrite)


def _freed_by_cut(registry: Registry, table: SlotTable, version: str) -> tuple[SlotTable, int, list[Effect]]:
    """Return the table without the version that has been without a role for longest, its slot, and what cuts its requests.

    A record is never refused because this router has no free slot. The requests that are cut were claimed before the
    generation of the change, under which the slot is the new version's.
    """
    roleless = [holder for holder in table.holders(registry.targets) if holder.target.state not in PLACED]
    if not roleless:
        raise InternalError("slots_exhausted", f"all slots are held by versions with a role; {version} needs one")
    holder = min(roleless, key=lambda holder: (holder.held.roleless_generation, holder.target.since_ns))
    target, slot = holder.target, holder.slot
    detail = f"the requests of {target.version} were cut after its drain had no time left: {version} needs its slot"
    commands: list[Effect] = [CutSlot(slot, registry.generation - 1), RaiseAlarm(CUT_FOR_SLOT, detail)]
    return table.freed([target.version]), slot, commands


def _gone(targets: Mapping[str, Target], table: SlotTable) -> list[str]:
    """Return the versions that hold a slot no longer: retired, drained, or dropped."""
    return [v for v in table.held if (target := targets.get(v)) is None or not target.may_hold_slot]


def _moved(
    before: Mapping[str, Target], targets: Mapping[str, Target], table: SlotTable, fills: Sequence[Effect]
) -> list[str]:
    """Return the versions in a slot that is filled already whose endpoints or rewrite have changed."""
    filled = {command.version for command in fills if isinstance(command, FillSlot)}
    return [
        version
        for version in table.held
        if version not in filled
        and (old := before.get(version)) is not None
        and (old.endpoints, old.rewrite) != (targets[version].endpoints, targets[version].rewrite)
    ]


def _flags(entries: Sequence[Entry], targets: Mapping[str, Target]) -> Flag:
    """Return REDISPATCH for a rollback, or a drill's swap for a reason, unless the version that was left is active again."""
    for entry in entries:
        fact = entry.fact
        if not isinstance(fact, RolledBack) and not (isinstance(fact, DrillSwitched) and fact.reason):
            continue
        left = targets.get(fact.left or "")
        if left is None or ROLES.get(left.state) != "active":
            return Flag.REDISPATCH
    return Flag.NONE


def _cuts(entries: Sequence[Entry], registry: Registry, table: SlotTable) -> list[CutSlot]:
    """Return the cuts that the entries order: a drain that lasted too long, `retire` with cut."""
    found = []
    for entry in entries:
        version = _cut_version(entry.fact)
        slot = table.slot_of(version) if version is not None else None
        if slot is not None:
            found.append(CutSlot(slot, registry.generation))
    return found


def _cut_version(fact: Fact) -> str | None:
    """Return the version whose requests a fact cuts; None if it cuts none."""
    if isinstance(fact, Retired) and fact.cut:
        return fact.version or next(iter(fact.new_states), None)
    return fact.version if isinstance(fact, DrainCut) else None
