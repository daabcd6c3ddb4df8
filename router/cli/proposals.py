"""The commands about proposals: proposals, approve, deny."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from router.cli import options as opt
from router.cli import output
from router.cli.changes import ended
from router.cli.client import Document, actor, segment
from router.rollout.stats.figures import format_value
from router.runtime.text.plurals import counted

if TYPE_CHECKING:
    from router.cli.tables import TextTable

app = typer.Typer()

Id = Annotated[str, typer.Argument(metavar="ID", help="The id of the proposal, as `proposals` lists it.")]


@app.command()
@opt.with_shared
def proposals(
    read: opt.ReadOptions,
    proposal: Annotated[str, typer.Argument(metavar="[ID]", help="Show this proposal in full.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="Also list decided proposals.")] = False,
) -> None:
    """List the pending proposals, or show one in full.

    A proposal has its evidence, its deadline, and the action at its expiry.
    """
    if proposal:
        document = read.client.get(f"/v1/proposals/{segment(proposal)}")
        output.show_json(document) if read.as_json else output.show(_in_full(document))
        return
    filters = [f"service={segment(read.service)}"] if read.service else []
    filters += [] if everything else ["state=pending"]
    document = read.client.get("/v1/proposals" + (f"?{'&'.join(filters)}" if filters else ""))
    if read.as_json:
        output.show_json(document)
        return
    columns = ("id", "state", "service", "version", "active after approval", "reason", "expires", "at expiry")
    without = (
        "there are no proposals" if everything else "no proposal waits for an operator: --all lists the decided ones"
    )
    rows = (_row(found) for found in document["proposals"])
    output.show_table(columns, rows, without, ("state", "service", "version", "expires"), ("active after approval",))


def _row(found: Document) -> tuple[object, ...]:
    names = ("id", "state", "service", "version", "to", "reason", "expires_at", "at_expiry")
    return tuple(found[name] for name in names)


def _in_full(document: Document) -> TextTable:
    rows = [(name, _cell(value)) for name, value in document.items() if name != "evidence" and value is not None]
    for item in document["evidence"]:
        rows += [("evidence", text) for text in _evidence_lines(item)]
    return output.table(("fact", "value"), rows)


def _evidence_lines(item: Document) -> list[str]:
    """Return one piece of evidence as lines."""
    trigger, alert, cost = (item.get(name) or {} for name in ("trigger", "alert", "impact"))
    figures = [
        f"{name} {format_value(trigger, name)}"
        for name in ("value", "limit", "baseline")
        if trigger.get(name) is not None
    ]
    figures += [f"samples {trigger['samples']:g}"] if trigger.get("samples") is not None else []
    numbers = f" ({', '.join(figures)})" if figures else ""
    lines = [f"{item['cause']}: {trigger.get('reason', '')}{numbers}; now: {item.get('now') or 'unknown'}"]
    lines += [f"alert {alert['name']}: {alert['summary']}"] if alert else []
    if cost:
        errors = ", ".join(f"{count} {name}" for name, count in cost["errors"].items()) or "no errors"
        lines.append(
            f"so far: {counted(cost['requests'], 'request')} in {cost['seconds']:g} s, {errors}, {cost['rescued']} rescued"
        )
    return lines


def _cell(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)


@app.command()
@opt.with_shared
def approve(
    router: opt.RouterOptions,
    proposal: Id,
    reason: opt.Reason = "",
    override: opt.Override = "",
    dry_run: opt.DryRun = False,
    as_json: opt.AsJson = False,
) -> None:
    """Approve a proposal: roll back, or promote.

    A rollback to an unfit standby needs an override. If tokens are configured, another operator than the proposer
    must approve a promotion.
    """
    body: Document = {"reason": reason}
    if override:
        body["override"] = {"actor": actor(), "reason": override}
    _decide(router, proposal, "approve", body, dry_run, as_json)


@app.command()
@opt.with_shared
def deny(
    router: opt.RouterOptions,
    proposal: Id,
    reason: opt.Reason = "",
    dry_run: opt.DryRun = False,
    as_json: opt.AsJson = False,
) -> None:
    """Deny a proposal; no route changes.

    The same cause makes no new proposal for a while (services.NAME.proposals.repeat_after_s).
    """
    _decide(router, proposal, "deny", {"reason": reason}, dry_run, as_json)


def _decide(router: opt.RouterOptions, proposal: str, verb: str, body: Document, dry_run: bool, as_json: bool) -> None:
    answer = router.client.change("POST", f"/v1/proposals/{segment(proposal)}/{verb}", body, dry_run=dry_run)
    ended(answer, as_json, f"{proposal}: {verb} done", router.hints)
