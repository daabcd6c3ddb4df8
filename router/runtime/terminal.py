"""A console of rich that prints text from outside as plain text: no control characters, no markup, no emoji codes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from router.runtime.printable import printable, printable_lines


class PrintableConsole(Console):
    """Escapes every text before the layout, so that widths are right. A `str` is one line, a `Text` may have several lines."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"markup": False, "emoji": False, "highlight": False, **options})

    def render_str(self, text: str, **options: Any) -> Text:
        """Return `text` as one line."""
        return super().render_str(printable(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render an argument of `print`, and every part of it."""
        if isinstance(renderable, Text):
            escaped = printable_lines(renderable.plain)
            if escaped != renderable.plain:
                renderable = Text(
                    escaped, style=renderable.style, justify=renderable.justify, end=printable_lines(renderable.end)
                )
        return super().render(renderable, options)

    def on_broken_pipe(self) -> None:
        """Let the command end quietly (cli/app.py); rich would end the process."""
        raise BrokenPipeError
