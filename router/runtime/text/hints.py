"""Commands in texts for users, complete and quoted, so that they can be pasted into a shell.

A template has its commands in backticks, without the program's name, and placeholders in capitals:

    Hints(service="fraud").text("`retire VERSION --cut`   (ends what it still serves)", VERSION="v1")
    rollback-router retire v1 --cut --service fraud   (ends what it still serves)

A command whose first word is `…` is the command that the user has typed, with the words behind it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

PROGRAM: Final = "rollback-router"
AGAIN: Final = "…"
LOCAL: Final = frozenset(
    ("run", "demo", "completion", "complete", "config check", "config show", "config init", "token")
)
"""The commands that call no running router. `--help` of any other one lists `--admin`."""
WITH_SERVICE: Final = frozenset(
    """acceptance advise alerts cases check deploy drill endpoints explain freeze incidents inputs journal promote proposals
    quarantine register release report retire rollback status switch unfreeze versions""".split()  # noqa: SIM905
)
"""The commands that take `--service`; of a group its first word."""
_COMMAND: Final = re.compile("`([^`]+)`")
_SECRET: Final = "--token"


@dataclass(frozen=True, slots=True)
class Hints:
    """Makes commands for one router and, where `service` is not empty, for one of its services.

    `options` reach the router. `typed` are the words of the user's command, without the program's name.
    """

    service: str = ""
    options: tuple[str, ...] = ()
    typed: tuple[str, ...] = ()
    values: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    """By placeholder: one word, or several."""

    def of(self, service: str) -> Hints:
        """Return the same for another service."""
        return replace(self, service=service)

    def text(self, template: str, **values: str | Sequence[str]) -> str:
        """Return the template with its commands complete. `values` replace placeholders; they win over those of the object."""
        known = {**self.values, **values}
        return _COMMAND.sub(lambda match: self._command(match[1].split(), known), template)

    def command(self, template: str, **values: str | Sequence[str]) -> str:
        """Return one command, whose template has no backticks."""
        return self._command(template.split(), {**self.values, **values})

    def _command(self, words: Sequence[str], values: Mapping[str, str | Sequence[str]]) -> str:
        made: list[str] = []
        for word in words:
            value = values.get(word) or word
            made += [value] if isinstance(value, str) else value
        if made[0] == AGAIN:
            return shlex.join((PROGRAM, *without_secret(self.typed), *made[1:]))
        return shlex.join((PROGRAM, *made, *self._options(made)))

    def _options(self, words: Sequence[str]) -> list[str]:
        if {words[0], " ".join(words[:2])} & LOCAL and "--running" not in words:
            return []
        named = words[0] in WITH_SERVICE and self.service and "--service" not in words
        service = ["--service", self.service] if named else []
        return [*service, *([] if "--admin" in words else self.options)]


def without_secret(words: Sequence[str]) -> list[str]:
    """Return the words of a command with a placeholder in the place of the token."""
    found = ["TOKEN" if before == _SECRET else word for before, word in zip(("", *words), words, strict=False)]
    return [f"{_SECRET}=TOKEN" if word.startswith(f"{_SECRET}=") else word for word in found]
