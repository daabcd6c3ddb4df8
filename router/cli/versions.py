"""The commands about versions: list and show them, which may be deleted, register, quarantine and release them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from router.cli import options as opt
from router.cli import output
from router.cli.changes import done
from router.cli.client import Document, segment
from router.runtime.text.plurals import counted, plural

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer()

Why = Annotated[str, typer.Option("--reason", "-m", metavar="TEXT", help="The reason, for the journal.")]


@app.command()
@opt.with_shared
def versions(
    read: opt.ReadOptions,
    version: Annotated[str, typer.Argument(metavar="[VERSION]", help="Show this version in full.")] = "",
    deletable: Annotated[
        bool,
        typer.Option("--deletable", help="List the versions that may be deleted, and the reasons to keep the others."),
    ] = False,
    live: Annotated[bool, typer.Option("--live", help="List the active periods.")] = False,
    limit: Annotated[
        int, typer.Option(min=1, max=10_000, help="With --live: largest number of periods to list.")
    ] = 100,
) -> None:
    """List the versions, or show one in full.

    A version has its origin, its active periods, its history, and its quarantine if it is blocked.
    """
    service = read.service
    if deletable:
        _output(read.client.get(f"{read.path}/retention"), read.as_json, _deletable)
    elif live:
        _output(read.client.get(f"{read.path}/live?limit={limit}"), read.as_json, _live)
    elif version:
        query = f"?service={segment(service)}" if service else ""
        _output(read.client.get(f"/v1/versions/{segment(version)}{query}"), read.as_json, _detail)
    else:
        document = read.client.get("/v1/versions")
        if service:
            document["versions"] = [record for record in document["versions"] if record["service"] == service]
        if service and not document["versions"]:
            read.client.status(service)  # refused if there is no such service
        _output(document, read.as_json, _listing)


@app.command()
@opt.with_shared
def register(
    change: opt.ChangeOptions,
    version: Annotated[
        str,
        typer.Argument(
            metavar="VERSION",
            help="The label of the version, or in MLflow: models:/NAME/3, models:/NAME@ALIAS.",
        ),
    ],
    endpoints: opt.EndpointsIfNew = None,
    artifact: opt.Artifact = "",
    host: opt.Host = "",
    path_prefix: opt.PathPrefix = "",
    headers_file: opt.HeadersFile = "",
) -> None:
    """Register a version, or correct its artifact.

    The version is not deployed. Afterwards deploy VERSION needs no endpoints.
    """
    body: Document = {"version": version}
    body |= {"endpoints": endpoints} if endpoints else {}
    body |= {"artifact": artifact} if artifact else {}
    body |= opt.rewrite_members(host, path_prefix, headers_file)
    _change_version(change, "/v1/versions", body, f"{version} is registered")


@app.command()
@opt.with_shared
def quarantine(change: opt.ChangeOptions, version: opt.Version, reason: Why) -> None:
    """Block a version until it is released.

    Without an override neither operators nor automation can make it active.
    """
    path = f"/v1/versions/{segment(version)}/quarantine"
    _change_version(change, path, {"reason": reason}, f"{version}: quarantine done")


@app.command()
@opt.with_shared
def release(
    change: opt.ChangeOptions,
    version: opt.Version,
    reason: Why,
    lasting: Annotated[
        str, typer.Option("--for", metavar="TIME", help="Lift the quarantine for this time only, e.g. 2h.")
    ] = "",
) -> None:
    """Lift the quarantine of a version, for good or --for a while."""
    body: Document = {"reason": reason} | ({"expires_after_s": opt.seconds(lasting)} if lasting else {})
    _change_version(change, f"/v1/versions/{segment(version)}/release", body, f"{version}: release done")


def _change_version(change: opt.ChangeOptions, path: str, body: Document, fallback: str) -> None:
    body |= {"service": change.service} if change.service else {}
    done(change.client.change("POST", path, body, dry_run=change.dry_run), change, fallback)


def _output(document: Document, as_json: bool, show: Callable[[Document], None]) -> None:
    output.show_json(document) if as_json else show(document)


def _listing(document: Document) -> None:
    rows = (
        (
            version["service"],
            version["version"],
            version["state"],
            ", ".join(_facts(version)),
            ", ".join(version["endpoints"]),
            version.get("artifact"),
            (version.get("quarantine") or {}).get("reason"),
            (version["history"][-1]["at"] if version.get("history") else ""),
        )
        for version in document["versions"]
    )
    columns = ("service", "version", "state", "facts", "endpoints", "artifact", "quarantine reason", "last change")
    output.show(output.table(columns, rows, ("version", "state", "facts"), optional=("artifact", "last change")))


def _facts(version: Document) -> list[str]:
    lifted = version.get("lifted")
    facts = {
        "accepted": version.get("accepted"),
        "rolled back": version.get("rolled_back"),
        "quarantined": version.get("quarantine"),
        f"released until {lifted['until']}" if lifted else "": lifted,
    }
    return [fact for fact, true in facts.items() if true]


def _detail(version: Document) -> None:
    registered, quarantine, lifted = version["registered"] or {}, version["quarantine"] or {}, version["lifted"] or {}
    rolled_back = version["rolled_back"] or {}
    facts = (
        ("service", version["service"]),
        ("version", version["version"]),
        ("state", version["state"]),
        ("endpoints", ", ".join(version["endpoints"])),
        ("artifact", version["artifact"]),
        ("source", version["source"]),
        ("registered", _signed(registered.get("at"), registered.get("by"))),
        ("accepted", version["accepted_at"] or output.yes(version["accepted"])),
        ("rolled back", _signed(rolled_back.get("at"), rolled_back.get("incident"), rolled_back.get("reason"))),
        ("quarantined", _signed(quarantine.get("at"), quarantine.get("actor"), quarantine.get("reason"))),
        ("released until", _signed(lifted.get("until"), lifted.get("actor"), lifted.get("reason"))),
    )
    output.show(output.table(("fact", "value"), (fact for fact in facts if fact[1])))
    output.show("", *_periods(version["live"]))
    lines = (
        (line["at"], line["event"], line.get("state"), line["actor"], line.get("reason")) for line in version["history"]
    )
    output.show("", output.table(("at", "event", "state", "actor", "reason"), lines))


def _signed(*parts: object) -> str:
    return ", ".join(str(part) for part in parts if part)


def _live(document: Document) -> None:
    output.show(*_periods(document["live"]))
    if document["earlier"]:
        output.say(f"{counted(document['earlier'], 'earlier period')}: --limit shows more")
    if document["dropped"]:
        output.say(
            f"{counted(document['dropped'], 'older period')} {plural('is', document['dropped'])} in the journal only"
        )


def _periods(live: list[Document]) -> list[RenderableType]:
    rows = (
        (
            period["version"],
            period["since"],
            period["until"] or "now",
            _signed(period["begun"]["event"], period["begun"]["actor"], period["begun"]["reason"]),
            _signed(*((period["ended"] or {}).get(name) for name in ("event", "actor", "reason", "incident"))),
        )
        for period in live
    )
    return [output.table(("version", "live from", "until", "began by", "ended by"), rows)]


def _deletable(document: Document) -> None:
    kept = ((v["version"], "no", v["artifact"], "; ".join(v["because"])) for v in document["kept"])
    free = ((v["version"], "yes", v["artifact"], "") for v in document["deletable"])
    output.show(output.table(("version", "may be deleted", "artifact", "kept because"), [*kept, *free]))
    artifacts = document["artifacts_deletable"]
    output.say(*(["artifacts that may be deleted:", *artifacts] if artifacts else ["no artifact may be deleted"]))
