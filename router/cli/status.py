"""The commands that only read: status, explain, journal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from router.cli import options as opt
from router.cli import output
from router.cli.client import Document, segment
from router.rollout.model.route import generation_text
from router.rollout.stats.figures import format_value
from router.runtime import clock
from router.runtime.text.hints import Hints
from router.runtime.text.plurals import counted, plural

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

app = typer.Typer()

WATCH_EVERY_S: Final = 1.0
_LEVELS: Final = {"ok": "", "look": "", "warn": "NEEDS AN OPERATOR: ", "act": "FAILING NOW: "}
_TARGET_COLUMNS: Final = (
    "version",
    "role",
    "state",
    "ready",
    "in flight",
    "waiting",
    "requests/s",
    "p50",
    "p99",
    "faults",
    "served",
)
_WORK_COLUMNS: Final = (
    "work",
    "inference",
    "asked",
    "useful",
    "without use",
    "in progress",
    "waiting",
    "oldest wait",
    "last useful",
)


@app.command()
@opt.with_shared
def status(
    router: opt.RouterOptions,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Repeat once a second, until Ctrl-C.")] = False,
    service: opt.OnlyService = "",
    as_json: opt.AsJson = False,
) -> None:
    """Show the versions with their roles, health and figures."""

    def read() -> Document:
        return router.client.status(service)

    def shown(document: Document) -> list[RenderableType]:
        return overview(document, router.hints)

    if not watch:
        document = read()
        output.show_json(document) if as_json else output.show(*shown(document))
        return
    try:
        _watch(read, shown, as_json)
    except KeyboardInterrupt:
        pass


def _watch(read: Callable[[], Document], shown: Callable[[Document], list[RenderableType]], as_json: bool) -> None:
    console = output.console()
    if as_json or not console.is_terminal or console.is_dumb_terminal:
        while True:
            document = read()
            output.show_json(document) if as_json else output.show(*shown(document))
            output.finish()
            clock.sleep_s(WATCH_EVERY_S)
    from rich.console import Group
    from rich.live import Live

    with Live(Group(*shown(read())), console=console, auto_refresh=False, screen=True) as live:
        while True:
            clock.sleep_s(WATCH_EVERY_S)
            live.update(Group(*shown(read())), refresh=True)


def overview(document: Document, hints: Hints) -> list[RenderableType]:
    """Return the status document as text and tables; `hints` makes the commands in it."""
    up = sum(1 for worker in document["workers"] if worker["up"])
    lines = [
        f"router {document['version']}, boot {document['boot']}, {up} of {counted(len(document['workers']), 'worker')} up"
    ]
    lines += [
        f"ALARM {alarm['code']}{' (' + alarm['service'] + ')' if alarm.get('service') else ''}: {alarm['detail']}"
        for alarm in document["alarms"]
    ]
    parts: list[Any] = list(lines)
    several = len(document["services"]) > 1
    for name, service in sorted(document["services"].items()):
        parts += ["", *_service(name, service, hints.of(name if several else hints.service))]
    return parts


def _headline(service: Document) -> list[str]:
    """Return the state of a service in words; a router of an earlier release has none."""
    headline = service.get("headline")
    return [f"{_LEVELS[headline['level']]}{headline['line']}. {headline['lead']}"] if headline else []


def _service(name: str, service: Document, hints: Hints) -> list[Any]:
    way_back = (
        "standby: " + (service["standby"] or "")
        if service["way_back"]
        else f"NO ROLLBACK POSSIBLE: {service['no_way_back']}"
    )
    lines: list[Any] = [
        *_headline(service),
        f"service {name}: {service['state']}, generation {generation_text(service['generation'])}, {way_back}",
        output.table(
            _TARGET_COLUMNS,
            (_target(target) for target in service["targets"]),
            ("role", "state", "ready"),
            optional=("in flight", "requests/s", "waiting", "p50", "served"),
        ),
    ]
    lines += filter(None, (_ejected(target) for target in service["targets"]))
    lines += _work(_active_work(service), service.get("progress"), service.get("active"))
    if service.get("observe"):
        lines.append("OBSERVES ONLY: nothing is rolled back automatically (run --observe)")
    if frozen := service.get("frozen"):
        lines.append(f"FROZEN by {frozen['actor']} since {frozen['at']}: {frozen['reason'] or 'no reason given'}")
    lines += [
        f"WAITS for an operator: {waiting['id']}, {waiting['kind']} of {waiting['version']}, until {waiting['expires_at']}"
        for waiting in service.get("proposals", ())
    ]
    if drill := (service.get("drill") or {}).get("under_way"):
        lines.append(f"DRILL {drill} is under way: " + hints.text("`drill --stop` ends it"))
    if verdict := service.get("verdict"):
        lines.append(
            f"verdict: {verdict['state']}"
            + "".join(f"; {t['reason']}" for t in verdict["triggers"] if t["state"] == "fail")
        )
    lines += filter(None, (_validated(service), _inputs(service), _cases(service)))
    if (acceptance := service.get("acceptance")) and not acceptance["accepted"]:
        lines.append(
            f"on probation: {acceptance['requests']} of {counted(acceptance['requests_needed'], 'request')}, "
            f"{acceptance['seconds']:.0f} of {acceptance['seconds_needed']:.0f} s{_unmet(acceptance)}"
        )
    if left_open := service.get("incidents_open"):
        more = f" and {len(left_open) - 3} more" if len(left_open) > 3 else ""
        which = f"open {plural('incident', len(left_open))}: {', '.join(left_open[:3])}{more}: "
        lines.append(which + hints.text("`incidents ID`", ID=left_open[0]))
    if last := service.get("last_switch"):
        lines.append(
            f"last switch: {last['at']} {last['from']} → {last['to']} by {last['actor']}: {last['reason'] or 'no reason given'}"
        )
    return lines


def _active_work(service: Document) -> list[Document]:
    return next((target.get("work") or [] for target in service["targets"] if target["role"] == "active"), [])


def _work(work: list[Document], progress: Document | None, version: str | None) -> list[Any]:
    """Return the work of the active version as a table, and in red that nothing is useful; nothing before the first request."""
    from rich.text import Text

    lines: list[Any] = []
    if work:
        lines.append(
            output.table(
                _WORK_COLUMNS, map(_bucket, work), ("useful",), optional=("inference", "in progress", "oldest wait")
            )
        )
    if progress and progress["nothing_useful"]:
        lines.append(Text(f"NOTHING USEFUL from {version} for {output.long(progress['since_s'])}", style="bold red"))
    return lines


def _bucket(work: Document) -> tuple[object, ...]:
    lost = ", ".join(f"{count} {end}" for end, count in work["without_use"].items())
    return (
        work["bucket"],
        output.yes(work["inference"]),
        work["asked"],
        work["useful"],
        lost,
        work["in_progress"],
        work["waiting"],
        output.number(work["oldest_wait_s"], "s"),
        "" if work["last_useful_s"] is None else f"{output.long(work['last_useful_s'])} ago",
    )


def _inputs(document: Document) -> str:
    """Return whether the requests have drifted; empty if drift detection is off."""
    inputs = document.get("inputs")
    return f"inputs: {'DRIFTED, ' if inputs['drifting'] else ''}{inputs['reason'] or inputs['state']}" if inputs else ""


def _cases(service: Document) -> str:
    """Return the candidate's results in the regression cases: "cases: 12, of which v3 fails 2"; empty without cases."""
    cases, candidate = service.get("cases") or {}, service.get("candidate")
    if not cases.get("count"):
        return ""
    check = cases.get("check") or {}
    if not candidate:
        return f"cases: {cases['count']}"
    if cases["failing"]:
        return f"cases: {cases['count']}, of which {candidate} fails {check.get('failed', len(cases['failing']))}"
    if cases["pending"]:
        return f"cases: {check.get('done', 0)} of {cases['count']} checked on {candidate}"
    return f"cases: {cases['count']}" + (f", {candidate} fails none" if cases["on_promote"] != "off" else "")


def _validated(document: Document) -> str:
    """Return the validators' counts: "validated: request ok 10, schema 2; response ok 8"; empty without counts."""
    found = document.get("validated") or {}
    counts = (f"{what} " + ", ".join(f"{result} {count}" for result, count in by.items()) for what, by in found.items())
    return f"validated: {'; '.join(counts)}" if found else ""


def _unmet(acceptance: Document) -> str:
    """Return the other criteria that prevent acceptance."""
    unmet = [c for c in acceptance.get("criteria", ()) if c["state"] in ("not_met", "unknown")]
    return "".join(f"; {c['name']}: {c['reason']}" for c in unmet if c["name"] not in ("requests", "seconds"))


def _target(target: Document) -> tuple[object, ...]:
    window = (target.get("windows") or {}).get("10s") or {}
    return (
        target["version"],
        target["role"],
        target["state"],
        output.yes(target["ready"]),
        target["in_flight"],
        target["waiting"],
        output.number(window.get("requests_per_s")),
        output.number(window.get("p50_ms"), "ms"),
        output.number(window.get("p99_ms"), "ms"),
        output.percent(window.get("fault_rate")),
        (target.get("totals") or {}).get("begun"),
    )


def _ejected(target: Document) -> str:
    """Return which replicas of a version get no requests; empty without any."""
    replicas = target.get("replicas") or ()
    ejected = [f"{one['name']} for {one['ejected_for_s']} s more" for one in replicas if one["ejected_for_s"]]
    if not ejected:
        return ""
    return f"{target['version']}: {len(ejected)} of {counted(len(replicas), 'replica')} ejected: {', '.join(ejected)}"


@app.command()
@opt.with_shared
def explain(read: opt.ReadOptions) -> None:
    """Show why the router did or did not act.

    Shows every trigger with its value, limit, baseline and samples, and the evidence that is missing until it acts.
    """
    document = read.client.get(f"{read.path}/explain")
    if read.as_json:
        output.show_json(document)
        return
    columns = ("trigger", "state", "action", "value", "limit", "baseline", "samples", "reason", "still missing")
    gate = document["gate"]
    output.show(
        document["summary"],
        output.table(
            columns,
            (_trigger(trigger) for trigger in document["triggers"]),
            ("state", "value", "limit"),
            optional=("action", "baseline", "samples"),
        ),
        f"an automatic rollback {'would' if gate['would_pass'] else 'would not'} pass the gate"
        + (f": {'; '.join(gate['reasons'])}" if gate["reasons"] else ""),
        *_work(document.get("work") or [], document.get("progress"), document.get("active")),
        *filter(None, (_validated(document), _inputs(document), _unmet_criteria(document))),
    )


def _unmet_criteria(document: Document) -> str:
    """Return the criteria that prevent acceptance; empty if there are none, or if the version is accepted."""
    unmet = [c for c in document.get("acceptance", ()) if c["state"] in ("not_met", "unknown")]
    reasons = "; ".join(f"{criterion['name']}: {criterion['reason']}" for criterion in unmet)
    return f"on probation: {reasons}" if reasons else ""


def _trigger(trigger: Document) -> tuple[object, ...]:
    name = trigger["kind"] + (f" ({trigger['detail']})" if trigger.get("detail") else "")
    members = ("value", "limit", "baseline")
    figures = (format_value(trigger, member) if trigger.get(member) is not None else "" for member in members)
    return (
        name,
        trigger["state"],
        trigger.get("action"),
        *figures,
        trigger.get("samples"),
        trigger.get("reason"),
        trigger.get("distance"),
    )


@app.command()
@opt.with_shared
def journal(
    read: opt.ReadOptions,
    after: Annotated[int, typer.Option(metavar="SEQ", help="Show entries after this number.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Largest number of entries to show.")] = 100,
) -> None:
    """Show the journal, oldest entry first."""
    only = f"&service={segment(read.service)}" if read.service else ""
    document = read.client.get(f"/v1/journal?after={after}&limit={limit}{only}")
    if read.as_json:
        output.show_json(document)
        return
    rows = (
        (
            e["seq"],
            e["at"],
            e.get("service"),
            e["type"],
            e.get("actor"),
            ", ".join(f"{k}={_cell(k, v)}" for k, v in e["data"].items()),
        )
        for e in document["entries"]
    )
    output.show(output.table(("seq", "at", "service", "type", "actor", "data"), rows, ("at", "type"), ("actor",)))


def _cell(name: str, value: object) -> str:
    if name in ("generation", "base") and isinstance(value, int):
        return generation_text(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
