"""An SVG chart: per work a panel, per peer a dot at its cost ÷ the router's with the 95 % interval, on a log scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Final

from benchmarks.figures import Interval

WIDTH: Final = 910
LEFT: Final = 130
RIGHT: Final = 640
ROW: Final = 20
TOP: Final = 64
GAP: Final = 52
MARKS: Final = (0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)
Row = tuple[str, Interval, str]


def position(ratio: float, low: float, high: float) -> float:
    """Return the x of a ratio when the axis runs from low to high; what is outside stands at its end."""
    share = (math.log(ratio) - math.log(low)) / (math.log(high) - math.log(low))
    return round(LEFT + (RIGHT - LEFT) * min(max(share, 0.0), 1.0), 1)


def axis(panels: Sequence[tuple[str, Sequence[Row]]]) -> tuple[float, float]:
    """Return the marks between which everything lies, at least 0.5 to 2."""
    values = [bound for _, rows in panels for _, ratio, _ in rows for bound in (ratio.low, ratio.high)]
    low = max((mark for mark in MARKS if mark <= min(values, default=1)), default=MARKS[0])
    high = min((mark for mark in MARKS if mark >= max(values, default=1)), default=MARKS[-1])
    return min(low, 0.5), max(high, 2)


def draw(panels: Sequence[tuple[str, Sequence[Row]]], subtitle: str) -> str:
    """Return the SVG document."""
    panels = [(title, rows) for title, rows in panels if rows]
    low, high = axis(panels)
    marks = [mark for mark in MARKS if low <= mark <= high]
    height = TOP + sum(GAP + ROW * len(rows) for _, rows in panels) + 16
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="12" fill="#222">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        '<text x="16" y="24" font-size="16" font-weight="bold">Cost ÷ the router\'s cost: right of 1 costs more</text>',
        f'<text x="16" y="42" fill="#666">{escape(subtitle)}</text>',
    ]
    y = TOP
    for title, rows in panels:
        parts += _panel(title, rows, y, marks, (low, high))
        y += GAP + ROW * len(rows)
    return "\n".join([*parts, "</svg>", ""])


def _panel(title: str, rows: Sequence[Row], top: int, marks: Sequence[float], ends: tuple[float, float]) -> list[str]:
    first = top + 24
    bottom = first + ROW * len(rows)
    parts = [f'<text x="16" y="{top + 12}" font-weight="bold">{escape(title)}</text>']
    for mark in marks:
        x = position(mark, *ends)
        colour = "#444" if mark == 1 else "#ddd"
        parts.append(f'<line x1="{x}" y1="{first}" x2="{x}" y2="{bottom}" stroke="{colour}"/>')
        parts.append(f'<text x="{x}" y="{bottom + 13}" text-anchor="middle" font-size="10" fill="#666">{mark:g}</text>')
    for number, (name, ratio, words) in enumerate(rows):
        y = first + ROW * number + ROW // 2
        x, x1, x2 = (position(value, *ends) for value in (ratio.median, ratio.low, ratio.high))
        colour = "#0a7d4f" if name == "router" else "#2b5fb3"
        parts.append(f'<text x="{LEFT - 10}" y="{y + 4}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<line x1="{x1}" y1="{y}" x2="{x2}" y2="{y}" stroke="{colour}" stroke-width="3" opacity="0.5"/>')
        parts.append(f'<circle cx="{x}" cy="{y}" r="4.5" fill="{colour}"/>')
        note = f"× {ratio.median:.2f} · {words}"
        parts.append(f'<text x="{RIGHT + 14}" y="{y + 4}">{escape(note)}</text>')
    return parts
