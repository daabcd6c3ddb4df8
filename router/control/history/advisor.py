"""The office behind `advise`: it gathers what happened, and has the rows replayed by a process of its own, one at a time."""

from __future__ import annotations

import subprocess
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from router import clock, interpreter
from router.control.aside import Aside, Hanging
from router.control.bench import first_byte_timeout_s
from router.control.controller import Controller
from router.control.history.advising import Job
from router.control.history.success import Success
from router.control.office import Office
from router.control.store.history import History, HistoryUnavailable
from router.errors import OperatorError
from router.rollout import entry as kinds
from router.rollout.entry import Entry
from router.rollout.history.advise import Rollback
from router.rollout.history.period import Period

BASELINES_MAX: Final = 100
"""Of a service: one a day, and one with each acceptance."""
TIMEOUT_S: Final = 90.0
Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """`per_month_max`: false alarms in 30 days that are thought bearable."""

    period: Period
    per_month_max: float


class Advisor(Office):
    """Advice on the rules of each service."""

    def __init__(self, controller: Controller, history: History, success: Success, entries: Sequence[Entry]) -> None:
        self._controller = controller
        self._history = history
        self._success = success
        self._baselines: dict[str, deque[tuple[int, Document]]] = {
            name: deque(maxlen=BASELINES_MAX) for name in controller.benches
        }
        self._aside = Aside("advise", 1)
        for entry in entries:
            self.told(entry)

    def told(self, entry: Entry) -> None:
        """Remember from when on which baseline held."""
        if entry.type in (kinds.BASELINE, kinds.ACCEPTED) and entry.service in self._baselines:
            if plain := entry.data.get("baseline"):
                self._baselines[entry.service].append((int(entry.at * 1000), plain))

    async def advise(self, service: str, days: float, per_month_max: float) -> Document:
        """Return what other limits would have done in the last `days`, and which to set.

        Raise OperatorError: 404 without such a service, 503 if somebody else asks just now or the rows cannot be read.
        """
        bench = self._controller.view.bench(service)
        now_s = clock.wall_s()
        period = Period(now_s - days * 86_400, now_s)
        rules, timeout_s = bench.service.rules, first_byte_timeout_s(self._controller.settings, bench.service)

        def asked() -> tuple[Document | None, str]:
            rollbacks = [made for made in self._success.account(service).rollbacks if period.since_s <= made.at]
            job = Job(
                path=str(self._history.path),
                service=service,
                since_ms=int(period.since_s * 1000),
                until_ms=int(period.until_s * 1000),
                rules=rules,
                first_byte_timeout_s=timeout_s,
                rollbacks=tuple(Rollback(made.at, made.left, made.trigger) for made in rollbacks),
                baselines=tuple(self._baselines[service]),
                per_month_max=per_month_max,
            )
            return _ask(job)

        try:
            answer, why = await self._aside.call(asked)
        except Hanging:
            detail = "somebody asks for advice just now: try again in a moment"
            raise OperatorError(503, "advise_busy", detail, exit_code=9) from None
        if answer is None:
            raise HistoryUnavailable(why)
        return {"since": clock.iso(period.since_s), "until": clock.iso(period.until_s), **answer}


def _ask(job: Job) -> tuple[Document | None, str]:
    """Have `job` done; return the advice, or None and why there is none. This waits, on a thread of its own."""
    try:
        done = subprocess.run(
            interpreter.command("router.control.history.advising"),
            env=interpreter.environment(),
            input=job.encode(),
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None, f"to replay it takes more than {TIMEOUT_S:g} s: ask for fewer days"
    if done.returncode:
        return None, done.stderr.decode(errors="replace").strip()[-200:] or f"exit code {done.returncode}"
    return orjson.loads(done.stdout), ""
