"""The running checks and the last ones that ended, with their progress. They are in memory only.

The result that counts for a promotion is an entry of the journal.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

from router.control.views.addon_answers import CheckProgress, CheckState
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.rollout.cases.comparison import Result
from router.runtime import clock
from router.runtime.tasks import Tasks

log = logging.getLogger(__name__)
KEPT_MAX: Final = 20
"""Of one service."""
RUNNING_MAX: Final = 4
"""Of one service."""


@dataclass(slots=True)
class CheckRun:
    """One check. `state`: running, passed, failing, cancelled or broken (`error`: the reason); `automatic`: of a candidate."""

    id: str
    service: str
    version: str
    by: str
    automatic: bool
    started_at: float
    total: int = 0
    state: CheckState = "running"
    error: str = ""
    ended_at: float | None = None
    results: list[Result] = field(default_factory=list)
    task: asyncio.Task[None] | None = None

    def begin(self, total: int) -> None:
        """Set the number of cases that the check runs."""
        self.total = total

    @property
    def failing(self) -> list[str]:
        """The cases that have failed so far."""
        return [result.id for result in self.results if result.state == "fail"]

    def progress(self) -> CheckProgress:
        """Return it as plain data, without its results."""
        counts = {state: sum(result.state == state for result in self.results) for state in ("pass", "fail", "skipped")}
        return {
            "id": self.id,
            "service": self.service,
            "version": self.version,
            "by": self.by,
            "automatic": self.automatic,
            "state": self.state,
            "error": self.error or None,
            "started_at": clock.iso(self.started_at),
            "ended_at": clock.iso(self.ended_at) if self.ended_at is not None else None,
            "total": self.total,
            "done": len(self.results),
            "passed": counts["pass"],
            "failed": counts["fail"],
            "skipped": counts["skipped"],
        }

    def as_dict(self, *, full: bool = True) -> dict[str, Any]:
        """Return the check as plain data. Without `full` it has no part of an answer or of a recorded response."""
        return {**self.progress(), "results": [result.as_dict(full=full) for result in self.results]}


class Checks:
    """The checks of all services."""

    def __init__(self, tasks: Tasks, kept_max: int = KEPT_MAX) -> None:
        self._tasks = tasks
        self._kept_max = kept_max
        self._checks: dict[str, list[CheckRun]] = {}
        self._number = 0

    def start(
        self,
        service: str,
        version: str,
        by: str,
        run: Callable[[CheckRun], Coroutine[Any, Any, None]],
        *,
        automatic: bool = False,
    ) -> CheckRun:
        """Start a check; `run` fills it with results. Raise Refusal if too many are running."""
        checks = self._checks.setdefault(service, [])
        if sum(check.state == "running" for check in checks) >= RUNNING_MAX:
            raise Refusal(
                RefusalCode.CHECKS_RUNNING, f"{RUNNING_MAX} checks of {service} are running: wait for one, or cancel it"
            )
        self._number += 1
        started_at = clock.wall_s()
        check = CheckRun(f"{int(started_at)}-{self._number}", service, version, by, automatic, started_at)
        checks.append(check)
        check.task = self._tasks.spawn(self._run(check, run), f"check {version} of {service}")
        ended = [one for one in checks if one.state != "running"]
        for one in ended[: max(0, len(checks) - self._kept_max)]:
            checks.remove(one)
        return check

    async def _run(self, check: CheckRun, run: Callable[[CheckRun], Coroutine[Any, Any, None]]) -> None:
        try:
            await run(check)
            check.state = "failing" if check.failing else "passed"
        except Refusal as error:
            check.state, check.error = "broken", error.detail
            log.warning("check %s of %s: %s", check.id, check.version, error.detail)
        except asyncio.CancelledError:
            check.state = "cancelled"
            raise
        finally:
            if check.state == "running":
                check.state = "broken"
            check.ended_at = clock.wall_s()

    def of(self, service: str) -> list[CheckRun]:
        """Return the checks of a service, newest first."""
        return self._checks.get(service, [])[::-1]

    def named(self, service: str, name: str) -> CheckRun:
        """Return one check; raise Refusal."""
        found = next((check for check in self.of(service) if check.id == name), None)
        if found is None:
            detail = (
                f"there is no check {name[:40]!r} of {service}; the last {self._kept_max} are kept while control lives"
            )
            raise Refusal(RefusalCode.CHECK_UNKNOWN, detail)
        return found

    def automatic(self, service: str) -> CheckRun | None:
        """Return the last automatic check, which is one of a candidate."""
        return next((check for check in self.of(service) if check.automatic), None)

    def cancel(self, check: CheckRun) -> None:
        """Cancel a running check. The effects of requests that it has sent stay."""
        if check.state == "running" and check.task is not None:
            check.task.cancel()
