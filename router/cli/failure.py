"""Ends a refused or failed command: with the error and the next command to type on stderr, and an exit code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from router.cli import output
from router.errors import CommandError, ProblemError, Refusal, RouterError
from router.runtime.exit_codes import ExitCode, exit_code
from router.runtime.printable import printable

_CASES_FAILING: Final = (
    "rollback-router check VERSION   (shows why), then deploy a better one, or: cases remove ID, --override WHY"
)
_CASES_PENDING: Final = "rollback-router status   (shows when the cases are checked; then promote again)"
NEXT: Final = {
    "router_unreachable": "rollback-router run --blue URL --green URL   (or name the running one: --admin URL)",
    "token_missing": "rollback-router … --token TOKEN   (or set ROLLBACK_ROUTER_TOKEN)",
    "service_needed": "rollback-router … --service NAME",
    "service_unknown": "rollback-router status",
    "version_unknown": "rollback-router versions",
    "version_quarantined": "rollback-router release VERSION -m WHY, or the same command again with --override WHY",
    "version_unreachable": "rollback-router status   (it must answer its probe; then try again)",
    "version_not_ready": "rollback-router status -w   (wait until it is ready), or: rollback-router deploy VERSION URL…",
    "version_in_use": "rollback-router switch OTHER_VERSION   (then retire this one)",
    "endpoints_needed": "rollback-router … VERSION URL…",
    "artifact_differs": "rollback-router register VERSION --artifact URI   (corrects it), or choose a new label",
    "source_differs": "rollback-router versions VERSION   (it shows where it comes from); choose a new label",
    "mlflow_not_configured": "rollback-router deploy LABEL URL…",
    "mlflow_unreachable": "rollback-router deploy LABEL URL…   (a label of your own needs no registry)",
    "not_mlflow": "rollback-router config check   (then correct mlflow.tracking_uri or mlflow.proxy)",
    "mlflow_denied": "correct what the message names, then the same again",
    "endpoints_differ": "rollback-router endpoints VERSION URL…   (the same version moved), or choose a new label",
    "slots_busy": "rollback-router retire VERSION --cut   (ends what that version still serves)",
    "no_standby": "rollback-router deploy VERSION URL… && rollback-router promote VERSION",
    "verifying": "rollback-router status -w, or: rollback-router deploy VERSION URL… --replace",
    "generation_stale": "rollback-router status   (it shows the present generation)",
    "from_mismatch": "rollback-router status   (it shows which version is active)",
    "lost_race": "rollback-router status   (another change came first)",
    "journal_unavailable": "rollback-router doctor   (disk full? state directory read-only?)",
    "change_in_doubt": "rollback-router status   (shows whether it is still in doubt)",
    "incident_unknown": "rollback-router incidents",
    "incident_needed": "rollback-router incidents",
    "incident_status": "rollback-router incidents ID   (open, then reviewed, then closed)",
    "revision_stale": "rollback-router incidents ID   (another edit came first: read the incident, then edit again)",
    "action_unknown": "rollback-router incidents ID   (it lists the actions)",
    "cases_failing": _CASES_FAILING,
    "deploy_cases_failing": _CASES_FAILING,
    "cases_pending": _CASES_PENDING,
    "deploy_cases_unchecked": _CASES_PENDING,
    "drill_unsafe": "remove the causes above, then: rollback-router drill --dry-run   "
    "(--force ignores probation, a recent rollback and a verification)",
    "no_drill": "rollback-router drill --list",
    "drill_unknown": "rollback-router drill --list",
    "criterion_unknown": "rollback-router acceptance",
    "metric_unknown": "rollback-router acceptance --help",
    "model_not_ready": "the same again, once MLflow reports READY",
    "role_insufficient": "the same again with a --token TOKEN that has the role",
    "history_unavailable": "rollback-router doctor   (disk full? state directory read-only?)",
    "cases_unavailable": "rollback-router doctor   (disk full? state directory read-only?)",
    "cases_full": "rollback-router cases   (then: cases remove ID…)",
    "case_unknown": "rollback-router cases",
    "model_unknown": "rollback-router deploy LABEL URL…   (a label of your own needs no registry)",
    "check_what": "rollback-router check VERSION, or: rollback-router check --url URL --cases FILE",
    "proposal_unknown": "rollback-router proposals --all",
    "proposal_decided": "rollback-router proposals ID   (shows the decision and its reason)",
    "proposal_expired": "rollback-router rollback -m WHY, to roll back anyway",
    "proposal_withdrawn": "rollback-router status   (it shows which version is active)",
    "four_eyes": "another operator types: rollback-router approve ID; or: rollback-router promote VERSION --override WHY",
    "standby_unfit": "rollback-router status   (why the standby is not ready), or the same again with --override WHY",
    "settings_invalid": "correct each named value, then: rollback-router config check --config FILE",
    "settings_missing": "name the settings file: --config FILE",
}
"""The next command to type, by the code of the problem."""
NEXT_IN_DOUBT: Final = "rollback-router status   (shows whether it is still in doubt), then decide again"
NEXT_QUARANTINED: Final = "rollback-router deploy VERSION URL… --override WHY   (or release it first)"
"""The next command if the version is not ready and quarantined: without an override its deployment is refused."""


def report(error: RouterError, as_json: bool) -> ExitCode:
    """Print the error and the next command; return the exit code. With --json a document on stdout has the same facts."""
    code = exit_code(error)
    facts = error.facts if isinstance(error, (Refusal, ProblemError, CommandError)) else {}
    advice = _next(error.code, facts)
    if as_json:
        document = {**facts, "code": error.code, "detail": error.detail, "exit_code": code, "next": advice}
        output.show_json(document)
    output.write(f"rollback-router: {printable(error.detail)}\n", stderr=True)
    if advice:
        output.write(f"next: {advice}\n", stderr=True)
    return code


def _next(code: str, facts: Mapping[str, Any]) -> str | None:
    if facts.get("in_doubt"):
        return NEXT_IN_DOUBT
    return NEXT_QUARANTINED if code == "version_not_ready" and facts.get("quarantined") else NEXT.get(code)
