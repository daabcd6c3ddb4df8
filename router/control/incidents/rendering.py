"""Renders the document of an incident as Markdown, as one HTML file, and as an SVG chart.

Paths, field values and texts in the document come from clients. In HTML everything is escaped, and the page's policy lets
nothing run or load. In Markdown every character that could be markup is escaped. In all three, unprintable characters are
escaped.
"""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from router.control.addon import Document
from router.control.incidents import formatting
from router.control.incidents.chart import STYLE as CHART_STYLE
from router.control.incidents.chart import ChartData, ChartMark, Point, chart
from router.control.incidents.formatting import UNKNOWN
from router.runtime.printable import printable_lines

if TYPE_CHECKING:
    from jinja2 import Environment

_BEFORE_MIN_S: Final = 120.0
_BEFORE_MAX_S: Final = 900.0
_AFTER_MIN_S: Final = 30.0

# Functions of formatting.py, under the same names in the templates.
_FILTERS: Final = (
    "known",
    "seconds",
    "micros",
    "millis",
    "share",
    "count",
    "clock",
    "command",
    "signed",
    "md",
    "trigger_value",
    "errors",
    "failed",
    "rescue_results",
)


def html(document: Document) -> str:
    """Return the page. It needs no other file."""
    style = stylesheet()
    picture = chart(_chart_data(document)) if document["windows"] else ""
    return (
        _environment()
        .get_template("incident.html")
        .render(i=document, style=_safe(style), policy=policy(), picture=_safe(picture))
    )


def markdown(document: Document) -> str:
    """Return the Markdown (GitHub's dialect); the picture is the file ID.svg beside it."""
    text: str = _environment().get_template("incident.md").render(i=document)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def svg(document: Document) -> str | None:
    """Return the chart of the windows as a standalone SVG; None if there are no samples."""
    return chart(_chart_data(document), alone=True) + "\n" if document["windows"] else None


def stylesheet() -> str:
    """Return the style sheet of the page."""
    return _environment().get_template("incident.css").render() + CHART_STYLE


@cache
def policy() -> str:
    """Return the Content-Security-Policy of the page: it loads nothing, runs nothing, and has exactly this style."""
    digest = base64.b64encode(hashlib.sha256(stylesheet().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


@cache
def _environment() -> Environment:
    from jinja2 import (  # imported at the first use: it takes 30 ms
        Environment,
        PackageLoader,
        StrictUndefined,
        select_autoescape,
    )

    made = Environment(
        loader=PackageLoader("router.control.incidents"),
        autoescape=select_autoescape(["html"]),
        finalize=_finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )
    made.filters |= {name: getattr(formatting, name) for name in _FILTERS}
    return made


def _finalize(value: Any) -> Any:
    """Escape unprintable characters. Jinja calls this for every value; charts and style sheets are not strings of clients."""
    return printable_lines(value) if type(value) is str else value


def _safe(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)


# -- the picture
def _chart_data(document: Document) -> ChartData:
    windows, times = document["windows"], document["durations"]
    moments = {line["kind"]: line["t_s"] for line in document["timeline"]}
    fault_s = moments.get("onset", moments.get("started"))
    until_s = max([_AFTER_MIN_S, *(points[-1][0] for points in _points(windows) if points)])
    before_s = max(_BEFORE_MIN_S, 1.5 * (times["fault_to_decision_s"] or 0))
    since_s = max(-min(before_s, _BEFORE_MAX_S), min([0.0, *(p[0][0] - p[0][1] for p in _points(windows) if p)]))
    recovered_s = moments.get("recovered")
    left, back = (
        (windows[role]["version"] or UNKNOWN, [_point(values) for values in windows[role]["points"]])
        for role in ("left", "back")
    )
    fault_period_s = None if fault_s is None else (fault_s, max(fault_s, recovered_s or 0.0))
    title = f"{document['id']}: {left[0]} rolled back to {back[0]}"
    return ChartData(
        title, left, back, _marks(document, moments, until_s - since_s), min(since_s, -5.0), until_s, fault_period_s
    )


def _points(windows: Document) -> list[list[list[Any]]]:
    return [windows["left"]["points"], windows["back"]["points"]]


def _point(values: list[Any]) -> Point:
    at_s, seconds, requests, faults, _, p50_ms, p99_ms = values
    return Point(at_s, seconds, requests, faults, p50_ms, p99_ms)


def _marks(document: Document, moments: dict[str, float], range_s: float) -> list[ChartMark]:
    marks = [ChartMark(0.0, "decision, swap", strong=True)]
    swapped_s = moments.get("swapped")
    if swapped_s is not None and swapped_s > range_s / 200:
        marks = [ChartMark(0.0, "decision", strong=True), ChartMark(swapped_s, "swap")]
    fault_s = moments.get("onset", moments.get("started"))
    if fault_s is not None:
        marks.append(ChartMark(fault_s, "first fault" if "onset" not in moments else "faults above the limit"))
    promoted_s = _promoted_s(document)
    if promoted_s is not None:
        marks.append(ChartMark(promoted_s, f"{document['from']} active"))
    if moments.get("recovered", 0.0) > 0:
        marks.append(ChartMark(moments["recovered"], "recovered"))
    return marks


def _promoted_s(document: Document) -> float | None:
    """Return when the failing version became active, in seconds after the decision (negative: before it)."""
    promoted = document["times"]["promoted"]
    if promoted is None:
        return None
    return (datetime.fromisoformat(promoted) - datetime.fromisoformat(document["times"]["decided"])).total_seconds()
