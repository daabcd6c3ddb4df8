"""Ends a refused or failed command: with the error and the next command to type on stderr, and an exit code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from router.cli import output
from router.errors import CommandError, ProblemError, Refusal, RouterError
from router.runtime.exit_codes import ExitCode, exit_code
from router.runtime.printable import printable
from router.runtime.text.hints import Hints
from router.runtime.text.plurals import counted
from router.settings.mistakes import SettingsError

_NONE: Final = Hints()
_CASES_FAILING: Final = (
    "`check VERSION`   (shows why), then deploy a better one, or: `cases remove ID`, or: `… --override WHY`"
)
_CASES_PENDING: Final = "`status`   (shows when the cases are checked; then promote again)"
_DISK: Final = "`doctor`   (disk full? state directory read-only?)"
_LABEL: Final = "`deploy LABEL URL`   (a label of your own needs no registry)"
NEXT: Final = {
    "router_unreachable": "`run --blue BLUE_URL --green GREEN_URL`   (or name the running one: --admin URL)",
    "token_missing": "`… --token TOKEN`   (or set ROLLBACK_ROUTER_TOKEN)",
    "service_needed": "`… --service NAME`",
    "service_unknown": "`status`",
    "version_unknown": "`versions`",
    "version_quarantined": "`release VERSION -m WHY`, or the same again: `… --override WHY`",
    "version_unreachable": "`status`   (it must answer its probe; then try again)",
    "version_not_ready": "`status -w`   (wait until it is ready), or: `deploy VERSION URL`",
    "version_in_use": "`switch OTHER_VERSION`   (then retire this one)",
    "endpoints_needed": "`… URL`",
    "artifact_differs": "`register VERSION --artifact URI`   (corrects it), or choose a new label",
    "source_differs": "`versions VERSION`   (it shows where it comes from); choose a new label",
    "mlflow_not_configured": _LABEL,
    "mlflow_unreachable": _LABEL,
    "not_mlflow": "`config check`   (then correct mlflow.tracking_uri or mlflow.proxy)",
    "mlflow_denied": "correct what the message names, then the same again: `…`",
    "endpoints_differ": "`endpoints VERSION URL`   (the same version moved), or choose a new label",
    "slots_busy": "`retire OLD_VERSION --cut`   (ends what that version still serves)",
    "no_standby": "`deploy NEW_VERSION URL`, then: `promote NEW_VERSION`",
    "verifying": "`status -w`, or: `deploy VERSION URL --replace`",
    "generation_stale": "`status`   (it shows the present generation)",
    "from_mismatch": "`status`   (it shows which version is active)",
    "lost_race": "`status`   (another change came first)",
    "journal_unavailable": _DISK,
    "change_in_doubt": "`status`   (shows whether it is still in doubt)",
    "incident_unknown": "`incidents`",
    "incident_needed": "`incidents`",
    "incident_status": "`incidents ID`   (open, then reviewed, then closed)",
    "revision_stale": "`incidents ID`   (another edit came first: read the incident, then edit again)",
    "action_unknown": "`incidents ID`   (it lists the actions)",
    "cases_failing": _CASES_FAILING,
    "deploy_cases_failing": _CASES_FAILING,
    "cases_pending": _CASES_PENDING,
    "deploy_cases_unchecked": _CASES_PENDING,
    "drill_unsafe": "remove the causes above, then: `drill --dry-run`   "
    "(--force ignores probation, a recent rollback and a verification)",
    "no_drill": "`drill --list`",
    "drill_unknown": "`drill --list`",
    "drill_not_over": "`status`",
    "criterion_unknown": "`acceptance`",
    "metric_unknown": "`acceptance --help`",
    "model_not_ready": "the same again, once MLflow reports READY: `…`",
    "role_insufficient": "the same again with a token that has the role: `… --token TOKEN`",
    "history_unavailable": _DISK,
    "cases_unavailable": _DISK,
    "cases_full": "`cases`   (then: `cases remove ID`)",
    "case_unknown": "`cases`",
    "model_unknown": _LABEL,
    "check_what": "`check VERSION`, or: `check --url URL --cases FILE`",
    "proposal_unknown": "`proposals --all`",
    "proposal_decided": "`proposals ID`   (shows the decision and its reason)",
    "proposal_expired": "`rollback -m WHY`   (rolls back anyway)",
    "proposal_withdrawn": "`status`   (it shows which version is active)",
    "four_eyes": "another operator types: `approve ID`; or: `promote VERSION --override WHY`",
    "standby_unfit": "`status`   (why the standby is not ready), or the same again: `… --override WHY`",
    "settings_invalid": "correct each named value, then: `config check --config FILE`",
    "settings_missing": "`config check --config FILE`   (name the settings file)",
}
"""The next command to type, by the code of the problem; the form is that of router/runtime/text/hints.py."""
NEXT_IN_DOUBT: Final = "`status`   (shows whether it is still in doubt), then decide again"
NEXT_QUARANTINED: Final = "`deploy VERSION URL --override WHY`   (or release it first)"
"""The next command if the version is not ready and quarantined: without an override its deployment is refused."""

NEXT_HELD: Final = "the same again: `… --override WHY`   (without MLflow's consent)"
"""The next command if MLflow holds a version back: a release here would change nothing there."""


def report(error: RouterError, as_json: bool, hints: Hints = _NONE) -> ExitCode:
    """Print the error and the next command; return the exit code. With --json a document on stdout has the same facts.

    `hints` knows the command that was typed.
    """
    code = exit_code(error)
    facts = error.facts if isinstance(error, (Refusal, ProblemError, CommandError)) else {}
    template = _next(error.code, facts)
    if error.code == "service_unknown":
        hints = hints.of("")
    advice = None if template is None else hints.text(template)
    mistakes = error.mistakes if isinstance(error, SettingsError) else ()
    if as_json:
        document = {**facts, "code": error.code, "detail": error.detail, "exit_code": code, "next": advice}
        if mistakes:
            document["mistakes"] = [mistake.as_json() for mistake in mistakes]
        output.show_json(document)
    for mistake in mistakes:  # FILE:LINE:COLUMN begins the line, so that editors follow it
        output.write(f"{printable(str(mistake))}\n", stderr=True)
    summary = counted(len(mistakes), "mistake") + " in the settings" if mistakes else error.detail
    output.write(f"rollback-router: {printable(summary)}\n", stderr=True)
    if advice:
        output.write(f"next: {printable(advice)}\n", stderr=True)
    return code


def _next(code: str, facts: Mapping[str, Any]) -> str | None:
    if facts.get("in_doubt"):
        return NEXT_IN_DOUBT
    if facts.get("held_by") == "mlflow":
        return NEXT_HELD
    return NEXT_QUARANTINED if code == "version_not_ready" and facts.get("quarantined") else NEXT.get(code)
