"""Recovery at a start: makes journal, shared memory and settings agree.

A cold start follows the journal; the first start of a state directory follows the settings. A warm start (shared memory
has outlived the previous control) follows the route words in memory, by which the workers claim, and journals the
missing entries.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from router.control.core.executor import CommandExecutor
from router.control.store.batch import JournalUnavailable
from router.control.store.journal_opening import begun_anew, corrupt, opened
from router.control.store.records.effective import effective_of, uncommitted_entries
from router.errors import InternalError, Refusal, StartError
from router.errors.codes import StartCode
from router.rollout.facts.entry import Entry, route_generation
from router.rollout.facts.record import Record
from router.rollout.facts.router_itself import Abandoned, Booted, Imported
from router.rollout.facts.versions import Placement, Seeded
from router.rollout.machine.reconcile import Named, assumed, named_roles, recovered, versions_of
from router.rollout.machine.registry import Registry
from router.rollout.machine.replay import rebuild
from router.rollout.model.rewrite import Rewrite
from router.rollout.model.route import NO_SLOT, Route
from router.rollout.model.target import State
from router.runtime import clock
from router.settings.sections.service import Service, TargetSeed
from router.settings.settings import Settings
from router.shm import layout as at
from router.shm.route_cell import RouteCell
from router.shm.segment import Segment
from router.shm.settings_memory import Place

log = logging.getLogger(__name__)
_DISK_WAIT_S: Final = 1.0
"""Seconds to wait for the disk at a warm start. The supervisor counts the silence of control from its start."""


@dataclass(frozen=True, slots=True)
class JournalState:
    """The journal at a start. `warm`: shared memory has outlived the previous control, so its route words win."""

    database: sqlite3.Connection
    entries: list[Entry]
    boot: int
    warm: bool
    begun_from: Path | None = None


def read_journal_state(state_dir: Path, segment: Segment, journal_from: str | None) -> JournalState:
    """Open the journal; raise StartError if it is corrupt. A warm start ignores `journal_from`: it was applied before."""
    warm = segment.words[at.H_BOOT] != 0
    now_s = clock.wall_s()
    begun_from = None
    if journal_from is not None and not warm:
        database, entries, begun = begun_anew(state_dir, Path(journal_from), now_s, foldable_entries)
        begun_from = Path(journal_from) if begun else None
    else:
        database, entries = opened(state_dir, now_s)
    boot = segment.words[at.H_BOOT] or max((entry.boot for entry in entries), default=0) + 1
    return JournalState(database, entries, boot, warm, begun_from)


def foldable_entries(entries: list[Entry]) -> list[Entry]:
    """Return the entries that can be applied although others are missing, and those that never had an effect."""
    registries: dict[str, Registry] = {entry.service: Registry(entry.service) for entry in entries if entry.service}
    effective = {id(entry) for service in registries for entry in effective_of(service, entries)}
    foldable = []
    for entry in entries:
        if entry.service and id(entry) not in effective:
            foldable.append(entry)
            continue
        affected = (
            list(registries.values())
            if isinstance(entry.fact, Booted)
            else [registries[entry.service]]
            if entry.service
            else []
        )
        try:
            for registry in affected:
                registry.become(registry.after([entry]))
        except (InternalError, KeyError, TypeError, ValueError) as error:
            log.warning("entry %d (%s) makes no sense without those that are lost: %s", entry.seq, entry.type, error)
            continue
        foldable.append(entry)
    return foldable


def boot_entries(past: JournalState) -> list[Entry]:
    """Return the entries that a cold start journals before anything else."""
    now_ns, now_s = clock.now_ns(), clock.wall_s()
    entries = [Entry(Booted(boot=past.boot), "", "control", now_s, now_ns, past.boot)]
    if past.begun_from is not None:
        fact = Imported(copy=str(past.begun_from), entries=len(past.entries))
        entries.insert(0, Entry(fact, "", "operator", now_s, now_ns, past.boot))
    return entries


def registries(
    settings: Settings,
    segment: Segment,
    entries: list[Entry],
    state_dir: Path,
    places: Mapping[str, Place],
    *,
    warm: bool,
) -> dict[str, Registry]:
    """Return the registry of each service; raise StartError if the journal is inconsistent."""
    found = {}
    for name in sorted(settings.services):
        word = RouteCell(segment, places[name].number).read() if warm else None
        try:
            found[name] = rebuild(name, effective_of(name, entries, word.generation if word else None))
        except (InternalError, KeyError, TypeError, ValueError) as error:
            raise corrupt(state_dir, error, clock.wall_s()) from None
    return found


def stored(segment: Segment, places: Mapping[str, Place]) -> dict[str, int]:
    """Return the generation in shared memory, by service."""
    words = {name: RouteCell(segment, place.number).read() for name, place in places.items()}
    return {name: word.generation for name, word in words.items() if word is not None}


def refuse_moved(settings: Settings, found: Mapping[str, Registry]) -> None:
    """Raise StartError if the settings of one of these services name a known version with other endpoints than the journal."""
    for name, registry in found.items():
        for seed in _seeds(settings.services[name]):
            known = registry.targets.get(seed.version)
            if known is not None and known.endpoints != tuple(seed.endpoints):
                raise StartError(
                    StartCode.ENDPOINTS_DIFFER,
                    f"service {name}: version {seed.version} is known at {', '.join(known.endpoints)} (journal), and the "
                    f"settings say {', '.join(seed.endpoints)}: give the new servers a version label of their own, write the "
                    "known endpoints into the settings, or start with --fresh, which archives the old state",
                )


def differences(settings: Settings, found: dict[str, Registry]) -> list[str]:
    """Return where the versions of the settings differ from the journal, which wins."""
    lines = []
    for name, service in sorted(settings.services.items()):
        registry = found.get(name)
        if registry is None:  # it is being added, or removed
            continue
        for role, seed, target in (
            ("active", service.active, registry.active),
            ("standby", service.standby, registry.standby),
        ):
            version = target.version if target else None
            if seed is not None and seed.version != version:
                lines.append(
                    f"services.{name}.{role} is {seed.version} in the settings and {version or 'none'} by the journal, "
                    "which wins: use promote, switch or deploy"
                )
            elif seed is not None and target is not None and seed.rewrite != target.rewrite:
                lines.append(
                    f"services.{name}.{role} ({seed.version}) has another host, path_prefix or headers_file in the settings "
                    "than by the journal, which wins: use endpoints VERSION URL… with --host, --path-prefix, --headers-file"
                )
            elif seed is not None and target is not None and tuple(seed.endpoints) != target.endpoints:
                lines.append(f"services.{name}.{role} ({seed.version}) has other endpoints in the settings")
    return lines


async def reconcile(
    executor: CommandExecutor, service: Service, entries: list[Entry], *, warm: bool, assume: str | None
) -> None:
    """Reconcile one service and publish its route; the boot counter must be in the segment already."""
    if warm and executor.cell.word():
        return await _adopt_memory(executor, entries)
    for record in _first_records(executor.registry, service, assume):
        await _journalled(executor, record)
    executor.publish()
    return None


def _first_records(registry: Registry, service: Service, assume: str | None) -> list[Record]:
    if assume is not None and assume in registry.targets:
        return [assumed(registry, assume)]
    if registry.targets or service.active is None:
        return []
    # Without a history the assumption chooses between the versions of the settings.
    seeds = sorted(_seeds(service), key=lambda seed: seed.version != assume)
    places = zip(seeds, (State.ACTIVE, State.STANDBY), strict=False)
    return [
        Record(
            Seeded(generation=registry.generation, states={seed.version: state}, target=_placement(seed)), "settings"
        )
        for seed, state in places
    ]


def _placement(seed: TargetSeed) -> Placement:
    rewrite = seed.rewrite if seed.rewrite.distinguishes else None
    return Placement(version=seed.version, endpoints=tuple(seed.endpoints), rewrite=rewrite)


async def _journalled(executor: CommandExecutor, record: Record) -> None:
    try:
        await executor.append_and_apply(record, publish=False)
    except JournalUnavailable as error:
        raise StartError(StartCode.JOURNAL_UNAVAILABLE, f"{error.detail}; a first start needs a journal") from None


async def _adopt_memory(executor: CommandExecutor, entries: list[Entry]) -> None:
    """Bring the journal to the route word in shared memory, by which the workers claim.

    The entries are written before any request is answered, so that an answer about the active version still holds after the
    next kill. If the disk does not take them, control continues without them.
    """
    word = executor.cell.read()
    if word is None:
        raise InternalError("route_missing", executor.name)
    named = _named(executor, word)
    lost = uncommitted_entries(executor.name, entries, word.generation)
    issued = [route_generation(entry) or 0 for entry in entries if entry.service == executor.name]
    executor.machine.reserve(word.generation, *issued)
    missing: list[Record | Entry] = [Record(Abandoned(abandons=entry.seq), "control") for entry in lost]
    found = _pending_entry(executor, word, named) or recovered(executor.registry, word, named)
    if found is not None:
        missing.append(found)
    if missing:
        log.warning("%s: shared memory and journal differ; shared memory wins", executor.name)
        await _journal_late(executor, missing, found)
    executor.adopt_slots()


def _named(executor: CommandExecutor, word: Route) -> Named:
    """Return the versions that the route names. Of a slot that was being written, the slot table and the registry know them."""
    slots = {State.ACTIVE: word.active, State.STANDBY: word.standby, State.VERIFYING: word.candidate}
    found: dict[State, tuple[str, tuple[str, ...], Rewrite]] = {}
    for role, slot in slots.items():
        content = executor.held.slots.read(slot) if slot != NO_SLOT else None
        if content is not None:
            found[role] = content.version, content.endpoints, content.rewrite
        elif (holder := executor.held.holder_in(slot)) is not None:
            found[role] = holder.target.version, holder.target.endpoints, holder.target.rewrite
    return found


async def _journal_late(executor: CommandExecutor, missing: list[Record | Entry], found: Record | Entry | None) -> None:
    """Journal entries whose effects shared memory has already; without the disk go on."""
    try:
        await executor.append_and_apply(*missing, timeout_s=_DISK_WAIT_S, publish=False)
    except Refusal as error:
        log.warning("%s: %s; going on without", executor.name, error.detail)
        now_ns = found.monotonic_ns if isinstance(found, Entry) else clock.now_ns()
        executor.perform([Record(item.fact, item.actor) for item in missing], now_ns, publish=False)


def _pending_entry(executor: CommandExecutor, word: Route, named: Named) -> Entry | None:
    """Return the entry whose route the previous control has stored, and which it could not journal; None if there is
    none.
    """
    pending, registry = executor.pending_entry.read(), executor.registry
    if pending is None or pending[0] != word.generation or word.generation == registry.generation:
        return None
    try:
        entry = Entry.of(**orjson.loads(pending[1]))
        trial = registry.after([entry])
    except (orjson.JSONDecodeError, InternalError, KeyError, TypeError, ValueError) as error:
        log.warning("%s: the note of route %d does not fit the journal: %r", executor.name, word.generation, error)
        return None
    fits = trial.generation == word.generation and named_roles(trial) == versions_of(named)
    return entry if fits else None


def assumed_by_service(assume_active: str | None, settings: Settings, found: dict[str, Registry]) -> dict[str, str]:
    """Return the version to assume active, by service, from `VERSION` or `SERVICE=VERSION[,SERVICE=VERSION]`.

    A version is known from the journal, or from the settings of a service without a history.
    """
    known = {
        name: sorted(registry.targets) or [seed.version for seed in _seeds(settings.services[name])]
        for name, registry in found.items()
    }
    result = {}
    for part in assume_active.split(",") if assume_active else ():
        service, _, version = part.rpartition("=")
        names = [name for name in known if service in ("", name) and version in known[name]]
        if not names:
            raise StartError(StartCode.VERSION_UNKNOWN, f"--assume-active {part}: no such version; known are {known}")
        result.update(dict.fromkeys(names, version))
    return result


def _seeds(service: Service) -> list[TargetSeed]:
    return [seed for seed in (service.active, service.standby) if seed is not None]
