"""`inputs`: shows whether requests have drifted from the reference, and learns a new reference."""

from __future__ import annotations

from typing import Annotated

import typer

from router.cli import options as opt
from router.cli import output
from router.cli.client import Document
from router.runtime.text.plurals import counted

app = typer.Typer()


@app.command()
@opt.with_shared
def inputs(
    read: opt.ReadOptions,
    relearn: Annotated[bool, typer.Option("--relearn", help="Forget the reference, and learn it anew.")] = False,
    reason: opt.Reason = "",
) -> None:
    """Show whether the requests have drifted.

    Shows the reference of each field, and the shares that are above their limits.
    """
    if relearn:
        document = read.client.change("POST", f"{read.path}/inputs/relearn", {"reason": reason})
        output.show_json(document) if read.as_json else output.say(document["message"])
        return
    found = read.client.get(read.path).get("inputs")
    if read.as_json:
        output.show_json(found or {})
    elif not found:
        output.say("no field is checked: name fields in [services.NAME.inputs]")
    else:
        _show(found)


def _show(found: Document) -> None:
    reference = found["reference"]
    output.say(f"{'DRIFTED: ' if found['drifting'] else ''}{found['reason'] or found['state']}")
    if reference is None:
        return
    output.say(f"reference: {counted(reference['requests'], 'request')} to {reference['version']}")
    columns = ("field", "kind", "from", "to", "categories", "usually missing", "range is checked")
    rows = [
        (
            name,
            known["kind"],
            output.number(known["low"]),
            output.number(known["high"]),
            known["categories"] or None,
            output.percent(known["usual_missing"]),
            output.yes(known["judged"]),
        )
        for name, known in reference["fields"].items()
    ]
    output.show(output.table(columns, rows))
