"""`python -m benchmarks judge`: the table of scenarios; with --twins healthy versions for hours, with independent faults."""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from typing import Final

from benchmarks.judge.driver import Driver
from benchmarks.judge.scenarios import SCENARIOS, Scenario
from benchmarks.judge.twins import FAULT_SHARES, FAULTY, TWINS, with_faults
from benchmarks.program import BenchmarkError
from benchmarks.results import table, write

ALL: Final = (*SCENARIOS, *TWINS, *FAULTY)
HOUR_S: Final = 3600.0
UNKNOWN_FAULTS_MAX: Final = 0.01
"""Without a baseline a larger share of faults is no healthy version: the shipped limit is 5 %."""


@dataclass(frozen=True, slots=True)
class Row:
    """One drive. `after_s`: seconds from the fault to the verdict; None without one. `complaint`: what is wrong about it."""

    name: str
    rate: float
    faults: float
    hours: float
    attempts: int
    verdicts: int
    after_s: float | None
    trigger: str
    notes: str
    complaint: str | None
    cpu_s: float


def run(quick: bool, twins: bool, hours: float | None, only: str) -> None:
    """Drive, print the table, write results/judge.json (with twins: results/judge-twins.json)."""
    with ProcessPoolExecutor() as pool:
        if twins:
            hours = hours or (0.1 if quick else 10.0)
            names = [twin.name for twin in TWINS if only in twin.name]
            work = [(name, rate, part, hours) for name in names for rate in _named(name).rates for part in FAULT_SHARES]
            work = [one for one in work if one[2] <= UNKNOWN_FAULTS_MAX or _has_baseline(*one[:2])]
            rows = list(pool.map(_healthy, *zip(*work, strict=True)))
        else:
            pairs = [(one.name, rate) for one in ALL if only in one.name for rate in one.rates]
            rows = list(pool.map(_scenario, *zip(*pairs, strict=True)))
    path = write("judge-twins" if twins else "judge", quick, {"hours": hours}, {"rows": [asdict(row) for row in rows]})
    print(show(rows))
    print(f"\nwritten: benchmarks/{path.parent.name}/{path.name}")
    wrong = sum(row.complaint is not None for row in rows)
    if wrong:
        raise BenchmarkError(f"{wrong} of {len(rows)} rows are wrong")


def show(rows: list[Row]) -> str:
    """Return the table."""
    head = ["scenario", "requests/s", "faults", "h", "verdict after, s", "by", "notes", "wrong"]
    cells = [
        [
            row.name,
            f"{row.rate:g}",
            f"{row.faults:.1%}",
            f"{row.hours:g}",
            "-" if row.after_s is None else f"{row.after_s:.1f}",
            row.trigger or "-",
            row.notes or "-",
            row.complaint or "",
        ]
        for row in rows
    ]
    return table("the judge under a virtual clock", head, cells)


def _has_baseline(name: str, rate: float) -> bool:
    return _named(name).service(rate).baseline is not None


def _scenario(name: str, rate: float) -> Row:
    one, began_s = _named(name), time.process_time()
    found = one.drive(rate)
    after_s = found.verdict_s - one.fault_s if found.verdict else None
    return Row(
        name,
        rate,
        0.0,
        round(found.ticks / 10 / HOUR_S, 3),
        found.attempts,
        int(found.verdict is not None),
        after_s,
        found.trigger,
        " ".join(found.noted),
        one.complaint(rate, found),
        round(time.process_time() - began_s, 1),
    )


def _healthy(name: str, rate: float, part: float, hours: float) -> Row:
    """Drive one twin for `hours`; after a false verdict the version stays, and the next one counts after five minutes."""
    one, began_s = _named(name), time.process_time()
    service = with_faults(one.service, part)(rate)
    driver = Driver(service, (name, rate, part))
    found = driver.run(service.promoted_s + hours * HOUR_S, go_on=True)
    complaint = (
        f"{found.verdicts} verdicts, the first by {found.trigger}: {found.verdict.reason}" if found.verdict else None
    )
    return Row(
        name,
        rate,
        part,
        hours,
        found.attempts,
        found.verdicts,
        found.verdict_s if found.verdict else None,
        found.trigger,
        " ".join(found.noted),
        complaint,
        round(time.process_time() - began_s, 1),
    )


def _named(name: str) -> Scenario:
    return next(one for one in ALL if one.name == name)
