"""The candidates for a word of a command line: commands, options, and names that the running router knows.

The router is asked with a short time limit. After any error there are no candidates and no message. Names that hold
unprintable characters are left out.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from router.cli.client import Client
from router.cli.options import USAGE_ERROR, RouterOptions
from router.errors import RouterError
from router.runtime.printable import printable

TIMEOUT_S: Final = 0.5
FILES: Final = ("FILE", "DIR", "COPY")
"""Values of options and arguments that are paths."""


class RouterNames:
    """What the router of a command line knows; `service` narrows it to one service."""

    def __init__(self, client: Client, service: str) -> None:
        self._client = client
        self._service = service

    def services(self) -> Iterable[str]:
        """Return the names of the services."""
        return self._client.get("/v1/status")["services"]  # type: ignore[no-any-return]

    def targets(self, wanted: Callable[[dict[str, Any]], bool]) -> Iterable[str]:
        """Return the labels of the versions that hold a slot and are wanted."""
        services = self._client.status(self._service)["services"].values()
        return [target["version"] for service in services for target in service["targets"] if wanted(target)]

    def versions(self, wanted: Callable[[dict[str, Any]], bool]) -> Iterable[str]:
        """Return the labels of all known versions that are wanted."""
        records = self._client.get("/v1/versions")["versions"]
        return [one["version"] for one in records if self._service in ("", one["service"]) and wanted(one)]

    def incidents(self) -> Iterable[str]:
        """Return the ids of the incidents."""
        return [one["id"] for one in self._client.get("/v1/incidents")["incidents"]]

    def proposals(self) -> Iterable[str]:
        """Return the ids of the proposals that wait for a decision."""
        return [one["id"] for one in self._client.get("/v1/proposals?state=pending")["proposals"]]

    def cases(self) -> Iterable[str]:
        """Return the ids of the service's cases."""
        return [one["id"] for one in self._client.get(f"{self._client.service(self._service)}/cases")["cases"]]

    def channels(self) -> Iterable[str]:
        """Return the names of the notification channels."""
        return [one["channel"] for one in self._client.get("/v1/notify")["channels"]]


_BY_NAME: Final[dict[str, Callable[[RouterNames], Iterable[str]]]] = {
    "service": RouterNames.services,
    "name": RouterNames.services,
    "incident": RouterNames.incidents,
    "proposal": RouterNames.proposals,
    "case": RouterNames.cases,
    "only": RouterNames.cases,
    "channel": RouterNames.channels,
    "from_version": lambda known: known.targets(lambda target: target["role"] == "active"),
}
_BY_COMMAND: Final[dict[str, Callable[[RouterNames], Iterable[str]]]] = {
    "promote": lambda known: known.targets(lambda target: target["role"] == "candidate"),
    "switch": lambda known: known.targets(lambda target: target["role"] != "active"),
    "retire": lambda known: known.targets(lambda target: target["role"] != "active"),
    "endpoints": lambda known: known.targets(lambda target: True),
    "release": lambda known: known.versions(lambda version: bool(version["quarantine"])),
    "quarantine": lambda known: known.versions(lambda version: not version["quarantine"]),
    "versions": lambda known: known.versions(lambda version: True),
    "check": lambda known: known.versions(lambda version: True),
}
"""Which versions a command takes; `deploy` and `register` take new ones."""


def split(line: str) -> tuple[list[str], str]:
    """Return the words behind the program's name, and the word that is being typed (it may be empty)."""
    for closing in ("", "'", '"'):
        try:
            words = shlex.split(line + closing)
        except ValueError:
            continue
        if not words or (not closing and line[-1:].isspace()):
            words.append("")
        return words[1:-1], words[-1]
    return [], ""


def candidates(root: Any, words: Sequence[str], typed: str) -> tuple[list[str], bool]:
    """Return the candidates that begin with `typed`, and whether paths are wanted; `root` is the parser of all commands."""
    try:
        return _candidates(root, words, typed)
    except USAGE_ERROR:  # the words before it are wrong
        return [], False


def _candidates(root: Any, words: Sequence[str], typed: str) -> tuple[list[str], bool]:
    command, context, left = root, None, list(words)
    while True:
        context = command.make_context(command.name, list(left), parent=context, resilient_parsing=True)
        rest = [*context._protected_args, *context.args] if hasattr(command, "commands") else []
        if not rest:
            break
        if rest[0] not in command.commands:
            return [], False
        command, left = command.commands[rest[0]], rest[1:]
    option, equals, value = typed.partition("=")
    if equals and (named := _option(command, option)) is not None:
        found, paths = _values(named, command, context, value)
        return [f"{option}={name}" for name in found], paths
    last = _option(command, left[-1]) if left else None
    if last is not None and not last.is_flag:
        return _values(last, command, context, typed)
    if typed.startswith("-"):
        names = [name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)]
        return _beginning((name for name in names if name.startswith("--")), typed), False
    commands = _beginning(getattr(command, "commands", ()), typed)
    argument = _argument(command, context)
    found, paths = _values(argument, command, context, typed) if argument is not None else ([], False)
    return commands + found, paths


def _option(command: Any, word: str) -> Any:
    """Return the option with this name; None if there is none."""
    return next((parameter for parameter in command.params if word.startswith("-") and word in parameter.opts), None)


def _argument(command: Any, context: Any) -> Any:
    """Return the argument that the next word is for; None if there is none."""
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    return next((one for one in arguments if one.nargs == -1 or not context.params.get(one.name)), None)


def _values(parameter: Any, command: Any, context: Any, typed: str) -> tuple[list[str], bool]:
    if (parameter.metavar or "").strip("[]…") in FILES:
        return [], True
    kind = getattr(parameter, "type_descriptor", None) or getattr(parameter, "type", None)  # by the version of typer
    if choices := getattr(kind, "choices", None):
        return _beginning(map(str, choices), typed), False
    named = _BY_NAME.get(parameter.name)
    if named is None and parameter.name in ("version", "to"):
        named = _BY_COMMAND.get(command.name)
    if named is None:
        return [], False
    given = {name: context.params.get(name) or "" for name in ("admin", "token", "token_file", "service")}
    router = RouterOptions(**{name: given[name] for name in ("admin", "token", "token_file")})
    try:
        known = RouterNames(Client(router.admin, router.bearer(), TIMEOUT_S), given["service"])
        return _beginning(named(known), typed), False
    except (RouterError, KeyError, TypeError):
        return [], False


def _beginning(names: Iterable[str], typed: str) -> list[str]:
    return sorted({name for name in names if name.startswith(typed) and printable(name) == name})
