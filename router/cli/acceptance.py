"""`acceptance`: shows and edits the criteria for accepting a version."""

from __future__ import annotations

from typing import Annotated

import typer

from router.cli import options as opt
from router.cli import output
from router.cli.client import Document, segment
from router.errors import CommandError
from router.errors.codes import CommandCode
from router.runtime.text.plurals import counted

app = typer.Typer()


@app.command()
@opt.with_shared
def acceptance(
    change: opt.ChangeOptions,
    limit: Annotated[
        str, typer.Option("--set", metavar="METRIC=LIMIT", help="Add a criterion, or change its limit.")
    ] = "",
    remove: Annotated[str, typer.Option(metavar="METRIC", help="Remove an added criterion.")] = "",
    reason: opt.Reason = "",
) -> None:
    """Show or edit the criteria by which a version is accepted.

    Metrics: fault_share, invalid_share, late_share (0 to 1), first_byte_p99_ms, longest_wait_s, quality_alerts.
    """
    if (limit or remove) and not reason:
        raise CommandError(CommandCode.USAGE, "a reason is needed: --reason TEXT (kept in the journal)")
    if limit and remove:
        raise CommandError(CommandCode.USAGE, "--set and --remove exclude each other")
    if limit:
        document = change.send("PUT", "acceptance", {**_limit(limit), "reason": reason})
    elif remove:
        document = change.send("DELETE", f"acceptance/{segment(remove)}", {"reason": reason})
    else:
        document = change.client.get(f"{change.path}/acceptance")
    output.show_json(document) if change.as_json else _show(document)


def _limit(text: str) -> Document:
    metric, _, limit = text.partition("=")
    try:
        return {"metric": metric.strip(), "limit": float(limit)}
    except ValueError:
        why = "write it as METRIC=LIMIT, for example fault_share=0.005"
        raise CommandError(CommandCode.USAGE, f"--set {text!r}: {why}") from None


def _show(document: Document) -> None:
    if document.get("dry_run"):
        output.say("dry run: " + ("the change would be made" if document["changed"] else "no change is needed"))
    state = "is accepted" if document["accepted"] else "is on probation"
    output.say(
        f"service {document['service']}: {document['active'] or 'no version'} {state if document['active'] else 'is active'}"
    )
    if document["criteria"]:
        columns = ("criterion", "state", "value", "limit", "samples", "from", "reason")
        rows = (_row(criterion) for criterion in document["criteria"])
        output.show(output.table(columns, rows, ("state", "value", "limit"), optional=("from", "samples")))
    needed = document["needed"]
    requirements = [counted(needed["requests"], "request"), f"{needed['seconds']:g} s"]
    requirements += ["every case"] if needed["cases"] == "required" else []
    requirements += [f"{metric} ≤ {limit:g}" for metric, limit in document["settings"].items()]
    output.say(f"the settings require: {', '.join(requirements)}")
    if document["added"]:
        names = ("added", "limit", "from", "at", "reason")
        output.show(output.table(names, (_added(added) for added in document["added"])))


def _row(criterion: Document) -> tuple[object, ...]:
    figures = (output.number(criterion[member]) for member in ("value", "limit"))
    name, state = criterion["name"], criterion["state"]
    return (name, state, *figures, criterion["samples"], criterion["origin"], criterion["reason"])


def _added(added: Document) -> tuple[object, ...]:
    return (added["metric"], output.number(added["limit"]), added["origin"], added["at"], added["reason"])
