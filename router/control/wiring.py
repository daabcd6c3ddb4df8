"""Which offices there are, and the routes through which people reach them: the composition root of control's offices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from router.control.acceptance import routes as acceptance_routes
from router.control.acceptance.addon import AcceptanceAddon
from router.control.addon import Addon
from router.control.admin.operation import Operation
from router.control.alerts import routes as alert_routes
from router.control.alerts.addon import AlertsAddon
from router.control.cases import routes as case_routes
from router.control.cases.addon import CasesAddon
from router.control.cases.operations import CaseOperations
from router.control.core.loop import ControlLoop
from router.control.core.operations import Operations
from router.control.drills import routes as drill_routes
from router.control.drills.addon import DrillsAddon
from router.control.history import routes as histories
from router.control.history.addon import HistoryAddon
from router.control.history.advice_addon import AdviceAddon
from router.control.history.report_addon import ReportAddon
from router.control.incidents import routes as incident_routes
from router.control.incidents.addon import IncidentsAddon
from router.control.incidents.context import IncidentContext
from router.control.incidents.files import IncidentFiles
from router.control.notify import routes as notify_routes
from router.control.notify.addon import NotifyAddon
from router.control.proposals import links
from router.control.proposals import routes as proposal_routes
from router.control.proposals.addon import ProposalsAddon
from router.control.quality import routes as input_routes
from router.control.quality.addon import QualityAddon
from router.control.quality.validators_addon import ValidatorsAddon
from router.control.store.history import HistoryStore
from router.control.versions import routes as version_routes
from router.control.versions.addon import VersionsAddon
from router.control.versions.mlflow_addon import MlflowAddon
from router.rollout.model.entry import Entry
from router.runtime import clock
from router.runtime.failpoint import FailPoint
from router.settings.settings import Settings


@dataclass(frozen=True, slots=True)
class AddonDeps:
    """What offices are built from. `entries`: every fact of the journal before this start, oldest first;
    those of the start itself are told at the first tick."""

    control_loop: ControlLoop
    operations: Operations
    settings: Settings
    state_dir: Path
    entries: Sequence[Entry]


def build_addons(deps: AddonDeps) -> tuple[tuple[Addon, ...], tuple[Operation, ...]]:
    """Return the offices of this router and their routes."""
    control_loop, settings, entries = deps.control_loop, deps.settings, deps.entries
    history = HistoryStore(deps.state_dir, settings.history.keep_days, settings.history.file_bytes_max)
    recorder = HistoryAddon(control_loop, history, clock.now_ns())
    success = ReportAddon(control_loop, history, deps.entries, clock.now_ns())
    advisor = AdviceAddon(control_loop, history, success, entries)
    cabinet = IncidentFiles(deps.state_dir, settings.incidents.kept_max, FailPoint(settings.fail_point))
    case_office = CasesAddon(control_loop, settings, deps.state_dir, entries)
    around = IncidentContext(case_office.captured.failures, history)
    incidents = IncidentsAddon(control_loop, settings, cabinet, entries, around)
    archive = VersionsAddon(control_loop, deps.operations.models, incidents.understood)
    alerts = AlertsAddon(control_loop, settings, entries)
    approvals = ProposalsAddon(
        control_loop, deps.operations, settings, links.opened(deps.state_dir, control_loop.alarms)
    )
    inputs = QualityAddon(control_loop, settings, entries)
    drills = DrillsAddon(control_loop, settings, entries)
    acceptances = AcceptanceAddon(control_loop, entries)
    channels = NotifyAddon(control_loop, settings, deps.state_dir, deps.entries)
    channels.link_makers.append(approvals.links_in)
    incidents.on_whole = channels.incident_whole
    addons: list[Addon] = [
        recorder,
        success,
        advisor,
        archive,
        MlflowAddon(control_loop, deps.operations.models, settings, entries),
        alerts,
        approvals,
        ValidatorsAddon(control_loop),
        inputs,
        drills,
        case_office,
        incidents,
        acceptances,
        channels,
    ]
    operations = [
        *histories.operations(recorder, success, advisor),
        *version_routes.operations(archive),
        *alert_routes.operations(alerts),
        *input_routes.operations(inputs),
        *proposal_routes.operations(approvals),
        *drill_routes.operations(drills),
        *case_routes.operations(CaseOperations(case_office)),
        *incident_routes.operations(incidents),
        *acceptance_routes.operations(acceptances),
        *notify_routes.operations(channels),
    ]
    return tuple(addons), tuple(operations)
