"""The alarm about a version that throttles, and the question to an operator on probation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from router.control.monitors.alarms import Alarms
from router.rollout.judge.judge import Judge
from router.rollout.judge.throttling import STILL_S, WINDOW_S, Pressure, pressure, proposal, since
from router.rollout.judge.verdict import TriggerResult
from router.rollout.machine.registry import Registry
from router.rollout.model.target import Target
from router.rollout.outcome import Outcome
from router.runtime.text.plurals import counted

BEFORE_S: Final = 300.0
"""So much of the time before the promotion shows what the version before took."""
PROBATION_MAX_S: Final = 600.0
"""Later the samples of the version before are gone."""


class PressureMonitor:
    """Reads the judge's windows of one service."""

    def __init__(
        self,
        service: str,
        registry: Registry,
        judge: Judge,
        alarms: Alarms,
        slot_of: Callable[[Target | None], int | None],
    ) -> None:
        self._service = service
        self._registry = registry
        self._judge = judge
        self._alarms = alarms
        self._slot_of = slot_of

    def check(self, now_ns: int) -> tuple[TriggerResult, ...]:
        """Raise or end the alarm; return the result that asks an operator, if one should be asked."""
        active = self._registry.active
        slot = self._slot_of(active)
        newest = self._judge.newest(slot) if slot is not None else None
        if (
            slot is None or newest is None or not newest[0].sample.outcomes[Outcome.THROTTLED]
        ):  # then no window has such an answer
            self._alarms.down("version_throttles", self._service)
            return ()
        served_s = (now_ns - self._registry.active_since_ns) / 1e9
        # What came before the promotion is no rate that this version takes: it would look like little traffic.
        now = pressure(self._judge.window(slot, min(WINDOW_S, max(served_s, 1.0)), now_ns))
        still = pressure(self._judge.window(slot, STILL_S, now_ns))
        if active is None or now is None or still is None or not (now.is_high and still.share >= now.share / 2):
            self._alarms.down("version_throttles", self._service)
            return ()
        detail = f"{now.throttled} of {counted(now.ended, 'answer')} of {active.version} in {WINDOW_S:g} s say that it is busy"
        self._alarms.up("version_throttles", detail, self._service)
        if active.accepted or self._registry.in_drill:
            return ()
        result = proposal(now, self._before(served_s, now_ns))
        return (result,) if result is not None else ()

    def _before(self, served_s: float, now_ns: int) -> Pressure | None:
        """Return the pressure on the version before, in the time before the promotion, which was `served_s` ago."""
        slot = self._slot_of(self._registry.standby)
        if slot is None or not 0 < served_s <= PROBATION_MAX_S:
            return None
        longer = pressure(self._judge.window(slot, served_s + BEFORE_S, now_ns))
        shorter = pressure(self._judge.window(slot, served_s, now_ns))
        return since(longer, shorter, served_s + BEFORE_S, served_s)
