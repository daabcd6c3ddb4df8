"""The replay behind `advise`, as a process of its own: a job on stdin, a document on stdout.

A process, because 30 days of rows are ten seconds of pure Python: in a thread of control they share the interpreter's lock with
its tick, whose median lateness then went from 1 to 3 ms to 6 to 10, and whose worst to 219; beside a process it was 3, and 28
(2 cores, busy with other things). And a process can be ended when it takes too long. It gives way to everything else (nice 10),
and ends itself if nobody does.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from bisect import bisect_right
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import orjson
from pydantic import TypeAdapter

from router.control.store.history_file import HistoryFile
from router.rollout.history import advice as history_advice
from router.rollout.history.advice import KINDS, CandidateResult, KnownRollback
from router.rollout.history.backtest import ReplayedKind, replay
from router.rollout.history.row_windows import pooled
from router.rollout.judge.baseline import Baseline
from router.rollout.judge.rules import Rules
from router.runtime import clock
from router.runtime.printable import printable

LIFE_MAX_S: Final = 120
USUAL_ROWS: Final = 2_000
"""Rows from which the usual first-byte times are taken if there is no baseline."""
NICE: Final = 10
EXIT_UNREADABLE: Final = 4


@dataclass(frozen=True, slots=True)
class Job:
    """What the process is told. Wall times in ms; `baselines`: (since when, plain data), oldest first."""

    path: str
    service: str
    since_ms: int
    until_ms: int
    rules: Rules
    first_byte_timeout_s: float
    rollbacks: tuple[KnownRollback, ...]
    baselines: tuple[tuple[int, dict[str, Any]], ...]
    per_month_max: float

    def encode(self) -> bytes:
        """Return what `decode` reads."""
        return orjson.dumps({**asdict(self), "rollbacks": [list(one) for one in self.rollbacks]})


def decode(document: bytes) -> Job:
    """Return the job that `encode` wrote."""
    return TypeAdapter(Job).validate_json(document)


def advice(job: Job) -> dict[str, Any]:
    """Return the advice; raise sqlite3.Error if the history cannot be read."""
    begun_s = clock.now_s()
    file = HistoryFile.to_read(Path(job.path))
    try:
        span = (job.service, job.since_ms, job.until_ms)
        trials = history_advice.trials(job.rules, job.first_byte_timeout_s, _usual(job, file))
        every = [trial for named in trials.values() for trial in named]
        tape = replay(file.active(*span), every, _Baselines(job).at)
        actions = {kind: getattr(job.rules, kind).action for kind in KINDS}
        said = history_advice.recorded(file.active(*span, due=True), actions)
    finally:
        file.close()
    days = tape.covered_ms / 86_400_000
    outcomes = {
        kind: [history_advice.judged(trial, job.rollbacks) for trial in named] for kind, named in trials.items()
    }
    kinds, changes = {}, {}
    for kind, found in outcomes.items():
        kinds[kind], changes[kind] = _kind(kind, found, job, days)
    return {
        "service": job.service,
        "days": round(days, 5),
        "rows": tape.rows,
        "rollbacks": [{"at_s": one.at_s, "left": one.left, "by": one.by} for one in job.rollbacks],
        "kinds": kinds,
        "settings": history_advice.settings(job.service, changes),
        "observed": said,
        "notes": list(history_advice.NOTES),
        "took_s": round(clock.now_s() - begun_s, 3),
    }


def _kind(
    kind: ReplayedKind, found: list[CandidateResult], job: Job, days: float
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (what is said of one kind of trigger, the settings it proposes to change)."""
    chosen, why = history_advice.proposed(found, days, job.per_month_max)
    told = {
        "action": getattr(job.rules, kind).action,
        "proposed": chosen.trial.name,
        "why": why,
        "trials": [history_advice.told(one, job.rules) for one in found],
    }
    return told, history_advice.changed(kind, job.rules, chosen.trial.rules)


def _usual(job: Job, file: HistoryFile) -> tuple[int, ...]:
    if job.baselines:
        return Baseline.from_dict(job.baselines[-1][1]).first_byte
    every = max((job.until_ms - job.since_ms) // 10_000 // USUAL_ROWS, 1)
    return pooled(list(file.active(job.service, job.since_ms, job.until_ms, every=every)))


class _Baselines:
    """Which baseline was in force when."""

    def __init__(self, job: Job) -> None:
        self._since_ms = [since_ms for since_ms, _ in job.baselines]
        self._found = [Baseline.from_dict(plain) for _, plain in job.baselines]

    def at(self, at_ms: int) -> Baseline | None:
        number = bisect_right(self._since_ms, at_ms)
        return self._found[number - 1] if number else None


def main() -> int:
    """Read a job, write the advice; return an exit code."""
    signal.alarm(LIFE_MAX_S)
    os.nice(NICE)
    try:
        told = advice(decode(sys.stdin.buffer.read()))
    except sqlite3.Error as error:
        sys.stderr.write(f"{printable(str(error))}\n")
        return EXIT_UNREADABLE
    sys.stdout.buffer.write(orjson.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
