"""The options that several commands share, each described once."""

from __future__ import annotations

import re
from typing import Annotated, Final

import typer

from router.errors import CommandError
from router.errors.codes import CommandCode

AdminUrl = Annotated[
    str,
    typer.Option("--admin", envvar="ROLLBACK_ROUTER_ADMIN_URL", metavar="URL", help="Its admin API."),
]

Token = Annotated[
    str,
    typer.Option(envvar="ROLLBACK_ROUTER_TOKEN", metavar="TOKEN", help="Bearer token, if it asks for one."),
]

ServiceName = Annotated[
    str,
    typer.Option("--service", metavar="NAME", help="Which service; may be left out if there is one."),
]

SameService = Annotated[str, typer.Option("--service", metavar="NAME", help="The same as SERVICE.")]

AsJson = Annotated[bool, typer.Option("--json", help="Print the router's document as JSON.")]

Reason = Annotated[str, typer.Option("--reason", "-m", metavar="TEXT", help="Why; kept in the journal.")]

Override = Annotated[
    str,
    typer.Option(
        metavar="REASON", help="Go against a quarantine or a failed check; the reason and your name are journalled."
    ),
]

OverrideFor = Annotated[
    str,
    typer.Option(metavar="TIME", help="A quarantine that --override lifts is back after it, e.g. 2h."),
]

Artifact = Annotated[str, typer.Option(metavar="URI", help="Where its files are, e.g. s3://models/fraud/7.")]

DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen, change nothing.")]

IfGeneration = Annotated[
    int | None,
    typer.Option(metavar="N", help="Only if the route is still at this generation (see status)."),
]

FromVersion = Annotated[str, typer.Option("--from", metavar="VERSION", help="Only if this version is active.")]

Version = Annotated[str, typer.Argument(metavar="VERSION", help="The label of a model version, e.g. fraud-v7.")]

Endpoints = Annotated[
    list[str], typer.Argument(metavar="URL…", help="Where its replicas listen, e.g. http://10.0.0.7:8000.")
]

EndpointsIfNew = Annotated[
    list[str] | None,
    typer.Argument(metavar="[URL…]", help="Where its replicas listen; needed for a version that is not known yet."),
]

ConfigFile = Annotated[str, typer.Option("--config", metavar="FILE", help="The settings file (TOML).")]

ADMIN_DEFAULT: Final = "http://127.0.0.1:8081"

_UNITS_S: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}

_WRITTEN: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([smhd]?)")


def seconds(text: str) -> float:
    """Return `text` in seconds; raise Refusal (usage) if it is no duration."""
    match = _WRITTEN.fullmatch(text.strip())
    if match is None:
        detail = f"{text!r} is no length of time: write 90s, 15m, 2h or 7d"
        raise CommandError(CommandCode.DURATION_INVALID, detail)
    return float(match[1]) * _UNITS_S[match[2]]
