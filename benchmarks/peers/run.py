"""`python -m benchmarks peers`: install, measure, print, write results/peers.json and results/peers.svg."""

from __future__ import annotations

import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.build import Build
from benchmarks.peers import chart, report
from benchmarks.peers.comparison import FULL, OFTEN_ON, QUICK, Comparison
from benchmarks.peers.environment import Environment
from benchmarks.peers.peer import BEFORE, PEERS, ROUTER
from benchmarks.peers.work import QUICK as QUICK_WORKS
from benchmarks.peers.work import WORKS, Work, chosen
from benchmarks.program import BenchmarkError, allow_many_files
from benchmarks.results import write


def run(
    quick: bool,
    rounds: int | None,
    letters: str | None,
    names: str | None,
    before: str | None,
    slice_s: int | None,
) -> None:
    """Measure the router beside the peers named (all; quick: nginx and HAProxy) on the works named.

    `before` is a revision whose router takes part, compiled, by the name `before`. `slice_s` is the length of a slice.
    """
    allow_many_files()
    try:
        works = chosen(letters or (QUICK_WORKS if quick else ",".join(work.key for work in WORKS)))
    except ValueError as error:
        raise BenchmarkError(str(error)) from None
    size = QUICK if quick else FULL
    if rounds:
        size = replace(size, rounds=rounds, seldom_rounds=rounds)
    if slice_s:
        size = replace(size, slice_s=slice_s)
    count = size.rounds if any(work.key in OFTEN_ON for work in works) else size.seldom_rounds
    environments, absent = provide(_names(quick, names))
    earlier = Build(before) if before else None
    with tempfile.TemporaryDirectory(prefix="rollback-router-peers-") as folder:
        # nginx's worker runs as another user when the benchmark runs as root, and serves files from here.
        Path(folder).chmod(0o755)
        comparison = Comparison(list(environments), _present(environments), works, size, Path(folder), earlier)
        for number in range(count):
            begun = time.monotonic()
            comparison.round(number)
            print(f"round {number + 1} of {count} done in {time.monotonic() - begun:.0f} s", flush=True)
    comparison.notes.update(absent)
    versions = {name: one.version for name, one in _present(environments).items()}
    settings = {"works": [work.key for work in works], **asdict(size), "rounds": count, "peer_versions": versions}
    settings |= {"before": earlier.commit} if earlier else {}
    _tell(quick, works, comparison, settings)


def provide(names: list[str]) -> tuple[dict[str, Environment | None], dict[str, str]]:
    """Return the peers that are to be had (with their environment when from PyPI), and why the others are not."""
    found: dict[str, Environment | None] = {}
    absent: dict[str, str] = {}
    for name in names:
        package = PEERS[name].package
        try:
            found[name] = Environment(name, package) if package else None
        except BenchmarkError as error:
            absent[name] = str(error)
            print(f"{name} takes no part: {error}")
    return found, absent


def _present(environments: dict[str, Environment | None]) -> dict[str, Environment]:
    return {name: one for name, one in environments.items() if one is not None}


def _names(quick: bool, names: str | None) -> list[str]:
    if names is None:
        return ["nginx", "haproxy"] if quick else list(PEERS)
    found = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in found if name not in PEERS]
    if unknown:
        raise BenchmarkError(f"no peer {', '.join(unknown)}: {', '.join(PEERS)}")
    return found


def _tell(quick: bool, works: list[Work], comparison: Comparison, settings: dict[str, Any]) -> None:
    figures = {work.key: report.summary(comparison.readings, work) for work in works}
    judged = report.bars(figures)
    beside = {name: "; ".join(peer.settings) for name, peer in PEERS.items()} | {ROUTER: "workers"}
    beside[BEFORE] = f"workers; the router of {settings.get('before')}"
    for name, lacking in comparison.header_work.items():
        if lacking:
            beside[name] += "; does not do: " + ", ".join(lacking)
    path = write(
        "peers",
        quick,
        {**settings, "not_defaults": beside},
        {
            **figures,
            "bars": judged,
            "no_figure": comparison.notes,
            "header_work_missing": comparison.header_work,
            "tls": {name: asdict(one) for name, one in comparison.agreements.items()},
            "readings": [asdict(one) for one in comparison.readings],
        },
    )
    picture = path.with_suffix(".svg")
    rounds = sorted({one["rounds"] for figure in figures.values() for one in figure.values()})
    number = f"{rounds[0]} to {rounds[-1]}" if len(rounds) > 1 else f"{rounds[0]}"
    subtitle = f"medians of {number} interleaved rounds with 95 % intervals; one core each; log scale"
    picture.write_text(chart.draw(report.panels(works, figures), subtitle))
    for work in works:
        if figures[work.key]:
            print(report.show_work(work, figures[work.key], beside))
    if judged:
        print(report.show_bars(judged))
    for what, why in comparison.notes.items():
        print(f"no figure: {what}: {why.splitlines()[0]}")
    print(f"\nwritten: benchmarks/{path.parent.name}/{path.name} and {picture.name}")
