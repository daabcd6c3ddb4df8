"""The commands that start processes: run and demo."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import typer

from router.cli import output
from router.cli.first_settings import FIRST_FILE
from router.errors import CommandError
from router.errors.codes import CommandCode
from router.runtime.text.hints import Hints

app = typer.Typer()

EXAMPLE: Final = Hints().command("run --blue http://127.0.0.1:9001 --green http://127.0.0.1:9002")
NOTHING_TO_ROUTE: Final = f"run needs your model servers, for example: {EXAMPLE}"
NOT_READ: Final = f"run reads no file by itself: {Hints().command(f'run --config {FIRST_FILE}')}"
SERVICE: Final = "default"


Probe = Annotated[
    str,
    typer.Option(
        metavar="PATH|none",
        help="Path of the health probe, sent each second. A status below 500 is good. Default /.",
    ),
]

Listen = Annotated[
    str, typer.Option(metavar="HOST:PORT|unix:/PATH", help="Address for clients. Default 127.0.0.1:8080.")
]

AdminListen = Annotated[
    str, typer.Option(metavar="HOST:PORT|unix:/PATH", help="Address of the admin API. Default 127.0.0.1:8081.")
]

Workers = Annotated[
    int | None, typer.Option(metavar="N", help="Number of worker processes. Default: the number of usable cores.")
]

Observe = Annotated[
    bool, typer.Option("--observe", help="Every rule only observes: nothing is rolled back automatically.")
]

AssumeActive = Annotated[str, typer.Option(metavar="VERSION", help="With --journal-from: the version to make active.")]

JournalFrom = Annotated[str, typer.Option(metavar="COPY", help="Begin from this readable copy of a damaged journal.")]


@app.command()
def run(
    blue: Annotated[str, typer.Option(metavar="URL[,URL]", help="Endpoints of the active version.")] = "",
    green: Annotated[str, typer.Option(metavar="URL[,URL]", help="Endpoints of the standby.")] = "",
    probe: Probe = "",
    config: Annotated[str, typer.Option(metavar="FILE", help="The settings file (TOML). Flags override it.")] = "",
    listen: Listen = "",
    admin: AdminListen = "",
    workers: Workers = None,
    state_dir: Annotated[
        str,
        typer.Option(
            metavar="DIR",
            help="Directory of the journal. Default: $STATE_DIRECTORY, else ~/.local/state/rollback-router/PORT.",
        ),
    ] = "",
    fresh: Annotated[bool, typer.Option("--fresh", help="Archive the old state and begin anew.")] = False,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Take the place of the router that runs on the same state directory.")
    ] = False,
    observe: Observe = False,
    assume_active: AssumeActive = "",
    journal_from: JournalFrom = "",
) -> None:
    """Run the router in front of your model servers.

    Blue is active and green the standby of service `default`:

    rollback-router run --blue http://127.0.0.1:9001 --green http://127.0.0.1:9002

    SIGTERM: finish the requests in flight and exit; a second SIGTERM: exit at once. SIGHUP: read the settings again.
    """
    import logging
    from pathlib import Path

    from router.runtime import logs
    from router.settings.loader import load
    from router.supervisor.run import run as supervise
    from router.supervisor.run_options import RunOptions

    service = _services(blue, green, probe)
    flags: dict[str, Any] = {"services": {SERVICE: service}} if service else {}
    given = {"listen": listen, "admin_listen": admin, "workers": workers, "state_dir": state_dir}
    flags |= {name: value for name, value in given.items() if value not in ("", None)}
    flags |= {"observe": True} if observe else {}
    file = Path(config).absolute() if config else None
    settings = load(file, flags)
    if not settings.services:
        raise _nothing_to_route(config)
    _refuse_both(take_over, fresh=fresh, assume_active=assume_active, journal_from=journal_from)
    logs.setup("supervisor", settings.log_format)
    options = RunOptions(
        origin=str(file) if file else "the flags and the environment",
        reload=lambda: load(file, flags),
        announce=output.note if settings.log_format == "text" else logging.getLogger("router").info,
        fresh=fresh,
        assume_active=assume_active or None,
        journal_from=journal_from or None,
        take_over=take_over,
    )
    raise typer.Exit(supervise(settings, options))


def _nothing_to_route(config: str) -> CommandError:
    """Return the error, which names router.toml if it is there and no file was given."""
    from pathlib import Path

    not_read = not config and Path(FIRST_FILE).is_file()
    return CommandError(CommandCode.NOTHING_TO_ROUTE, NOT_READ if not_read else NOTHING_TO_ROUTE)


def _refuse_both(take_over: bool, **others: object) -> None:
    """Raise CommandError if --take-over is combined with an option that replaces the state."""
    for name, value in others.items():
        if take_over and value:
            flag = f"--{name.replace('_', '-')}"
            detail = f"--take-over goes on from the state of the router that runs: leave {flag} out"
            raise CommandError(CommandCode.TAKE_OVER_ALONE, detail)


def _services(blue: str, green: str, probe: str) -> dict[str, Any]:
    """Return the settings of service `default` by the flags; empty without --blue."""
    if not blue:
        if green or probe:
            flag = "--green" if green else "--probe"
            raise CommandError(CommandCode.BLUE_NEEDED, f"{flag} belongs to --blue, for example: {EXAMPLE}")
        return {}
    service: dict[str, Any] = {"active": {"version": "blue", "endpoints": blue.split(",")}}
    if green:
        service["standby"] = {"version": "green", "endpoints": green.split(",")}
    if probe:
        service["probe"] = "none" if probe == "none" else {"path": probe}
    return service


@app.command()
def demo(
    fault: Annotated[
        Literal["errors", "hang", "slow", "crash"], typer.Option(help="How the new version fails.")
    ] = "errors",
    headless: Annotated[bool, typer.Option("--headless", help="Show no live table.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")] = False,
    stay: Annotated[
        bool,
        typer.Option("--stay", help="Go on until Ctrl-C, at most an hour, so that the dashboard can be looked at."),
    ] = False,
) -> None:
    """Watch a bad version being rolled back.

    Starts two model servers, a router and a load; promotes the new version, lets it fail, and reports the rollback.
    Prints the address of the dashboard. Needs no preparation, and takes a minute at most without --stay. Exit code 0
    only if the version was rolled back and traffic is healthy again.
    """
    from router.demo.command import run_demo

    raise typer.Exit(run_demo(fault=fault, headless=headless, as_json=as_json, stay=stay))
