"""The options that several commands share, each described once. Options that come together are one class, a group.

A command takes a group as its first parameter, and is decorated with `with_shared`. The options of the group come last in
--help, in the reversed order of the fields: a derived group adds its fields at the end, and --help begins with them.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Annotated, Any, Final, get_type_hints

import typer

from router.cli import failure
from router.cli.client import Client, Document, actor
from router.errors import CommandError, RouterError
from router.errors.codes import CommandCode
from router.rollout.model.route import parse_generation
from router.runtime.text import secret_text
from router.runtime.text.hints import Hints
from router.settings import environment
from router.settings.environment import ADMIN_URL, TOKEN, TOKEN_FILE

USAGE_ERROR: Final[type[Exception]] = typer.BadParameter.__mro__[2]
"""click's ClickException: typer vendors click without exporting the class."""

SameService = Annotated[str, typer.Option("--service", metavar="NAME", help="The same as SERVICE.")]

OnlyService = Annotated[str, typer.Option("--service", metavar="NAME", help="Only this service.")]

AsJson = Annotated[bool, typer.Option("--json", help="Print the router's document as JSON.")]

Reason = Annotated[str, typer.Option("--reason", "-m", metavar="TEXT", help="The reason, for the journal.")]

Override = Annotated[
    str,
    typer.Option(
        metavar="REASON", help="Go against a quarantine or a failed check; the reason and your name are journalled."
    ),
]

Host = Annotated[
    str,
    typer.Option(metavar="HOST", help="Host of requests to this version, in the place of the client's."),
]

PathPrefix = Annotated[
    str,
    typer.Option(metavar="PATH", help="Path prefix of requests to this version, in the place of the service's."),
]

HeadersFile = Annotated[
    str,
    typer.Option(
        metavar="FILE",
        help="File on the router's machine with header fields for this version: 'Name: value' a line.",
    ),
]

Artifact = Annotated[str, typer.Option(metavar="URI", help="URI of the model's files, e.g. s3://models/fraud/7.")]

DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the change, and do not make it.")]

Version = Annotated[str, typer.Argument(metavar="VERSION", help="The label of a model version, e.g. fraud-v7.")]

Endpoints = Annotated[
    list[str], typer.Argument(metavar="URL…", help="The endpoints of the version, e.g. http://10.0.0.7:8000.")
]

EndpointsIfNew = Annotated[
    list[str] | None,
    typer.Argument(metavar="[URL…]", help="The endpoints of the version. Required for a new version."),
]

ConfigFile = Annotated[str, typer.Option("--config", metavar="FILE", help="The settings file (TOML).")]

DEFAULT_URL: Final = "http://127.0.0.1:8081"

_PLACES: Final = {
    "version": "VERSION",
    "to": "VERSION",
    "endpoints": "URL",
    "urls": "URL",
    "incident": "ID",
    "proposal": "ID",
    "case": "ID",
    "config": "FILE",
}
"""The placeholder of hints for which a parameter of the typed command stands."""

_UNITS_S: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}

_WRITTEN: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([smhd]?)")


def rewrite_members(host: str, path_prefix: str, headers_file: str) -> Document:
    """Return the members of a body that say how requests to a version differ from the client's; empty if none is given."""
    members = {"host": host, "path_prefix": path_prefix, "headers_file": headers_file}
    return {name: value for name, value in members.items() if value}


@dataclass(frozen=True)
class RouterOptions:
    """Which router a command calls."""

    token_file: Annotated[
        str,
        typer.Option(envvar=TOKEN_FILE, metavar="FILE", help="File with the bearer token."),
    ] = ""
    token: Annotated[
        str,
        typer.Option(envvar=TOKEN, metavar="TOKEN", help="Bearer token, if the admin API requires one."),
    ] = ""
    admin: Annotated[
        str,
        typer.Option(envvar=ADMIN_URL, metavar="URL", help="URL of the admin API."),
    ] = DEFAULT_URL

    @cached_property
    def client(self) -> Client:
        """Return a client of the router's admin API."""
        return Client(self.admin, self.bearer())

    def bearer(self) -> str:
        """Return the token, without the newline that tools add to it; raise CommandError that names the source."""
        try:
            source = TOKEN if self.token == environment.own(TOKEN) else "--token"
            named = self.token_file and self.token_file != environment.own(TOKEN_FILE)
            if self.token.strip() and not (named and source == TOKEN):  # a flag wins over the environment
                return secret_text.cleaned(self.token, source)
            return secret_text.from_file(self.token_file) if self.token_file else ""
        except OSError as error:
            detail = f"--token-file {self.token_file}: {error.strerror}"
        except ValueError as error:
            detail = str(error)
        raise CommandError(CommandCode.TOKEN_UNUSABLE, detail)

    @property
    def hints(self) -> Hints:
        """Return the maker of commands that reach the same router, and the same service if one was named."""
        named = {"--admin": (self.admin, ADMIN_URL, DEFAULT_URL), "--token-file": (self.token_file, TOKEN_FILE, "")}
        options: list[str] = []
        for option, (value, variable, default) in named.items():
            if value != (environment.own(variable) or default):
                options += [option, secret_text.masked_urls(value)]
        if self.token != (environment.own(TOKEN) or ""):
            options += ["--token", "TOKEN"]
        return Hints(service=getattr(self, "service", ""), options=tuple(options))


@dataclass(frozen=True)
class NamedServiceOptions(RouterOptions):
    """Which service of the router."""

    service: Annotated[
        str,
        typer.Option(metavar="NAME", help="The service. May be left out if there is only one."),
    ] = ""

    @cached_property
    def path(self) -> str:
        """Return the path of the service; ask the router for its name if none is given."""
        return self.client.service(self.service)


@dataclass(frozen=True)
class ReadOptions(NamedServiceOptions):
    """Shared by the commands that show a document of a service."""

    as_json: AsJson = False


@dataclass(frozen=True)
class ChangeOptions(ReadOptions):
    """Shared by the commands that change a service."""

    dry_run: DryRun = False

    def send(self, method: str, below: str, body: Document) -> Document:
        """Send a change to the path `below` the service; return the router's answer."""
        return self.client.change(method, f"{self.path}/{below}", body, dry_run=self.dry_run)


@dataclass(frozen=True)
class RouteChangeOptions(ChangeOptions):
    """Shared by the commands that change the route: its preconditions, too."""

    if_generation: Annotated[
        str,
        typer.Option(
            metavar="GENERATION", help="Only if the route is still at this generation (see status), e.g. 1.2."
        ),
    ] = ""
    from_version: Annotated[str, typer.Option("--from", metavar="VERSION", help="Only if this version is active.")] = ""

    def send(self, method: str, below: str, body: Document) -> Document:
        """Send a change with its preconditions; return the router's answer."""
        body = body | ({"from": self.from_version} if self.from_version else {})
        try:
            generation = parse_generation(self.if_generation) if self.if_generation else None
        except ValueError as error:
            raise CommandError(CommandCode.USAGE, f"--if-generation {error}") from None
        return self.client.change(method, f"{self.path}/{below}", body, dry_run=self.dry_run, generation=generation)


@dataclass(frozen=True)
class OverrideOptions(RouteChangeOptions):
    """Shared by the commands that a quarantine or a failed check can prevent: an override, too."""

    override_for: Annotated[
        str,
        typer.Option(metavar="TIME", help="Lift the quarantine for this time only, e.g. 2h."),
    ] = ""
    override: Override = ""

    def send(self, method: str, below: str, body: Document) -> Document:
        """Send a change with its preconditions and override; return the router's answer."""
        if self.override_for and not self.override:
            raise CommandError(CommandCode.OVERRIDE_MISSING, "--override-for needs --override REASON")
        lasting = {"expires_after_s": seconds(self.override_for)} if self.override_for else {}
        override = {"override": {"actor": actor(), "reason": self.override, **lasting}} if self.override else {}
        return super().send(method, below, body | override)


def with_shared(command: Callable[..., None]) -> Callable[..., None]:
    """Return `command` with the options of its first parameter's class after its own; it gets them as one object.

    An error of the command is reported with the next command to type, which names the same router and service.
    """
    signature = inspect.signature(command, eval_str=True)
    group, *own = signature.parameters.values()
    hints = get_type_hints(group.annotation, include_extras=True)
    shared = [
        inspect.Parameter(field.name, group.KEYWORD_ONLY, default=field.default, annotation=hints[field.name])
        for field in reversed(fields(group.annotation))
    ]
    wanted = [parameter.name for parameter in own if parameter.annotation is typer.Context]
    added = [] if wanted else [inspect.Parameter("context", group.KEYWORD_ONLY, annotation=typer.Context)]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        options = group.annotation(**{option.name: given.pop(option.name) for option in shared})
        context = given["context"] if wanted else given.pop("context")
        try:
            command(options, **given)
        except RouterError as error:
            as_json = given.get("as_json", getattr(options, "as_json", False))
            raise typer.Exit(failure.report(error, as_json, _hints(options, given, context))) from None

    run.__signature__ = signature.replace(parameters=[*own, *shared, *added])  # type: ignore[attr-defined]
    return run


def _hints(options: RouterOptions, given: Mapping[str, Any], context: typer.Context) -> Hints:
    """Return the maker of commands about what the user has typed: the same service, version, incident, …"""
    hints = options.hints
    values = {place: given[name] for name, place in _PLACES.items() if given.get(name)}
    typed = tuple(context.find_root().obj or ())
    return replace(
        hints, service=hints.service or given.get("service") or given.get("name") or "", typed=typed, values=values
    )


def seconds(text: str) -> float:
    """Return `text` in seconds; raise CommandError (usage) if it is no duration."""
    match = _WRITTEN.fullmatch(text.strip())
    if match is None:
        detail = f"{text!r} is no length of time: write 90s, 15m, 2h or 7d"
        raise CommandError(CommandCode.DURATION_INVALID, detail)
    return float(match[1]) * _UNITS_S[match[2]]
