"""The exit codes of the shell: what each number means, and which one an error ends with."""

from __future__ import annotations

from enum import IntEnum
from typing import Final, Self

from router.errors import CommandError, InternalError, ProblemError, Refusal, RouterError, StartError
from router.errors.codes import CommandCode, RefusalCode, StartCode


class ExitCode(IntEnum):
    """An exit code of `rollback-router`: its short name for the help, and its meaning."""

    label: str
    meaning: str

    def __new__(cls, value: int, label: str, meaning: str) -> Self:
        """Return a member; it is equal to `value`."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.label = label
        member.meaning = meaning
        return member

    DONE = 0, "done", "The command took effect, or the state was so already."
    NOT_TRUE = 1, "it did not become true", "The command was carried out, but its aim was not reached in time."
    USAGE = 2, "usage", "The command, or a value in it, is wrong."
    SETTINGS = 3, "settings", "The settings are wrong, a certificate is unusable, or descriptors are too few."
    PORT = 4, "port", "An address of a listener cannot be opened."
    STATE = 5, "state directory", "The state directory is in use, belongs to another user, or cannot be written."
    JOURNAL = 6, "journal corrupt", "The journal cannot be read, is damaged, or is of a newer release."
    ENDPOINTS_DIFFER = 7, "same label with other endpoints", "The version is known at other endpoints."
    UNREACHABLE = 8, "router not reachable", "No router answers at the address of the admin API."
    REFUSED = 9, "refused by the router", "The router has refused the request; nothing was changed."
    INTERNAL = 10, "internal", "A bug of the router; its log names the cause."


REFUSALS: Final = RefusalCode.table(
    {
        ExitCode.USAGE: """
            body_malformed case_file_invalid case_invalid endpoint_invalid endpoints_count endpoints_needed field_repeated
            limit_invalid member_repeated metric_unknown model_uri_invalid period_invalid request_invalid request_malformed
            service_needed version_invalid""",
        ExitCode.ENDPOINTS_DIFFER: "endpoints_differ",
        ExitCode.REFUSED: """
            action_unknown advise_busy alert_rate artifact_differs body_too_large case_unknown cases_failing cases_full
            cases_pending cases_unavailable certificate_unusable change_in_doubt channel_unknown check_unknown
            checks_running content_encoding content_type credentials_throttled criterion_unknown csrf_invalid drill_unknown
            drill_unsafe expectation_failed four_eyes from_mismatch generation_stale head_too_large headers_file_unusable
            history_unavailable hooks_closed host_not_allowed idempotency_key_reused identity_invalid identity_untrusted
            incident_full incident_status incident_unknown journal_unavailable link_expired link_invalid lost_race
            method_not_allowed metric_not_measured mlflow_denied mlflow_not_configured mlflow_refused mlflow_unreachable
            model_differs model_not_ready model_unknown no_drill no_standby not_mlflow origin_not_allowed path_unknown
            proposal_decided proposal_expired proposal_unknown proposal_withdrawn request_timeout revision_stale
            rewrite_differs role_insufficient service_missing service_unknown session_invalid session_over
            signature_incomplete signature_invalid signature_missing signature_stale signature_time_missing
            signature_unverifiable slots_busy source_differs standby_unfit streams_exhausted taking_over token_invalid
            token_missing too_many_alerts transfer_encoding unmapped verifying version_in_use version_not_ready
            version_quarantined version_unknown version_unreachable versions_exhausted windows_unknown""",
        ExitCode.INTERNAL: "internal",
    },
)
COMMANDS: Final = CommandCode.table(
    {
        ExitCode.NOT_TRUE: """
            demo_model_silent demo_not_ready deploy_cases_failing deploy_cases_unchecked deploy_failed drill_not_over""",
        ExitCode.USAGE: """
            action_needed admin_url_invalid blue_needed ca_unusable case_file_unreadable case_file_unwritable
            case_not_in_file check_what duration_invalid fault_unknown file_unwritable header_invalid incident_needed
            junit_unwritable nothing_to_route override_missing take_over_alone token_unusable
            url_invalid usage""",
        ExitCode.UNREACHABLE: "not_the_router router_unreachable",
    },
)
STARTS: Final = StartCode.table(
    {
        ExitCode.USAGE: "journal_copy_invalid journal_copy_unreadable journal_sound version_unknown",
        ExitCode.SETTINGS: """
            certificate_unusable descriptors_too_few settings_invalid settings_missing settings_unknown""",
        ExitCode.PORT: "address_unavailable address_unknown path_taken port_forbidden port_in_use",
        ExitCode.STATE: """
            address_differs journal_unavailable nothing_to_take_over state_in_use state_not_ours state_unsuitable
            state_unwritable take_over_failed""",
        ExitCode.JOURNAL: "journal_busy journal_corrupt journal_newer journal_unreadable",
        ExitCode.ENDPOINTS_DIFFER: "endpoints_differ",
    },
)
_STATUSES: Final = {400: ExitCode.USAGE, 500: ExitCode.INTERNAL}
"""The exit code of an answer whose code is unknown, by its HTTP status; of any other status it is REFUSED."""


def exit_code(error: RouterError) -> ExitCode:
    """Return the exit code of a process that ends with `error`. A change in doubt did not become true."""
    match error:
        case Refusal() | ProblemError() if error.facts.get("in_doubt"):
            return ExitCode.NOT_TRUE
        case Refusal():
            return REFUSALS[error.code]
        case ProblemError():
            return _of_problem(error)
        case CommandError():
            return COMMANDS[error.code]
        case StartError():
            return STARTS[error.code]
        case InternalError():
            return ExitCode.INTERNAL
        case _:
            return ExitCode.NOT_TRUE


def _of_problem(error: ProblemError) -> ExitCode:
    """Return the exit code of an answer, by its status if this release does not have its code."""
    try:
        return REFUSALS[RefusalCode(error.code)]
    except ValueError:
        return _STATUSES.get(error.status, ExitCode.REFUSED)
