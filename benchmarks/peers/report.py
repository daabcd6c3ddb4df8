"""What the readings come to: medians, ratios with their 95 % intervals, bars; as plain data and as tables."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from benchmarks.figures import Interval, median_interval, median_ratio
from benchmarks.peers.comparison import DIRECT, Reading
from benchmarks.peers.peer import BEFORE, ROUTER
from benchmarks.peers.work import Work
from benchmarks.results import table

GATEWAYS: Final = ("vllm-router", "sglang-router", "litellm")
TOLERANCE: Final = 1.05
"""A bar is met when the median is at or below it and the interval ends at or below 1.05 of it."""


@dataclass(frozen=True, slots=True)
class Bar:
    """The router ÷ `peer` on `work` shall be at most `limit`."""

    work: str
    peer: str
    limit: float


BARS: Final = (
    Bar("a", "nginx", 0.95),
    Bar("b", "nginx", 1.1),
    Bar("a", "nginx-bare", 1.2),
    Bar("b", "nginx-bare", 1.3),
    *(Bar(work, "haproxy", 1.0) for work in "ab"),
    *(Bar(work, "envoy", 1 / 3) for work in "ab"),
    *(Bar(work, peer, 1 / 5) for work in "ab" for peer in ("traefik", "caddy")),
    *(Bar(work, peer, 1 / 4) for work in "ab" for peer in GATEWAYS),
    *(Bar(work, "aiohttp", 1 / 10) for work in "ab"),
    *(Bar(work, "nginx", 1.2) for work in ("c-100k", "c-10m", "d", "e", "g")),
    *(Bar(work, "nginx", 1.05) for work in "kl"),
    Bar("m", "nginx", 1.25),
)
ADDED_P99_US_MAX: Final = 1000.0
ABOVE_NGINX_P99_US_MAX: Final = 300.0
TWO_WORKERS_MAX: Final = 1.05
AT_REST_MS_PER_S_MAX: Final = 10.0


def paired(readings: Sequence[Reading], work: str, ours: str, theirs: str, key: str) -> tuple[list[float], list[float]]:
    """Return both peers' values from the rounds in which both have one."""
    by = {
        name: {one.round: one.values[key] for one in readings if (one.work, one.peer) == (work, name)}
        for name in (ours, theirs)
    }
    rounds = sorted(by[ours].keys() & by[theirs].keys())
    return [by[ours][number] for number in rounds], [by[theirs][number] for number in rounds]


def summary(readings: Sequence[Reading], work: Work) -> dict[str, dict[str, Any]]:
    """Return per peer the median of every value, the interval of the figure, and the router's ratio to the peer.

    For latency the ratio is that of the whole p99 (what is added may be nothing), beside the difference of the added.
    """
    names = list(dict.fromkeys(one.peer for one in readings if one.work == work.key))
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        mine = [one.values for one in readings if (one.work, one.peer) == (work.key, name)]
        one: dict[str, Any] = {key: round(statistics.median(v[key] for v in mine), 3) for key in mine[0]}
        one["rounds"] = len(mine)
        one["interval"] = asdict(median_interval([values["figure"] for values in mine]))
        key = "p99_us" if work.kind == "latency" else "figure"
        ours, theirs = paired(readings, work.key, ROUTER, name, key)
        # At rest a peer that needs next to nothing gives no ratio that means something.
        has_ratio = work.kind != "rest" or name in (ROUTER, BEFORE)
        if ours and has_ratio and all(value > 0 for value in theirs):
            one["router_ratio"] = asdict(median_ratio(ours, theirs))
        if ours and work.kind == "latency":
            differences = [a - b for a, b in zip(ours, theirs, strict=True)]
            one["router_p99_us_above"] = asdict(median_interval(differences))
        found[name] = one
    return found


def bars(figures: dict[str, dict[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return every bar for which there are figures: what, limit, what came, whether it is met."""
    found = []
    for bar in BARS:
        ratio = figures.get(bar.work, {}).get(bar.peer, {}).get("router_ratio")
        if ratio:
            came = Interval(**ratio)
            found.append(_judged(f"({bar.work}) router ÷ {bar.peer}", bar.limit, came))
    ours = figures.get("f", {}).get(ROUTER)
    if ours:
        found.append(_judged("(f) p99 added, µs", ADDED_P99_US_MAX, Interval(**ours["interval"])))
    above = figures.get("f", {}).get("nginx", {}).get("router_p99_us_above")
    if above:
        found.append(_judged("(f) p99 added above nginx's, µs", ABOVE_NGINX_P99_US_MAX, Interval(**above)))
    ours = figures.get("h", {}).get(ROUTER)
    if ours:
        found.append(_judged("(h) 2 workers ÷ 1", TWO_WORKERS_MAX, Interval(**ours["interval"])))
    ours = figures.get("j", {}).get(ROUTER)
    if ours:
        found.append(_judged("(j) at rest, ms/s", AT_REST_MS_PER_S_MAX, Interval(**ours["interval"])))
    return found


def _judged(what: str, limit: float, came: Interval) -> dict[str, Any]:
    met = came.median <= limit and came.high <= limit * TOLERANCE
    return {"bar": what, "limit": round(limit, 4), "came": asdict(came), "met": met}


def show_work(work: Work, figure: dict[str, dict[str, Any]], settings: dict[str, str]) -> str:
    """Return the table of one work, what is not default beside each peer."""
    head = ["peer", work.unit, "95 %", *_more_heads(work), "router ÷ it [95 %]", "settings that are not defaults"]
    rows = []
    for name, one in figure.items():
        ratio = "—" if name == ROUTER or "router_ratio" not in one else str(Interval(**one["router_ratio"]))
        span = f"[{one['interval']['low']:,.2f}, {one['interval']['high']:,.2f}]"
        rows.append([name, f"{one['figure']:,.2f}", span, *_more(work, one), ratio, settings.get(name, "")])
    # The last column is prose: it follows its row instead of widening the table.
    text = table(f"({work.key}) {work.title}", head[:-1], [row[:-1] for row in rows]).splitlines()
    body = [f"{line}   {row[-1]}".rstrip() for line, row in zip(text[-len(rows) :], rows, strict=True)]
    return "\n".join([*text[: -len(rows)], *body])


def _more_heads(work: Work) -> list[str]:
    if work.kind in ("closed", "handshakes"):
        return ["wakes", "per s", "core used"]
    if work.kind == "rest":
        return ["wakes/s", "control", "supervisor", "worker"]
    if work.kind == "latency":
        return ["p50 added", "p99.9 added", "p99 whole"]
    if work.kind == "streams":
        return ["wakes", "late s", "core used"]
    if work.kind == "workers":
        return ["µs with 1", "µs with 2"]
    return ["MiB at rest"]


def _more(work: Work, one: dict[str, Any]) -> list[str]:
    if work.kind == "rest":
        kinds = [one.get(f"{kind}_ms_per_s") for kind in ("control", "supervisor", "worker")]
        return [f"{one['wakes_per_s']:,.1f}", *("" if value is None else f"{value:.2f}" for value in kinds)]
    if work.kind in ("closed", "handshakes"):
        return [f"{one['wakes']:.3f}", f"{one['requests_per_s']:,.0f}", f"{one['busy']:.0%}"]
    if work.kind == "latency":
        return [f"{one['added_p50_us']:,.0f}", f"{one['added_p999_us']:,.0f}", f"{one['p99_us']:,.0f}"]
    if work.kind == "streams":
        return [f"{one['wakes']:.1f}", f"{one['late_s']:.2f}", f"{one['busy']:.0%}"]
    if work.kind == "workers":
        return [f"{one['one_us']:.1f}", f"{one['two_us']:.1f}"]
    return [f"{one['at_rest_mib']:,.1f}"]


def show_bars(judged: list[dict[str, Any]]) -> str:
    """Return the table of bars."""
    rows = [
        [one["bar"], f"≤ {one['limit']:.3g}", str(Interval(**one["came"])), "met" if one["met"] else "NOT met"]
        for one in judged
    ]
    return table("bars", ["what", "bar", "came [95 %]", ""], rows)


def panels(works: Sequence[Work], figures: dict[str, dict[str, dict[str, Any]]]) -> list[tuple[str, list[Any]]]:
    """Return for the chart: title, and (peer, interval of peer ÷ router, the figure in words) per peer."""
    found = []
    for work in works:
        rows = []
        for name, one in figures.get(work.key, {}).items():
            if name == DIRECT or "router_ratio" not in one:
                continue
            ratio = Interval(**one["router_ratio"])
            over = Interval(1 / ratio.median, 1 / ratio.high, 1 / ratio.low)
            if name == ROUTER:
                over = Interval(1.0, 1.0, 1.0)
            rows.append((name, over, _words(work, one)))
        found.append((f"({work.key}) {work.title}", rows))
    return found


def _words(work: Work, one: dict[str, Any]) -> str:
    if work.kind == "latency":  # the dot stands for the whole p99: what is added may be nothing
        return f"p99 {one['p99_us']:,.0f} µs, {one['figure']:,.0f} of it added"
    return f"{one['figure']:,.2f} {work.unit}" if one["figure"] < 10 else f"{one['figure']:,.1f} {work.unit}"
