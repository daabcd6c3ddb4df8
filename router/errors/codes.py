"""The codes of all refusals and errors, each with its meaning. A code is stable.

A code has no number here: the admin API chooses the HTTP status, the command line the exit code.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Self, TypeVar

Number = TypeVar("Number")


class _Code(StrEnum):
    meaning: str
    """What happened and what the remedy is."""

    def __new__(cls, value: str, meaning: str = "") -> Self:
        """Return a member; it is equal to `value`."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    @classmethod
    def table(cls, codes: Mapping[Number, str]) -> dict[Self, Number]:
        """Return code → number, for `codes` with the codes of each number in one text, and blanks between them.

        Raise ValueError for a code that does not exist, is missing or stands twice.
        """
        table: dict[Self, Number] = {}
        for number, text in codes.items():
            for code in map(cls, text.split()):
                if code in table:
                    raise ValueError(f"{code} stands twice")
                table[code] = number
        if missing := ", ".join(code for code in cls if code not in table):
            raise ValueError(f"{missing} is missing")
        return table


class RefusalCode(_Code):
    """Why the router refuses an operator's request, an alert or a link."""

    ACTION_UNKNOWN = "action_unknown", "The incident has no such action; read the incident, it lists the actions."
    ADVISE_BUSY = "advise_busy", "Another backtest is running; try again when it has ended."
    ALERT_RATE = "alert_rate", "More alerts than alerts.alerts_per_minute_max; send them again later."
    ARTIFACT_DIFFERS = (
        "artifact_differs",
        "The version is known with another artifact; take another label, or correct the artifact with register.",
    )
    BODY_MALFORMED = "body_malformed", "The framing of the body is broken."
    BODY_TOO_LARGE = "body_too_large", "The body is larger than its limit; the detail names the setting."
    CASE_FILE_INVALID = "case_file_invalid", "The file of cases is not readable as such; nothing was imported."
    CASE_INVALID = "case_invalid", "A case breaks a rule; the detail names the member."
    CASE_UNKNOWN = "case_unknown", "The service has no case with this id."
    CASES_FAILING = (
        "cases_failing",
        "Stored cases fail on the candidate; deploy a better version, remove the cases, or override with a reason.",
    )
    CASES_FULL = "cases_full", "The service has cases.cases_max cases, or their bytes are used up; remove some."
    CASES_PENDING = "cases_pending", "The cases of the candidate are not checked yet; promote again after the check."
    CASES_UNAVAILABLE = "cases_unavailable", "The file of cases cannot be read or written now; check the disk."
    CERTIFICATE_UNUSABLE = "certificate_unusable", "A certificate or key towards the backends cannot be used."
    CHANGE_IN_DOUBT = (
        "change_in_doubt",
        "An earlier change of the service is in doubt, so this one cannot be answered; try again once it is decided.",
    )
    CHANNEL_UNKNOWN = "channel_unknown", "No notification channel has this name."
    CHECK_UNKNOWN = "check_unknown", "There is no check with this id; the last ones of each service are kept."
    CHECKS_RUNNING = "checks_running", "As many checks are running as may run; wait until one has ended."
    CONTENT_ENCODING = "content_encoding", "The body is compressed; send it without Content-Encoding."
    CONTENT_TYPE = "content_type", "The body has another media type than this route takes."
    CREDENTIALS_THROTTLED = (
        "credentials_throttled",
        "Too many wrong credentials came from this address; send the right one, or wait for retry_after_s.",
    )
    CRITERION_UNKNOWN = "criterion_unknown", "The service has no added acceptance criterion for this metric."
    CSRF_INVALID = (
        "csrf_invalid",
        "A change by a browser does not show that a page of this API has sent it: send X-CSRF-Token, or from its own origin.",
    )
    DRILL_UNKNOWN = "drill_unknown", "There is no drill with this id."
    DRILL_UNSAFE = (
        "drill_unsafe",
        "A drill is not safe now; `refusals` lists the reasons, and the detail says if force overrides all.",
    )
    ENDPOINT_INVALID = (
        "endpoint_invalid",
        "An endpoint is neither an http or https URL of a host, without a path, nor unix:/PATH.",
    )
    ENDPOINTS_COUNT = "endpoints_count", "A version has 1 to 64 endpoints."
    ENDPOINTS_DIFFER = (
        "endpoints_differ",
        "The version is known at other endpoints; take another label, or move the version with endpoints.",
    )
    ENDPOINTS_NEEDED = "endpoints_needed", "No endpoints are registered for the version; name them in the request."
    EXPECTATION_FAILED = "expectation_failed", "The request has an Expect field other than 100-continue."
    FIELD_REPEATED = "field_repeated", "A header field that may occur once is given more than once."
    FOUR_EYES = "four_eyes", "The token that proposed the promotion may not approve it."
    FROM_MISMATCH = (
        "from_mismatch",
        "Another version is active than the request requires; read the status and decide anew.",
    )
    GENERATION_STALE = "generation_stale", "The route has changed since it was read; read it again and decide anew."
    HEAD_TOO_LARGE = "head_too_large", "The request line or a header field is too long, or there are too many fields."
    HEADERS_FILE_UNUSABLE = (
        "headers_file_unusable",
        "The file with the header fields of a version cannot be read, or has a line that is no field.",
    )
    HISTORY_UNAVAILABLE = "history_unavailable", "The history cannot be read now; check the disk."
    HOOKS_CLOSED = (
        "hooks_closed",
        "The router takes no alerts: neither alerts.tokens nor a signing secret is configured.",
    )
    HOST_NOT_ALLOWED = (
        "host_not_allowed",
        "The Host of the request is not one of the admin API's; see admin.allowed_hosts.",
    )
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused", "This Idempotency-Key was used for another request."
    IDENTITY_INVALID = "identity_invalid", "The field of the authenticating proxy holds no name."
    IDENTITY_UNTRUSTED = (
        "identity_untrusted",
        "The field of the authenticating proxy came from another address, or without its secret; see admin.identity.",
    )
    INCIDENT_FULL = "incident_full", "The incident has as many edits, actions or comments as it may have."
    INCIDENT_STATUS = "incident_status", "The status of the incident does not allow this step: open, reviewed, closed."
    INCIDENT_UNKNOWN = "incident_unknown", "There is no incident with this id."
    INTERNAL = "internal", "A bug of the router; its log names the cause under the request id."
    JOURNAL_UNAVAILABLE = (
        "journal_unavailable",
        "The journal cannot be written or read now; check the disk. Nothing was changed, unless `in_doubt` is true.",
    )
    LIMIT_INVALID = "limit_invalid", "The limit is outside the range of its metric."
    LINK_EXPIRED = "link_expired", "The link is too old: the default of its proposal is due."
    LINK_INVALID = "link_invalid", "The link is cut off or altered, or another router made it."
    LOST_RACE = "lost_race", "Another change of the service came first; read the status and decide anew."
    MEMBER_REPEATED = "member_repeated", "A member of the JSON body is given more than once."
    METHOD_NOT_ALLOWED = "method_not_allowed", "The path does not take this method; Allow lists those that it takes."
    METRIC_NOT_MEASURED = (
        "metric_not_measured",
        "The service does not measure this metric, so it cannot be a criterion.",
    )
    METRIC_UNKNOWN = "metric_unknown", "There is no acceptance metric of this name."
    MLFLOW_DENIED = "mlflow_denied", "MLflow refuses the router's credentials; see mlflow.secret_file."
    MLFLOW_NOT_CONFIGURED = (
        "mlflow_not_configured",
        "mlflow.tracking_uri is not set, so models:/ names cannot be resolved.",
    )
    MLFLOW_REFUSED = "mlflow_refused", "MLflow refused the call; the detail has its reason."
    MLFLOW_UNREACHABLE = (
        "mlflow_unreachable",
        "MLflow does not answer as MLflow now; try again, or deploy a plain label.",
    )
    MODEL_DIFFERS = "model_differs", "The service takes versions of another registered model (mlflow.model)."
    MODEL_NOT_READY = "model_not_ready", "MLflow does not report the model version as READY; try again later."
    MODEL_UNKNOWN = "model_unknown", "MLflow has no such model, version, alias or stage."
    MODEL_URI_INVALID = (
        "model_uri_invalid",
        "The model URI names no version as MLflow writes it; the detail has the reason and the forms.",
    )
    NO_DRILL = "no_drill", "No drill is running on the service."
    NO_STANDBY = "no_standby", "There is no standby, or it is quarantined; deploy and promote a version first."
    NOT_MLFLOW = (
        "not_mlflow",
        "Something else than MLflow has answered: a proxy, a login page, another server; check mlflow.tracking_uri.",
    )
    ORIGIN_NOT_ALLOWED = "origin_not_allowed", "The page of another origin sent the request; see admin.allowed_origins."
    PATH_UNKNOWN = "path_unknown", "There is no such path; GET /v1/openapi.json lists all."
    PERIOD_INVALID = "period_invalid", "The period is not one: its bounds, its step or their order."
    PROPOSAL_DECIDED = "proposal_decided", "The proposal was approved or denied before."
    PROPOSAL_EXPIRED = "proposal_expired", "The proposal has expired, and its default has taken effect."
    PROPOSAL_UNKNOWN = "proposal_unknown", "There is no proposal with this id."
    PROPOSAL_WITHDRAWN = "proposal_withdrawn", "The proposal has lost its object, for example because of a rollback."
    REQUEST_INVALID = "request_invalid", "A member, a parameter or a header field is wrong; `errors` names the places."
    REQUEST_MALFORMED = "request_malformed", "The bytes are no HTTP/1.1 request."
    REQUEST_TIMEOUT = "request_timeout", "The body did not arrive in time."
    REVISION_STALE = "revision_stale", "The review of the incident has changed since it was read; read it again."
    REWRITE_DIFFERS = (
        "rewrite_differs",
        "The version is known with another host, path prefix or headers file; take another label, or change it with endpoints.",
    )
    ROLE_INSUFFICIENT = "role_insufficient", "The token is valid, but its role may not do this."
    SERVICE_MISSING = "service_missing", "Neither the alert nor its mapping in alerts.map names a service."
    SERVICE_NEEDED = "service_needed", "There are several services; name one."
    SERVICE_UNKNOWN = "service_unknown", "There is no service of this name."
    SESSION_INVALID = (
        "session_invalid",
        "The cookie of the session is not of this router, or its token is gone; sign in again.",
    )
    SESSION_OVER = "session_over", "The session has ended; sign in again."
    SIGNATURE_INCOMPLETE = "signature_incomplete", "Attributes of the CloudEvent are unsigned; use structured mode."
    SIGNATURE_INVALID = "signature_invalid", "The signature does not fit the body and the secret."
    SIGNATURE_MISSING = (
        "signature_missing",
        "The request has no signature, and the settings require one (alerts.signature_required).",
    )
    SIGNATURE_STALE = "signature_stale", "The signed time differs too much from the router's clock."
    SIGNATURE_TIME_MISSING = (
        "signature_time_missing",
        "The signature has no time, or a time that is not in seconds since 1970; see alerts.timestamp_header.",
    )
    SIGNATURE_UNVERIFIABLE = "signature_unverifiable", "The secret of signatures cannot be read, so none is accepted."
    SLOTS_BUSY = "slots_busy", "Every slot holds a version; `held` lists them. Retire one, with --cut if it drains."
    SOURCE_DIFFERS = "source_differs", "The version is known from another source; take another label."
    STANDBY_UNFIT = (
        "standby_unfit",
        "The standby would be no better now; the detail lists why. An override is possible.",
    )
    STREAMS_EXHAUSTED = "streams_exhausted", "As many event streams are open as may be open."
    TAKING_OVER = "taking_over", "The router is taking over from another one; try again in a second."
    TOKEN_INVALID = "token_invalid", "The token is not one of the configured ones."
    TOKEN_MISSING = "token_missing", "The request has no bearer token."
    TOO_MANY_ALERTS = (
        "too_many_alerts",
        "One request has more new alerts than alerts.alerts_max. Repeat it: the next ones are taken then.",
    )
    TRANSFER_ENCODING = "transfer_encoding", "The body has another transfer coding than chunked."
    UNMAPPED = "unmapped", "No mapping of alerts fits the labels of the alert."
    VERIFYING = "verifying", "Another candidate is being verified; wait, or deploy with replace."
    VERSION_IN_USE = (
        "version_in_use",
        "The version has a role that forbids the change; make another version active first.",
    )
    VERSION_INVALID = "version_invalid", "The label of the version is not 1 to 128 letters, digits and . _ : / @ + -."
    VERSION_NOT_READY = (
        "version_not_ready",
        "The version is not deployed, is being verified, or an endpoint fails its probe; the detail says which.",
    )
    VERSION_QUARANTINED = (
        "version_quarantined",
        "The version is quarantined; release it, or override with a reason that is journalled.",
    )
    VERSION_UNKNOWN = "version_unknown", "The service has no version of this label."
    VERSION_UNREACHABLE = "version_unreachable", "The version was unreachable and does not answer a probe now."
    VERSIONS_EXHAUSTED = (
        "versions_exhausted",
        "Too many versions of the service are registered and not deployed; retire some.",
    )
    WINDOWS_UNKNOWN = "windows_unknown", "The samples of the incident are lost, so there is no picture of its figures."


class CommandCode(_Code):
    """Why a command cannot be run as it was typed, or has not reached its aim."""

    ACTION_NEEDED = "action_needed", "--due needs --add-action."
    ADMIN_URL_INVALID = "admin_url_invalid", "--admin is not the URL of an admin API."
    BLUE_NEEDED = "blue_needed", "--green and --probe need --blue."
    CA_UNUSABLE = "ca_unusable", "The file of --ca holds no usable certificates."
    CASE_FILE_UNREADABLE = "case_file_unreadable", "The file of cases cannot be read."
    CASE_FILE_UNWRITABLE = "case_file_unwritable", "The file of cases cannot be written."
    CASE_NOT_IN_FILE = "case_not_in_file", "The file of cases has no case with this id."
    CHECK_WHAT = "check_what", "A check takes a version, or --url with --cases."
    DEMO_MODEL_SILENT = "demo_model_silent", "A model server of the demo did not start in time."
    DEMO_NOT_READY = "demo_not_ready", "The router of the demo did not start in time."
    DEPLOY_CASES_FAILING = "deploy_cases_failing", "The version is ready, but cases that must pass fail on it."
    DEPLOY_CASES_UNCHECKED = "deploy_cases_unchecked", "The version is ready, but its cases could not be checked."
    DEPLOY_FAILED = "deploy_failed", "The version did not become ready."
    DRILL_NOT_OVER = "drill_not_over", "The drill has not ended in the time that it may take."
    DURATION_INVALID = "duration_invalid", "A length of time is written as 90s, 15m, 2h or 7d."
    FAULT_UNKNOWN = "fault_unknown", "The demo has no such fault."
    FILE_UNWRITABLE = "file_unwritable", "A file that a command writes cannot be written, or is there already."
    HEADER_INVALID = "header_invalid", "--header is not written as NAME: VALUE."
    INCIDENT_NEEDED = "incident_needed", "The options belong to one incident; name it."
    JUNIT_UNWRITABLE = "junit_unwritable", "The file of --junit cannot be written."
    NOT_THE_ROUTER = "not_the_router", "Something answers at --admin, but it is no router."
    NOTHING_TO_ROUTE = "nothing_to_route", "Neither the settings nor the flags name a service."
    OVERRIDE_MISSING = "override_missing", "--override-for needs --override."
    ROUTER_UNREACHABLE = "router_unreachable", "Nothing answers at --admin."
    TAKE_OVER_ALONE = "take_over_alone", "--take-over excludes the options that replace the state."
    TOKEN_UNUSABLE = "token_unusable", "The token, or its file, cannot be used."
    URL_INVALID = "url_invalid", "--url is not the URL of a model server."
    USAGE = "usage", "The arguments of the command contradict each other, or one is missing or malformed."


class StartCode(_Code):
    """Why the router cannot start. Nothing was changed."""

    ADDRESS_DIFFERS = "address_differs", "A take-over keeps the addresses; the settings name other ones."
    ADDRESS_UNAVAILABLE = "address_unavailable", "The address of a listener cannot be opened."
    ADDRESS_UNKNOWN = "address_unknown", "The host of a listener has no address on this machine."
    CERTIFICATE_UNUSABLE = (
        "certificate_unusable",
        "A certificate, a key, or a list of authorities or ciphers cannot be used.",
    )
    DESCRIPTORS_TOO_FEW = "descriptors_too_few", "A process may open too few file descriptors for the settings."
    ENDPOINTS_DIFFER = "endpoints_differ", "The settings give a known version other endpoints; choose a new label."
    JOURNAL_BUSY = "journal_busy", "Another program has locked the journal."
    JOURNAL_COPY_INVALID = "journal_copy_invalid", "The file of --journal-from has a line that is no journal entry."
    JOURNAL_COPY_UNREADABLE = "journal_copy_unreadable", "The file of --journal-from cannot be read."
    JOURNAL_CORRUPT = (
        "journal_corrupt",
        "The journal is damaged; the detail names a readable copy and the command to go on.",
    )
    JOURNAL_NEWER = "journal_newer", "A newer release wrote the journal; start that one."
    JOURNAL_SOUND = "journal_sound", "--journal-from is for damaged journals, and this one is sound."
    JOURNAL_UNAVAILABLE = "journal_unavailable", "The journal cannot be written, and a start needs it."
    JOURNAL_UNREADABLE = "journal_unreadable", "The file of the journal cannot be read."
    NOTHING_TO_TAKE_OVER = "nothing_to_take_over", "--take-over needs a router that runs with this state directory."
    PATH_TAKEN = "path_taken", "The path of a Unix socket belongs to a file that is no socket."
    PORT_FORBIDDEN = "port_forbidden", "The user of the router may not open the address of a listener."
    PORT_IN_USE = "port_in_use", "Another program uses the address of a listener."
    SETTINGS_INVALID = "settings_invalid", "A setting is wrong; the detail names it."
    SETTINGS_MISSING = "settings_missing", "The settings file does not exist."
    SETTINGS_UNKNOWN = "settings_unknown", "An environment variable of the router names no setting."
    STATE_IN_USE = "state_in_use", "Another router uses the state directory."
    STATE_NOT_OURS = "state_not_ours", "Files of the state directory belong to another user, or are links."
    STATE_UNSUITABLE = "state_unsuitable", "The file system of the state directory cannot lock, map or sync files."
    STATE_UNWRITABLE = "state_unwritable", "The state directory cannot be made or written."
    TAKE_OVER_FAILED = "take_over_failed", "The take-over failed, and the old router goes on."
    VERSION_UNKNOWN = "version_unknown", "--assume-active names a version that is not known."
