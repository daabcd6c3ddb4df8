"""`cases`: the regression cases of a service: list, show, add, remove, export and import them."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

# not within TYPE_CHECKING: typer needs the class when the command is built
from typer.core import TyperGroup

from router.cli import options as opt
from router.cli import output
from router.cli.client import Document, segment
from router.errors import CommandError, Refusal
from router.errors.codes import CommandCode, RefusalCode
from router.runtime.text.hints import Hints
from router.runtime.text.plurals import counted

if TYPE_CHECKING:
    from router.rollout.cases.case import Case


class _CasesGroup(TyperGroup):
    """`cases ID` is short for `cases show ID`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Treat a word that is no command as the id of a case."""
        known = args[0] in self.commands or args[0].startswith("-")
        return super().resolve_command(ctx, args if known else ["show", *args])


app = typer.Typer(
    cls=_CasesGroup,
    help="List, add and carry over the regression cases.",
    invoke_without_command=True,
)
ROLLBACKS_LISTED = 5
CaseFile = Annotated[str, typer.Argument(metavar="FILE")]


@app.callback()
@opt.with_shared
def listing(read: opt.ReadOptions, context: typer.Context) -> None:
    """List the cases of a service, newest first."""
    if context.invoked_subcommand is not None:
        return
    document = read.client.get(f"{read.path}/cases")
    if read.as_json:
        output.show_json(document)
        return
    if not document["cases"]:
        output.say(read.hints.text("there are no cases yet: a rollback makes some, and so does: `cases add FILE`"))
    else:
        columns = ("id", "request", "expects", "failed as", "version", "incident", "by", "expires")
        rows = (_row(case) for case in document["cases"])
        output.show(output.table(columns, rows, ("version",), optional=("failed as", "by", "expires")))
    output.say(*_without(document))


def _without(document: Document) -> list[str]:
    """Return the reasons why the last rollbacks have no case in the list; at most ROLLBACKS_LISTED."""
    having = {case.get("incident") for case in document["cases"]}
    without = [made for made in document.get("rollbacks", ()) if made["incident"] not in having]
    return [f"{made['incident']}: {made['why']}{_gone(made)}" for made in without[:ROLLBACKS_LISTED]]


def _gone(made: Document) -> str:
    """Return why the cases of a rollback are not in the list; empty if it built none."""
    gone = " (none of them is here: they have expired, were removed, gave way to newer ones, or another rollback had made them)"
    return gone if made["made"] else ""


def _row(case: Document) -> tuple[object, ...]:
    request, failed = case["request"], case.get("failed", {})
    return (
        case["id"],
        f"{request['method']} {request['target']}" + ("" if case["sendable"] else " (its body was not kept)"),
        case.get("expect", {}).get("status", "no_fault"),
        failed.get("outcome"),
        case.get("version"),
        case.get("incident"),
        case.get("by"),
        case["expires_at"] or "never",
    )


@app.command()
@opt.with_shared
def show(service: opt.NamedServiceOptions, case: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """Show one case with its request and expected answer, as JSON (for operators)."""
    document = service.client.get(f"{service.path}/cases/{segment(case)}?full=true")
    output.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


@app.command()
@opt.with_shared
def add(
    change: opt.ChangeOptions,
    file: CaseFile,
    note: Annotated[str, typer.Option("--note", "-m", metavar="TEXT", help="A note on the case.")] = "",
) -> None:
    """Add a case that you have written: one JSON object with `request` and `expect`."""
    from router.control.store.case_format import case_document, parsed

    try:
        document = json.loads(_read(file))
    except (ValueError, RecursionError) as error:
        raise Refusal(RefusalCode.CASE_INVALID, f"{file} is no JSON: {error}") from None
    case = parsed(document, file)
    _send(change, [case_document(case) | ({"note": note} if note else {})])


@app.command(name="import")
@opt.with_shared
def import_(change: opt.ChangeOptions, file: CaseFile) -> None:
    """Add all cases of a file that `cases export` wrote, or none of them."""
    from router.control.store.case_format import case_document, imported

    cases: list[Case] = imported(_read(file))
    if not cases:
        output.say(f"{file} has no cases")
        return
    _send(change, [case_document(case) for case in cases])


@app.command()
@opt.with_shared
def export(service: opt.NamedServiceOptions, file: CaseFile) -> None:
    """Write all cases into a file, for another router or for CI (for operators)."""
    from router.control.store.case_format import exported, parsed

    document = service.client.get(f"{service.path}/cases?full=true")
    stored = ("added_at", "expires_at", "sendable")
    plain = [{name: value for name, value in case.items() if name not in stored} for case in document["cases"]]
    data = exported([parsed(case) for case in plain], document["service"])
    try:
        with open(file, "wb", opener=_private) as written:
            written.write(data)
    except OSError as error:
        raise CommandError(CommandCode.CASE_FILE_UNWRITABLE, f"{file}: {error.strerror}") from None
    command = Hints().text("`check --url URL --cases FILE`", FILE=file)
    output.say(f"{counted(len(plain), 'case')} in {file}: check them anywhere with: {command}")


@app.command()
@opt.with_shared
def remove(service: opt.NamedServiceOptions, case: Annotated[list[str], typer.Argument(metavar="ID…")]) -> None:
    """Delete cases for good."""
    for name in case:
        service.client.change("DELETE", f"{service.path}/cases/{segment(name)}", {})
        output.say(f"{name} is deleted")


def _private(path: str, flags: int) -> int:
    """Open a file that only its owner may read, because it contains requests of clients."""
    return os.open(path, flags, 0o600)


def _read(file: str) -> bytes:
    from router.control.store.case_format import read

    try:
        return read(file)
    except OSError as error:
        raise CommandError(CommandCode.CASE_FILE_UNREADABLE, f"{file}: {error.strerror}") from None


def _send(change: opt.ChangeOptions, cases: list[Document]) -> None:
    answer = change.send("POST", "cases", {"cases": [_bare(case) for case in cases]})
    if change.as_json:
        output.show_json(answer)
        return
    would = "would be " if change.dry_run else ""
    parts = [f"{len(answer['added'])} {would}added"]
    parts += [
        f"{len(answer[name])} {text}"
        for name, text in (("known", "known before"), ("dropped", "older gone"))
        if answer[name]
    ]
    output.say(f"cases: {', '.join(parts)}", *(f"  {name}" for name in answer["added"][:20]))


def _bare(case: Document) -> Document:
    return {name: value for name, value in case.items() if name != "id"}
