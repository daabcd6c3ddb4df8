"""The commands that change the route. Each returns once every worker has confirmed, with exit code 0, else with 1."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from router.cli import options as opt
from router.cli import output
from router.cli.check import until_checked
from router.cli.client import Client, Document, segment
from router.errors import CommandError
from router.errors.codes import CommandCode
from router.rollout.model.route import generation_text
from router.runtime import clock
from router.runtime.exit_codes import ExitCode
from router.runtime.text.hints import Hints
from router.runtime.text.plurals import counted, plural

app = typer.Typer()

POLL_EVERY_S: Final = 0.2
READY: Final = ("ready", "active", "standby")


@app.command()
@opt.with_shared
def deploy(
    change: opt.OverrideOptions,
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
    replace: Annotated[bool, typer.Option(help="Replace a candidate that is being verified.")] = False,
    wait: Annotated[bool, typer.Option(help="Wait until the version is ready or failed.")] = True,
) -> None:
    """Bring a version in as candidate and verify it.

    The candidate gets no traffic before promote. It is ready once enough warm-up probes in a row were good. With
    --no-wait the command returns at once.
    """
    body: Document = {"version": version, "replace": replace}
    body |= {"endpoints": endpoints} if endpoints else {}
    body |= {"artifact": artifact} if artifact else {}
    body |= opt.rewrite_members(host, path_prefix, headers_file)
    answer = change.send("POST", "deploy", body)
    if change.dry_run or not wait or answer.get("state") != "verifying":
        done(answer, change, f"{version}: {answer.get('state', 'would be verified')}")
    else:
        label, source = answer.get("version", version), answer.get("source")
        if source and not change.as_json:
            output.console(stderr=True).print(f"{source} is {label} here", soft_wrap=True)
        _wait_until_ready(change, label)


@app.command()
@opt.with_shared
def promote(change: opt.OverrideOptions, version: opt.Version, reason: opt.Reason = "") -> None:
    """Make the verified candidate active.

    The version that was active becomes the standby and stays warm.
    """
    _routed(change, "promote", {"version": version, "reason": reason})


@app.command()
@opt.with_shared
def rollback(change: opt.RouteChangeOptions, reason: opt.Reason = "") -> None:
    """Go back to the standby; quarantine the active version."""
    _routed(change, "rollback", {"reason": reason})


@app.command()
@opt.with_shared
def switch(change: opt.OverrideOptions, to: opt.Version, reason: opt.Reason = "") -> None:
    """Make a healthy version active; quarantine nothing."""
    _routed(change, "switch", {"to": to, "reason": reason})


@app.command()
@opt.with_shared
def retire(
    change: opt.RouteChangeOptions,
    version: opt.Version,
    cut: Annotated[bool, typer.Option("--cut", help="End its requests in flight at once.")] = False,
) -> None:
    """Take a version out and free its slot.

    Its requests in flight finish; --cut ends them at once.
    """
    _routed(change, "retire", {"version": version, "cut": cut})


@app.command()
@opt.with_shared
def endpoints(
    change: opt.ChangeOptions,
    version: opt.Version,
    urls: opt.Endpoints,
    host: opt.Host = "",
    path_prefix: opt.PathPrefix = "",
    headers_file: opt.HeadersFile = "",
) -> None:
    """Set the endpoints of a version.

    New endpoints are probed before they are used. Host, path prefix and headers file stay if none of them is given.
    """
    body: Document = {"endpoints": urls, **opt.rewrite_members(host, path_prefix, headers_file)}
    answer = change.send("PUT", f"versions/{segment(version)}/endpoints", body)
    done(answer, change, f"{version}: endpoints are now {', '.join(urls)}")


@app.command()
@opt.with_shared
def freeze(change: opt.ChangeOptions, reason: opt.Reason = "") -> None:
    """Disable automatic rollback until unfreeze.

    Your own commands still work.
    """
    _routed(change, "freeze", {"reason": reason})


@app.command()
@opt.with_shared
def unfreeze(change: opt.ChangeOptions, reason: opt.Reason = "") -> None:
    """Enable automatic rollback again."""
    _routed(change, "unfreeze", {"reason": reason})


def _routed(change: opt.ChangeOptions, verb: str, body: Document) -> None:
    done(change.send("POST", verb, body), change, f"{verb}: done")


def done(answer: Document, change: opt.ReadOptions, fallback: str) -> None:
    """Show the answer of a change; see `ended`."""
    ended(answer, change.as_json, fallback, change.hints)


def ended(answer: Document, as_json: bool, fallback: str, hints: Hints) -> None:
    """Show the answer; exit with 1 if a worker has not confirmed, or if the change needs an approval first."""
    if as_json:
        output.show_json(answer)
    else:
        output.say(str(answer.get("message") or fallback), *_remarks(answer, hints))
    unconfirmed = answer.get("confirmed") is False and answer.get("changed") is not False
    if unconfirmed or answer.get("awaits"):
        raise typer.Exit(ExitCode.NOT_TRUE)


def _remarks(answer: Document, hints: Hints) -> list[str]:
    remarks = []
    if answer.get("changed") and answer.get("confirmed") and answer.get("swap_us"):  # 0: no route was published
        remarks.append(
            f"generation {generation_text(answer['generation'])}: swapped in {answer['swap_us']:.0f} µs, "
            f"confirmed by every worker {answer['confirmed_ms']:.1f} ms later"
        )
    if unconfirmed := answer.get("workers_unconfirmed"):
        names = ", ".join(map(str, unconfirmed))
        remarks.append(hints.text(f"not confirmed by worker {names} yet: `status` shows when they have"))
    if answer.get("journalled") is False:
        remarks.append(hints.text("not in the journal yet: `doctor` shows why"))
    if answer.get("incident"):
        remarks.append(f"incident {answer['incident']}: " + hints.text("`incidents ID`", ID=answer["incident"]))
    if answer.get("awaits") and not answer.get("dry_run"):
        remarks.append("another operator approves it: " + hints.text("`approve ID`", ID=answer["awaits"]))
    return remarks


def _wait_until_ready(change: opt.ChangeOptions, version: str) -> None:
    """Return once `version` is ready; exit with 1 if it has failed. The router bounds the wait."""
    client, path = change.client, change.path
    progress_shown = ""
    while True:
        target = _target(client, path, version)
        state = target.get("state")
        if state in READY:
            cases = until_checked(client, path, version, quiet=change.as_json) if state == "ready" else {}
            return _ready(version, target, cases, change)
        if state != "verifying":
            raise CommandError(CommandCode.DEPLOY_FAILED, _failure(version, target), facts=target)
        if not change.as_json and (progress := _progress(target)) != progress_shown:
            progress_shown = progress
            output.note(f"{version}: {progress}")
        clock.sleep_s(POLL_EVERY_S)


def _ready(version: str, target: Document, cases: Document, change: opt.ChangeOptions) -> None:
    """Show that the version is ready, with its results in the cases; exit with 1 if they prevent its promotion."""
    check = cases.get("check") or {}
    facts = {**target, "cases": cases or None}
    if cases.get("failing") and cases["on_promote"] == "require":
        names = ", ".join(cases["failing"][:10])
        count = check.get("failed", len(cases["failing"]))
        detail = f"{version} is ready, but {counted(count, 'case')} {plural('fails', count)} on it: {names}"
        raise CommandError(CommandCode.DEPLOY_CASES_FAILING, detail, facts)
    if check.get("state") == "broken":
        detail = f"{version} is ready, but its cases could not be checked: {check.get('error')}"
        raise CommandError(CommandCode.DEPLOY_CASES_UNCHECKED, detail, facts)
    passed = (
        f", {check['passed']} of {counted(check['total'], 'case')} {plural('passes', check['passed'])}"
        if check.get("total")
        else ""
    )
    following = change.hints.text("`promote VERSION`", VERSION=version)
    done({**facts, "message": f"{version} is ready{passed}: {following}"}, change, "")


def _target(client: Client, path: str, version: str) -> Document:
    """Return the target of a version while it has a slot, afterwards its record; empty if it is unknown."""
    status = client.get(path)
    with_slot = [target for target in status["targets"] if target["version"] == version]
    known = [
        record
        for record in ([] if with_slot else client.get("/v1/versions")["versions"])
        if record["version"] == version and record["service"] == status["service"]
    ]
    return dict((with_slot or known or [{}])[0])


def _progress(target: Document) -> str:
    probes = [_probe(endpoint) for endpoint in target.get("endpoints", []) if isinstance(endpoint, dict)]
    bad = [probe for probe in probes if probe]
    return f"{counted(target.get('good_probes', 0), 'good probe')} in a row" + (f"; {'; '.join(bad)}" if bad else "")


def _probe(endpoint: dict[str, Any]) -> str:
    probe = endpoint.get("last_probe")
    return f"{endpoint['url']}: {probe['detail']}" if probe and not probe["ok"] else ""


def _failure(version: str, target: Document) -> str:
    history = target.get("history") or [{}]
    why = history[-1].get("reason") or history[-1].get("detail") or _progress(target)
    return f"{version} did not become ready, it is {target.get('state') or 'gone'}: {why}"
