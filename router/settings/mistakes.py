"""A mistake in the settings, with its place, and the error that carries all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from router.errors import StartError
from router.errors.codes import StartCode


@dataclass(frozen=True, slots=True)
class Mistake:
    """`setting`: the dotted name, empty if `text` names it. `text`: what is wrong, and the remedy; it has no secret.

    Where it stands: at `line` and `column` of `file`, both from 1, or 0 if the file has no such place; in the environment
    variable `variable`; or in `origin`, for example "the flags".
    """

    setting: str
    text: str
    file: str = ""
    line: int = 0
    column: int = 0
    variable: str = ""
    origin: str = "the settings"
    code: StartCode = StartCode.SETTINGS_INVALID

    @property
    def where(self) -> str:
        """FILE:LINE:COLUMN as compilers write it and editors follow it, or the variable."""
        if self.variable:
            return f"environment variable {self.variable}"
        if not self.file:
            return self.origin
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"

    def as_json(self) -> dict[str, Any]:
        """Return the members of a JSON document; what is unknown is None."""
        return {
            "file": self.file or None,
            "line": self.line or None,
            "column": self.column or None,
            "variable": self.variable or None,
            "setting": self.setting or None,
            "detail": self.text,
        }


class SettingsError(StartError):
    """The settings cannot be used. `detail` has all mistakes in one line, `mistakes` one by one."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        codes = {mistake.code for mistake in mistakes}
        code = codes.pop() if len(codes) == 1 else StartCode.SETTINGS_INVALID
        super().__init__(code, "; ".join(map(str, mistakes)))
        self.mistakes = tuple(mistakes)
