"""`alerts`: lists the incoming alerts, with the result of each."""

from __future__ import annotations

from typing import Annotated

import typer

from router.cli import options as opt
from router.cli import output
from router.cli.client import Document, segment

app = typer.Typer()


@app.command()
@opt.with_shared
def alerts(
    router: opt.RouterOptions,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Largest number of alerts to list.")] = 100,
    service: opt.OnlyService = "",
    as_json: opt.AsJson = False,
) -> None:
    """List the incoming alerts.

    The newest is first. Each has its result.
    """
    document = router.client.get(f"/v1/alerts?limit={limit}" + (f"&service={segment(service)}" if service else ""))
    if as_json:
        output.show_json(document)
        return
    columns = ("received", "service", "kind", "alert", "state", "version", "result", "reason", "summary", "sender")
    rows = (_row(alert) for alert in document["alerts"])
    without = f"no alert of {service} came in yet" if service else "no alert came in yet: see alerts.tokens"
    output.show_table(columns, rows, without, ("service", "version", "result"), ("state", "kind", "summary", "sender"))


def _row(alert: Document) -> tuple[object, ...]:
    return (
        alert["heard_at"],
        alert["service"],
        alert["kind"],
        alert["name"],
        alert["status"],
        alert["about"] or alert["version"],
        alert["fate"],
        alert["detail"],
        alert["summary"],
        alert["sender"],
    )
