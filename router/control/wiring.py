"""Builds control: the core over one journal, then the add-ons with their routes. No decision is made here.

The control process and the tests build control by these functions alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from router.control.acceptance import routes as acceptance_routes
from router.control.acceptance.addon import AcceptanceAddon
from router.control.admin.operation import Operation
from router.control.alerts import routes as alert_routes
from router.control.alerts.addon import AlertsAddon
from router.control.cases import routes as case_routes
from router.control.cases.addon import CasesAddon
from router.control.cases.operations import CaseOperations
from router.control.core import in_doubt, recovery
from router.control.core.executor import ExecutorDeps
from router.control.core.in_doubt import InDoubtAlarm
from router.control.core.loop import ControlLoop
from router.control.core.operations import Operations
from router.control.core.probes import Probes
from router.control.core.recovery import JournalState
from router.control.core.service_set import FoundService, ServiceSet
from router.control.core.workers import Workers
from router.control.dashboard import routes as dashboard_routes
from router.control.drills import routes as drill_routes
from router.control.drills.addon import DrillsAddon
from router.control.history import routes as history_routes
from router.control.history.addon import HistoryAddon, open_history
from router.control.history.advice_addon import AdviceAddon
from router.control.history.report_addon import ReportAddon
from router.control.incidents import routes as incident_routes
from router.control.incidents.addon import IncidentsAddon, open_files
from router.control.incidents.context import IncidentContext
from router.control.monitors.alarms import Alarms
from router.control.notify import routes as notify_routes
from router.control.notify.addon import NotifyAddon
from router.control.proposals import links
from router.control.proposals import routes as proposal_routes
from router.control.proposals.addon import ProposalsAddon
from router.control.quality import routes as quality_routes
from router.control.quality.addon import QualityAddon
from router.control.quality.validators_addon import ValidatorsAddon
from router.control.store import journal_rows
from router.control.store.batch import JournalUnavailable
from router.control.store.journal_file import JournalFile
from router.control.store.records.earlier_changes import EarlierChange, earlier_changes
from router.control.store.records.effective import effective_of
from router.control.store.records.local_journal import LocalJournal
from router.control.versions import routes as version_routes
from router.control.versions.addon import VersionsAddon
from router.control.versions.mlflow_addon import MlflowAddon
from router.control.views.queries import Queries
from router.errors import Refusal, StartError
from router.errors.codes import StartCode
from router.rollout.facts.entry import Entry
from router.runtime import clock
from router.runtime.child_args import ControlArgs
from router.runtime.failpoint import FailPoint
from router.settings.settings import Settings
from router.shm import layout as at
from router.shm.route_cell import RouteCell
from router.shm.segment import Segment
from router.shm.settings_memory import Place
from router.shm.worker_stats import WorkerStats

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CoreDeps:
    """The parts that the core is built from. `journal_state` is the content of the disk at this start.

    `settings` have the services that are `leaving`, too. `document` is the number of the settings document. Without `places`, the
    places of services are in the order of their names.
    """

    args: ControlArgs
    segment: Segment
    settings: Settings
    alarms: Alarms
    fail_point: FailPoint
    journal_state: JournalState
    journal: JournalFile
    probes: Callable[..., Probes] = Probes
    """Tests replace it."""
    places: Mapping[str, Place] = field(default_factory=dict)
    leaving: Sequence[str] = ()
    document: int = 1

    def place(self, service: str) -> Place:
        """Return the place of a service."""
        return self.places.get(service) or Place(sorted(self.settings.services).index(service))


@dataclass(frozen=True, slots=True)
class Core:
    """`entries`: every entry of the journal up to the boot counter of this start, oldest first."""

    control_loop: ControlLoop
    service_set: ServiceSet
    operations: Operations
    queries: Queries
    entries: list[Entry]


def open_journal(journal_state: JournalState, segment: Segment, alarms: Alarms, fail_point: FailPoint) -> JournalFile:
    """Return the journal that goes on from `journal_state`, and raises the alarms about the disk.

    While another router is taken over, the file keeps its schema: that router reads it again if this one fails.
    """
    last_seq = journal_state.entries[-1].seq if journal_state.entries else 0
    return JournalFile(
        journal_state.database,
        last_seq,
        fail_point,
        alarms.reporter("journal_unavailable", "the journal cannot be written: {}; automatic rollback goes on"),
        alarms.reporter("journal_mark_unwritable", "{}; a start would not see that the journal's end is missing"),
        InDoubtAlarm(alarms).changed,
        generation=journal_rows.highest_generation(journal_state.entries),
        may_raise=lambda: not segment.words[at.H_TAKING_OVER],
    )


async def build_core(deps: CoreDeps) -> Core:
    """Return the core with every service reconciled; raise StartError if journal, memory and settings do not fit."""
    args, segment, settings, past, journal = deps.args, deps.segment, deps.settings, deps.journal_state, deps.journal
    worker_stats = WorkerStats(segment)
    workers = Workers(worker_stats, args.wake_fds, args.acks_fd)
    state_dir = Path(args.state_dir)
    entries = [*past.entries, *await _begin_boot(segment, past, journal)]
    places = {name: deps.place(name) for name in sorted(settings.services)}
    registries = recovery.registries(settings, segment, entries, state_dir, places, warm=past.warm)
    stored = recovery.stored(segment, places) if past.warm else {}
    if not past.warm and not args.resumes:
        recovery.refuse_moved(settings, registries)
    assumed = recovery.assumed_by_service(args.assume_active, settings, registries) if past.begun_from else {}
    workers.listen()
    control_loop = ControlLoop(settings, segment, worker_stats, workers, journal, deps.alarms, deps.probes)
    control_loop.set_leaving(deps.leaving)
    queries = Queries(control_loop, journal, args.settings_origin)
    found = {name: FoundService(registry, entries) for name, registry in registries.items()}
    service_set = await _add_services(deps, control_loop, found, assumed)
    executors = {name: service_controller.executor for name, service_controller in control_loop.services.items()}
    in_doubt.decide_all(journal, past.entries, executors, stored)
    control_loop.compare_settings()
    for line in control_loop.differences:
        log.warning("%s", line)
    return Core(control_loop, service_set, Operations(control_loop, _earlier(deps, stored)), queries, entries)


def _earlier(deps: CoreDeps, stored: Mapping[str, int]) -> dict[str, EarlierChange]:
    """Return the changes that requests with an idempotency key have made before this start."""
    keys, entries = deps.journal.found_keys, deps.journal_state.entries
    services = {entry.service for entry in entries if entry.seq in keys} & deps.settings.services.keys()
    effective = (entry for name in services for entry in effective_of(name, entries, stored.get(name)))
    return earlier_changes(keys, sorted(effective, key=lambda entry: entry.seq), clock.wall_s())


async def _begin_boot(segment: Segment, past: JournalState, journal: JournalFile) -> list[Entry]:
    """Journal the boot counter before anything else: with it, no generation is ever issued twice."""
    if past.warm:
        return []
    entries = recovery.boot_entries(past)
    try:
        numbers = await journal.append(*entries)
    except JournalUnavailable as error:
        raise StartError(StartCode.JOURNAL_UNAVAILABLE, f"{error.detail}; a start needs a journal") from None
    segment.words[at.H_BOOT] = past.boot
    return [replace(entry, seq=seq) for entry, seq in zip(entries, numbers, strict=True)]


async def _add_services(
    deps: CoreDeps, control_loop: ControlLoop, found: dict[str, FoundService], assumed: dict[str, str]
) -> ServiceSet:
    settings, warm = deps.settings, deps.journal_state.warm
    executor_deps = ExecutorDeps(
        deps.segment,
        control_loop.worker_stats,
        LocalJournal(deps.journal),
        control_loop.workers,
        deps.alarms,
        control_loop.broadcast,
        deps.fail_point,
        deps.journal_state.boot,
        control_loop.header_files,
        control_loop.entry_applied,
    )
    service_set = ServiceSet(control_loop, executor_deps, deps.journal)
    for name, service in found.items():
        place = deps.place(name)
        if warm and not RouteCell(deps.segment, place.number).word():
            await _finish_adding(deps, service_set, name, service)
        else:
            await service_set.begin(name, place, settings, service, warm=warm, assume=assumed.get(name))
    return service_set


async def _finish_adding(deps: CoreDeps, service_set: ServiceSet, name: str, service: FoundService) -> None:
    """Add a service whose addition the previous control has begun; if that is refused, so are the settings, as then."""
    try:
        recovery.refuse_moved(deps.settings, {name: service.registry})
        executor = await service_set.publish(name, deps.place(name), deps.settings, service)
    except (Refusal, StartError) as error:
        log.error("settings refused, nothing changed: %s", error.detail)
        deps.segment.words[at.H_CONTROL_REFUSED] = deps.document
    else:
        service_set.add(executor, deps.settings)


@dataclass(frozen=True, slots=True)
class AddonDeps:
    """The parts that the add-ons are built from. The add-ons get the entries of this start itself at the first tick."""

    core: Core
    settings: Settings
    state_dir: Path


def add_addons(deps: AddonDeps) -> tuple[Operation, ...]:
    """Add the add-ons of this router to the control loop; return the routes through which operators reach them."""
    control_loop, operations, entries = deps.core.control_loop, deps.core.operations, deps.core.entries
    settings, state_dir, alarms = deps.settings, deps.state_dir, control_loop.alarms
    store = open_history(state_dir, settings, alarms)
    history = HistoryAddon(control_loop, store, clock.now_ns())
    report = ReportAddon(control_loop, store, entries, clock.now_ns())
    advice = AdviceAddon(control_loop, store, report, entries)
    mlflow = MlflowAddon(control_loop, settings, entries)
    operations.models.register(mlflow.find, mlflow.refuse_promotion)
    alerts = AlertsAddon(control_loop, settings, entries)
    proposals = ProposalsAddon(control_loop, operations, settings, links.opened(state_dir, alarms))
    validators = ValidatorsAddon(control_loop)
    quality = QualityAddon(control_loop, settings, entries)
    drills = DrillsAddon(control_loop, settings, entries)
    acceptance = AcceptanceAddon(control_loop, entries)
    notify = NotifyAddon(control_loop, settings, state_dir, entries, proposals.links_in)
    cases = CasesAddon(control_loop, settings, state_dir, entries)
    files = open_files(state_dir, settings, alarms)
    context = IncidentContext(cases.captured.failures, store)
    incidents = IncidentsAddon(control_loop, settings, files, entries, context, notify.incident_complete)
    deps.core.queries.set_newest_points(history.newest_points)
    deps.core.queries.set_open_incidents(incidents.open_ids)
    versions = VersionsAddon(control_loop, incidents.root_cause_known)
    control_loop.add_addons(
        history, report, advice, versions, mlflow, alerts, proposals, validators, quality, drills, cases, incidents,
        acceptance, notify,
    )  # fmt: skip
    return (
        *history_routes.operations(history, report, advice),
        *version_routes.operations(versions),
        *alert_routes.operations(alerts),
        *quality_routes.operations(quality),
        *proposal_routes.operations(proposals),
        *drill_routes.operations(drills),
        *case_routes.operations(CaseOperations(cases)),
        *incident_routes.operations(incidents),
        *acceptance_routes.operations(acceptance),
        *notify_routes.operations(notify),
        *dashboard_routes.operations(),
    )
