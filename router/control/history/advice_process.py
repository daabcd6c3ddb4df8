"""The replay behind `advise`, as a child process: a job on stdin, a document on stdout.

30 days of rows take ten seconds of pure Python. In a thread of control they would share the interpreter's lock with the tick:
the median lateness of the tick rose from 1–3 ms to 6–10 ms, and the worst to 219 ms. Beside a process the median was 3 ms and
the worst 28 ms (2 cores, busy with other work). A process can also be ended if it takes too long. It runs with nice 10, and
ends itself after LIFE_MAX_S.
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
"""The number of rows that give the usual first-byte times if there is no baseline."""
NICE: Final = 10
EXIT_UNREADABLE: Final = 4


@dataclass(frozen=True, slots=True)
class Job:
    """The input of the process. Wall times in ms; `baselines`: (start, plain data), oldest first."""

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
        """Return the job as `decode` reads it."""
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
        windows = replay(file.active(*span), every, _Baselines(job).at)
        actions = {kind: getattr(job.rules, kind).action for kind in KINDS}
        observed = history_advice.recorded_alarms(file.active(*span, due=True), actions)
    finally:
        file.close()
    days = windows.covered_ms / 86_400_000
    outcomes = {
        kind: [history_advice.match_rollbacks(trial, job.rollbacks) for trial in named]
        for kind, named in trials.items()
    }
    kinds, changes = {}, {}
    for kind, found in outcomes.items():
        kinds[kind], changes[kind] = _kind(kind, found, job, days)
    return {
        "service": job.service,
        "days": round(days, 5),
        "rows": windows.rows,
        "rollbacks": [{"at_s": one.at_s, "left": one.left, "by": one.by} for one in job.rollbacks],
        "kinds": kinds,
        "settings": history_advice.settings(job.service, changes),
        "observed": observed,
        "notes": list(history_advice.NOTES),
        "took_s": round(clock.now_s() - begun_s, 3),
    }


def _kind(
    kind: ReplayedKind, found: list[CandidateResult], job: Job, days: float
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (the results of one kind of trigger, the settings that it proposes to change)."""
    chosen, why = history_advice.choose(found, days, job.per_month_max)
    document = {
        "action": getattr(job.rules, kind).action,
        "proposed": chosen.trial.name,
        "why": why,
        "trials": [history_advice.as_document(one, job.rules) for one in found],
    }
    return document, history_advice.changed_settings(kind, job.rules, chosen.trial.rules)


def _usual(job: Job, file: HistoryFile) -> tuple[int, ...]:
    if job.baselines:
        return Baseline.from_dict(job.baselines[-1][1]).first_byte
    every = max((job.until_ms - job.since_ms) // 10_000 // USUAL_ROWS, 1)
    return pooled(list(file.active(job.service, job.since_ms, job.until_ms, every=every)))


class _Baselines:
    """The baselines, by the time from which they applied."""

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
        document = advice(decode(sys.stdin.buffer.read()))
    except sqlite3.Error as error:
        sys.stderr.write(f"{printable(str(error))}\n")
        return EXIT_UNREADABLE
    sys.stdout.buffer.write(orjson.dumps(document))
    return 0


if __name__ == "__main__":
    sys.exit(main())
