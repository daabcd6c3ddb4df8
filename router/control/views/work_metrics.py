"""The metrics of work by bucket. A service has at most 16 buckets, so the number of series is bounded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.metrics_core import Metric

from router.control.addon import Document
from router.control.views.metric_table import counter, gauge
from router.runtime.printable import printable

Labels = tuple[str, str, str]


def work_metrics(services: dict[str, Document]) -> Iterator[Metric]:
    """Yield the metrics of all services' documents. A version that drains in a second slot counts once: both are added."""
    ended: Counter[tuple[str, str, str, str]] = Counter()
    asked: Counter[Labels] = Counter()
    progress: Counter[Labels] = Counter()
    waiting: Counter[Labels] = Counter()
    oldest: dict[Labels, float] = {}
    for name, service in services.items():
        for target in service["targets"]:
            for work in target["work"]:
                labels = (name, printable(target["version"])[:128], printable(work["bucket"])[:128])
                ended[*labels, "useful"] += work["useful"]
                for end, count in work["without_use"].items():
                    ended[*labels, end] += count
                asked[labels] += work["asked"]
                progress[labels] += work["in_progress"]
                waiting[labels] += work["waiting"]
                oldest[labels] = max(oldest.get(labels, 0.0), work["oldest_wait_s"] or 0.0)
    ends = counter("work")
    for of_end, count in ended.items():
        ends.add_metric(of_end, count)
    asks = counter("work_asked")
    for labels, count in asked.items():
        asks.add_metric(labels, count)
    yield from (ends, asks)
    for metric, values in (
        ("work_in_progress", progress),
        ("work_waiting", waiting),
        ("work_oldest_wait_seconds", oldest),
    ):
        family = gauge(metric)
        for labels, value in values.items():
            family.add_metric(labels, value)
        yield family
    yield _nothing_useful(services)


def _nothing_useful(services: dict[str, Document]) -> Metric:
    family = gauge("nothing_useful")
    for name, service in services.items():
        if service["progress"] is not None:
            family.add_metric([name], float(service["progress"]["nothing_useful"]))
    return family
