"""What a rule would have said of the rows of the past, and when: the triggers themselves, fed from a tape.

A row is ten seconds, so an alarm is dated up to ten seconds late, and what a state was between two rows is taken to be what
it was at the first of them. Of hard_failure only `errors` is replayed: a hang and refused connections are told by the order
of events within a second, which rows do not have.

An alarm lasts until its condition has been away for `CALM_S`, and an hour at most: in truth the version would have been gone,
and what is wrong with all versions would have come again with the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal

from router.rollout.history.row import Row
from router.rollout.history.row_windows import RowWindows, WindowLimit
from router.rollout.judge.baseline import Baseline
from router.rollout.judge.context import TriggerContext
from router.rollout.judge.error_rate import error_rate, limit_of, recent_limit
from router.rollout.judge.hard_failure import errors
from router.rollout.judge.latency import latency
from router.rollout.judge.rules import Rules
from router.rollout.judge.sustained import Sustained
from router.rollout.judge.verdict import State, TriggerResult
from router.rollout.stats.window import SECOND_NS

CALM_S: Final = 600.0
AGAIN_S: Final = 3_600.0
LOOKS_MAX: Final = 10_000
"""How often one trial has a trigger look in full, some seconds of CPU: a limit below what is normal would look at every row."""
ALARMS_MAX: Final = 100
LATELY_S: Final = 1_000.0
"""Longer than the longest window: what failed before cannot have been sustained."""
ReplayedKind = Literal["hard_failure", "error_rate", "latency"]
BaselineAt = Callable[[int], Baseline | None]
"""Wall time in ms → the baseline that was in force."""


@dataclass(slots=True)
class Alarm:
    """What would have acted. Wall times in ms; `until_ms` is when its condition was last seen."""

    at_ms: int
    until_ms: int
    version: str
    value: float | None
    limit: float | None
    samples: int
    reason: str


class Trial:
    """One set of rules on trial for one kind of trigger. `exhausted_ms`: from when on it could look no more."""

    def __init__(self, name: str, kind: ReplayedKind, rules: Rules, first_byte_timeout_s: float) -> None:
        self.name = name
        self.kind = kind
        self.rules = rules
        self.alarms: list[Alarm] = []
        self.looks = 0
        self.seconds = 0.0
        """How much it has seen."""
        self.exhausted_ms: int | None = None
        self._first_byte_timeout_s = first_byte_timeout_s
        self._limits: tuple[int, int] | None = None
        self._known: Baseline | None = None
        self._thresholds = (0.0, 0.0)
        self._begin(0)

    def _begin(self, at_ns: int) -> None:
        self._paths = (_Path(at_ns), _Path(at_ns))
        self._running = False
        self._open: Alarm | None = None
        self._seen_ms = self._opened_ms = 0

    def limits(self) -> list[WindowLimit]:
        """Return above what an answer is late for this trial: the tape has to count them."""
        rule = self.rules.latency
        if self.kind != "latency" or rule.slo_ms is None:
            return []
        whole = rule.slo_on == "last_byte"
        return [WindowLimit(rule.slo_ms * 1000, whole), WindowLimit(rule.slo_ms * rule.fast_factor * 1000, whole)]

    def enroll(self, tape: RowWindows) -> None:
        """Have `tape` count what this trial needs."""
        numbers = []
        for limit in self.limits():
            if limit not in tape.limits:
                tape.limits.append(limit)
            numbers.append(tape.limits.index(limit))
        self._limits = (numbers[0], numbers[1]) if numbers else None

    def look(self, tape: RowWindows, baseline: Baseline | None) -> None:
        """Judge the row that the tape is at."""
        row = tape.row
        if row is None or self.exhausted_ms is not None:
            return
        self.seconds += row.span_ms / 1000
        if tape.fresh:
            self._begin(tape.start_ms * 1_000_000)
        may = self._may_fail(tape, baseline)
        if self._open is not None:
            if may:
                self._open.until_ms, self._seen_ms = row.at_ms, row.monotonic_ms
            calm = row.monotonic_ms - self._seen_ms >= CALM_S * 1000
            if calm or row.monotonic_ms - self._opened_ms >= AGAIN_S * 1000:
                self._begin(row.monotonic_ms * 1_000_000)
            return
        if not (may or self._running):
            return
        self.looks += 1
        for path, found in zip(
            self._paths, self._results(tape.view(self.rules, baseline, self._first_byte_timeout_s)), strict=False
        ):
            if path.tick(found, row.monotonic_ms * 1_000_000, self.rules.sustained_share):
                self._open = Alarm(
                    row.at_ms, row.at_ms, row.version, found.value, found.limit, found.samples, found.reason
                )
                self._seen_ms = self._opened_ms = row.monotonic_ms
                self.alarms.append(self._open)
                break
        self._running = any(path.running for path in self._paths)
        if self.looks >= LOOKS_MAX or len(self.alarms) >= ALARMS_MAX:
            self.exhausted_ms = row.at_ms

    def _results(self, view: TriggerContext) -> tuple[TriggerResult, ...]:
        if self.kind == "latency":
            return latency(view)
        return (error_rate(view),) if self.kind == "error_rate" else (errors(view),)

    # -- whether anything can fail at all: never more than the trigger asks for
    def _may_fail(self, tape: RowWindows, baseline: Baseline | None) -> bool:
        if self.kind == "latency":
            return self._may_be_late(tape)
        return self._may_err(tape, baseline) if self.kind == "error_rate" else self._may_break(tape)

    def _may_err(self, tape: RowWindows, baseline: Baseline | None) -> bool:
        rule = self.rules.error_rate
        if baseline is not self._known or not self._thresholds[0]:
            self._known = baseline
            view = _bare(self.rules, baseline)
            self._thresholds = limit_of(view), recent_limit(view)
        limit, still = self._thresholds
        for pair in rule.windows:
            faults, requests = tape.faults(pair.long_s)
            if faults > limit * requests and faults >= rule.faults_min and requests >= pair.requests_min:
                faults, requests = tape.faults(pair.short_s)
                if requests and faults >= still * requests:
                    return True
        return False

    def _may_be_late(self, tape: RowWindows) -> bool:
        rule, row = self.rules.latency, tape.row
        if self._limits is None or row is None:
            return False
        since_ms = tape.start_ms + self.rules.warmup_s * 1000
        for number, share in zip(self._limits, (rule.slo_share, rule.fast_share), strict=True):
            late, timed = tape.lateness(number, rule.window_s, since_ms)
            if late > share * timed and timed >= rule.requests_min:
                return True
        return False

    def _may_break(self, tape: RowWindows) -> bool:
        rule, row = self.rules.hard_failure, tape.row
        if row is None or not tape.row_faults:  # what failed before was seen at the row in which it did
            return False
        if row.faults_unbegun and not row.begun:
            return True
        for seconds in rule.burst_windows_s:
            faults, requests = tape.faults(seconds)
            if faults >= rule.burst_faults_min and faults >= rule.burst_fault_share * requests:
                return True
        return False


class _Path:
    """How long one result has failed, ticked each second between two rows with what it was at the first of them."""

    def __init__(self, at_ns: int) -> None:
        self._held = Sustained()
        self._state: State = "pass"
        self._at_ns = at_ns
        self._failed_ns = 0

    @property
    def running(self) -> bool:
        """Whether it has failed lately, and not passed since: then the rows after it matter, whatever they hold."""
        return self._state != "pass" and self._at_ns - self._failed_ns < LATELY_S * SECOND_NS

    def tick(self, found: TriggerResult, at_ns: int, sustained_share: float) -> bool:
        """Go on to the row that ends at `at_ns`; return whether its action would be due there."""
        if self._state == "pass":
            self._held.tick("pass", self._at_ns)
            self._at_ns = max(self._at_ns, at_ns - SECOND_NS)
        while at_ns - self._at_ns > SECOND_NS:
            self._at_ns += SECOND_NS
            self._held.tick(self._state, self._at_ns)
        self._state, self._at_ns = found.state, at_ns
        if found.state == "fail":
            self._failed_ns = at_ns
        self._held.tick(found.state, at_ns)
        if found.failing:
            return True
        needed_s = found.sustained_needed_s
        return found.state == "fail" and self._held.is_sustained(needed_s, sustained_share)


def _bare(rules: Rules, baseline: Baseline | None) -> TriggerContext:
    return RowWindows().view(rules, baseline, 1.0)


def replay(rows: Iterable[Row], trials: Iterable[Trial], baseline_at: BaselineAt) -> RowWindows:
    """Play `rows` (of active versions, oldest first) to all `trials`; return the tape at its end."""
    tape, judged = RowWindows(), list(trials)
    for trial in judged:
        trial.enroll(tape)
    for row in rows:
        tape.add(row)
        baseline = baseline_at(row.at_ms)
        for trial in judged:
            trial.look(tape, baseline)
    return tape
