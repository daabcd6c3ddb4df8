"""`doctor`: checks everything that a router needs, from outside, and names a remedy for each problem."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from router.cli import doctor_surroundings as surroundings
from router.cli import options as opt
from router.cli import output
from router.cli.client import Client, Document
from router.cli.doctor_check import DoctorCheck
from router.cli.doctor_surroundings import CONNECT_TIMEOUT_S, FREE_BYTES_MIN
from router.cli.doctor_targets import targets
from router.errors import RouterError
from router.rollout.model.endpoint import parse_endpoint
from router.runtime import clock
from router.runtime.exit_codes import ExitCode
from router.runtime.text.hints import Hints
from router.runtime.text.plurals import counted

if TYPE_CHECKING:
    from router.settings.sections.address import Address
    from router.settings.settings import Settings

app = typer.Typer()

FILES_MIN: Final = 4096
CLOCK_FLOOR_S: Final = 1_735_689_600.0  # 2025-01-01: a clock before it was never set
CLOCK_STEP_S: Final = 5.0
_NO_ROUTER: Final = "start it: `run --blue BLUE_URL --green GREEN_URL`, or name it: `doctor --admin ADMIN_URL`"
_NOT_STARTED: Final = "start it: `run --config FILE`, or name it: `doctor --config FILE --admin ADMIN_URL`"
_NO_TOKEN: Final = (
    "name the token: `doctor --token-file FILE`   (`token new NAME` makes one; the settings hold its SHA-256)"
)
_NO_ANSWER: Final = dict.fromkeys(("token_missing", "token_invalid"), _NO_TOKEN)
"""What to do if the admin API refuses, by code."""


@app.command()
@opt.with_shared
def doctor(
    router: opt.RouterOptions,
    config: Annotated[str, typer.Option(metavar="FILE", help="The settings file that the router runs with.")] = "",
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 1 for a warning, too.")] = False,
    as_json: opt.AsJson = False,
) -> None:
    """Check everything that a router needs.

    Checks settings and what is usually forgotten in them, secret files, state directory, ports, workers, descriptors,
    targets, clock and journal, and names a remedy for each problem. Exit code 1 if a check fails.
    """
    client = Client(router.admin, router.bearer(), CONNECT_TIMEOUT_S)
    checks = [*surroundings.token_file(router.token_file), *examine(config, client, router.hints)]
    bad = [check for check in checks if not check.ok or (strict and check.warning)]
    if as_json:
        output.show_json({"ok": not bad, "checks": [asdict(check) for check in checks]})
    else:
        rows = ((check.mark, check.name, check.detail, check.remedy) for check in checks)
        output.show(output.table(("", "check", "found", "what to do"), rows))
    if bad:
        raise typer.Exit(ExitCode.NOT_TRUE)


def examine(config: str, client: Client, hints: Hints) -> Iterator[DoctorCheck]:
    """Yield every check. Without an answer of the router, yield those that do not need it."""
    try:
        settings = _load(config)
        services = ", ".join(sorted(settings.services)) or "none (flags may bring one)"
        yield DoctorCheck("settings", True, f"{config or 'environment and defaults'}: good; services: {services}")
    except RouterError as error:
        settings = None
        remedy = hints.text("correct the file: `config check --config FILE`", FILE=config)
        yield DoctorCheck("settings", False, error.detail, remedy)
    try:
        status = client.get("/v1/status")
        yield DoctorCheck(
            "admin API",
            True,
            f"{client.url} answers, router {status['version']} ({status.get('build', 'build unknown')})",
        )
    except RouterError as error:
        status = None
        remedy = _NO_ANSWER.get(error.code, _NOT_STARTED if config else _NO_ROUTER)
        yield DoctorCheck("admin API", False, error.detail, hints.text(remedy, FILE=config))
    yield _files()
    yield _clock(clock.wall_s())
    if settings is not None:
        yield from _host(settings)
        yield from _certificates(settings)
        yield from _soundness(settings)
        yield from surroundings.secret_files(settings)
        if config:
            yield from _of_the_file(settings, hints, is_running=status is not None)
    if status is not None:
        if settings is not None and config:
            yield from surroundings.disk(settings)
            yield from surroundings.reloaded(config, client, hints)
        yield from _running(status, hints)
        yield from _tight_limits(settings, status) if settings is not None else ()
        yield _journal(client)
    elif settings is not None:
        yield from _before_start(settings)


def _of_the_file(settings: Settings, hints: Hints, *, is_running: bool) -> Iterator[DoctorCheck]:
    """Yield what only the router's own settings can tell: those of the environment alone may be of no router."""
    yield from surroundings.forgotten(settings, hints, is_running=is_running)
    yield from surroundings.registry(settings)
    yield from surroundings.descriptors(settings)


def _load(config: str) -> Settings:
    from pathlib import Path

    from router.settings.loader import load

    return load(Path(config) if config else None)


def _files() -> DoctorCheck:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    remedy = "" if hard >= FILES_MIN else f"raise it to {FILES_MIN} or more: LimitNOFILE= in the unit, or ulimit -Hn"
    return DoctorCheck(
        "file limit",
        hard >= FILES_MIN,
        f"{hard} open files allowed here (soft limit {soft}; the router raises it)",
        remedy,
    )


def _host(settings: Settings) -> Iterator[DoctorCheck]:
    """Yield the limits of the container, beside what the settings need; nothing without limits."""
    from router.runtime.host import cgroups, memory, processors

    found, limit_bytes = processors.of(), cgroups.memory_limit_bytes()
    too_many = found.excess(settings.workers)
    detail = f"{counted(settings.workers, 'worker')}, {found.described}"
    remedy = f"set workers = {found.usable}, or raise the CPU quota" if too_many else ""
    if too_many is not None or found.quota is not None:
        yield DoctorCheck("processors", True, detail, remedy, warning=too_many is not None)
    if limit_bytes is None:
        return
    need = memory.needed_bytes(settings.workers, len(settings.services)) // memory.MIB
    short = memory.shortage(settings.workers, len(settings.services), limit_bytes) is not None
    detail = f"limit {limit_bytes // memory.MIB} MiB, about {need} MiB are needed before the first connection"
    remedy = ("raise the limit" + memory.or_fewer(settings.workers)) if short else ""
    yield DoctorCheck("memory", True, detail, remedy, warning=short)


def _clock(now_s: float) -> DoctorCheck:
    good = now_s >= CLOCK_FLOOR_S
    return DoctorCheck("clock", good, f"it is {clock.iso(now_s)}", "" if good else "set it: timedatectl set-ntp true")


def _certificates(settings: Settings) -> Iterator[DoctorCheck]:
    from router.tls import contexts

    document, now_s = settings.model_dump(), clock.wall_s()
    try:
        for place, certificate, days in contexts.presented_certificates(document, now_s):
            names = ", ".join(certificate.names) or "no name"
            yield DoctorCheck(place, True, f"{certificate.path} for {names}: {counted(days, 'day')} left")
        for complaint in contexts.check(document, now_s):
            yield DoctorCheck(
                "TLS", False, complaint, "renew it and write the new pair over the old files; or correct the settings"
            )
    except RouterError as error:
        what, _, remedy = error.detail.partition("; ")
        yield DoctorCheck("TLS", False, what, remedy)


def _soundness(settings: Settings) -> Iterator[DoctorCheck]:
    """Yield the headers files that cannot be used, and what is allowed and yet unwise."""
    from router.cli.settings import unusable_headers
    from router.settings.soundness import blind_spots, contradictions

    for problem in unusable_headers(settings):
        yield DoctorCheck("headers file", False, problem, "make it readable and write a field a line: Name: value")
    for line in contradictions(settings):
        place, _, detail = line.partition(": ")
        what, _, remedy = detail.rpartition(": ")
        yield DoctorCheck(place, True, what, remedy, warning=True)
    for place, what, remedy in blind_spots(settings):
        yield DoctorCheck(place, True, what, remedy, warning=True)


def _before_start(settings: Settings) -> Iterator[DoctorCheck]:
    for name, address in (("listen", settings.listen), ("admin_listen", settings.admin_listen)):
        yield _port(name, address)
    state = _state(settings)
    yield state
    if state.ok:
        yield from surroundings.lasting(settings.resolved_state_dir())
    yield from targets(settings)


def _port(name: str, address: Address) -> DoctorCheck:
    from router.supervisor.sockets import check_free

    try:
        check_free(address, name)
    except RouterError as error:
        what, _, remedy = error.detail.partition(": ")
        return DoctorCheck(name, False, what, remedy)
    return DoctorCheck(name, True, f"{address} is free")


def _state(settings: Settings) -> DoctorCheck:
    import shutil

    from router.runtime.host import mounts
    from router.supervisor.patience import Patience
    from router.supervisor.state_directory import StateDirectory

    try:
        path = settings.resolved_state_dir()
        StateDirectory(path, Patience(0.0)).close()
    except RouterError as error:
        return DoctorCheck("state directory", False, error.detail, "another directory: --state-dir DIR")
    free_bytes = shutil.disk_usage(path).free
    good = free_bytes >= FREE_BYTES_MIN
    remedy = "" if good else f"free {FREE_BYTES_MIN >> 20} MiB or choose another: --state-dir DIR"
    mount = mounts.of(path)
    detail = f"{path} is writable, {free_bytes >> 20} MiB free, {mount}"
    if good and mount.is_remote:
        remedy = "locks and syncs of such a file system may fail later: use a local disk or a block volume"
        return DoctorCheck("state directory", True, detail, remedy, warning=True)
    return DoctorCheck("state directory", good, detail, remedy)


def _running(status: Document, hints: Hints) -> Iterator[DoctorCheck]:
    several = len(status["services"]) > 1
    workers = status["workers"]
    down = [str(worker["index"]) for worker in workers if not worker["up"]]
    remedy = "see the router's log; it restarts them itself" if down else ""
    found = f"worker {', '.join(down)} of {len(workers)} is down" if down else f"{len(workers)} up"
    yield DoctorCheck("workers", not down, found, remedy)
    for alarm in status["alarms"]:
        about = alarm.get("service") or ""
        remedy = hints.of(about).command("status" if several and not about else "explain")
        yield DoctorCheck(f"alarm {alarm['code']}", False, alarm["detail"], remedy)
    for name, service in sorted(status["services"].items()):
        way_back = bool(service["way_back"])
        yield DoctorCheck(
            f"rollback {name}",
            way_back,
            f"to {service['standby']}" if way_back else str(service["no_way_back"] or "no standby"),
            "" if way_back else hints.of(name if several else "").text("`deploy VERSION URL`, then: `promote VERSION`"),
        )
        yield from _standby(name, service)
        for target in service["targets"]:
            for endpoint in target["endpoints"]:
                yield _probed(f"target {name}/{target['version']}", endpoint, hints)
            yield from _one_address(name, target)


def _tight_limits(settings: Settings, status: Document) -> Iterator[DoctorCheck]:
    """Yield warnings about limits that healthy answers come near to: twice the p99 of the last minute is above them."""
    for name, service in sorted(status["services"].items()):
        known = settings.services.get(name)
        windows = [
            target["windows"].get("60s")
            for target in service["targets"]
            if target["role"] == "active" and "windows" in target
        ]
        if known is None or not windows or windows[0] is None or windows[0]["p99_ms"] is None:
            continue
        p99_s = windows[0]["p99_ms"] / 1000
        first_byte_s = known.first_byte_timeout_s or settings.timeouts.first_byte_timeout_s
        limits = {
            "first_byte_timeout_s": first_byte_s,
            "rules.hard_failure.hang_after_s": known.rules.hard_failure.hang_after_s,
        }
        for limit, limit_s in limits.items():
            if limit_s is not None and limit_s < 2 * p99_s:
                yield DoctorCheck(
                    f"services.{name}.{limit}",
                    True,
                    f"it is {limit_s:g} s, and the first byte takes {p99_s:g} s (p99 of the last minute)",
                    "set it well above what the model takes",
                    warning=True,
                )


def _standby(name: str, service: Document) -> Iterator[DoctorCheck]:
    """Yield warnings about the standby: nothing identifies it, or it is the active version's server."""
    targets = {target["role"]: target for target in service["targets"]}
    active, standby = targets.get("active"), targets.get("standby")
    if standby is None:
        return
    identity = standby.get("identity")
    if identity is not None and not (identity["models"] or identity["certificate"]):
        yield DoctorCheck(
            f"standby {name}",
            True,
            f"the probe of {standby['version']} names no model: another server on its address would pass for it",
            "probe a path whose answer names the model, or set probe.expect_text",
            warning=True,
        )
    urls = [{endpoint["url"] for endpoint in target["endpoints"]} for target in (active, standby) if target is not None]
    same = active is not None and active.get("rewrite") == standby.get("rewrite")
    if same and set.intersection(*urls):
        yield DoctorCheck(
            f"standby {name}",
            True,
            f"{standby['version']} and {active['version'] if active else ''} are the same server",
            "deploy with other endpoints, or with --host, --path-prefix or --headers-file",
            warning=True,
        )


def _one_address(name: str, target: Document) -> Iterator[DoctorCheck]:
    """Yield a warning about a version that has one endpoint, whose name has one address: it may be a virtual one."""
    endpoints = [parse_endpoint(endpoint["url"]) for endpoint in target["endpoints"]]
    if len(endpoints) != 1 or target.get("replicas") or not _is_name(endpoints[0].host):
        return
    yield DoctorCheck(
        f"replicas {name}/{target['version']}",
        True,
        f"{endpoints[0].host} has one address: replicas behind it cannot be told apart, and a bad one is not ejected",
        "if it is a Kubernetes Service: make it headless (clusterIP: None), or name each replica as an endpoint",
        warning=True,
    )


def _is_name(host: str) -> bool:
    return "." in host and host != "localhost" and not (":" in host or host.replace(".", "").isdigit())


def _probed(name: str, endpoint: dict[str, Any], hints: Hints) -> DoctorCheck:
    probe = endpoint.get("last_probe")
    good = bool(endpoint["ready"])
    detail = probe["detail"] if probe else "not probed yet"
    remedy = "" if good else hints.text("check that server; `status`")
    return DoctorCheck(name, good, f"{endpoint['url']}: {detail}", remedy)


def _journal(client: Client) -> DoctorCheck:
    """Read the whole journal through the API: it must be readable, without gaps, and without entries from the future."""
    count, last, after = 0, None, 0
    try:
        while entries := client.get(f"/v1/journal?after={after}&limit=1000")["entries"]:
            for entry in entries:
                if entry["seq"] != after + 1:
                    return DoctorCheck(
                        "journal",
                        False,
                        f"entry {after + 1} is missing",
                        "keep a copy of the state directory and report it",
                    )
                after = entry["seq"]
            count, last = count + len(entries), entries[-1]["at"]
    except RouterError as error:
        return DoctorCheck("journal", False, error.detail, "see the router's log; is the disk full?")
    if last is not None and last > clock.iso(clock.wall_s() + CLOCK_STEP_S):
        return DoctorCheck(
            "journal", False, f"its last entry is from the future: {last}", "the clock went back: timedatectl status"
        )
    return DoctorCheck("journal", True, f"{counted(count, 'entry')}, none missing; last at {last}")
