"""`drill`: starts or stops a drill, waits until it is over, and shows its result; lists past drills."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from router.cli import options as opt
from router.cli import output
from router.cli.client import Client, Document, one_service, segment
from router.errors import CommandError
from router.errors.codes import CommandCode
from router.rollout.model.route import generation_text
from router.runtime import clock
from router.runtime.exit_codes import ExitCode

app = typer.Typer()

POLL_EVERY_S: Final = 0.5
MARGIN_S: Final = 90.0
"""The time of a drill beyond its hold: the gate, the swap back (30 s at most), confirmations."""


@app.command()
@opt.with_shared
def drill(
    router: opt.RouterOptions,
    name: Annotated[
        str, typer.Argument(metavar="[SERVICE]", help="The service. May be left out if there is only one.")
    ] = "",
    hold: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", min=1, max=300, help="How long the standby serves. Default: the setting drill.hold_s."
        ),
    ] = None,
    shadow: Annotated[bool, typer.Option("--shadow", help="Do everything except the swap.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Run also on probation, soon after a rollback, or beside a verification.")
    ] = False,
    stop: Annotated[bool, typer.Option("--stop", help="End the running drill: swap back now.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="List the drills.")] = False,
    reason: opt.Reason = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show whether a drill would be safe, and run none.")
    ] = False,
    as_json: opt.AsJson = False,
    service: opt.SameService = "",
) -> None:
    """Rehearse a rollback: swap to the standby, hold, swap back.

    A drill cuts no request and quarantines no version. It ends early if the standby performs worse. The router swaps
    back even if this command is interrupted. Exit code 0 only if the drill has passed.
    """
    client = router.client
    if sum((stop, listed, shadow)) > 1:
        raise CommandError(CommandCode.USAGE, "--stop, --list and --shadow exclude each other")
    service = one_service(name, service)
    if listed:
        _list(router, service, as_json)
        return
    path = f"{client.service(service)}/drill"
    if stop:
        begun = client.change("POST", f"{path}/stop", {})
    else:
        body = {"shadow": shadow, "force": force, "reason": reason, **({"hold_s": hold} if hold else {})}
        begun = client.change("POST", path, body, dry_run=dry_run)
    if dry_run:
        output.show_json(begun) if as_json else output.say(begun["message"])
        return
    document = _wait(client, begun, as_json, router.hints.of(service).command("drill --stop"))
    output.show_json(document) if as_json else _show(document)
    if document["result"] not in ("passed", *(("stopped",) if stop else ())):
        raise typer.Exit(ExitCode.NOT_TRUE)


def _wait(client: Client, begun: Document, as_json: bool, stop: str) -> Document:
    """Return the drill once it is over; `stop` is the command that ends it now. The router bounds its duration."""
    if begun["result"] is None and not as_json:
        there = begun["swaps"][0] if begun["swaps"] else {}
        output.note(
            f"{begun['drill']}: {begun['to']} serves instead of {begun['from']}, {_took(there)}; "
            f"back in {begun['hold_s']:g} s (now: {stop})"
        )
    document = begun
    for _ in range(int((begun["hold_s"] + MARGIN_S) / POLL_EVERY_S)):
        if document["result"] is not None:
            return document
        clock.sleep_s(POLL_EVERY_S)
        document = client.get(f"/v1/drills/{segment(begun['drill'])}")
    raise CommandError(CommandCode.DRILL_NOT_OVER, f"{begun['drill']} is still {document['phase']}")


def _took(swap: dict[str, Any]) -> str:
    if swap.get("swap_us") is None or swap.get("confirmed_ms") is None:
        return "not confirmed"
    return f"swapped in {swap['swap_us']} µs, confirmed by every worker {swap['confirmed_ms']:.1f} ms later"


def _show(document: Document) -> None:
    """Show one drill as text and tables."""
    output.say(
        f"{document['drill']} {document['result']}"
        + (f": {'; '.join(document['reasons'])}" if document["reasons"] else "")
    )
    for swap in document.get("swaps", ()):
        way = f"back to {document['from']}" if swap["home"] else f"to {document['to']}"
        output.say(f"{way}: generation {generation_text(swap['generation'])}, {_took(swap)}")
    if document["mode"] == "shadow" and "probe_ms" in document:
        output.say(
            f"nothing was swapped: probe {document['probe_ms']:.1f} ms, gate {document['gate_us']} µs, "
            f"route {document['encode_us']} µs, journal {document['journal_ms']:.1f} ms"
        )
    rows = [(name, document[name]) for name in ("before", "during") if document.get(name)]
    if rows:
        columns = ("", "requests", "faults", "p50", "p99")
        output.show(output.table(columns, (_figures(name, figures) for name, figures in rows)))
    if document.get("clients"):
        output.say("clients saw: " + ", ".join(f"{count} {outcome}" for outcome, count in document["clients"].items()))


def _figures(name: str, figures: Document) -> tuple[object, ...]:
    times = (output.number(figures[member], "ms") for member in ("p50_ms", "p99_ms"))
    return (name, figures["requests"], output.percent(figures["fault_share"]), *times)


def _list(router: opt.RouterOptions, service: str, as_json: bool) -> None:
    document = router.client.get("/v1/drills" + (f"?service={segment(service)}" if service else ""))
    if as_json:
        output.show_json(document)
        return
    for name, summary in sorted(document["services"].items()):
        last = summary["last_passed_at"] or "never"
        following = f"; next {summary['next_at']}" if summary["next_at"] else ""
        output.say(f"service {name}: last passed {last}{' (OVERDUE)' if summary['overdue'] else ''}{following}")
    columns = ("drill", "started", "mode", "by", "from", "to", "away", "result", "reasons")
    without = "there are no drills yet: " + router.hints.of(service).command("drill")
    rows = (_row(drill) for drill in document["drills"])
    output.show_table(columns, rows, without, ("started", "result"), optional=("mode", "by"))


def _row(document: Document) -> tuple[object, ...]:
    away = output.number(document.get("away_s"), "s")
    result = document["result"] or document["phase"]
    return (
        document["drill"],
        document["started_at"],
        document["mode"],
        document["actor"],
        document["from"],
        document["to"],
        away,
        result,
        "; ".join(document.get("reasons") or ()),
    )
