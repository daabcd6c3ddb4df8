"""A console of rich on which nothing that a stranger wrote is more than text: no control character, no markup, no emoji code."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from router.runtime.printable import printable, printable_lines


class PrintableConsole(Console):
    """Escapes every text before it is laid out, so that widths are those of what is shown. A `str` is one line, a `Text` may
    have several.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"markup": False, "emoji": False, "highlight": False, **options})

    def render_str(self, text: str, **options: Any) -> Text:
        """Return `text` as one line."""
        return super().render_str(printable(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render what `print` was given, and every part of it."""
        if isinstance(renderable, Text):
            shown = printable_lines(renderable.plain)
            if shown != renderable.plain:
                renderable = Text(
                    shown, style=renderable.style, justify=renderable.justify, end=printable_lines(renderable.end)
                )
        return super().render(renderable, options)
