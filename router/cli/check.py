"""`check`: runs the service's cases against a version, through the router or, in CI, against any URL without a router."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from router.cli import junit, output
from router.cli import options as opt
from router.cli.client import Client, Document, segment
from router.errors import CommandError
from router.errors.codes import CommandCode
from router.runtime import clock
from router.runtime.exit_codes import ExitCode
from router.runtime.text.plurals import counted, plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from router.control.cases.runner import CaseRunOptions, RunTarget
    from router.rollout.cases.case import Case

app = typer.Typer()

POLL_EVERY_S = 0.2


@app.command()
@opt.with_shared
def check(
    read: opt.ReadOptions,
    version: Annotated[str, typer.Argument(metavar="[VERSION]", help="The label of a version of the router.")] = "",
    url: Annotated[str, typer.Option(metavar="URL", help="Check this model server, without a router.")] = "",
    cases: Annotated[
        str, typer.Option(metavar="FILE", help="With --url: the file of cases that `cases export` wrote.")
    ] = "",
    only: Annotated[
        list[str] | None, typer.Option("--case", metavar="ID", help="Only this case; may be repeated.")
    ] = None,
    replay_all: Annotated[
        bool, typer.Option("--replay-all", help="Also send the cases that the service does not send again by itself.")
    ] = False,
    report: Annotated[str, typer.Option("--junit", metavar="FILE", help="Write the results as JUnit XML.")] = "",
    header: Annotated[
        list[str] | None,
        typer.Option("--header", "-H", metavar="'NAME: VALUE'", help="With --url: a header field for every case."),
    ] = None,
    ca: Annotated[str, typer.Option(metavar="FILE", help="With --url: the authority of its certificate (PEM).")] = "",
    concurrency: Annotated[
        int, typer.Option(min=1, max=64, help="With --url: the number of cases sent at the same time.")
    ] = 4,
    timeout_s: Annotated[float, typer.Option(min=0.1, max=3600, help="With --url: the time limit of one case.")] = 30.0,
    latency_ms_max: Annotated[
        float | None,
        typer.Option(min=0.001, help="With --url: the time limit of the first byte for cases without one."),
    ] = None,
    equal: Annotated[
        bool, typer.Option("--equal", help="With --url: answers have to equal the recorded ones.")
    ] = False,
) -> None:
    """Replay the regression cases against a version.

    Exit code 0 if none fails, 1 if one does. With --url and --cases no router is needed: every case of the file is sent.
    """
    if bool(version) == bool(url) or bool(url) != bool(cases):
        detail = "name a VERSION of the router, or --url URL with --cases FILE"
        raise CommandError(CommandCode.CHECK_WHAT, detail)
    if url:
        from router.control.cases.runner import CaseRunOptions
        from router.rollout.cases.comparison import ComparisonLimits

        options = CaseRunOptions(ComparisonLimits(latency_ms_max, equal), concurrency, timeout_s, replay_all=True)
        document, titles = _of_url(
            url, _chosen(cases, only or []), _run_target(url, header or [], ca), options, quiet=read.as_json
        )
    else:
        document, titles = _of_router(read, version, only or [], replay_all)
    if report:
        junit.write(report, junit.document(f"cases on {version or url}", document["results"], titles))
    if read.as_json:
        output.show_json(document)
    else:
        _show(document, titles)
    if document["state"] != "passed":
        raise typer.Exit(ExitCode.NOT_TRUE)


# -- by the router
def _of_router(
    read: opt.ReadOptions, version: str, only: list[str], replay_all: bool
) -> tuple[Document, dict[str, str]]:
    client, path = read.client, read.path
    titles = {
        case["id"]: _title(case["request"], case.get("note", "")) for case in client.get(f"{path}/cases")["cases"]
    }
    begun = client.change("POST", f"{path}/check", {"version": version, "cases": only, "replay_all": replay_all})
    check = f"{path}/checks/{segment(begun['id'])}"
    try:
        with _progress(read.as_json) as show:
            while (document := client.get(check))["state"] == "running":
                show(document["done"], document["total"])
                clock.sleep_s(POLL_EVERY_S)
    except KeyboardInterrupt:
        client.change("DELETE", check, {})
        raise
    return document, titles


def until_checked(client: Client, path: str, version: str, *, quiet: bool) -> Document:
    """Return the results of a ready candidate in the service's cases: the member `cases` of the status.

    The wait is bounded by the router: each case and the whole check have a timeout.
    """
    with _progress(quiet) as show:
        while True:
            status = client.get(path)
            document: Document = status.get("cases") or {}
            check = document.get("check") or {}
            if not document.get("pending") or status["candidate"] != version or check.get("state") == "broken":
                return document
            show(check.get("done", 0), check.get("total", 0))
            clock.sleep_s(POLL_EVERY_S)


# -- by the command itself
def _chosen(file: str, only: list[str]) -> list[Case]:
    from router.control.store.case_format import imported, read

    try:
        cases = imported(read(file))
    except OSError as error:
        raise CommandError(CommandCode.CASE_FILE_UNREADABLE, f"--cases {file}: {error.strerror}") from None
    if missing := [name for name in only if name not in {case.id for case in cases}]:
        raise CommandError(CommandCode.CASE_NOT_IN_FILE, f"{file} has no case {', '.join(missing)}")
    return [case for case in cases if not only or case.id in only]


def _run_target(url: str, headers: list[str], ca: str) -> RunTarget:
    from urllib.parse import urlsplit

    from router.control.cases.runner import RunTarget

    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and not (parts.query or parts.fragment)
        _ = parts.port
    except ValueError:
        usable = False
    if not usable and not url.startswith("unix:/"):
        detail = f"--url {url!r}: write it as http://HOST:PORT, perhaps with a path that precedes that of each case"
        raise CommandError(CommandCode.URL_INVALID, detail)
    sent = {}
    for line in headers:
        name, colon, value = line.partition(":")
        if not colon or not name.strip() or not line.isprintable():
            raise CommandError(CommandCode.HEADER_INVALID, f"--header {line!r}: write it as 'NAME: VALUE'")
        sent[name.strip()] = value.strip()
    return RunTarget((url,), _context(ca) if ca else None, headers=sent)


def _context(ca: str) -> Any:
    import ssl

    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise CommandError(CommandCode.CA_UNUSABLE, f"--ca {ca}: {error}") from None


def _of_url(
    url: str, cases: list[Case], target: RunTarget, options: CaseRunOptions, *, quiet: bool
) -> tuple[Document, dict[str, str]]:
    import asyncio

    from router.control.cases.runner import run_cases

    done = 0
    with _progress(quiet) as show:

        def tell(_: object) -> None:
            nonlocal done
            done += 1
            show(done, len(cases))

        results = [result.as_dict() for result in asyncio.run(run_cases(cases, target, options, tell))]
    counts = {state: sum(result["state"] == state for result in results) for state in ("pass", "fail", "skipped")}
    titles = {
        case.id: _title({"method": case.request.method, "target": case.request.target}, case.note) for case in cases
    }
    return {
        "url": url,
        "state": "failing" if counts["fail"] else "passed",
        "total": len(cases),
        "done": len(results),
        "passed": counts["pass"],
        "failed": counts["fail"],
        "skipped": counts["skipped"],
        "results": results,
    }, titles


# -- output
def _title(request: Document, note: str) -> str:
    return f"{request['method']} {request['target']}" + (f" ({note})" if note else "")


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show the progress, on a terminal only."""
    console = None if quiet else output.console(stderr=True)
    if console is None or not console.is_terminal:
        yield lambda done, total: None
        return
    from rich.progress import Progress

    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("cases", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)


def _show(document: Document, titles: dict[str, str]) -> None:
    rows = [
        (result["id"], titles.get(result["id"], ""), result["state"], "; ".join(result["problems"]))
        for result in document["results"]
        if result["state"] != "pass"
    ]
    if rows:
        output.show(output.table(("case", "request", "result", "why"), rows, ("result",)))
    if document.get("error"):
        output.say(f"the check broke off: {document['error']}")
    if not document["total"] and document["state"] == "passed":
        output.say("there are no cases: nothing was checked")
        return
    passed, failed = document["passed"], document["failed"]
    counts = f"{passed} of {counted(document['total'], 'case')} {plural('passes', passed)}, {failed} {plural('fails', failed)}"
    skipped = document["skipped"]
    output.say(
        counts
        + (f", {skipped} {plural('was', skipped)} not sent or {plural('proves', skipped)} nothing" if skipped else "")
    )
