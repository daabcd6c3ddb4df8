"""Which offices there are, and the routes through which people reach them: the composition root of control's offices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from router import clock
from router.config import Settings
from router.control.acceptances import Acceptances
from router.control.admin import acceptance as acceptance_routes
from router.control.admin import cases, hooks, notify, proposals, versions
from router.control.admin import drills as drill_routes
from router.control.admin import history as histories
from router.control.admin import incidents as incident_routes
from router.control.admin import inputs as input_routes
from router.control.admin.operation import Operation
from router.control.alerts.alerts import Alerts
from router.control.cases.desk import CaseDesk
from router.control.cases.office import CaseOffice
from router.control.controller import Controller
from router.control.drills.drills import Drills
from router.control.history.advisor import Advisor
from router.control.history.historian import Historian
from router.control.history.success import Success
from router.control.incidents.cabinet import Cabinet
from router.control.incidents.office import Incidents
from router.control.incidents.surroundings import Surroundings
from router.control.notify.notify import Notify
from router.control.office import Office
from router.control.proposals import proposal_links
from router.control.proposals.approvals import Approvals
from router.control.quality.inputs import Inputs
from router.control.quality.validators import Validators
from router.control.store.history import History
from router.control.versions.archive import Archive
from router.control.versions.registrar import Registrar
from router.failpoint import FailPoint
from router.rollout.entry import Entry


@dataclass(frozen=True, slots=True)
class Premises:
    """What offices are built from. `entries`: every fact of the journal before this start, oldest first;
    those of the start itself are told at the first tick."""

    controller: Controller
    settings: Settings
    state_dir: Path
    entries: Sequence[Entry]


def open_offices(premises: Premises) -> tuple[tuple[Office, ...], tuple[Operation, ...]]:
    """Return the offices of this router and their routes."""
    controller, settings, entries = premises.controller, premises.settings, premises.entries
    history = History(premises.state_dir, settings.history.keep_days, settings.history.file_bytes_max)
    historian = Historian(controller, history, clock.now_ns())
    success = Success(controller, history, premises.entries, clock.now_ns())
    advisor = Advisor(controller, history, success, entries)
    cabinet = Cabinet(premises.state_dir, settings.incidents.kept_max, FailPoint(settings.fail_point))
    case_office = CaseOffice(controller, settings, premises.state_dir, entries)
    around = Surroundings(case_office.captured.failures, history)
    incidents = Incidents(controller, settings, cabinet, entries, around)
    archive = Archive(controller, incidents.understood)
    alerts = Alerts(controller, settings, entries)
    approvals = Approvals(controller, settings, proposal_links.opened(premises.state_dir, controller.alarms))
    inputs = Inputs(controller, settings, entries)
    drills = Drills(controller, settings, entries)
    acceptances = Acceptances(controller, entries)
    channels = Notify(controller, settings, premises.state_dir, premises.entries)
    channels.link_makers.append(approvals.links_in)
    incidents.on_whole = channels.incident_whole
    offices: list[Office] = [
        historian,
        success,
        advisor,
        archive,
        Registrar(premises.controller, settings, premises.entries),
        alerts,
        approvals,
        Validators(controller),
        inputs,
        drills,
        case_office,
        incidents,
        acceptances,
        channels,
    ]
    operations = [
        *histories.operations(historian, success, advisor),
        *versions.operations(archive),
        *hooks.operations(alerts),
        *input_routes.operations(inputs),
        *proposals.operations(approvals),
        *drill_routes.operations(drills),
        *cases.operations(CaseDesk(case_office)),
        *incident_routes.operations(incidents),
        *acceptance_routes.operations(acceptances),
        *notify.operations(channels),
    ]
    return tuple(offices), tuple(operations)
