"""All alarms: severity, meaning, remedy and end by code. Codes are frozen: monitoring uses them.

`critical`: clients are affected, or automation cannot act. `warning`: something has to be repaired before it is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class AlarmRow:
    """A row of the table. The sentences are for operators; the detail of the active alarm names values and places."""

    severity: Literal["critical", "warning"]
    meaning: str
    remedy: str
    ends: str


_NEXT_START: Final = "At the next start of control."
_DISK: Final = "Free space in the state directory, or repair the disk (`dmesg`, `iostat -x`)."

ALARMS: Final[dict[str, AlarmRow]] = {
    # automation
    "no_better_target": AlarmRow(
        "critical",
        "The active version fails, and no better version exists. The detail has the reasons.",
        "Repair the active version, deploy another version, or roll back manually.",
        "When a version is active that does not fail, or a rollback becomes possible.",
    ),
    "drain_cut_for_slot": AlarmRow(
        "warning",
        "A version needed a slot, and all were held. The requests of the version that had drained for longest were cut.",
        "Retire versions before further ones are deployed.",
        "When a slot is free again.",
    ),
    "automation_frozen": AlarmRow(
        "critical",
        "The active version fails. It is not rolled back because an operator froze automation.",
        "`rollback`, or `unfreeze`.",
        "When the version no longer fails, or automation acts.",
    ),
    "standby_failing": AlarmRow(
        "critical",
        "The standby's last probes all failed. No rollback is possible while this lasts.",
        "Repair the standby, or deploy another version. `status` names the endpoint and its error.",
        "When the standby's probes are good.",
    ),
    "inference_probe_failing": AlarmRow(
        "critical",
        "The inference probe of the active version fails on more than half of its endpoints: the model does not answer.",
        "Look at the model server: a dead engine behind a live API answers everything else. `explain` shows what is missing for "
        "a rollback.",
        "When the inference probe passes, or another version is active.",
    ),
    "would_roll_back": AlarmRow(
        "warning",
        "A trigger whose action is `observe` fails.",
        "Read `explain`. Roll back manually if the trigger is right.",
        "When the trigger no longer fails.",
    ),
    "proposal_waiting": AlarmRow(
        "critical",
        "A trigger or an alert has proposed a rollback to an operator.",
        "`proposals ID` shows the evidence. `approve ID` or `deny ID` before it expires.",
        "When no proposal of a rollback waits.",
    ),
    "quarantined_version_active": AlarmRow(
        "warning",
        "The quarantine of the active version was lifted for a while, and is in force again.",
        "`release` the version for good, or `switch` to another version.",
        "When the active version is not quarantined.",
    ),
    # what the judge saw, and did not act on
    "nothing_useful": AlarmRow(
        "critical",
        "The active version is accepted and answers, but no answer is useful: for example 404 to everything.",
        "Compare the model name and the path of the requests with what the version serves. `rollback` if the version lost them.",
        "When an answer is useful again, or another version is active.",
    ),
    "queue_grows": AlarmRow(
        "warning",
        "Requests wait longer than normal, and the version makes progress on others. The detail has length and oldest wait.",
        "Add replicas of the model, or send less. No version is at fault.",
        "When no request waits beyond the limit of its work bucket.",
    ),
    "poison_request": AlarmRow(
        "warning",
        "One request fails again and again while others succeed. The detail has its fingerprint.",
        "`captures` may hold it. Find the client that repeats it. The version is not judged by it.",
        "When the request has not failed for as long as the rules look back, or others fail, too.",
    ),
    "one_client_fails": AlarmRow(
        "warning",
        "All faults belong to one client, while other clients get useful answers of the same kind. The detail has the counts.",
        "Look at what that client sends. The version is not judged by it.",
        "When the client no longer fails, or others fail, too.",
    ),
    "both_fail": AlarmRow(
        "critical",
        "The active version fails, and the requests that were rescued failed on the standby, too: no rollback would help.",
        "Look for what both versions share: a database, a feature store, a GPU driver, the input.",
        "When the active version no longer fails, or the standby answers well.",
    ),
    "version_throttles": AlarmRow(
        "warning",
        "The active version answers most requests that it is busy (429, or 503 with Retry-After).",
        "Add replicas of the model, or send less. On probation: compare with the version before, which took this rate.",
        "When most requests are answered again.",
    ),
    "standby_smaller": AlarmRow(
        "warning",
        "Fewer than half of the standby's endpoints are good, compared with those of the active version.",
        "Scale the standby up: after a rollback it has to take all requests.",
        "When the standby has at least half the good endpoints of the active version.",
    ),
    "endpoint_ejected": AlarmRow(
        "warning",
        "One replica of a version fails while others work, and gets no requests for a while. The detail names it and why.",
        "Repair or remove the replica. The version is judged on the others.",
        "When no replica is ejected.",
    ),
    "probe_unauthorised": AlarmRow(
        "warning",
        "A probe is answered 401 or 403. The endpoint is reached, but whether the model works is unknown.",
        "Give the version a `headers_file` with the credentials of the model server.",
        "When the probe is answered otherwise.",
    ),
    # requests
    "overloaded": AlarmRow(
        "critical",
        "A worker has reached `limits.requests_max`, `limits.connections_max` or its file descriptors, and answers further "
        "requests 503. The detail names the limit. No version is at fault.",
        "Add replicas of the model: usually it is slow. Raise the limit if memory allows.",
        "When these limits have refused nothing for 10 s.",
    ),
    "saturated": AlarmRow(
        "critical",
        "A version, or its half for WebSockets, has no place left. Further requests are answered 503 `saturated` or "
        "`tunnels`, or 429 `client_share`.",
        "The detail lists the places by version and client. Add replicas, raise `limits.in_flight_max`, or stop the client.",
        "When these limits have refused nothing for 10 s, and there is room again.",
    ),
    "workers_unconfirmed": AlarmRow(
        "warning",
        "A worker has not confirmed a new route within `timeouts.confirm_timeout_s`. The detail names it.",
        "A silent worker is killed and restarted after `timeouts.worker_silent_s`. If the alarm repeats, a worker gets too "
        "little CPU: see the metric `loop_lag_seconds`.",
        "When every worker has confirmed the next route.",
    ),
    "router_fault": AlarmRow(
        "critical",
        "A bug of the router in the control process. The log has the details. Requests and other services are not affected.",
        "Report the bug.",
        _NEXT_START,
    ),
    # validation, alerts, proposals
    "validator_fault": AlarmRow(
        "warning",
        "A validator of the router failed. The bodies in question passed unchecked.",
        "Turn that check off in `[services.NAME.validation]`, and report the bug. The workers' log names the check.",
        "When no validator has failed for 60 s.",
    ),
    "input_drift": AlarmRow(
        "warning",
        "The requests differ from the reference. `inputs` shows the field, the share and the limit.",
        "Find the client that sends them. If such requests are normal now: `inputs --relearn -m WHY`.",
        "When the requests match the reference again, or a new one is learned.",
    ),
    "alert_unusable": AlarmRow(
        "warning",
        "An alert was refused for good: it cannot be read, or it matches an `alerts.map` and names no service of this router.",
        "Repair the alert's label, or the map. `detail` names the alert and what is wrong.",
        "One hour after the last such alert.",
    ),
    "alerts_truncated": AlarmRow(
        "warning",
        "A webhook came without all its alerts: its sender has left some out (`truncatedAlerts`), or it was too large or broken "
        "behind the alerts that were taken.",
        "Raise `max_alerts` of the webhook in Alertmanager (Grafana: Max Alerts; 0: no limit), or `alerts.body_bytes_max`; or "
        "group by more labels.",
        "One hour after the last such webhook.",
    ),
    "alerts_secret_unusable": AlarmRow(
        "warning",
        "`alerts.hmac_secret_file` cannot be read. Every signature is refused.",
        "Repair the file, then send SIGHUP.",
        "When the file can be read.",
    ),
    "links_invalid": AlarmRow(
        "warning",
        "The secret that signs links to proposals could not be read or kept. Links that were sent before are invalid.",
        "Decide by `approve` and `deny`. Check the state directory.",
        _NEXT_START,
    ),
    # notifications and MLflow
    "notification_failing": AlarmRow(
        "warning",
        "A channel failed twice in a row, or its receiver asks to wait longer than a minute. The detail names it and the reason.",
        "`notify test`. Repair the receiver or its `url_file`: queued notifications are sent then.",
        "When the channel takes a notification.",
    ),
    "notification_given_up": AlarmRow(
        "warning",
        "A notification was never delivered: it is no longer of use, or the queue was full. The detail names channel, "
        "notification and reason.",
        "Read what it was about (`incidents`, `journal`). Repair the receiver; `notify test`.",
        "An hour after the last one.",
    ),
    "outbox_unavailable": AlarmRow(
        "warning",
        "`STATE_DIR/outbox.sqlite` cannot be written. Notifications are sent, but one may be lost in a restart, or come twice.",
        _DISK,
        "When the file can be written.",
    ),
    "outbox_unreadable": AlarmRow(
        "warning",
        "`STATE_DIR/outbox.sqlite` was unreadable and was moved aside. Some notifications may come twice, or not at all.",
        "Delete the file that the detail names.",
        _NEXT_START,
    ),
    "mlflow_unreachable": AlarmRow(
        "warning",
        "MLflow has not received a rollback or quarantine. The detail has the reason and the time of the next try.",
        "Repair MLflow, `mlflow.tracking_uri` or the secret. Nothing else waits for it.",
        "When MLflow has received everything.",
    ),
    "mlflow_given_up": AlarmRow(
        "warning",
        "MLflow refused an update, or could not be reached for `mlflow.give_up_after_s`.",
        "Set tags and alias in MLflow manually. `journal` has the entry.",
        "With the next update of the service that MLflow accepts.",
    ),
    # the journal
    "journal_unavailable": AlarmRow(
        "critical",
        "The disk is full, read-only or does not answer. Verbs are answered 503. Automatic rollbacks still happen and are "
        "written later.",
        _DISK,
        "When the disk takes the entries.",
    ),
    "change_in_doubt": AlarmRow(
        "critical",
        "The disk may have changes that were answered 503 with `in_doubt`. They are not in effect.",
        "Repair the disk: the changes are struck out when it answers. A restart completes those whose rows are whole, so do "
        "not restart before `journal.in_doubt` of `/v1/status` is empty, or read `journal.decided` after the start.",
        "When no change of the service is in doubt.",
    ),
    "journal_overflow": AlarmRow(
        "critical",
        "So many entries wait for the disk that further ones are dropped.",
        f"{_DISK} Then compare `status` with `journal`.",
        _NEXT_START,
    ),
    "journal_mark_unwritable": AlarmRow(
        "warning",
        "`STATE_DIR/journal.mark` cannot be written. Changes work, but a start would not notice that the journal's end is "
        "missing.",
        "Make the file writable for the router's user, or delete it if it is a link.",
        "When the file can be written.",
    ),
    # other files
    "history_unavailable": AlarmRow(
        "warning",
        "Rows of the history are lost: the disk is full, read-only or slow. Requests and automatic rollbacks do not need it.",
        f"{_DISK} `report` shows the gap.",
        "When rows are written again.",
    ),
    "history_damaged": AlarmRow(
        "warning",
        "`STATE_DIR/history.sqlite` was damaged and was moved aside. A new one was begun.",
        "Keep or delete the file that the detail names. `advise` and `report` begin anew.",
        _NEXT_START,
    ),
    "incident_files_unwritable": AlarmRow(
        "warning",
        "The reports of incidents cannot be written. They are kept in memory and tried again.",
        _DISK,
        "When the files are written.",
    ),
    "cases_not_kept": AlarmRow(
        "warning",
        "The cases of a rollback could not be stored. They stay in shared memory, and storing is tried again.",
        _DISK,
        "When the cases are stored, or given up.",
    ),
    "redaction_slow": AlarmRow(
        "warning",
        "A pattern of `cases.redact_patterns` needs too long for a text of a client. What it did not search is redacted as a "
        "whole, so fewer captured requests become cases. Nothing is stored unredacted.",
        "Write the pattern that the detail names without nested repeats, like `(a+)+`.",
        "When captured requests were redacted in time.",
    ),
    "cases_unavailable": AlarmRow(
        "warning",
        "`STATE_DIR/cases.sqlite` cannot be read. Until it is read, promotions are refused with 409 `cases_pending`.",
        "Check the state directory. `promote --override WHY` promotes without the check.",
        "When the file was read.",
    ),
    "cases_unreadable": AlarmRow(
        "warning",
        "`STATE_DIR/cases.sqlite` was unreadable and was moved aside.",
        "The file that the detail names is deleted when its cases would have expired.",
        _NEXT_START,
    ),
    "cases_not_deleted": AlarmRow(
        "warning",
        "Expired cases could not be deleted. The deletion is tried again every 10 s.",
        f"{_DISK} Do it soon: this data should already be deleted.",
        "When the cases are deleted.",
    ),
    # certificates
    "certificate_expiring": AlarmRow(
        "critical",
        "A certificate for clients or backends has expired, or expires within 14 days. The detail names it.",
        "Renew the certificate.",
        "When every certificate is valid for more than 14 days.",
    ),
    "certificate_unusable": AlarmRow(
        "critical",
        "A start with the certificate files on the disk would fail. Workers keep the certificates that they have loaded, but "
        "a process that starts now gets copies of them from the supervisor. A start of the router fails.",
        "Repair the files.",
        "Within `timeouts.certificates_every_s` of the repair.",
    ),
    "headers_file_unusable": AlarmRow(
        "critical",
        "The file with the header fields of a version could not be read at SIGHUP. The fields that were read before stay in use.",
        "Repair the file that the detail names, and send SIGHUP.",
        "With the next SIGHUP at which every file was read.",
    ),
    # drills
    "drill_overdue": AlarmRow(
        "warning",
        "No drill has passed for `[services.NAME.drill] overdue_after_days`.",
        "`drill`, or set a `schedule`.",
        "When a drill passes.",
    ),
    "drill_failed": AlarmRow(
        "warning",
        "The last drill was aborted, was not confirmed, or could not swap back. The detail has the reasons.",
        "`drill --list`. Repair the causes. After `stayed` the standby serves: `switch` back once the other version works.",
        "With the next drill that passes, or with other versions.",
    ),
}
