"""`incidents`: lists the rollbacks, shows one in full, saves it as a page, and edits its review."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from router.cli import options as opt
from router.cli import output
from router.cli.client import Document, segment
from router.errors import CommandError
from router.errors.codes import CommandCode
from router.runtime.text.hints import Hints

app = typer.Typer()


@app.command()
@opt.with_shared
def incidents(
    router: opt.RouterOptions,
    incident: Annotated[str, typer.Argument(metavar="[ID]", help="Show this incident in full.")] = "",
    root_cause: Annotated[str, typer.Option(metavar="TEXT", help="The root cause.")] = "",
    owner: Annotated[
        str, typer.Option(metavar="NAME", help="The owner of the incident; with --add-action: of that action.")
    ] = "",
    severity: Annotated[str, typer.Option(metavar="sev1…sev4", help="The severity.")] = "",
    status: Annotated[
        str, typer.Option(metavar="STATUS", help="The next status: open, then reviewed, then closed.")
    ] = "",
    add_action: Annotated[str, typer.Option(metavar="TEXT", help="Add an action.")] = "",
    kind: Annotated[
        str, typer.Option(metavar="KIND", help="The kind of the action: corrective or preventive.")
    ] = "corrective",
    due: Annotated[str, typer.Option(metavar="DATE", help="The due date of the action, for example 2026-12-31.")] = "",
    done: Annotated[str, typer.Option(metavar="ACTION", help="Mark an action as done, for example a1.")] = "",
    drop: Annotated[str, typer.Option(metavar="ACTION", help="Mark an action as dropped.")] = "",
    comment: Annotated[str, typer.Option(metavar="TEXT", help="Add a comment.")] = "",
    html: Annotated[str, typer.Option(metavar="FILE", help="Save the report as one page; - is stdout.")] = "",
    md: Annotated[str, typer.Option(metavar="FILE", help="Save the report as Markdown; - is stdout.")] = "",
    service: opt.OnlyService = "",
    as_json: opt.AsJson = False,
) -> None:
    """List the rollbacks; show, save or edit one.

    An incident has its trigger with value and limit, its cost, its times, the actor that decided, and candidate causes.
    """
    client = router.client
    edit = _edit(root_cause, owner, severity, status, add_action, kind, due, done, drop, comment)
    if not incident:
        if edit or html or md:
            raise CommandError(CommandCode.INCIDENT_NEEDED, "name the incident whose review is to be edited or saved")
        document = client.get("/v1/incidents" + (f"?service={segment(service)}" if service else ""))
        output.show_json(document) if as_json else output.show(_list(document, service))
        return
    path = f"/v1/incidents/{segment(incident)}"
    document = client.get(path)
    if edit:
        # Refused if the review has changed since it was read.
        document = client.change("PATCH", path, edit, generation=document["revision"])
    for file, suffix in ((html, ".html"), (md, ".md")):
        if file:
            _save(client.text(f"{path}{suffix}"), file)
    if as_json:
        output.show_json(document)
    elif not html and not md:
        output.show(*_in_full(document, router.hints))


def _edit(
    root_cause: str,
    owner: str,
    severity: str,
    status: str,
    what: str,
    kind: str,
    due: str,
    done: str,
    drop: str,
    comment: str,
) -> Document:
    """Return the body of an edit; empty if no option changes anything."""
    named = {"root_cause": root_cause, "severity": severity, "status": status, "comment": comment}
    if what:
        action = {"what": what, "kind": kind, "owner": owner, "due": due}
        named["add_actions"] = [{name: value for name, value in action.items() if value}]  # type: ignore[assignment]
    else:
        named["owner"] = owner
        if due:
            raise CommandError(CommandCode.ACTION_NEEDED, "--due belongs to --add-action")
    changed = [{"id": action, "state": state} for action, state in ((done, "done"), (drop, "dropped")) if action]
    named["change_actions"] = changed  # type: ignore[assignment]
    return {name: value for name, value in named.items() if value}


def _save(text: str, file: str) -> None:
    if file == "-":
        output.write(text)
        return
    try:
        Path(file).write_text(text, "utf-8")
    except OSError as error:
        raise CommandError(CommandCode.FILE_UNWRITABLE, f"{file}: {error.strerror}") from None
    output.say(f"saved {file}")


def _list(document: Document, service: str) -> Any:
    columns = ("id", "started", "service", "from", "to", "reason", "manual", "status", "owner")
    rows = (
        (
            one["id"],
            one["started_at"] or one.get("detection_at"),
            one["service"],
            one["from"],
            one["to"],
            one.get("reason"),
            output.yes(one.get("manual")),
            one.get("status"),
            one.get("owner"),
        )
        for one in document["incidents"]
    )
    found = list(rows)
    if not found:
        return f"there is no incident{f' of {service}' if service else ''}: nothing was rolled back yet"
    return output.table(columns, found, ("service", "from", "to", "status"), optional=("owner", "manual", "reason"))


def _in_full(i: Document, hints: Hints) -> list[Any]:
    """Return the incident as text and tables."""
    review, durations, impact = i["review"], i["durations"], i["impact"]
    parts: list[Any] = [f"{i['id']}: {review['status']}, {review['severity'] or 'no severity yet'}", i["summary"]]
    parts += [f"note: {note}" for note in i["record"]["notes"]]
    until = impact.get("failed_until_decision")
    fault = "faults above the limit" if i.get("times", {}).get("onset") else "fault"
    figures = (
        (f"{fault} → decision", output.number(durations["fault_to_decision_s"], "s")),
        ("decision → swap", output.number(durations["decision_to_store_us"], "µs")),
        ("swap → last worker", output.number(durations["store_to_last_worker_ms"], "ms")),
        (f"{fault} → recovered", output.number(durations["fault_to_recovered_s"], "s")),
        ("requests meanwhile", impact["requests"]),
        ("errors", ", ".join(f"{count} {name}" for name, count in (impact["errors"] or {}).items())),
        *((("errors until the decision", until),) if until is not None else ()),
        ("rescued", impact["rescued"]),
        ("failed for clients, at most", impact["failed_max"]),
        ("share of the error budget", _budget(impact["budget"])),
    )
    parts += ["", output.table(("figure", "value"), figures)]
    lines = ((line["at"], f"{line['t_s']:+.3f} s", line["actor"], line["text"]) for line in i["timeline"])
    parts += ["", output.table(("time", "from decision", "actor", "event"), lines)]
    if i["candidates"]:
        rows = ((one["strength"], one["claim"], "; ".join(one["evidence"])) for one in i["candidates"])
        parts += ["", output.table(("strength", "possible cause", "evidence"), rows)]
    if i["failures"]["items"]:
        parts += ["", f"failing requests: {i['failures']['why']}", _failing(i["failures"]["items"])]
    return [*parts, "", *_review(i["id"], review, hints)]


def _indented(heading: str, text: str) -> list[str]:
    """Return a text with all lines but the first indented, so that none of them looks like output of the command."""
    first, *more = text.split("\n")
    return [f"{heading} {first}", *(f"  {line}" for line in more)]


def _failing(items: list[Document]) -> Any:
    columns = ("time", "request", "endpoint", "outcome", "status", "rescued")
    rows = (
        (
            one["at"],
            f"{one['method']} {one['path']}",
            one["endpoint"],
            one["outcome"],
            one["status"],
            None if one["rescue"] is None else f"{one['rescue']['version']}: {one['rescue']['outcome']}",
        )
        for one in items
    )
    return output.table(columns, rows)


def _budget(budget: Document | None) -> str | None:
    return None if budget is None else f"{output.percent(budget['share'])} ({budget['basis']})"


def _review(incident: str, review: Document, hints: Hints) -> list[Any]:
    parts: list[Any] = [f"owner: {review['owner'] or 'none yet'}"]
    parts += _indented("root cause:", review["root_cause"] or "not known yet")
    if review["actions"]:
        columns = ("action", "state", "kind", "owner", "due", "what")
        parts.append(
            output.table(
                columns,
                ([one.get(name if name != "action" else "id") for name in columns] for one in review["actions"]),
            )
        )
    for comment in review["comments"]:
        parts += _indented(f"{comment['at']} {comment['actor']}:", comment["text"])
    if not review["root_cause"]:
        parts.append(hints.text("next: `incidents ID --root-cause TEXT`   (a page: --html FILE)", ID=incident))
    return parts
