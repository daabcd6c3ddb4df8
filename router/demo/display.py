"""The output of the running demo: a live table on a terminal, otherwise a line per step."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Final, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

_FAULTS: Final = ("server_error", "connect_failed", "timed_out", "truncated", "invalid")


class Display:
    """Shows steps and the service's document. `headless`: one line per step and no table."""

    def __init__(self, console: Console, headless: bool) -> None:
        self._console = console
        self._live = None if headless else Live(console=console, refresh_per_second=8, transient=False)
        self._step = ""
        self._note = ""
        self._document: dict[str, Any] = {}
        self._retired: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def announce(self, text: str) -> None:
        """Show a step. It replaces the one before."""
        self._step = text
        self._print(text)

    def note(self, text: str) -> None:
        """Show a line that stays below all steps."""
        self._note = text
        self._print(text)

    def _print(self, text: str) -> None:
        """Print a new line, or draw the table anew, which has it."""
        if self._live is None:
            self._console.print(text, soft_wrap=True)
        else:
            self._live.update(self.render())

    def show(self, document: dict[str, Any]) -> None:
        """Show the document of the service."""
        self._document = document
        for target in document["targets"]:
            self._retired[target["version"]] = {**target, "role": "–", "state": "retired", "windows": {}}
        if self._live is not None:
            self._live.update(self.render())

    def render(self) -> Group:
        """Return the present step, table, verdict and note."""
        verdict = self._document.get("verdict") or {}
        present = self._document.get("targets", [])
        versions = {target["version"] for target in present}
        left = [target for version, target in self._retired.items() if version not in versions]
        drawn = table([*present, *left])
        last = Text(f"verdict: {verdict.get('state', '–')}")
        progress = self._document.get("progress")
        if progress and progress["nothing_useful"]:
            last = Text(f"nothing useful for {progress['since_s']:.0f} s", style="bold red")
        noted = [Text(self._note)] if self._note else []
        return Group(Text(self._step, style="bold"), drawn, last, *noted)


def table(targets: Iterable[dict[str, Any]]) -> Table:
    """Return targets of a service's document as a table: version, role, requests/s, useful answers, errors, p50, p99."""
    drawn = Table("version", "role", "state")
    for title in ("requests/s", "useful", "errors", "p50 ms", "p99 ms"):
        drawn.add_column(title, justify="right", min_width=8)
    for target in targets:
        window = (target.get("windows") or {}).get("10s") or {}
        style = {"active": "bold green", "standby": "cyan", "candidate": "yellow"}.get(target["role"], "dim")
        drawn.add_row(
            target["version"],
            target["role"],
            str(target.get("state", "")),
            _number(window.get("requests_per_s")),
            _number(sum(work["useful"] for work in target.get("work", ()) if work["inference"]), digits=0),
            _number(sum(target["totals"]["outcomes"].get(outcome, 0) for outcome in _FAULTS), digits=0),
            _number(window.get("p50_ms")),
            _number(window.get("p99_ms")),
            style=style,
        )
    return drawn


def _number(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"
