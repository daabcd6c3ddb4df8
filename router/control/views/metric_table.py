"""All metrics: type, labels and meaning by name. Names and labels are frozen: dashboards use them.

`counter`, `gauge` and `histogram` return the empty family of a metric of the table. A name is written without the prefix
`rollback_router_`, and the name of a counter without `_total`. A name that ends in `seconds` or `bytes` has this unit in
OpenMetrics.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

PREFIX: Final = "rollback_router_"
PERIOD_DAYS: Final = 30
"""Period of the metrics that are the figures of `report`."""
UNITS: Final = ("seconds", "bytes")


@dataclass(frozen=True, slots=True)
class MetricRow:
    """A row of the table. A metric with the label `percentile` has one value for each percentile."""

    type: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    meaning: str


_SERVICE: Final = ("service",)
_VERSION: Final = ("service", "version")
_CHANNEL: Final = ("channel",)
_BUCKET: Final = ("service", "version", "bucket")
_ENDPOINT: Final = ("service", "version", "endpoint")
_PROCESS: Final = ("process",)
_IN_PERIOD: Final = f"in the last {PERIOD_DAYS} days"

METRICS: Final[dict[str, MetricRow]] = {
    # requests
    "requests": MetricRow(
        "counter",
        ("service", "version", "role", "outcome"),
        "Requests that ended, by outcome. Without a version: ended before a target was claimed. Without a service: no "
        "service matched.",
    ),
    "request_duration_seconds": MetricRow(
        "histogram", _VERSION, "Time from the claim to the last byte of responses that began (within 6.25 %)."
    ),
    "time_to_first_byte_seconds": MetricRow(
        "histogram", _VERSION, "Time from the request to the first byte of the final head (within 6.25 %)."
    ),
    "time_to_first_useful_seconds": MetricRow(
        "histogram", _VERSION, "Time from the request to the first useful byte of the answer (within 6.25 %)."
    ),
    "rescued_requests": MetricRow(
        "counter", _VERSION, "Requests that failed on this version and were answered by another one."
    ),
    "refused_answers": MetricRow(
        "counter", (*_VERSION, "cause"), "Answers that the router refused because they are malformed HTTP, by cause."
    ),
    "in_flight_requests": MetricRow("gauge", _VERSION, "Attempts that have not ended."),
    "waiting_requests": MetricRow("gauge", _VERSION, "Attempts in flight without a first byte."),
    "oldest_waiting_seconds": MetricRow("gauge", _VERSION, "Age of the oldest attempt without a first byte."),
    "tunnels": MetricRow("gauge", _VERSION, "WebSockets, and requests for a WebSocket without an answer."),
    "replicas": MetricRow(
        "gauge",
        ("service", "version", "state"),
        "Addresses of a version that has several, by state: used, or ejected because they fail while others work.",
    ),
    # endpoints
    "endpoint_attempts": MetricRow(
        "counter",
        _ENDPOINT,
        "Attempts at this address of the version. endpoint: its URL, with the address if the URL has a name.",
    ),
    "endpoint_faults": MetricRow("counter", _ENDPOINT, "Attempts at this address that ended by a fault."),
    "endpoint_in_flight_requests": MetricRow("gauge", _ENDPOINT, "Attempts at this address that have not ended."),
    "endpoint_ejected": MetricRow(
        "gauge", _ENDPOINT, "1: this address gets no requests, because it fails while others of the version work."
    ),
    "endpoint_ready": MetricRow("gauge", _ENDPOINT, "1: the last probes of this address were good."),
    "endpoints_left_out": MetricRow(
        "gauge", (), "Endpoints beyond the first 1000, which have no metrics of their own."
    ),
    # work
    "work": MetricRow(
        "counter",
        (*_BUCKET, "end"),
        "Attempts that became useful, or ended without use, by how they ended. bucket: method and path template.",
    ),
    "work_asked": MetricRow("counter", _BUCKET, "Attempts. Those that are not in `work_total` are open."),
    "work_in_progress": MetricRow("gauge", _BUCKET, "Attempts whose body has begun and is not useful yet."),
    "work_waiting": MetricRow("gauge", _BUCKET, "Attempts that are sent, and of which nothing has come yet."),
    "work_oldest_wait_seconds": MetricRow("gauge", _BUCKET, "Age of the oldest of them."),
    "nothing_useful": MetricRow(
        "gauge",
        _SERVICE,
        "1: the active version has had no useful answer for longer than any normal wait, although requests wait or were lost. "
        "Absent before the first request of inference.",
    ),
    # versions
    "active_info": MetricRow(
        "gauge", ("service", "version", "generation"), "1 for the active version and the generation of its route."
    ),
    "target_ready": MetricRow("gauge", ("service", "version", "role"), "1: the last probes were good."),
    "way_back": MetricRow("gauge", _SERVICE, "1: there is a warm standby to roll back to."),
    "quarantined_info": MetricRow("gauge", _VERSION, "1 for each quarantined version, at most 200 versions."),
    # switches and triggers
    "switches": MetricRow("counter", ("service", "reason"), "Switches since control started, by verb or trigger."),
    "switch_swap_seconds": MetricRow("histogram", _SERVICE, "Time from the decision to the published route."),
    "switch_confirm_seconds": MetricRow(
        "histogram", _SERVICE, "Time from the published route to the last worker that uses it."
    ),
    "trigger_state": MetricRow(
        "gauge", ("service", "trigger"), "-1: not configured, 0: pass, 1: inconclusive, 2: fail."
    ),
    "trigger_value": MetricRow(
        "gauge",
        ("service", "trigger"),
        "Value of the trigger: a share, seconds, or a number of alerts. Absent without data.",
    ),
    "trigger_limit": MetricRow("gauge", ("service", "trigger"), "The trigger fails above this value."),
    # processes and the admin port
    "build_info": MetricRow(
        "gauge",
        ("version", "build", "python"),
        "1, with the version of the router, the build of its request path (compiled or pure Python), and the version of Python.",
    ),
    "process_cpu_seconds": MetricRow("counter", _PROCESS, "CPU time of the process: user and system."),
    "process_resident_memory_bytes": MetricRow("gauge", _PROCESS, "Memory of the process that is in RAM."),
    "process_virtual_memory_bytes": MetricRow("gauge", _PROCESS, "Address space of the process."),
    "process_open_fds": MetricRow("gauge", _PROCESS, "Open file descriptors of the process."),
    "process_max_fds": MetricRow("gauge", _PROCESS, "Limit of file descriptors of the process."),
    "process_start_time_seconds": MetricRow("gauge", _PROCESS, "Start of the process, in seconds since 1970."),
    "process_starts": MetricRow("counter", _PROCESS, "Starts of control and of each worker since the router started."),
    "connections": MetricRow("gauge", ("worker",), "Open connections of clients."),
    "connections_accepted": MetricRow("counter", ("worker",), "Connections of clients that were accepted."),
    "alarm_active": MetricRow(
        "gauge", ("service", "code", "severity"), "1 for each active alarm. Without a service: of the whole router."
    ),
    "worker_up": MetricRow("gauge", ("worker",), "1: the worker's heartbeat is fresh."),
    "loop_lag_seconds": MetricRow("gauge", ("process",), "Largest lateness of the event loop in the last second."),
    "limited": MetricRow("counter", ("limit",), "How often a limit acted on a client, by the name of the limit."),
    "admin_connections_closed": MetricRow("counter", ("why",), "Connections that the admin port closed, by reason."),
    "admin_refused": MetricRow(
        "counter",
        ("why",),
        "Malformed requests and requests with wrong credentials at the admin port. throttled: those answered 429.",
    ),
    "access_log_lines_dropped": MetricRow(
        "counter", (), "Lines of the access log that were dropped, because its file could not be written in time."
    ),
    "spans_sent": MetricRow("counter", (), "Spans that the receiver of `tracing.collector` has taken."),
    "traces_dropped": MetricRow(
        "counter",
        (),
        "Sampled requests whose spans were dropped, because the receiver was slow, away, or refused them.",
    ),
    # TLS and the PROXY protocol
    "proxy_headers_refused": MetricRow(
        "counter", (), "Connections that were closed because they did not begin with an accepted PROXY header."
    ),
    "lookalike_fields_dropped": MetricRow(
        "counter", (), "Request fields that were left out, because a backend may read their names as other ones."
    ),
    "tls_handshakes": MetricRow("counter", (), "TLS handshakes of clients that ended."),
    "tls_handshakes_failed": MetricRow("counter", (), "TLS handshakes of clients that failed."),
    "certificate_expires_timestamp_seconds": MetricRow(
        "gauge", ("setting", "certificate"), "End of the validity of the certificate in this file."
    ),
    # validation and input drift
    "validated": MetricRow(
        "counter", ("service", "what", "result"), "Requests, responses and streams that were validated, by result."
    ),
    "input_drift": MetricRow("gauge", _SERVICE, "1: the requests have drifted."),
    "input_drift_share": MetricRow(
        "gauge",
        _SERVICE,
        "Share of differing requests of the field that is furthest above its limit, or nearest to it.",
    ),
    "input_drift_limit": MetricRow("gauge", _SERVICE, "Limit of that share."),
    # alerts, proposals, notifications
    "alerts": MetricRow("counter", ("service", "result"), "Alerts that were received, by result."),
    "alerts_standing": MetricRow("gauge", ("service", "kind"), "Alerts about the active version that are firing."),
    "proposals": MetricRow(
        "gauge",
        ("service", "state"),
        "Proposals by state: open and due ones now, decided ones since the journal began.",
    ),
    "notifications": MetricRow("counter", ("channel", "result"), "Notifications that ended, by result."),
    "notifications_pending": MetricRow("gauge", _CHANNEL, "Notifications that wait to be sent."),
    "notification_failing": MetricRow("gauge", _CHANNEL, "1: the last attempts of this channel failed."),
    "mlflow_waiting": MetricRow("gauge", _SERVICE, "Rollbacks and quarantines that MLflow has not received."),
    # incidents, cases, drills
    "incidents_open": MetricRow("gauge", _SERVICE, "Incidents that are not closed."),
    "cases": MetricRow("gauge", _SERVICE, "Regression cases."),
    "cases_failing": MetricRow("gauge", _VERSION, "Regression cases that the candidate fails."),
    "last_drill_passed_timestamp_seconds": MetricRow(
        "gauge", _SERVICE, "Time of the last drill that passed, in seconds since 1970. Absent before the first one."
    ),
    # history and report
    "history_bytes": MetricRow("gauge", (), "Size of the rows of the history."),
    "history_batches_dropped": MetricRow("counter", (), "Rows of the history that could not be written in time."),
    "history_coverage_share": MetricRow("gauge", _SERVICE, f"Share of the time that the history covers {_IN_PERIOD}."),
    "uptime_share": MetricRow("gauge", _SERVICE, f"Share of requests that did not fail {_IN_PERIOD}."),
    "uptime_by_time_share": MetricRow(
        "gauge", _SERVICE, f"Share of the time with traffic in which few requests failed {_IN_PERIOD}."
    ),
    "stability_share": MetricRow(
        "gauge", _SERVICE, f"Share of the judged time without a failing trigger {_IN_PERIOD}."
    ),
    "change_failure_share": MetricRow(
        "gauge", _SERVICE, f"Share of the deployments {_IN_PERIOD} that ended in a rollback."
    ),
    "deployments": MetricRow("gauge", _SERVICE, f"Versions that became active for the first time {_IN_PERIOD}."),
    "time_to_detect_seconds": MetricRow(
        "gauge", ("service", "percentile"), f"Time from the first fault to the decision of rollbacks {_IN_PERIOD}."
    ),
    "time_to_restore_seconds": MetricRow(
        "gauge", ("service", "percentile"), f"Time from the first fault to the last worker of rollbacks {_IN_PERIOD}."
    ),
    "standby_seconds": MetricRow("gauge", _SERVICE, f"Time with a warm standby {_IN_PERIOD}."),
    "standby_cost": MetricRow("gauge", _SERVICE, f"Cost of this time at standby_cost_per_hour {_IN_PERIOD}."),
}


def counter(name: str) -> CounterMetricFamily:
    """Return the empty family of a counter; raise KeyError if the table lacks it."""
    row = _row(name, "counter")
    return CounterMetricFamily(PREFIX + name, row.meaning, labels=row.labels, unit=_unit(name))


def gauge(name: str) -> GaugeMetricFamily:
    """Return the empty family of a gauge; raise KeyError if the table lacks it."""
    row = _row(name, "gauge")
    return GaugeMetricFamily(PREFIX + name, row.meaning, labels=row.labels, unit=_unit(name))


def histogram(name: str) -> HistogramMetricFamily:
    """Return the empty family of a histogram; raise KeyError if the table lacks it."""
    row = _row(name, "histogram")
    return HistogramMetricFamily(PREFIX + name, row.meaning, labels=row.labels, unit=_unit(name))


def _row(name: str, kind: str) -> MetricRow:
    row = METRICS[name]
    if row.type != kind:
        raise KeyError(f"{name} is a {row.type}")
    return row


def _unit(name: str) -> str:
    last = name.rpartition("_")[2]
    return last if last in UNITS else ""
