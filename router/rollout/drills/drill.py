"""Decides the steps of one drill: the swap to the standby and back, on purpose, on the path of a rollback. No I/O, no clock.

Theory. The entry `drill_started` is durable before anything else happens, so a drill is known after a kill. The rollout machine
makes the two swaps, through the gate of an automatic rollback and with the same store; this class decides when, and the result.
The roles of the two versions are swapped and swapped back. A drill quarantines, drains and accepts no version, and no promotion
loses its automatic rollback.

    phase      situation                                        ends with
    asked      the gate decides, with a fresh probe             swapped → away; blocked → over (refused)
    away       the standby serves and is observed               hold_s over, a regression, or stopped → returning
    returning  the swap back is tried each second               swapped → home; blocked for RETURN_WAIT_S → over (stayed)
    home       the version from before the drill serves         all workers confirmed, or the wait is over → over
    over       the result is final

A verdict against the serving version makes the machine swap back by itself; the next `step` observes it. A switch or rollback by
an operator ends the drill at once (overtaken). After a restart of control an open drill continues in `returning`: a second hold
is not worth the risk.

    result     meaning
    passed     there and back, confirmed by every worker, no regression
    stopped    back early, because an operator stopped it or control was restarted
    aborted    back early, because of a regression or a worker that did not confirm
    failed     back, but not every worker has confirmed it
    refused    the gate objected: no swap was made
    stayed     the version from before was not fit: the standby goes on serving
    overtaken  an operator or a verdict changed the roles before the drill was over
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Literal

from router.rollout.facts.drills import DrillResult
from router.rollout.facts.switches import Confirmed
from router.rollout.units import SECOND_NS

ASKED_WAIT_S: Final = 10.0
"""Wait for the gate; its probe takes at most gate_timeout_s (1 s)."""
RETURN_WAIT_S: Final = 30.0
"""Long enough for the three good probes, a second apart, that the gate needs after a bad one."""
CONFIRM_WAIT_S: Final = 10.0
"""Wait for the entry `confirmed` of a swap; control waits for the workers for confirm_timeout_s (1 s)."""

Mode = Literal["real", "shadow"]


class DrillPhase(StrEnum):
    """The phase of a drill; the values are the spelling in the API."""

    ASKED = "asked"
    AWAY = "away"
    RETURNING = "returning"
    HOME = "home"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class DrillPlan:
    """The request of a drill. `by`: `operator` or `schedule`; `origin` and `other` are the versions that are swapped."""

    id: str
    service: str
    mode: Mode
    by: str
    actor: str
    reason: str
    origin: str
    other: str
    hold_s: float

    def as_dict(self) -> dict[str, Any]:
        """Return the data of the entry `drill_started`."""
        return {
            "drill": self.id,
            "mode": self.mode,
            "by": self.by,
            "reason": self.reason,
            "from": self.origin,
            "to": self.other,
            "hold_s": self.hold_s,
        }


@dataclass(frozen=True, slots=True)
class Observation:
    """The input of one step. `open`: the registry has this drill as running; `away`: the other version serves.

    `blocked_reason`: why the machine does not make the due swap. `worse`: the regressions since the swap.
    """

    open: bool
    away: bool
    active: str | None
    blocked_reason: str | None = None
    worse: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SwapBack:
    """Request the swap back from the machine. `reason` is empty if only the hold is over."""

    reason: str


@dataclass(frozen=True, slots=True)
class DrillEnd:
    """The drill is over."""

    result: DrillResult


@dataclass(slots=True)
class Drill:
    """One real drill. `begun_ns`: start of its phase; `reasons`: why it did not pass; `harmed`: there was a regression."""

    plan: DrillPlan
    begun_ns: int
    phase: DrillPhase = DrillPhase.ASKED
    reasons: list[str] = field(default_factory=list)
    swaps: list[dict[str, Any]] = field(default_factory=list)
    """{home, generation, at, swap_us, confirmed_ms, workers_unconfirmed} of each swap; the last three after its confirmation."""
    away_since_ns: int | None = None
    home_since_ns: int | None = None
    harmed: bool = False

    @classmethod
    def after_restart(cls, plan: DrillPlan, now_ns: int) -> Drill:
        """Return a drill that was running when control was restarted."""
        return cls(plan, now_ns, DrillPhase.RETURNING, ["control was started anew while it was under way"])

    # -- events
    def stop(self, reason: str) -> None:
        """Swap back at the next step, before the hold is over."""
        if self.phase in (DrillPhase.ASKED, DrillPhase.AWAY):
            self._add_reason(reason)

    def swapped(self, swap: dict[str, Any], reason: str, now_ns: int) -> None:
        """Record a swap by the machine; `reason` is empty for a swap that was due."""
        self.swaps.append({"swap_us": None, "confirmed_ms": None, "workers_unconfirmed": [], **swap})
        if reason and not self.reasons:  # a verdict swapped back
            self._add_reason(reason, harm=True)
        if swap["home"]:
            self.home_since_ns = now_ns
            self._enter(DrillPhase.HOME, now_ns)
        else:
            self.away_since_ns = now_ns
            self._enter(DrillPhase.AWAY, now_ns)

    def confirmed(self, fact: Confirmed) -> None:
        """Record the confirmation of a swap."""
        for swap in self.swaps:
            if swap["generation"] == fact.generation:
                late = list(fact.workers_unconfirmed)
                swap.update(swap_us=fact.swap_us, confirmed_ms=fact.confirmed_ms, workers_unconfirmed=late)
                if late:
                    self._add_reason(f"workers {late} did not confirm {fact.generation}", harm=True)

    # -- deciding
    def step(self, observation: Observation, now_ns: int) -> SwapBack | DrillEnd | None:
        """Return the next step; None if there is nothing to do."""
        if self.phase is DrillPhase.OVER:
            return None
        age_s = (now_ns - self.begun_ns) / SECOND_NS
        if self.phase is not DrillPhase.HOME and not observation.open:
            self.reasons.append(f"another change made {observation.active or 'no version'} active")
            return self._end("overtaken", now_ns)
        match self.phase:
            case DrillPhase.ASKED:
                return self._asked(observation, age_s, now_ns)
            case DrillPhase.AWAY:
                return self._away(observation, age_s, now_ns)
            case DrillPhase.RETURNING:
                return self._returning(observation, age_s, now_ns)
            case _:
                return self._home(age_s, now_ns)

    def _asked(self, observation: Observation, age_s: float, now_ns: int) -> DrillEnd | None:
        if observation.blocked_reason is None and not self.reasons and age_s < ASKED_WAIT_S:
            return None
        if observation.blocked_reason is not None:
            self.reasons.append(observation.blocked_reason)
        elif not self.reasons:
            self.reasons.append(f"the gate did not decide within {ASKED_WAIT_S:g} s")
        return self._end("refused", now_ns)

    def _away(self, observation: Observation, age_s: float, now_ns: int) -> SwapBack | None:
        for reason in observation.worse:
            self._add_reason(reason, harm=True)
        if not self.reasons and age_s < self.plan.hold_s:
            return None
        self._enter(DrillPhase.RETURNING, now_ns)
        return SwapBack("; ".join(self.reasons))

    def _returning(self, observation: Observation, age_s: float, now_ns: int) -> SwapBack | DrillEnd | None:
        if not observation.away:  # the roles were swapped back before control was restarted
            return self._end(self._home_result(), now_ns)
        if age_s < RETURN_WAIT_S:
            return SwapBack("; ".join(self.reasons))
        found = observation.blocked_reason or "the machine did not decide"
        self.reasons.append(f"no swap back within {RETURN_WAIT_S:g} s: {found}")
        return self._end("stayed", now_ns)

    def _home(self, age_s: float, now_ns: int) -> DrillEnd | None:
        if self.swaps[-1]["confirmed_ms"] is None:
            return self._end("failed", now_ns) if self.is_confirmed or age_s >= CONFIRM_WAIT_S else None
        return self._end(self._home_result(), now_ns)

    def _home_result(self) -> DrillResult:
        return "aborted" if self.harmed else "stopped" if self.reasons else "passed"

    def _add_reason(self, reason: str, *, harm: bool = False) -> None:
        self.harmed |= harm
        if reason not in self.reasons:
            self.reasons.append(reason)

    def _enter(self, phase: DrillPhase, now_ns: int) -> None:
        self.phase, self.begun_ns = phase, now_ns

    def _end(self, result: DrillResult, now_ns: int) -> DrillEnd:
        self._enter(DrillPhase.OVER, now_ns)
        return DrillEnd(result)

    @property
    def is_confirmed(self) -> bool:
        """Whether the last swap has its `confirmed` entry."""
        last = self.swaps[-1] if self.swaps else {"confirmed_ms": None, "workers_unconfirmed": []}
        return last["confirmed_ms"] is not None or bool(last["workers_unconfirmed"])

    def away_s(self, now_ns: int) -> float | None:
        """Return for how many seconds the standby has served in the drill; None if it never did."""
        if self.away_since_ns is None:
            return None
        return round(((self.home_since_ns or now_ns) - self.away_since_ns) / SECOND_NS, 3)
