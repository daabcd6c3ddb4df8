"""The panels of the Grafana dashboard, row by row: what each shows, and its queries.

`{s}` in a query selects by the variables instance and service, `{i}` by the instance alone. `{faults}` matches the outcomes
that are faults of a version.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from router.rollout.outcome import FAULTS

Kind = Literal["stat", "timeseries", "state-timeline", "table"]


@dataclass(frozen=True, slots=True)
class Query:
    """A query and the name of its series, in which `{{label}}` is the value of a label."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. `unit` is Grafana's name of the unit; `steps`: (value from which, colour), the first value is ignored.

    `width` in twenty-fourths of the page. `names`: what a value is called instead of its number.
    """

    title: str
    description: str
    queries: tuple[Query, ...]
    unit: str = "short"
    kind: Kind = "timeseries"
    width: int = 8
    steps: tuple[tuple[float, str], ...] = ()
    names: tuple[tuple[int, str], ...] = ()
    stacked: bool = False
    text_mode: Literal["value", "name"] = "value"


_FAULTS: Final = "|".join(outcome.label for outcome in FAULTS)
_BAD: Final = ((0.0, "green"), (1.0, "red"))
_GOOD: Final = ((0.0, "red"), (1.0, "green"))
_SHARE: Final = ((0.0, "green"), (0.01, "orange"), (0.05, "red"))


def _rate(metric: str, by: str, selector: str = "{s}") -> str:
    return f"sum by ({by}) (rate(rollback_router_{metric}{selector}[$__rate_interval]))"


def _quantile(share: float, metric: str, by: str = "service, version") -> str:
    rate = f"rate(rollback_router_{metric}_bucket{{s}}[$__rate_interval])"
    return f"histogram_quantile({share}, sum by (le, {by}) ({rate}))"


def _fault_share(by: str) -> str:
    faults = _rate("requests_total", by, '{s,outcome=~"' + _FAULTS + '"}')
    return f"{faults} / ({_rate('requests_total', by)} > 0)"


def _percentiles(metric: str) -> tuple[Query, ...]:
    shares = ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
    return tuple(Query(_quantile(share, metric), f"{{{{version}}}} {name}") for share, name in shares)


NOW: Final = (
    Panel(
        "Active version",
        "The version that gets the requests of each service.",
        (Query("rollback_router_active_info{s}", "{{service}}: {{version}}"),),
        kind="stat",
        width=6,
        text_mode="name",
    ),
    Panel(
        "Way back",
        "Whether there is a warm standby to roll back to.",
        (Query("rollback_router_way_back{s}", "{{service}}"),),
        kind="stat",
        width=4,
        steps=_GOOD,
        names=((0, "none"), (1, "ready")),
    ),
    Panel(
        "Useful answers",
        "Whether the active version has had a useful answer within any normal wait.",
        (Query("rollback_router_nothing_useful{s}", "{{service}}"),),
        kind="stat",
        width=4,
        steps=_BAD,
        names=((0, "come"), (1, "NONE")),
    ),
    Panel(
        "Share of faults",
        "Requests that ended by a fault of a version.",
        (Query(_fault_share("service"), "{{service}}"),),
        unit="percentunit",
        kind="stat",
        width=4,
        steps=_SHARE,
    ),
    Panel(
        "Requests",
        "Requests that ended, each second.",
        (Query(_rate("requests_total", "service"), "{{service}}"),),
        unit="reqps",
        kind="stat",
        width=3,
    ),
    Panel(
        "Alarms",
        "Active alarms: `rollback-router status` has their details.",
        (Query("sum(rollback_router_alarm_active{i}) or vector(0)", "alarms"),),
        kind="stat",
        width=3,
        steps=_BAD,
    ),
)
TRAFFIC: Final = (
    Panel(
        "Requests by version",
        "Requests that ended, each second. none: ended before a version was chosen.",
        (Query(_rate("requests_total", "service, version, role"), "{{service}} {{version}} ({{role}})"),),
        unit="reqps",
        stacked=True,
    ),
    Panel(
        "Requests by outcome",
        "Faults of a version are " + ", ".join(outcome.label for outcome in FAULTS) + ".",
        (Query(_rate("requests_total", "outcome") + " > 0", "{{outcome}}"),),
        unit="reqps",
        stacked=True,
    ),
    Panel(
        "Share of faults by version",
        "Requests that ended by a fault of the version.",
        (Query(_fault_share("service, version"), "{{service}} {{version}}"),),
        unit="percentunit",
    ),
    Panel(
        "Time to the first useful byte",
        "From the request; within 6.25 %.",
        _percentiles("time_to_first_useful_seconds"),
        unit="s",
    ),
    Panel(
        "Time to the last byte",
        "From the claim of the version; within 6.25 %.",
        _percentiles("request_duration_seconds"),
        unit="s",
    ),
    Panel(
        "Waiting",
        "Requests without a first byte, and the age of the oldest: an age that grows is a hang.",
        (
            Query("sum by (service, version) (rollback_router_waiting_requests{s})", "{{service}} {{version}} waiting"),
            Query(
                "max by (service, version) (rollback_router_oldest_waiting_seconds{s})",
                "{{service}} {{version}} oldest (s)",
            ),
        ),
    ),
    Panel(
        "Rescued requests",
        "Failed on this version, answered by another one.",
        (Query(_rate("rescued_requests_total", "service, version"), "{{service}} {{version}}"),),
        unit="reqps",
    ),
    Panel(
        "Refused answers",
        "Answers that are malformed HTTP, by cause.",
        (
            Query(
                _rate("refused_answers_total", "service, version, cause") + " > 0",
                "{{service}} {{version}} {{cause}}",
            ),
        ),
        unit="reqps",
    ),
    Panel(
        "Limits that act",
        "How often a limit acted on a client.",
        (Query(_rate("limited_total", "limit", "{i}") + " > 0", "{{limit}}"),),
        unit="ops",
    ),
)
REASONS: Final = (
    Panel(
        "Triggers",
        "The verdict of each trigger about the active version.",
        (Query("rollback_router_trigger_state{s} >= 0", "{{service}} {{trigger}}"),),
        kind="state-timeline",
        width=12,
        steps=((-1.0, "text"), (0.0, "green"), (1.0, "blue"), (2.0, "red")),
        names=((0, "pass"), (1, "inconclusive"), (2, "fail")),
    ),
    Panel(
        "Triggers: value as a share of the limit",
        "At 1 the trigger fails.",
        (
            Query(
                "rollback_router_trigger_value{s} / on (job, instance, service, trigger) (rollback_router_trigger_limit{s} > 0)",
                "{{service}} {{trigger}}",
            ),
        ),
        width=12,
    ),
    Panel(
        "Switches",
        "By the verb of an operator or the trigger of a rollback.",
        (
            Query(
                "sum by (service, reason) (increase(rollback_router_switches_total{s}[$__rate_interval])) > 0",
                "{{service}} {{reason}}",
            ),
        ),
    ),
    Panel(
        "Duration of a switch, p99",
        "swap: from the decision to the published route. confirm: to the last worker that uses it.",
        (
            Query(_quantile(0.99, "switch_swap_seconds", "service"), "{{service}} swap"),
            Query(_quantile(0.99, "switch_confirm_seconds", "service"), "{{service}} confirm"),
        ),
        unit="s",
    ),
    Panel(
        "Quarantined versions",
        "Versions that failed, until they are released.",
        (Query("rollback_router_quarantined_info{s}", "{{service}} {{version}}"),),
        kind="table",
    ),
)
WORK: Final = (
    Panel(
        "Useful answers by path",
        "Attempts that became useful, each second, by method and path template.",
        (Query(_rate("work_total", "service, bucket", '{s,end="useful"}'), "{{service}} {{bucket}}"),),
        unit="reqps",
    ),
    Panel(
        "Attempts without use",
        "By how they ended.",
        (Query(_rate("work_total", "service, version, end", '{s,end!="useful"}') + " > 0", "{{version}} {{end}}"),),
        unit="reqps",
    ),
    Panel(
        "Oldest wait by path",
        "A wait that grows while nothing becomes useful is a dead engine behind a live API server.",
        (
            Query(
                "max by (service, version, bucket) (rollback_router_work_oldest_wait_seconds{s})",
                "{{version}} {{bucket}}",
            ),
        ),
        unit="s",
    ),
)
ENDPOINTS: Final = (
    Panel(
        "Attempts by endpoint",
        "Each second.",
        (Query(_rate("endpoint_attempts_total", "version, endpoint"), "{{version}} {{endpoint}}"),),
        unit="reqps",
    ),
    Panel(
        "Share of faults by endpoint",
        "An endpoint that fails while others work is ejected.",
        (
            Query(
                f"{_rate('endpoint_faults_total', 'version, endpoint')} / "
                f"({_rate('endpoint_attempts_total', 'version, endpoint')} > 0)",
                "{{version}} {{endpoint}}",
            ),
        ),
        unit="percentunit",
    ),
    Panel(
        "Endpoints",
        "ready: the last probes were good. ejected: it gets no requests.",
        (
            Query(
                "rollback_router_endpoint_ready{s} + 2 * rollback_router_endpoint_ejected{s}",
                "{{version}} {{endpoint}}",
            ),
        ),
        kind="state-timeline",
        steps=((-1.0, "text"), (0.0, "orange"), (1.0, "green"), (2.0, "red")),
        names=((0, "probe fails"), (1, "ready"), (2, "ejected, probe fails"), (3, "ejected")),
    ),
)
PROCESSES: Final = (
    Panel(
        "CPU",
        "Seconds of CPU time each second.",
        (Query(_rate("process_cpu_seconds_total", "instance, process", "{i}"), "{{instance}} {{process}}"),),
        unit="s",
        width=6,
        stacked=True,
    ),
    Panel(
        "Memory",
        "In RAM.",
        (Query("rollback_router_process_resident_memory_bytes{i}", "{{instance}} {{process}}"),),
        unit="bytes",
        width=6,
        stacked=True,
    ),
    Panel(
        "Late event loops",
        "Largest lateness in the last second. Above 1 s the router is short of CPU.",
        (Query("rollback_router_loop_lag_seconds{i}", "{{instance}} {{process}}"),),
        unit="s",
        width=6,
    ),
    Panel(
        "Descriptors in use",
        "As a share of the limit.",
        (
            Query(
                "rollback_router_process_open_fds{i} / rollback_router_process_max_fds{i}", "{{instance}} {{process}}"
            ),
        ),
        unit="percentunit",
        width=6,
    ),
    Panel(
        "Connections of clients",
        "Open ones by worker.",
        (Query("rollback_router_connections{i}", "{{instance}} {{worker}}"),),
        width=6,
        stacked=True,
    ),
    Panel(
        "New connections and TLS handshakes",
        "Each second.",
        (
            Query(_rate("connections_accepted_total", "instance", "{i}"), "{{instance}} accepted"),
            Query(_rate("tls_handshakes_total", "instance", "{i}"), "{{instance}} handshakes"),
            Query(_rate("tls_handshakes_failed_total", "instance", "{i}"), "{{instance}} failed handshakes"),
        ),
        unit="cps",
        width=6,
    ),
    Panel(
        "Starts of processes",
        "In the time that is shown. More than the first one is a crash, a kill or a take-over.",
        (Query("increase(rollback_router_process_starts_total{i}[$__range])", "{{instance}} {{process}}"),),
        kind="stat",
        width=6,
        steps=_BAD,
    ),
    Panel(
        "Version of the router",
        "And the build of its request path.",
        (Query("rollback_router_build_info{i}", "{{instance}}: {{version}} ({{build}})"),),
        kind="stat",
        width=6,
        text_mode="name",
    ),
)
RECORD: Final = (
    Panel(
        "Last 30 days",
        "Shares of requests and of time without faults, and of deployments that ended in a rollback.",
        (
            Query("rollback_router_uptime_share{s}", "{{service}} uptime"),
            Query("rollback_router_uptime_by_time_share{s}", "{{service}} uptime by time"),
            Query("rollback_router_change_failure_share{s}", "{{service}} change failures"),
        ),
        unit="percentunit",
        kind="stat",
        width=12,
    ),
    Panel(
        "Times to detect and to restore",
        "Of the rollbacks in the last 30 days, from the first fault.",
        (
            Query("rollback_router_time_to_detect_seconds{s}", "{{service}} detect p{{percentile}}"),
            Query("rollback_router_time_to_restore_seconds{s}", "{{service}} restore p{{percentile}}"),
        ),
        unit="s",
        kind="stat",
        width=12,
    ),
    Panel(
        "Open matters",
        "Incidents that are not closed, proposals that wait, cases that the candidate fails, notifications that wait.",
        (
            Query("rollback_router_incidents_open{s}", "{{service}} incidents"),
            Query('rollback_router_proposals{s,state=~"open|due"}', "{{service}} proposals {{state}}"),
            Query("rollback_router_cases_failing{s}", "{{service}} failing cases"),
            Query("rollback_router_notifications_pending{i}", "{{channel}} notifications"),
        ),
        width=12,
    ),
    Panel(
        "Time since the last drill",
        "That passed.",
        (Query("time() - rollback_router_last_drill_passed_timestamp_seconds{s}", "{{service}}"),),
        unit="s",
        kind="stat",
        width=6,
    ),
    Panel(
        "Input drift",
        "Share of differing requests as a share of its limit. At 1 the requests have drifted.",
        (
            Query(
                "rollback_router_input_drift_share{s} / (rollback_router_input_drift_limit{s} > 0)",
                "{{service}}",
            ),
        ),
        width=6,
    ),
)
ROWS: Final = (
    ("Now", NOW),
    ("Traffic", TRAFFIC),
    ("Why the router acts, or does not", REASONS),
    ("Work", WORK),
    ("Endpoints", ENDPOINTS),
    ("The router's processes", PROCESSES),
    ("Record", RECORD),
)
SWITCHES: Final = Query(
    "sum by (service, reason) (increase(rollback_router_switches_total{s}[$__interval])) > 0", "{{service}}: {{reason}}"
)
"""The marks of switches in all charts."""
