"""One drill under way: the real rollback path walked to the standby and back, on purpose. No I/O and no clock.

Theory. A drill is a fact of the journal before it is anything else (`drill_started`, durable), so whoever comes after a kill
knows of it. Its two swaps are made by the rollout machine, through the gate of an automatic rollback and by the same store;
this decides when, and what came of it. The roles of the two versions change over and change back; nothing is quarantined,
drained or accepted by it, and no promotion loses its automatic rollback.

    phase      what is so                                       ends with
    asked      the gate decides, with a fresh probe             swapped → away; held → over (refused)
    away       the standby serves and is watched                hold_s over, anything worse, asked to stop → returning
    returning  the way home is looked for, each second          swapped → home; no way in RETURN_WAIT_S → over (stayed)
    home       the version serves that served before            every worker has confirmed, or said nothing → over
    over       the result stands

A verdict against the version that serves meanwhile needs no word of this: the machine goes home by itself at the next tick,
and `look` sees it. A person's switch or rollback ends the drill where it finds it (overtaken). After a restart of control a
drill that is open begins in `returning`: the hold is not worth a second risk.

    result     means
    passed     there and back, confirmed by every worker, nothing worse
    stopped    home early, because somebody asked for it or control began anew
    aborted    home early, because something got worse or a worker did not follow
    failed     home, but not every worker has confirmed that
    refused    the gate said no: nothing was swapped
    stayed     the version from before was not fit to go home to: the standby goes on serving
    overtaken  a person or a verdict changed the roles before it was over
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Literal

SECOND_NS: Final = 1_000_000_000
ASKED_WAIT_S: Final = 10.0
"""For the gate: its fresh probe takes at most gate_timeout_s (1)."""
RETURN_WAIT_S: Final = 30.0
"""One bad probe makes nobody stay: the gate wants three good ones, a second apart."""
CONFIRM_WAIT_S: Final = 10.0
"""For the fact that a swap was confirmed; the wait for the workers themselves is confirm_timeout_s (1)."""

Mode = Literal["real", "shadow"]
Result = Literal["passed", "stopped", "aborted", "failed", "refused", "stayed", "overtaken"]


class DrillPhase(StrEnum):
    """Where a drill stands; the values are the spelling in the API."""

    ASKED = "asked"
    AWAY = "away"
    RETURNING = "returning"
    HOME = "home"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class DrillPlan:
    """What was asked for. `by`: `operator` or `schedule`; `origin` and `other` are the versions that change over."""

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
        """Return what the journal says of it from the first moment on."""
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
    """What a look sees. `open`: the registry still counts this drill as under way; `away`: on the other version.

    `held`: why the machine does not make the swap that is due. `worse`: what got worse since the swap.
    """

    open: bool
    away: bool
    active: str | None
    held: str | None = None
    worse: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SwapBack:
    """Ask the machine for the swap back. `why` is empty if the hold is simply over."""

    why: str


@dataclass(frozen=True, slots=True)
class DrillEnd:
    """The drill is over."""

    result: Result


@dataclass(slots=True)
class Drill:
    """One real drill. `begun_ns` is when its phase began; `reasons` say why it did not pass, `harmed`: something got worse."""

    plan: DrillPlan
    begun_ns: int
    phase: DrillPhase = DrillPhase.ASKED
    reasons: list[str] = field(default_factory=list)
    swaps: list[dict[str, Any]] = field(default_factory=list)
    """Of each swap {home, generation, at, swap_us, confirmed_ms, workers_unconfirmed}; the last three with its confirmation."""
    away_since_ns: int | None = None
    home_since_ns: int | None = None
    harmed: bool = False

    @classmethod
    def resumed(cls, plan: DrillPlan, now_ns: int) -> Drill:
        """Return the drill that a predecessor of this control had under way."""
        return cls(plan, now_ns, DrillPhase.RETURNING, ["control was started anew while it was under way"])

    # -- what happens to it
    def stop(self, why: str) -> None:
        """Go home at the next look, whatever is left of the hold."""
        if self.phase in (DrillPhase.ASKED, DrillPhase.AWAY):
            self._note(why)

    def swapped(self, swap: dict[str, Any], why: str, now_ns: int) -> None:
        """The machine has made one of the two swaps, `why` being empty for one that was due."""
        self.swaps.append({"swap_us": None, "confirmed_ms": None, "workers_unconfirmed": [], **swap})
        if why and not self.reasons:  # a verdict went home by itself
            self._note(why, harm=True)
        if swap["home"]:
            self.home_since_ns = now_ns
            self._enter(DrillPhase.HOME, now_ns)
        else:
            self.away_since_ns = now_ns
            self._enter(DrillPhase.AWAY, now_ns)

    def confirmed(self, data: dict[str, Any]) -> None:
        """A swap was confirmed, or given up, by the workers: the data of its `confirmed` fact."""
        for swap in self.swaps:
            if swap["generation"] == data["generation"]:
                swap.update({name: data[name] for name in ("swap_us", "confirmed_ms", "workers_unconfirmed")})
                if data["workers_unconfirmed"]:
                    self._note(f"workers {data['workers_unconfirmed']} did not confirm {data['generation']}", harm=True)

    # -- deciding
    def look(self, sight: Observation, now_ns: int) -> SwapBack | DrillEnd | None:
        """Return what is to be done now."""
        if self.phase is DrillPhase.OVER:
            return None
        age_s = (now_ns - self.begun_ns) / SECOND_NS
        if self.phase is not DrillPhase.HOME and not sight.open:
            self.reasons.append(f"another change made {sight.active or 'no version'} active")
            return self._end("overtaken", now_ns)
        match self.phase:
            case DrillPhase.ASKED:
                return self._asked(sight, age_s, now_ns)
            case DrillPhase.AWAY:
                return self._away(sight, age_s, now_ns)
            case DrillPhase.RETURNING:
                return self._returning(sight, age_s, now_ns)
            case _:
                return self._home(age_s, now_ns)

    def _asked(self, sight: Observation, age_s: float, now_ns: int) -> DrillEnd | None:
        if sight.held is None and not self.reasons and age_s < ASKED_WAIT_S:
            return None
        if sight.held is not None:
            self.reasons.append(sight.held)
        elif not self.reasons:
            self.reasons.append(f"the gate did not decide within {ASKED_WAIT_S:g} s")
        return self._end("refused", now_ns)

    def _away(self, sight: Observation, age_s: float, now_ns: int) -> SwapBack | None:
        for reason in sight.worse:
            self._note(reason, harm=True)
        if not self.reasons and age_s < self.plan.hold_s:
            return None
        self._enter(DrillPhase.RETURNING, now_ns)
        return SwapBack("; ".join(self.reasons))

    def _returning(self, sight: Observation, age_s: float, now_ns: int) -> SwapBack | DrillEnd | None:
        if not sight.away:  # it was home already when control began anew
            return self._end(self._came_home(), now_ns)
        if age_s < RETURN_WAIT_S:
            return SwapBack("; ".join(self.reasons))
        found = sight.held or "the machine did not decide"
        self.reasons.append(f"no way home in {RETURN_WAIT_S:g} s: {found}")
        return self._end("stayed", now_ns)

    def _home(self, age_s: float, now_ns: int) -> DrillEnd | None:
        if self.swaps[-1]["confirmed_ms"] is None:
            return self._end("failed", now_ns) if self.is_confirmed or age_s >= CONFIRM_WAIT_S else None
        return self._end(self._came_home(), now_ns)

    def _came_home(self) -> Result:
        return "aborted" if self.harmed else "stopped" if self.reasons else "passed"

    def _note(self, why: str, *, harm: bool = False) -> None:
        self.harmed |= harm
        if why not in self.reasons:
            self.reasons.append(why)

    def _enter(self, phase: DrillPhase, now_ns: int) -> None:
        self.phase, self.begun_ns = phase, now_ns

    def _end(self, result: Result, now_ns: int) -> DrillEnd:
        self._enter(DrillPhase.OVER, now_ns)
        return DrillEnd(result)

    @property
    def is_confirmed(self) -> bool:
        """Whether the workers have said something about the last swap."""
        last = self.swaps[-1] if self.swaps else {"confirmed_ms": None, "workers_unconfirmed": []}
        return last["confirmed_ms"] is not None or bool(last["workers_unconfirmed"])

    def away_s(self, now_ns: int) -> float | None:
        """Return how long the standby has served, or had; None if it never did."""
        if self.away_since_ns is None:
            return None
        return round(((self.home_since_ns or now_ns) - self.away_since_ns) / SECOND_NS, 3)
