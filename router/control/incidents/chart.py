"""The picture of a rollback: requests, faults and first-byte times of both versions around the decision, as one SVG.

Pure: numbers in, text out. Colours are classes, so that light, dark and paper each have their own; orange and blue are told
apart by nearly everybody, and whatever is drawn stands in the report's table as well.
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
"""Width of a character of a mark's label, pixels; a little more than the fonts that browsers take."""
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
    """A stretch of one version that ended `at_s` seconds after the decision (before it: negative)."""

    at_s: float
    seconds: float
    requests: float
    faults: float
    p50_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True)
class ChartMark:
    """A moment. `strong`: the decision itself."""

    at_s: float
    label: str
    strong: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """What is drawn. `left` is the version that was left, `back` the one gone back to; `trouble_s` is (from, to)."""

    title: str
    left: tuple[str, Sequence[Point]]
    back: tuple[str, Sequence[Point]]
    marks: Sequence[ChartMark]
    since_s: float
    until_s: float
    trouble_s: tuple[float, float] | None = None


def chart(picture: Picture, *, alone: bool = False) -> str:
    """Return the SVG; `alone`: with its own style, for a file of its own."""
    across = time_axis(picture.since_s, picture.until_s, _LEFT, WIDTH - _RIGHT)
    left, back = (_within(points, picture) for _, points in (picture.left, picture.back))
    bin_s = _bin_s([*left, *back])
    drawn = {"left": binned(left, bin_s), "back": binned(back, bin_s)}
    parts = [
        f'<svg class="windows" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" role="img" aria-labelledby="windows-title windows-desc">',
        f'<title id="windows-title">{escape(picture.title)}</title>',
        f'<desc id="windows-desc">{escape(_described(picture, bin_s))}</desc>',
        f"<style>{STYLE}</style>" if alone else "",
        *_legend(picture),
        *_trouble(picture, across),
        *_panel(0, "requests/s", across, drawn, _rates(drawn)),
        *_panel(1, "faults, % of requests", across, drawn, _faults(drawn)),
        *_panel(2, "first byte, ms: p99, dashed p50", across, drawn, _times(drawn)),
        *_marks(picture, across),
        *_beneath(across),
        "</svg>",
    ]
    return "\n".join(part for part in parts if part)


def _within(points: Sequence[Point], picture: Picture) -> list[Point]:
    return [
        point for point in points if picture.since_s <= point.at_s and point.at_s - point.seconds <= picture.until_s
    ]


def _bin_s(points: list[Point]) -> int:
    """Return how many seconds a step of the picture has: enough for some requests, else rates are only noise."""
    seconds = sum(point.seconds for point in points)
    rate = sum(point.requests for point in points) / seconds if seconds else 0
    return next((size for size in _BINS_S if rate * size >= _REQUESTS_A_BIN), _BINS_S[-1])


def binned(points: Sequence[Point], bin_s: float) -> list[Point]:
    """Return `points` with neighbours put together until each has `bin_s` seconds."""
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


# -- what is drawn in a panel: (class, [(from_s, to_s, value or None)]) for each line, and its axis
Run = list[tuple[float, float, float | None]]
Drawn = dict[str, list[Point]]


def _rates(drawn: Drawn) -> list[tuple[str, Run]]:
    return [
        (role, [(p.at_s - p.seconds, p.at_s, p.requests / p.seconds if p.seconds else None) for p in points])
        for role, points in drawn.items()
    ]


def _faults(drawn: Drawn) -> list[tuple[str, Run]]:
    return [
        (role, [(p.at_s - p.seconds, p.at_s, 100 * p.faults / p.requests if p.requests else None) for p in points])
        for role, points in drawn.items()
    ]


def _times(drawn: Drawn) -> list[tuple[str, Run]]:
    slow = [(role, [(p.at_s - p.seconds, p.at_s, p.p99_ms) for p in points]) for role, points in drawn.items()]
    middle = [
        (f"{role} thin", [(p.at_s - p.seconds, p.at_s, p.p50_ms) for p in points]) for role, points in drawn.items()
    ]
    return [*middle, *slow]


def _panel(number: int, name: str, across: Axis, drawn: Drawn, runs: list[tuple[str, Run]]) -> Iterator[str]:
    top = _TOP + number * (_PANEL + _GAP)
    bottom = top + _PANEL
    values = [value for _, run in runs for _, _, value in run if value is not None]
    upright = spread_axis(values, bottom, top) if number == 2 else value_axis(values, bottom, top)
    yield f'<g><text class="name" x="{_LEFT}" y="{top - 8}">{escape(name)}</text>'
    for value, text in upright.ticks:
        y = upright.place(value)
        yield f'<line class="grid" x1="{_LEFT}" y1="{y:.1f}" x2="{WIDTH - _RIGHT}" y2="{y:.1f}"/>'
        yield f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
    if not values:
        yield f'<text x="{WIDTH / 2}" y="{(top + bottom) / 2}" text-anchor="middle">nothing is known</text>'
    for role, run in runs:
        if path := _path(run, across, upright):
            yield f'<path class="{role}" d="{path}"/>'
    yield f'<line class="frame" x1="{_LEFT}" y1="{bottom}" x2="{WIDTH - _RIGHT}" y2="{bottom}"/></g>'


def _path(run: Run, across: Axis, upright: Axis) -> str:
    """Return the steps of a line; it is interrupted where nothing is known."""
    found: list[str] = []
    joined = False
    ended_s = 0.0
    for since_s, until_s, value in run:
        if value is not None:
            going_on = joined and since_s - ended_s < 1.0
            y = upright.place(value)
            found.append(f"{'L' if going_on else 'M'}{across.place(since_s):.1f} {y:.1f}H{across.place(until_s):.1f}")
        joined, ended_s = value is not None, until_s
    return "".join(found)


def _legend(picture: Picture) -> Iterator[str]:
    x = float(_LEFT)
    for role, name in (("left", f"{picture.left[0]} (rolled back)"), ("back", f"{picture.back[0]} (gone back to)")):
        yield f'<line class="{role}" x1="{x:.0f}" y1="14" x2="{x + 22:.0f}" y2="14"/>'
        yield f'<text x="{x + 28:.0f}" y="18">{escape(shorten(name, 60))}</text>'
        x += 52 + _CHAR * len(shorten(name, 60))


def _trouble(picture: Picture, across: Axis) -> Iterator[str]:
    if picture.trouble_s is None:
        return
    start, end = (across.place(at_s) for at_s in picture.trouble_s)
    for number in range(3):
        top = _TOP + number * (_PANEL + _GAP)
        width = max(end - start, 1.5)
        yield f'<rect class="trouble" x="{start:.1f}" y="{top}" width="{width:.1f}" height="{_PANEL}"/>'


def _marks(picture: Picture, across: Axis) -> Iterator[str]:
    """Vertical lines through all panels. What comes before the decision is named to the left of its line, the rest to the
    right, the nearest in the highest row: so no line goes through the name of another one.
    """
    seen = [mark for mark in picture.marks if picture.since_s <= mark.at_s <= picture.until_s]
    before = [mark for mark in seen if mark.at_s < 0 and not mark.strong]
    after = [mark for mark in seen if mark not in before]
    for marks, side in ((sorted(before, key=lambda m: -m.at_s), -1), (sorted(after, key=lambda m: m.at_s), 1)):
        ends: list[float | None] = [None] * _ROWS
        for mark in marks:
            x, text = across.place(mark.at_s), shorten(mark.label, _LABEL_CHARS_MAX)
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


def _beneath(across: Axis) -> Iterator[str]:
    y = HEIGHT - _BOTTOM
    for at_s, text in across.ticks:
        x = across.place(at_s)
        yield f'<line class="frame" x1="{x:.1f}" y1="{y}" x2="{x:.1f}" y2="{y + 4}"/>'
        yield f'<text x="{x:.1f}" y="{y + 17}" text-anchor="middle">{text}</text>'
    yield f'<text x="{(_LEFT + WIDTH - _RIGHT) / 2}" y="{y + 35}" text-anchor="middle">time from the decision</text>'


def _described(picture: Picture, bin_s: int) -> str:
    marks = "; ".join(
        f"{mark.label} at {mark.at_s:+.1f} s" for mark in sorted(picture.marks, key=lambda mark: mark.at_s)
    )
    return (
        f"Three charts over the time from {picture.since_s:.0f} s to {picture.until_s:+.0f} s around the decision, for "
        f"{picture.left[0]} and {picture.back[0]}: requests per second, faults in per cent of requests, first-byte times in "
        f"milliseconds; steps of {bin_s} s or more. Marks: {marks}. The table below has the figures."
    )


def escape(text: str) -> str:
    """Return `text` as XML that shows it; XML has no place for control characters, however they are written."""
    return html.escape(printable(text))
