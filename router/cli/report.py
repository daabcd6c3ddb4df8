"""`report`: shows the figures of a period, with the data that each figure is based on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from router.cli import options as opt
from router.cli import output
from router.cli.client import Document, segment
from router.runtime.text.plurals import counted, plural

app = typer.Typer()


@app.command()
@opt.with_shared
def report(
    router: opt.RouterOptions,
    since: Annotated[
        str, typer.Option(metavar="WHEN", help="Begin of the period: 30d, 12h, 2026-11-01, 2026-11-01T08:00Z.")
    ] = "30d",
    until: Annotated[str, typer.Option(metavar="WHEN", help="Written as --since. Default: now.")] = "",
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print tables of Markdown, for a page or a mail.")
    ] = False,
    as_json: opt.AsJson = False,
    service: opt.OnlyService = "",
) -> None:
    """Show the figures of a period.

    Uptime, stability, deployments, failed changes, times to detect and restore, and the cost of the standby.
    """
    client = router.client
    names = [service] if service else sorted(client.get("/v1/status")["services"])
    query = f"since={segment(since)}" + (f"&until={segment(until)}" if until else "")
    reports = [client.get(f"/v1/services/{segment(name)}/report?{query}") for name in names]
    if as_json:
        output.show_json({"reports": reports})
    elif markdown:
        output.say(*(line for document in reports for line in in_markdown(document)))
    else:
        for number, document in enumerate(reports):
            output.show(
                *([""] if number else []),
                heading(document),
                output.table(("figure", "value", "based on"), rows(document)),
            )


def heading(document: Document) -> str:
    """Return the service, the period, and how much of the period is known."""
    coverage = document["coverage"]
    return (
        f"service {document['service']}, {document['since']} to {document['until']}: "
        f"rows of {output.long(coverage['seconds'])} of that time are kept"
        + ("" if document["journal_complete"] else "; older facts of the journal are left out")
    )


def rows(document: Document) -> Iterator[tuple[str, str, str]]:
    """Yield (figure, value, the data that it is based on). An unknown value is empty."""
    uptime, by_time, stability = document["uptime"], document["uptime_by_time"], document["stability"]
    yield (
        "uptime, by requests",
        _percent(uptime["share"]),
        f"{counted(uptime['requests'], 'request')}, {uptime['failed']} failed, {uptime['rescued']} rescued"
        + (f"; with 95 % confidence at least {_percent(uptime['at_least'])}" if uptime["requests"] else ""),
    )
    yield (
        "uptime, by time",
        _percent(by_time["share"]),
        f"{output.long(by_time['seconds'])} with traffic, {output.long(by_time['bad_s'])} with more than "
        f"{_percent(by_time['fault_share_max'])} failed; {output.long(by_time['idle_s'])} without",
    )
    yield (
        "stability of the model",
        _percent(stability["share"]),
        f"{output.long(stability['within_s'])} within limits, {output.long(stability['outside_s'])} outside, "
        f"{output.long(stability['undecided_s'])} undecided",
    )
    yield from _changes(document)
    yield from (
        _time(document, name, f"time to {name.rpartition('_')[2]}") for name in ("time_to_detect", "time_to_restore")
    )
    yield _standby(document["standby"])


def _changes(document: Document) -> Iterator[tuple[str, str, str]]:
    made, failures, rollbacks = document["deployments"], document["change_failures"], document["rollbacks"]
    yield (
        "deployments",
        f"{output.number(made['per_week'])} a week" if made["per_week"] is not None else "",
        f"{made['count']} in {output.long(made['days'] * 86_400)}; "
        f"{counted(made['back_and_forth'], 'switch')} back and forth not counted",
    )
    between = failures["between"]
    yield (
        "change failure rate",
        _percent(failures["share"]),
        f"{failures['failed']} of {counted(failures['deployments'], 'deployment')} "
        f"{plural('was', failures['failed'])} rolled back"
        + (f", {failures['unreachable']} because no connection was accepted" if failures["unreachable"] else "")
        + (f"; with 95 % confidence {_percent(between[0])} to {_percent(between[1])}" if between else ""),
    )
    yield (
        "rollbacks",
        str(rollbacks["automatic"] + rollbacks["manual"]),
        f"{rollbacks['automatic']} automatic, {rollbacks['manual']} by an operator"
        + (f": {', '.join(rollbacks['incidents'])}" if rollbacks["incidents"] else ""),
    )


def _time(document: Document, name: str, title: str) -> tuple[str, str, str]:
    spread = document[name]
    value = f"{output.long(spread['median_s'])} (p95 {output.long(spread['p95_s'])})" if spread["n"] else ""
    return title, value, f"{spread['n']} of {counted(spread['rollbacks'], 'rollback')} with a known beginning"


def _standby(document: Document) -> tuple[str, str, str]:
    value = f"{output.number(document['hours'])} h"
    if document["cost"] is None:
        return "warm standby", value, "set standby_cost_per_hour for the cost"
    price = f"{document['price_per_hour']:g} {document['currency'] or ''}".rstrip()
    return (
        "warm standby",
        f"{value}, {document['cost']:.2f} {document['currency'] or ''}".rstrip(),
        f"at {price} an hour",
    )


def in_markdown(document: Document) -> Iterator[str]:
    """Yield the lines of one report as Markdown."""
    yield from (
        f"## {document['service']}",
        "",
        heading(document) + ".",
        "",
        "| figure | value | based on |",
        "|---|---|---|",
    )
    for line in rows(document):
        yield _cells(line)
    yield ""


def _cells(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") or "–" for cell in cells) + " |"


def _percent(share: float | None) -> str:
    """Return a share as per cent, with enough digits to differ from 100 if it does."""
    if share is None:
        return ""
    digits = 2
    while digits < 6 and share != 1 and f"{share * 100:.{digits}f}" == f"{100:.{digits}f}":
        digits += 1
    return f"{share * 100:.{digits}f} %"
