"""The dashboard for Grafana: whole, without overlaps, and made of metrics and labels that exist."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any, Final

import pytest

from docs.generate.grafana_dashboard import dashboard
from router.control.views.metric_table import METRICS, PREFIX
from tests.monitoring.test_rules import METRIC, ROOT, SUFFIXES, known

DASHBOARD: Final = dashboard()
PANELS: Final = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
TARGETS: Final = [
    pytest.param(target, id=f"{panel['title']} {target['refId']}") for panel in PANELS for target in panel["targets"]
]
OF_PROMETHEUS: Final = {"job", "instance"}


def labels(metric: str) -> set[str]:
    name = metric.removeprefix(PREFIX)
    row = METRICS.get(name) or next(
        METRICS[name.removesuffix(suffix)] for suffix in SUFFIXES if name.removesuffix(suffix) in METRICS
    )
    return {*row.labels, *OF_PROMETHEUS}


def test_no_two_panels_overlap_and_each_is_on_the_page() -> None:
    cells = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for place in (panel["gridPos"],)
        for x, y in itertools.product(
            range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        )
    ]
    assert len(cells) == len(set(cells))
    assert {x for x, _ in cells} <= set(range(24))


def test_each_panel_has_a_number_a_title_and_a_description() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert [panel["title"] for panel in PANELS if not panel["description"] or not panel["targets"]] == []


def test_what_it_needs_of_grafana_is_in_the_file() -> None:
    text = (ROOT / "deploy" / "grafana" / "rollback-router.json").read_text()
    assert json.loads(text) == DASHBOARD
    declared = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    built_in = {"__rate_interval", "__interval", "__range", "__all"}
    assert set(re.findall(r"\$\{?(\w+)", text)) - built_in == declared


@pytest.mark.parametrize("target", TARGETS)
def test_a_query_names_metrics_and_labels_that_exist(target: dict[str, Any]) -> None:
    metrics = set(METRIC.findall(target["expr"]))
    assert metrics
    assert [name for name in metrics if not known(name)] == []
    possible = set().union(*(labels(name) for name in metrics))
    by = {label for group in re.findall(r"by \(([\w, ]+)\)", target["expr"]) for label in group.split(", ")}
    selected = set(re.findall(r"(\w+)=~?\"", target["expr"])) | set(re.findall(r"(\w+)!~?=?\"", target["expr"]))
    assert by - possible - {"le"} == set()
    assert selected - possible == set()
    shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
    assert shown - possible == set()
    aggregated = re.match(r"(sum|max|histogram_quantile)\b", target["expr"])
    assert not aggregated or shown <= by, "the aggregation drops a label that the legend shows"
