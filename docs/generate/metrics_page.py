"""docs/reference/metrics.md: every metric with its type, labels and meaning."""

from __future__ import annotations

from typing import Final

from docs.generate.markdown import code, page, prose, table
from router.control.views.metric_table import METRICS, PREFIX, MetricRow

_INTRODUCTION: Final = """\
`GET /metrics` on the admin port answers in the Prometheus text format 0.0.4, or in OpenMetrics 1.0.0 if the field `Accept`
prefers it, as that of a Prometheus server does. It needs the role `viewer` if [`admin.tokens`](settings.md#admin) are set.

All names begin with `rollback_router_`. The name of a counter ends in `_total`. The last word of a name is its unit:
`seconds`, `bytes`; a `share` is between 0 and 1. `process` is
`supervisor`, `control` or `worker-N`. Counters begin at zero when control starts. Counters and
histograms of a version begin at zero when the version is deployed. A histogram is exact to 6.25 %.
"""


def text() -> str:
    """Return the page."""
    rows = [_row(name, row) for name, row in METRICS.items()]
    return page("Metrics", _INTRODUCTION, table(("Metric", "Type", "Labels", "Meaning"), rows))


def _row(name: str, row: MetricRow) -> tuple[str, str, str, str]:
    full = f"{PREFIX}{name}" + ("_total" if row.type == "counter" else "")
    return code(full), row.type, ", ".join(map(code, row.labels)) or "none", prose(row.meaning)
