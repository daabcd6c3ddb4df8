"""`advise`: shows the results of other limits on the stored rows, and which limits to set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final

import typer

from router.cli import options as opt
from router.cli import output
from router.cli.client import Client, Document, one_service
from router.cli.options import seconds
from router.runtime import clock
from router.runtime.text.plurals import counted

app = typer.Typer()
TIMEOUT_S: Final = 120.0
"""Replaying a month of rows takes 10 to 20 s, longer on a busy machine."""
_COLUMNS: Final = ("", "limits", "rollbacks detected", "s before", "alarms", "false", "false a month", "at 95 %")
_SHOWN: Final = 5


@app.command()
@opt.with_shared
def advise(
    router: opt.RouterOptions,
    name: Annotated[
        str, typer.Argument(metavar="[SERVICE]", help="The service. May be left out if there is only one.")
    ] = "",
    since: Annotated[str, typer.Option(metavar="TIME", help="Length of the replayed history: 30d, 12h.")] = "30d",
    false_alarms_per_month: Annotated[
        float, typer.Option(metavar="N", min=0, max=1000, help="How many false alarms a month are acceptable.")
    ] = 1.0,
    as_json: opt.AsJson = False,
    service: opt.SameService = "",
) -> None:
    """Replay the stored rows with looser and stricter limits.

    Shows for each limit its alarms, their lead before the real rollbacks, the false alarms, and the settings to paste.
    """
    path = router.client.service(one_service(name, service))
    query = f"{path}/advise?days={seconds(since) / 86_400:g}&false_alarms_per_month={false_alarms_per_month:g}"
    document = Client(router.admin, router.bearer(), TIMEOUT_S).get(query)
    if as_json:
        output.show_json(document)
        return
    output.show(*_heading(document))
    for kind, found in document["kinds"].items():
        number = len(document["rollbacks"])
        output.show(
            "",
            f"{kind} (action {found['action']})",
            output.table(_COLUMNS, (_trial(trial, found["proposed"], number) for trial in found["trials"])),
            f"proposed: {found['proposed']}; {found['why']}",
            *_false_alarms(found),
        )
    output.show("", *_ending(document))


def _heading(document: Document) -> Iterator[str]:
    yield (
        f"service {document['service']}: {output.long(document['days'] * 86_400)} of active versions "
        f"in {counted(document['rows'], 'row')} "
        f"since {document['since']}, {counted(len(document['rollbacks']), 'rollback')}"
    )
    for rollback in document["rollbacks"]:
        yield f"  {clock.iso(rollback['at_s'])}  {rollback['left']} left, by {rollback['by']}"


def _trial(trial: Document, proposed: str, rollbacks: int) -> tuple[object, ...]:
    between = trial["false_per_month_between"]
    leads = trial["leads_s"]
    return (
        f"→ {trial['name']}" if trial["name"] == proposed else trial["name"],
        ", ".join(f"{name} = {value}" for name, value in trial["settings"].items()),
        f"{len(trial['caught'])} of {rollbacks}",
        ", ".join(f"{lead:.0f}" for lead in leads),
        f"{trial['alarms']}{' or more' if trial['exhausted_ms'] else ''}",
        trial["false"],
        output.number(trial["false_per_month"]),
        f"{output.number(between[0])} to {output.number(between[1])}" if between else "",
    )


def _false_alarms(found: Document) -> Iterator[str]:
    """Yield the false alarms of the proposed limits, for review."""
    trial: dict[str, Any] = next(one for one in found["trials"] if one["name"] == found["proposed"])
    for alarm in trial["false_alarms"][:_SHOWN]:
        yield f"  false alarm {clock.iso(alarm['at_ms'] / 1000)} {alarm['version']}: {alarm['reason']}"
    if trial["false"] > _SHOWN:
        yield f"  and {trial['false'] - _SHOWN} more (--json)"


def _ending(document: Document) -> Iterator[str]:
    for seen in document["observed"]:
        yield (
            f"observed by the running router: {seen['trigger']} would have acted on {seen['version']} from "
            f"{clock.iso(seen['at_ms'] / 1000)} to {clock.iso(seen['until_ms'] / 1000)}"
        )
    if document["settings"]:
        yield "settings to paste (then SIGHUP); a table that is there already is to be changed instead:"
        yield ""
        yield from document["settings"].split("\n")
    else:
        yield "nothing to change"
    yield from document["notes"]
