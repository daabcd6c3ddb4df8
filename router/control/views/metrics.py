"""The metrics, from worker stats, status and switch stats. Names and labels are frozen: dashboards use them.

Counters of a version begin at zero when it fills its slot (the workers' sums minus the base of the slot). Histograms are
folded from log-linear buckets. A bucket is at most 12.5 % wide and counts at its middle, so only samples within 6.25 % of a
boundary can fall on its wrong side, and a `_sum` is exact to 6.25 %.
"""

from __future__ import annotations

import platform
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from router.control.addon import Document
from router.control.monitors.alarm_table import ALARMS
from router.control.monitors.certificates import CertificateMonitor
from router.control.monitors.switch_stats import BUCKETS_S as SWITCH_BUCKETS_S
from router.control.monitors.switch_stats import DurationHistogram, SwitchStats
from router.control.views.metric_table import counter, gauge, histogram
from router.control.views.queries import Queries
from router.control.views.scrape.endpoint_metrics import endpoint_metrics
from router.control.views.scrape.exposition import PROMETHEUS, Format
from router.control.views.work_metrics import work_metrics
from router.rollout.model.route import SLOTS
from router.rollout.outcome import OUTCOMES, Outcome
from router.rollout.stats.histogram import BUCKETS, lower_bound
from router.runtime.printable import printable
from router.shm import layout as at
from router.shm.segment import Segment
from router.shm.worker_stats import WorkerStats

BUCKETS_S: Final = (.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)  # fmt: skip
ROLES: Final = ("active", "standby", "candidate")
"""In the order in which the workers count them (layout.L_EXCHANGES)."""
TRIGGER_STATES: Final = {"not_configured": -1, "pass": 0, "inconclusive": 1, "fail": 2}
_OF_VERSIONS: Final = (
    "in_flight_requests",
    "waiting_requests",
    "tunnels",
    "oldest_waiting_seconds",
    "target_ready",
    "replicas",
)
_LABEL_CHARS_MAX: Final = 128
_QUARANTINED_MAX: Final = 200
_MIDDLES_US: Final = tuple((lower_bound(bucket) + lower_bound(bucket + 1)) / 2 for bucket in range(BUCKETS))
_FOLD: Final = tuple(bisect_left(BUCKETS_S, middle / 1e6) for middle in _MIDDLES_US)


def render(
    queries: Queries,
    closed: Mapping[str, int] | None = None,
    refused: Mapping[str, int] | None = None,
    *,
    as_format: Format = PROMETHEUS,
    processes: Iterable[Metric] = (),
) -> bytes:
    """Return all metrics in a text format, with escaped label values.

    `closed`: connections that the admin port has closed, by reason. `refused`: malformed requests and requests with wrong
    credentials, by kind. `processes`: the families of process_metrics.py, which are read in a thread.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Scrape(queries, closed or {}, refused or {}, processes))
    return as_format.text_of(registry)


def fold(counts: Sequence[int]) -> tuple[list[tuple[str, float]], float]:
    """Return (cumulative counts by `le`, sum in seconds) of log-linear `counts`; the error is stated above."""
    folded = [0] * (len(BUCKETS_S) + 1)
    total_s = 0.0
    for bucket, count in enumerate(counts):
        if count:
            folded[_FOLD[bucket]] += count
            total_s += count * _MIDDLES_US[bucket] / 1e6
    return _cumulative(BUCKETS_S, folded), total_s


class _Scrape(Collector):
    """One scrape."""

    def __init__(
        self, queries: Queries, closed: Mapping[str, int], refused: Mapping[str, int], processes: Iterable[Metric]
    ) -> None:
        self._queries = queries
        self._closed = closed
        self._refused = refused
        self._processes = processes

    def collect(self) -> Iterator[Metric]:
        """Yield all metric families; status and counters are read once."""
        queries, control_loop = self._queries, self._queries.control_loop
        status = queries.status()
        names, worker_stats = sorted(status["services"]), control_loop.worker_stats
        yield from _traffic(status, queries.places(), worker_stats, control_loop.segment)
        yield from _targets(status)
        yield from endpoint_metrics(status["services"])
        yield from work_metrics(status["services"])
        yield from _switches(control_loop.switch_stats)
        yield from _triggers({name: queries.explain(name) for name in names})
        yield _quarantined(queries.quarantined())
        yield _alarms(status)
        yield _build(status)
        yield from self._processes
        yield from _processes(status, control_loop.segment)
        yield _counted("limited", worker_stats.limited())
        yield _counted("admin_connections_closed", self._closed)
        yield _counted("admin_refused", self._refused)
        yield from _single_counts(worker_stats)
        yield from _tls(worker_stats, control_loop.certificates)
        for addon in control_loop.addons:
            yield from addon.metrics()


def _traffic(
    status: Document, places: Mapping[str, int], worker_stats: WorkerStats, segment: Segment
) -> Iterator[Metric]:
    requests = counter("requests")
    duration = histogram("request_duration_seconds")
    first_byte = histogram("time_to_first_byte_seconds")
    first_useful = histogram("time_to_first_useful_seconds")
    rescued = counter("rescued_requests")
    refused = counter("refused_answers")
    _add_outcomes(requests, ("", "", "none"), worker_stats.unmatched()[1])
    for name, index in places.items():
        _add_outcomes(requests, (name, "", "none"), _ended_unclaimed(index, worker_stats, segment))
        for version, slots in _slots_by_version(status["services"][name]).items():
            rows = [_since_filled(index, slot, worker_stats, segment) for slot in slots]
            row = [sum(column) for column in zip(*rows, strict=True)]
            for position, role in enumerate(ROLES):
                start = at.L_EXCHANGES + position * at.OUTCOME_COUNT
                _add_outcomes(requests, (name, version, role), row[start : start + at.OUTCOME_COUNT])
            for family, offset in (
                (duration, at.L_DURATION),
                (first_byte, at.L_FIRST_BYTE),
                (first_useful, at.L_FIRST_USEFUL),
            ):
                buckets, total_s = fold(row[offset : offset + BUCKETS])
                family.add_metric([name, version], buckets, total_s)
            rescued.add_metric([name, version], row[at.L_RESCUED])
            for number, cause in enumerate(at.REFUSED_ANSWERS):
                refused.add_metric([name, version, cause], row[at.L_REFUSED_ANSWERS + number])
    yield from (requests, duration, first_byte, first_useful, rescued, refused)


def _add_outcomes(family: CounterMetricFamily, labels: tuple[str, str, str], ends: Sequence[int]) -> None:
    """Add one count for each outcome; without a version only outcomes that happened, as most cannot.

    A fault of the router is there from zero on: an alert on its increase would not see the first one.
    """
    for outcome in OUTCOMES:
        if ends[outcome] or labels[1] or outcome is Outcome.ROUTER_FAULT:
            family.add_metric([*labels, outcome.label], ends[outcome])


def _ended_unclaimed(service: int, worker_stats: WorkerStats, segment: Segment) -> list[int]:
    rows = [segment.layout.worker_service(worker, service) + at.LS_ENDED for worker in range(worker_stats.workers)]
    return [sum(segment.words[row + outcome] for row in rows) for outcome in range(at.OUTCOME_COUNT)]


def _slots_by_version(service: Document) -> dict[str, list[int]]:
    """Return the slots of each version. A version that was retired and deployed again may drain in its old slot: both count."""
    found: dict[str, list[int]] = {}
    for target in service["targets"]:
        if 0 <= target["slot"] < SLOTS:
            found.setdefault(_label(target["version"]), []).append(target["slot"])
    return found


def _since_filled(service: int, slot: int, worker_stats: WorkerStats, segment: Segment) -> list[int]:
    """Return the counters of a slot, summed over the workers, minus the base of the slot."""
    rows = [segment.layout.worker_slot(worker, service, slot) for worker in range(worker_stats.workers)]
    columns = zip(*(segment.words[row : row + at.L_WORK].tolist() for row in rows), strict=True)
    base = segment.layout.base(service, slot)
    before = segment.words[base : base + at.L_WORK].tolist()
    return [max(0, sum(column) - earlier) for column, earlier in zip(columns, before, strict=True)]


def _targets(status: Document) -> Iterator[Metric]:
    active = gauge("active_info")
    way_back = gauge("way_back")
    for name, service in status["services"].items():
        if service["active"] is not None:
            active.add_metric([name, _label(service["active"]), str(service["generation"])], 1.0)
        way_back.add_metric([name], float(service["way_back"]))
    yield from (active, way_back, *_versions(status))


def _versions(status: Document) -> Iterator[Metric]:
    """Yield the gauges of versions. A version that drains in a second slot has each series once: both are added."""
    found: dict[str, defaultdict[tuple[str, ...], float]] = {name: defaultdict(float) for name in _OF_VERSIONS}
    for name, service in status["services"].items():
        for target in service["targets"]:
            labels = (name, _label(target["version"]))
            found["in_flight_requests"][labels] += target["in_flight"]
            found["waiting_requests"][labels] += target["waiting"]
            found["tunnels"][labels] += target["tunnels"]
            oldest, ready = found["oldest_waiting_seconds"], found["target_ready"]
            oldest[labels] = max(oldest[labels], target["oldest_waiting_s"] or 0.0)
            ready[*labels, target["role"]] = max(ready[*labels, target["role"]], float(target["ready"]))
            if target["replicas"]:
                ejected = sum(replica["ejected_for_s"] is not None for replica in target["replicas"])
                found["replicas"][*labels, "used"] += len(target["replicas"]) - ejected
                found["replicas"][*labels, "ejected"] += ejected
    for metric, values in found.items():
        family = gauge(metric)
        for of_version, value in values.items():
            family.add_metric(of_version, value)
        yield family


def _switches(tally: SwitchStats) -> Iterator[Metric]:
    switches = counter("switches")
    swap = histogram("switch_swap_seconds")
    confirm = histogram("switch_confirm_seconds")
    for name, service in tally.services.items():
        for reason, count in service.by_reason.items():
            switches.add_metric([name, reason], count)
        _add_spread(swap, name, service.swap)
        _add_spread(confirm, name, service.confirm)
    yield from (switches, swap, confirm)


def _add_spread(family: HistogramMetricFamily, name: str, spread: DurationHistogram) -> None:
    family.add_metric([name], _cumulative(SWITCH_BUCKETS_S, spread.counts), spread.sum_s)


def _triggers(explained: dict[str, Document]) -> Iterator[Metric]:
    state = gauge("trigger_state")
    value = gauge("trigger_value")
    limit = gauge("trigger_limit")
    for name, document in explained.items():
        for trigger, result in _worst_by_name(document["triggers"]).items():
            state.add_metric([name, trigger], TRIGGER_STATES[result["state"]])
            for family, figure in ((value, result["value"]), (limit, result["limit"])):
                if figure is not None:
                    family.add_metric([name, trigger], figure)
    yield from (state, value, limit)


def _worst_by_name(results: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the results by `kind_detail` (`hard_failure_hang`); of equal names the one nearest to acting."""
    found: dict[str, dict[str, Any]] = {}
    for result in results:
        name = _label("_".join(filter(None, (result["kind"], result["detail"]))))
        known = found.get(name)
        if known is None or TRIGGER_STATES[result["state"]] > TRIGGER_STATES[known["state"]]:
            found[name] = result
    return found


def _quarantined(blocked: list[tuple[str, str]]) -> Metric:
    family = gauge("quarantined_info")
    for service, version in blocked[:_QUARANTINED_MAX]:
        family.add_metric([service, _label(version)], 1.0)
    return family


def _alarms(status: Document) -> Metric:
    family = gauge("alarm_active")
    for alarm in status["alarms"]:
        family.add_metric([alarm["service"] or "", alarm["code"], ALARMS[alarm["code"]].severity], 1.0)
    return family


def _build(status: Document) -> Metric:
    family = gauge("build_info")
    family.add_metric([status["version"], status["build"], platform.python_version()], 1.0)
    return family


def _processes(status: Document, segment: Segment) -> Iterator[Metric]:
    up = gauge("worker_up")
    lag = gauge("loop_lag_seconds")
    starts = counter("process_starts")
    connections = gauge("connections")
    accepted = counter("connections_accepted")
    for worker in status["workers"]:
        index = str(worker["index"])
        up.add_metric([index], float(worker["up"]))
        lag.add_metric([f"worker-{index}"], worker["loop_lag_s"])
        starts.add_metric([f"worker-{index}"], worker["starts"])
        connections.add_metric([index], worker["connections"])
        accepted.add_metric([index], worker["connections_total"])
    lag.add_metric(["control"], segment.words[at.H_CONTROL_LAG_US] / 1e6)
    starts.add_metric(["control"], status["control"]["starts"])
    yield from (up, lag, starts, connections, accepted)


def _counted(name: str, counts: Mapping[str, int]) -> Metric:
    """Return a counter with one label, whose values are the keys of `counts`."""
    family = counter(name)
    for value, count in counts.items():
        family.add_metric([value], count)
    return family


def _single_counts(worker_stats: WorkerStats) -> Iterator[Metric]:
    spans_sent, traces_dropped = worker_stats.traces()
    for name, count in (
        ("spans_sent", spans_sent),
        ("traces_dropped", traces_dropped),
        ("proxy_headers_refused", worker_stats.proxy_headers_refused()),
        ("lookalike_fields_dropped", worker_stats.lookalikes()),
        ("access_log_lines_dropped", worker_stats.access_lines_dropped()),
    ):
        family = counter(name)
        family.add_metric([], count)
        yield family


def _tls(worker_stats: WorkerStats, expiry: CertificateMonitor) -> Iterator[Metric]:
    total, failed = worker_stats.handshakes()
    handshakes = counter("tls_handshakes")
    failures = counter("tls_handshakes_failed")
    expires = gauge("certificate_expires_timestamp_seconds")
    handshakes.add_metric([], total)
    failures.add_metric([], failed)
    for place, certificate, _ in expiry.found:
        expires.add_metric([place, _label(certificate.path)], certificate.until.timestamp())
    yield from (handshakes, failures, expires)


def _cumulative(bounds: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    cumulative, seen = [], 0
    for bound, count in zip((*bounds, float("inf")), counts, strict=True):
        seen += count
        cumulative.append(("+Inf" if bound == float("inf") else str(float(bound)), float(seen)))
    return cumulative


def _label(value: str) -> str:
    """Return a label value: bounded and printable; prometheus-client escapes quotes and backslashes."""
    return printable(value)[:_LABEL_CHARS_MAX]
