"""How long a router starts on a journal of 10,000 entries, and how much memory it then has at rest: one commit ÷ another.

A pair is one start of each, in an order that alternates; its ratio is one reading. `ready_s` is from the start of the process to
the first 200 of `/-/ready`, `admin_s` to that of the admin API. The journal is a generated one of schema 1
(`long_journal`), the same for both, copied anew for each start: every start is a cold one.
"""

from __future__ import annotations

import http.client
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks.build import Build
from benchmarks.figures import median_ratio
from benchmarks.long_journal.journal_file import save
from benchmarks.long_journal.long_journal import LongJournal
from benchmarks.program import BenchmarkError, Program, free_port, memory_kib, tree
from benchmarks.results import table, write
from benchmarks.subject import Admin

ENTRIES: Final = 10_000
PAIRS: Final = 11
SEED: Final = 1
WORKERS: Final = 2
SETTLE_S: Final = 6.0
"""Longer than what a start leaves under way: the first probes, the first checkpoint of the journal."""
POLL_S: Final = 0.005
LIMIT_S: Final = 60.0
FIGURES: Final = {"ready_s": "s", "admin_s": "s", "pss_mib": "MiB, all processes", "control_pss_mib": "MiB, control"}


def run(before: str, after: str, pairs: int | None, entries: int | None, quick: bool) -> None:
    """Measure, print the table, write results/start.json. `before` and `after` are revisions that git knows."""
    builds = (Build(before), Build(after))
    count, length = pairs or (2 if quick else PAIRS), ENTRIES if entries is None else entries
    taken: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in FIGURES}
    with tempfile.TemporaryDirectory(prefix="rollback-router-start-") as name:
        folder = Path(name)
        if length:
            save(LongJournal(SEED).write(length), folder / "journal.sqlite")
        for build in builds:  # the files of both are in memory, and Python has compiled them
            _started(build, folder, settle_s=0.0)
        for pair in range(count):
            for place in (0, 1) if pair % 2 else (1, 0):
                for figure, value in _started(builds[place], folder, 1.0 if quick else SETTLE_S).items():
                    taken[figure][place].append(value)
    rows, figures = [], {}
    for figure, (first, second) in taken.items():
        ratio = median_ratio(second, first)
        medians = [f"{statistics.median(values):.3f}" for values in (first, second)]
        rows.append([figure, FIGURES[figure], *medians, str(ratio)])
        figures[figure] = {
            "ratio": ratio.median, "low": ratio.low, "high": ratio.high, "before": first, "after": second,
        }  # fmt: skip
    settings = {
        "before": builds[0].commit, "after": builds[1].commit, "pairs": count, "entries": length, "workers": WORKERS,
    }  # fmt: skip
    path = write("start", quick, settings, figures)
    title = f"{builds[1].commit} ÷ {builds[0].commit}, a start with {length:,} entries, {count} pairs"
    print(table(title, ["figure", "unit", "before", "after", "after ÷ before [95 %]"], rows))
    print(f"\nwritten: benchmarks/{path.parent.name}/{path.name}")


def _started(build: Build, folder: Path, settle_s: float) -> dict[str, float]:
    """Start a router on a copy of the journal; return its figures when it has been at rest for `settle_s`."""
    place = folder / "router"
    shutil.rmtree(place, ignore_errors=True)
    (place / "state").mkdir(parents=True, mode=0o700)
    if (journal := folder / "journal.sqlite").exists():
        shutil.copy2(journal, place / "state" / journal.name)
    port, admin_port = free_port(), free_port()
    settings = place / "router.toml"
    settings.write_text(
        f'listen = "127.0.0.1:{port}"\nadmin_listen = "127.0.0.1:{admin_port}"\nworkers = {WORKERS}\n'
        f'state_dir = "{place / "state"}"\n[services.default]\nprobe = "none"\n'
    )
    began_s = time.monotonic()
    command = [str(build.python), "-P", "-m", "router", "run", "--config", str(settings)]
    with Program(command, place / "router.log") as program:
        times = _awaited(program, {"ready_s": (port, "/-/ready"), "admin_s": (admin_port, "/v1/status")}, began_s)
        time.sleep(settle_s)
        pids = tree(program.pid)
        control = _control(admin_port)
        pss = {pid: memory_kib(pid)[1] / 1024 for pid in pids}
    return {**times, "pss_mib": sum(pss.values()), "control_pss_mib": pss[control]}


def _awaited(program: Program, places: dict[str, tuple[int, str]], began_s: float) -> dict[str, float]:
    """Return the seconds from `began_s` until each of the (port, path) answers with 200."""
    found: dict[str, float] = {}
    while len(found) < len(places):
        for name, (port, path) in places.items():
            if name not in found and _answers(port, path):
                found[name] = time.monotonic() - began_s
        program.check_alive()
        if time.monotonic() - began_s > LIMIT_S:
            missing = ", ".join(places.keys() - found.keys())
            raise BenchmarkError(f"{missing}: not in {LIMIT_S:g} s\n{program.log.read_text(errors='replace')[-2000:]}")
        time.sleep(POLL_S)
    return found


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _control(admin_port: int) -> int:
    admin = Admin(admin_port)
    try:
        return int(admin.get("/v1/status")["control"]["pid"])
    finally:
        admin.close()
