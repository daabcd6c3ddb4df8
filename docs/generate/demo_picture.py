"""Records the demo and draws it as an animated SVG: `python -m docs.generate.demo_picture`.

The demo runs for real. Its terminal is read at most twice a second. The picture plays in the time of the demo, except that
a pause of more than a second takes a second, and then holds the last frame. A viewer that does not animate, or that asks
for reduced motion, shows the last frame alone.
"""

from __future__ import annotations

import asyncio
import io
import sys
import tempfile
from dataclasses import dataclass
from html import escape
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, Final

from rich.color import ColorType
from rich.console import Console, RenderableType
from rich.segment import Segment
from rich.style import Style
from rich.terminal_theme import MONOKAI
from rich.text import Text

from router.demo.command import Demo
from router.demo.display import Display
from router.demo.report import DemoReport
from router.runtime import clock

PICTURE: Final = Path(__file__).parent.parent / "img" / "demo.svg"
COLUMNS: Final = 100
ROWS: Final = 11
COMMAND: Final = "$ bash router/demo/run"

_FRAME_EVERY_S: Final = 0.5
_PAUSE_MAX_S: Final = 1.0
_HOLD_S: Final = 8.0
_CHARACTER: Final = (8.4, 18)
"""Width and height of a character in px, at a font size of 14 px."""
_MARGIN: Final = 16
_BACKGROUND: Final = "#16181d"
_FOREGROUND: Final = "#d8dae0"


@dataclass(frozen=True, slots=True)
class Frame:
    """What the terminal shows from `at_s` on, in seconds since the demo began: lines of segments."""

    at_s: float
    lines: list[list[Segment]]


class RecordingDisplay(Display):
    """Keeps what the demo's live table would show."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self._terminal = Console(width=COLUMNS, force_terminal=True, color_system="truecolor", file=io.StringIO())
        super().__init__(self._terminal, headless=True)
        self._began_s = clock.now_s()

    def announce(self, text: str) -> None:
        """Keep a frame for every step, however short the step is."""
        super().announce(text)
        self.keep(self.render())

    def show(self, document: dict[str, Any]) -> None:
        """Keep a frame of the table, unless there is one of the last moment."""
        super().show(document)
        if self._elapsed_s() - self.frames[-1].at_s >= _FRAME_EVERY_S:
            self.keep(self.render())

    def keep(self, shown: RenderableType) -> None:
        """Keep `shown` as the next frame."""
        lines = self._terminal.render_lines(shown, pad=False)
        self.frames.append(Frame(self._elapsed_s(), lines))

    def _elapsed_s(self) -> float:
        return clock.now_s() - self._began_s


def record() -> tuple[list[Frame], DemoReport]:
    """Run the demo with server errors; return its frames, the last of which has the report."""
    with tempfile.TemporaryDirectory(prefix="rollback-router-demo-") as folder:
        display = RecordingDisplay()
        report = asyncio.run(Demo("errors", Path(folder), display).run())
    last = display.frames[-1].lines[1:]
    sentence = Console(width=COLUMNS).render_lines(Text(report.sentence()), pad=False)
    display.frames.append(Frame(display.frames[-1].at_s + _FRAME_EVERY_S, [*last, *sentence]))
    return display.frames, report


def draw(frames: list[Frame]) -> str:
    """Return the animated SVG of `frames`."""
    lengths = [min(_PAUSE_MAX_S, after.at_s - frame.at_s) for frame, after in pairwise(frames)]
    begins = list(accumulate(lengths, initial=0.0))
    total_s = begins[-1] + _HOLD_S
    rules = "\n".join(_animation(number, *both, total_s) for number, both in enumerate(pairwise([*begins, total_s])))
    groups = "\n".join(_group(number, frame) for number, frame in enumerate(frames))
    width, height = COLUMNS * _CHARACTER[0] + 2 * _MARGIN, (ROWS + 1) * _CHARACTER[1] + 2 * _MARGIN
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img" aria-labelledby="title">
<title id="title">The demo: version demo-v2 is promoted, fails, and is rolled back to demo-v1</title>
<style>
text {{ font: 14px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; white-space: pre; fill: {_FOREGROUND} }}
g {{ opacity: 0 }}
#f{len(frames) - 1} {{ opacity: 1 }}
@media (prefers-reduced-motion: no-preference) {{
{rules}
}}
</style>
<rect width="100%" height="100%" rx="8" fill="{_BACKGROUND}"/>
<text x="{_MARGIN}" y="{_MARGIN + 12}" fill-opacity="0.7">{escape(COMMAND)}</text>
{groups}
</svg>
"""


def _animation(number: int, begin_s: float, end_s: float, total_s: float) -> str:
    """Return the rule that shows frame `number` between two moments of each round."""
    begin, end = 100 * begin_s / total_s, 100 * end_s / total_s
    steps = f"0% {{ opacity: {int(begin == 0)} }} {begin:.2f}% {{ opacity: 1 }} {end:.2f}% {{ opacity: 0 }}"
    if end >= 100:
        steps = f"0% {{ opacity: 0 }} {begin:.2f}% {{ opacity: 1 }} 100% {{ opacity: 1 }}"
    return f"#f{number} {{ animation: a{number} {total_s:.1f}s step-end infinite }} @keyframes a{number} {{ {steps} }}"


def _group(number: int, frame: Frame) -> str:
    lines = "\n".join(_line(row, segments) for row, segments in enumerate(frame.lines) if segments)
    return f'<g id="f{number}">\n{lines}\n</g>'


def _line(row: int, segments: list[Segment]) -> str:
    y = _MARGIN + 12 + (row + 1) * _CHARACTER[1]
    length = sum(len(segment.text) for segment in segments) * _CHARACTER[0]
    spans = "".join(_span(segment) for segment in segments)
    return f'<text x="{_MARGIN}" y="{y}" textLength="{length:.1f}">{spans}</text>'


def _span(segment: Segment) -> str:
    text, style = escape(segment.text, quote=False), segment.style or Style()
    attributes = ""
    if style.color is not None and style.color.type is not ColorType.DEFAULT:
        attributes += f' fill="{style.color.get_truecolor(MONOKAI).hex}"'
    attributes += ' font-weight="bold"' if style.bold else ""
    attributes += ' fill-opacity="0.6"' if style.dim else ""
    return f"<tspan{attributes}>{text}</tspan>" if attributes else text


def main() -> int:
    """Record the demo and write the picture, unless the demo failed."""
    frames, report = record()
    if not report.good:
        sys.stderr.write(f"the picture stays as it is: {report.sentence()}\n")
        return 1
    PICTURE.write_text(draw(frames), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
