"""deploy/grafana/rollback-router.json: the dashboard for Grafana, from the panels of grafana_panels.py."""

from __future__ import annotations

import json
from typing import Any, Final

from docs.generate.grafana_panels import ROWS, SWITCHES, Panel, Query

Object = dict[str, Any]
_HEIGHTS: Final = {"stat": 5, "timeseries": 8, "state-timeline": 8, "table": 8}
_PAGE_WIDTH: Final = 24
_INSTANCE: Final = 'instance=~"$instance"'
_SOURCE: Final[Object] = {"type": "prometheus", "uid": "${datasource}"}
_LEGEND: Final[Object] = {"displayMode": "list", "placement": "bottom", "showLegend": True}


def text() -> str:
    """Return the dashboard as JSON."""
    return json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"


def dashboard() -> Object:
    """Return the dashboard."""
    return {
        "annotations": {"list": [_switches()]},
        "description": "rollback-router: versions, traffic, verdicts, switches, endpoints and processes.",
        "editable": True,
        "graphTooltip": 1,
        "links": [],
        "panels": _panels(),
        "refresh": "10s",
        "schemaVersion": 38,
        "tags": ["rollback-router"],
        "templating": {"list": _variables()},
        "time": {"from": "now-1h", "to": "now"},
        "title": "rollback-router",
        "uid": "rollback-router",
        "version": 1,
    }


def expression(query: Query) -> str:
    """Return the PromQL of a query, with Grafana's variables in it."""
    return (
        query.expr.replace("{s}", f'{{{_INSTANCE},service=~"$service"}}')
        .replace("{i}", f"{{{_INSTANCE}}}")
        .replace("{s,", f'{{{_INSTANCE},service=~"$service",')
    )


def _panels() -> list[Object]:
    """Return all panels with their places: a row is filled from the left, and goes on below when it is full."""
    made: list[Object] = []
    y = 0
    for title, panels in ROWS:
        place = {"h": 1, "w": _PAGE_WIDTH, "x": 0, "y": y}
        made.append(
            {"collapsed": False, "gridPos": place, "id": len(made) + 1, "panels": [], "title": title, "type": "row"}
        )
        y, x, height = y + 1, 0, 0
        for panel in panels:
            if x + panel.width > _PAGE_WIDTH:
                y, x, height = y + height, 0, 0
            place = {"h": _HEIGHTS[panel.kind], "w": panel.width, "x": x, "y": y}
            made.append(_panel(panel, len(made) + 1, place))
            x, height = x + panel.width, max(height, _HEIGHTS[panel.kind])
        y += height
    return made


def _panel(panel: Panel, number: int, place: Object) -> Object:
    return {
        "datasource": _SOURCE,
        "description": panel.description,
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "gridPos": place,
        "id": number,
        "options": _options(panel),
        "targets": [_target(query, panel, index) for index, query in enumerate(panel.queries)],
        "title": panel.title,
        "type": panel.kind,
    }


def _target(query: Query, panel: Panel, index: int) -> Object:
    at_once = panel.kind in ("stat", "table")
    return {
        "datasource": _SOURCE,
        "editorMode": "code",
        "expr": expression(query),
        "format": "table" if panel.kind == "table" else "time_series",
        "instant": at_once,
        "legendFormat": query.legend,
        "range": not at_once,
        "refId": "ABCDEFGH"[index],
    }


def _defaults(panel: Panel) -> Object:
    """Return unit, thresholds and names of values; a chart of times also its lines."""
    steps = [{"color": colour, "value": value if index else None} for index, (value, colour) in enumerate(panel.steps)]
    defaults: Object = {
        "color": {"mode": "thresholds" if panel.steps else "palette-classic"},
        "mappings": [_names(panel)] if panel.names else [],
        "thresholds": {"mode": "absolute", "steps": steps or [{"color": "green", "value": None}]},
        "unit": panel.unit,
    }
    if panel.kind == "timeseries":
        stacking = {"group": "A", "mode": "normal" if panel.stacked else "none"}
        defaults["min"] = 0
        defaults["custom"] = {
            "drawStyle": "line",
            "fillOpacity": 20 if panel.stacked else 0,
            "lineInterpolation": "stepAfter",
            "lineWidth": 1,
            "showPoints": "never",
            "stacking": stacking,
        }
    return defaults


def _names(panel: Panel) -> Object:
    options = {str(value): {"index": index, "text": name} for index, (value, name) in enumerate(panel.names)}
    return {"options": options, "type": "value"}


def _options(panel: Panel) -> Object:
    match panel.kind:
        case "stat":
            reduce = {"calcs": ["lastNotNull"], "fields": "", "values": False}
            mode = "name" if panel.text_mode == "name" else "value_and_name"
            return {
                "colorMode": "background" if panel.steps else "none",
                "graphMode": "none",
                "reduceOptions": reduce,
                "textMode": mode,
            }
        case "state-timeline":
            return {"legend": _LEGEND, "mergeValues": True, "rowHeight": 0.9, "showValue": "never"}
        case "table":
            return {"showHeader": True}
        case "timeseries":
            return {"legend": _LEGEND, "tooltip": {"mode": "multi", "sort": "desc"}}


def _switches() -> Object:
    return {
        "datasource": _SOURCE,
        "enable": True,
        "expr": expression(SWITCHES),
        "iconColor": "purple",
        "name": "Switches",
        "titleFormat": SWITCHES.legend,
    }


def _variables() -> list[Object]:
    source = {"hide": 0, "label": "Data source", "name": "datasource", "query": "prometheus", "type": "datasource"}
    return [
        source,
        _variable("instance", "Router", "label_values(rollback_router_build_info, instance)"),
        _variable("service", "Service", f"label_values(rollback_router_way_back{{{_INSTANCE}}}, service)"),
    ]


def _variable(name: str, label: str, query: str) -> Object:
    return {
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "datasource": _SOURCE,
        "hide": 0,
        "includeAll": True,
        "label": label,
        "multi": True,
        "name": name,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "type": "query",
    }
