"""Draws a rollback as one SVG: requests, faults and first-byte times of both versions around the decision.

Pure: numbers in, text out. Colours are CSS classes, so light mode, dark mode and print each have their own. Orange and blue
are distinguishable with nearly every colour vision, and the report's table has the same figures.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from router.control.incidents.axis import Axis, spread_axis, time_axis, value_axis
from router.rollout.text import shorten
from router.runtime.printable import printable

WIDTH: Final = 960
_LEFT, _RIGHT, _TOP = 64, 24, 100
_ROWS: Final = 3
_PANEL, _GAP, _BOTTOM = 120, 36, 44
HEIGHT: Final = _TOP + 3 * _PANEL + 2 * _GAP + _BOTTOM
_CHAR: Final = 6.6
"""Width of a character of a mark's label, pixels; a little more than in browsers' default fonts."""
_LABEL_CHARS_MAX: Final = 40
_BINS_S: Final = (1, 2, 5, 10)
_REQUESTS_A_BIN: Final = 5

STYLE: Final = """
svg.windows{--ink:#1f2328;--soft:#59636e;--line:#d1d9e0;--left:#bc4c00;--back:#0969da;--mark:#6e7781;font:11px/1.2
 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;max-width:100%;height:auto}
@media (prefers-color-scheme:dark){svg.windows{--ink:#e6edf3;--soft:#9198a1;--line:#3d444d;--left:#ff9a57;--back:#6cb6ff;
 --mark:#9198a1}}
@media print{svg.windows{--ink:#000;--soft:#444;--line:#ccc;--left:#a33f00;--back:#0550ae;--mark:#555}}
svg.windows text{fill:var(--soft)}svg.windows text.name{fill:var(--ink);font-weight:600;font-size:12px}
svg.windows .grid{stroke:var(--line);stroke-width:1}svg.windows .frame{stroke:var(--soft);stroke-width:1}
svg.windows .left,svg.windows .back{fill:none;stroke-width:1.75;stroke-linejoin:round}
svg.windows .left{stroke:var(--left)}svg.windows .back{stroke:var(--back)}svg.windows .thin{stroke-width:1;stroke-dasharray:3 2}
svg.windows .mark{stroke:var(--mark);stroke-width:1;stroke-dasharray:4 3}svg.windows .mark.strong{stroke:var(--ink);
 stroke-dasharray:none}svg.windows .trouble{fill:var(--left);opacity:.09}
""".replace("\n ", " ")


@dataclass(frozen=True, slots=True)
class Point:
    """A period of one version that ended `at_s` seconds after the decision (negative: before it)."""

    at_s: float
    seconds: float
    requests: float
    faults: float
    p50_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True)
class ChartMark:
    """A marked moment. `strong`: the decision itself."""

    at_s: float
    label: str
    strong: bool = False


@dataclass(frozen=True, slots=True)
class ChartData:
    """The data of a chart. `left` is the version rolled back, `back` the version gone back to; `fault_period_s` is (from, to)."""

    title: str
    left: tuple[str, Sequence[Point]]
    back: tuple[str, Sequence[Point]]
    marks: Sequence[ChartMark]
    since_s: float
    until_s: float
    fault_period_s: tuple[float, float] | None = None


def chart(data: ChartData, *, alone: bool = False) -> str:
    """Return the SVG. `alone`: with its style sheet, for a standalone file."""
    x_axis = time_axis(data.since_s, data.until_s, _LEFT, WIDTH - _RIGHT)
    left, back = (_within(points, data) for _, points in (data.left, data.back))
    bin_s = _bin_s([*left, *back])
    series = {"left": binned(left, bin_s), "back": binned(back, bin_s)}
    parts = [
        f'<svg class="windows" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" role="img" aria-labelledby="windows-title windows-desc">',
        f'<title id="windows-title">{escape(data.title)}</title>',
        f'<desc id="windows-desc">{escape(_described(data, bin_s))}</desc>',
        f"<style>{STYLE}</style>" if alone else "",
        *_legend(data),
        *_trouble_band(data, x_axis),
        *_panel(0, "requests/s", x_axis, _rates(series)),
        *_panel(1, "faults, % of requests", x_axis, _faults(series)),
        *_panel(2, "first byte, ms: p99, dashed p50", x_axis, _times(series)),
        *_marks(data, x_axis),
        *_x_labels(x_axis),
        "</svg>",
    ]
    return "\n".join(part for part in parts if part)


def _within(points: Sequence[Point], data: ChartData) -> list[Point]:
    return [point for point in points if data.since_s <= point.at_s and point.at_s - point.seconds <= data.until_s]


def _bin_s(points: list[Point]) -> int:
    """Return the seconds of one step of the chart: long enough for some requests, because rates are noise otherwise."""
    seconds = sum(point.seconds for point in points)
    rate = sum(point.requests for point in points) / seconds if seconds else 0
    return next((size for size in _BINS_S if rate * size >= _REQUESTS_A_BIN), _BINS_S[-1])


def binned(points: Sequence[Point], bin_s: float) -> list[Point]:
    """Return `points` with neighbours merged until each has `bin_s` seconds."""
    found: list[Point] = []
    for point in points:
        last = found[-1] if found else None
        gap_s = point.at_s - point.seconds - last.at_s if last else 0.0
        if last is None or last.seconds >= bin_s * 0.95 or gap_s > 1.0:
            found.append(point)
        else:
            found[-1] = _sum(last, point)
    return found


def _sum(one: Point, two: Point) -> Point:
    both = [point for point in (one, two) if point.p50_ms is not None]
    requests = sum(point.requests for point in both)
    middle = sum((point.p50_ms or 0) * point.requests for point in both) / requests if requests else None
    slow = [point.p99_ms for point in both if point.p99_ms is not None]
    return Point(
        two.at_s,
        one.seconds + two.seconds,
        one.requests + two.requests,
        one.faults + two.faults,
        middle,
        max(slow) if slow else None,
    )


# -- the lines of a panel: (class, [(from_s, to_s, value or None)])
Run = list[tuple[float, float, float | None]]
Series = dict[str, list[Point]]


def _rates(series: Series) -> list[tuple[str, Run]]:
    return [
        (role, [(p.at_s - p.seconds, p.at_s, p.requests / p.seconds if p.seconds else None) for p in points])
        for role, points in series.items()
    ]


def _faults(series: Series) -> list[tuple[str, Run]]:
    return [
        (role, [(p.at_s - p.seconds, p.at_s, 100 * p.faults / p.requests if p.requests else None) for p in points])
        for role, points in series.items()
    ]


def _times(series: Series) -> list[tuple[str, Run]]:
    slow = [(role, [(p.at_s - p.seconds, p.at_s, p.p99_ms) for p in points]) for role, points in series.items()]
    middle = [
        (f"{role} thin", [(p.at_s - p.seconds, p.at_s, p.p50_ms) for p in points]) for role, points in series.items()
    ]
    return [*middle, *slow]


def _panel(number: int, name: str, x_axis: Axis, runs: list[tuple[str, Run]]) -> Iterator[str]:
    top = _TOP + number * (_PANEL + _GAP)
    bottom = top + _PANEL
    values = [value for _, run in runs for _, _, value in run if value is not None]
    y_axis = spread_axis(values, bottom, top) if number == 2 else value_axis(values, bottom, top)
    yield f'<g><text class="name" x="{_LEFT}" y="{top - 8}">{escape(name)}</text>'
    for value, text in y_axis.ticks:
        y = y_axis.place(value)
        yield f'<line class="grid" x1="{_LEFT}" y1="{y:.1f}" x2="{WIDTH - _RIGHT}" y2="{y:.1f}"/>'
        yield f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
    if not values:
        yield f'<text x="{WIDTH / 2}" y="{(top + bottom) / 2}" text-anchor="middle">no data</text>'
    for role, run in runs:
        if path := _path(run, x_axis, y_axis):
            yield f'<path class="{role}" d="{path}"/>'
    yield f'<line class="frame" x1="{_LEFT}" y1="{bottom}" x2="{WIDTH - _RIGHT}" y2="{bottom}"/></g>'


def _path(run: Run, x_axis: Axis, y_axis: Axis) -> str:
    """Return the path of a line, with gaps where the value is unknown."""
    found: list[str] = []
    joined = False
    ended_s = 0.0
    for since_s, until_s, value in run:
        if value is not None:
            going_on = joined and since_s - ended_s < 1.0
            y = y_axis.place(value)
            found.append(f"{'L' if going_on else 'M'}{x_axis.place(since_s):.1f} {y:.1f}H{x_axis.place(until_s):.1f}")
        joined, ended_s = value is not None, until_s
    return "".join(found)


def _legend(data: ChartData) -> Iterator[str]:
    x = float(_LEFT)
    for role, name in (("left", f"{data.left[0]} (rolled back)"), ("back", f"{data.back[0]} (rolled back to)")):
        yield f'<line class="{role}" x1="{x:.0f}" y1="14" x2="{x + 22:.0f}" y2="14"/>'
        yield f'<text x="{x + 28:.0f}" y="18">{escape(shorten(name, 60))}</text>'
        x += 52 + _CHAR * len(shorten(name, 60))


def _trouble_band(data: ChartData, x_axis: Axis) -> Iterator[str]:
    if data.fault_period_s is None:
        return
    start, end = (x_axis.place(at_s) for at_s in data.fault_period_s)
    for number in range(3):
        top = _TOP + number * (_PANEL + _GAP)
        width = max(end - start, 1.5)
        yield f'<rect class="trouble" x="{start:.1f}" y="{top}" width="{width:.1f}" height="{_PANEL}"/>'


def _marks(data: ChartData, x_axis: Axis) -> Iterator[str]:
    """Yield vertical lines through all panels, with labels.

    A label stands to the left of its line before the decision and to the right after it. The line nearest to the decision
    has the highest row, so no line crosses the label of another one.
    """
    seen = [mark for mark in data.marks if data.since_s <= mark.at_s <= data.until_s]
    before = [mark for mark in seen if mark.at_s < 0 and not mark.strong]
    after = [mark for mark in seen if mark not in before]
    for marks, side in ((sorted(before, key=lambda m: -m.at_s), -1), (sorted(after, key=lambda m: m.at_s), 1)):
        ends: list[float | None] = [None] * _ROWS
        for mark in marks:
            x, text = x_axis.place(mark.at_s), shorten(mark.label, _LABEL_CHARS_MAX)
            free = (row for row, end in enumerate(ends) if end is None or (x - end) * side > 0)
            row = next(free, _ROWS - 1)
            ends[row] = x + side * (_CHAR * len(text) + 12)
            yield _mark(mark, text, x, 40 + 14 * row, side)


def _mark(mark: ChartMark, text: str, x: float, y: float, side: int) -> str:
    kind, anchor = ("mark strong" if mark.strong else "mark"), ("start" if side > 0 else "end")
    return (
        f'<line class="{kind}" x1="{x:.1f}" y1="{y - 9}" x2="{x:.1f}" y2="{HEIGHT - _BOTTOM}"/>'
        f'<text x="{x + 5 * side:.1f}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'
    )


def _x_labels(x_axis: Axis) -> Iterator[str]:
    y = HEIGHT - _BOTTOM
    for at_s, text in x_axis.ticks:
        x = x_axis.place(at_s)
        yield f'<line class="frame" x1="{x:.1f}" y1="{y}" x2="{x:.1f}" y2="{y + 4}"/>'
        yield f'<text x="{x:.1f}" y="{y + 17}" text-anchor="middle">{text}</text>'
    yield f'<text x="{(_LEFT + WIDTH - _RIGHT) / 2}" y="{y + 35}" text-anchor="middle">time from the decision</text>'


def _described(data: ChartData, bin_s: int) -> str:
    marks = "; ".join(f"{mark.label} at {mark.at_s:+.1f} s" for mark in sorted(data.marks, key=lambda mark: mark.at_s))
    return (
        f"Three charts over the time from {data.since_s:.0f} s to {data.until_s:+.0f} s around the decision, for "
        f"{data.left[0]} and {data.back[0]}: requests per second, faults in per cent of requests, first-byte times in "
        f"milliseconds; steps of {bin_s} s or more. Marks: {marks}. The table below has the figures."
    )


def escape(text: str) -> str:
    """Return `text` escaped for XML. Control characters become printable: XML forbids them in any form."""
    return html.escape(printable(text))
