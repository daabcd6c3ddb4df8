"""Backtest: the triggers, with other rules, over the stored rows; rows in, alarms out.

A row is ten seconds, so an alarm is up to ten seconds late. One row may be one burst, which rules.forgive_s forgives: errors act
with the second row. Between two rows the state of a trigger is that of the first one. Of
hard_failure only `errors` is backtested: hangs and refused connections depend on the order of events within a second, which rows
do not have.

An alarm ends after `QUIET_S` without its condition, and after an hour at most: in reality the version would have been rolled
back, and a failure of all versions would have come again with the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal

from router.rollout.history.row import Row
from router.rollout.history.row_windows import ROWS_MAX, RowWindows, WindowLimit
from router.rollout.judge.baseline import Baseline
from router.rollout.judge.context import TriggerContext
from router.rollout.judge.error_rate import error_rate, limit_of
from router.rollout.judge.errors import errors
from router.rollout.judge.latency import latency
from router.rollout.judge.rules import Rules
from router.rollout.judge.sustained import Sustained
from router.rollout.judge.verdict import State, TriggerResult
from router.rollout.units import SECOND_NS

QUIET_S: Final = 600.0
ALARM_MAX_S: Final = 3_600.0
EVALUATIONS_MAX: Final = 10_000
"""Full evaluations of a trigger in one trial, some seconds of CPU: a limit below normal would need one at every row."""
ALARMS_MAX: Final = 100
RECENT_S: Final = 1_000.0
"""Longer than the longest window: an older failure cannot be sustained."""
ReplayedKind = Literal["hard_failure", "error_rate", "latency"]
BaselineAt = Callable[[int], Baseline | None]
"""Wall time in ms → the baseline at that time."""


@dataclass(slots=True)
class Alarm:
    """A result that would have acted. Wall times in ms; `until_ms`: the last row with its condition."""

    at_ms: int
    until_ms: int
    version: str
    value: float | None
    limit: float | None
    samples: int
    reason: str


class Trial:
    """A backtest of one set of rules for one kind of trigger. `exhausted_ms`: when EVALUATIONS_MAX or alarms_max was reached."""

    def __init__(
        self,
        name: str,
        kind: ReplayedKind,
        rules: Rules,
        first_byte_timeout_s: float,
        alarms_max: int = ALARMS_MAX,
    ) -> None:
        self.name = name
        self.kind = kind
        self.rules = rules
        self.alarms: list[Alarm] = []
        self.evaluations = 0
        self.seconds = 0.0
        """Time of the rows that were evaluated."""
        self.exhausted_ms: int | None = None
        self._first_byte_timeout_s = first_byte_timeout_s
        self._alarms_max = alarms_max
        self._limits: tuple[int, int] | None = None
        self._known: Baseline | None = None
        self._threshold = 0.0
        self._begin(0)

    def _begin(self, at_ns: int) -> None:
        self._paths = (_Path(at_ns), _Path(at_ns))
        self._running = False
        self._open: Alarm | None = None
        self._seen_ms = self._opened_ms = 0

    def limits(self) -> list[WindowLimit]:
        """Return the limits of late answers that this trial needs."""
        rule = self.rules.latency
        if self.kind != "latency" or rule.slo_ms is None or rule.slo_on == "useful":  # rows have no such times
            return []
        whole = rule.slo_on == "last_byte"
        return [WindowLimit(rule.slo_ms * 1000, whole), WindowLimit(rule.slo_ms * rule.fast_factor * 1000, whole)]

    def find_limits(self, windows: RowWindows) -> None:
        """Find the limits of this trial among those that `windows` counts."""
        numbers = [windows.limits.index(limit) for limit in self.limits()]
        self._limits = (numbers[0], numbers[1]) if numbers else None

    def evaluate(self, windows: RowWindows, baseline: Baseline | None) -> None:
        """Evaluate the last row of `windows`."""
        row = windows.row
        if row is None or self.exhausted_ms is not None:
            return
        self.seconds += row.span_ms / 1000
        if windows.fresh:
            self._begin(windows.start_ms * 1_000_000)
        may_fail = self._may_fail(windows, baseline)
        if self._open is not None:
            if may_fail:
                self._open.until_ms, self._seen_ms = row.at_ms, row.monotonic_ms
            quiet = row.monotonic_ms - self._seen_ms >= QUIET_S * 1000
            if quiet or row.monotonic_ms - self._opened_ms >= ALARM_MAX_S * 1000:
                self._begin(row.monotonic_ms * 1_000_000)
            return
        if not (may_fail or self._running):
            return
        self.evaluations += 1
        for path, found in zip(
            self._paths, self._results(windows.context(self.rules, baseline, self._first_byte_timeout_s)), strict=False
        ):
            if path.tick(found, row.monotonic_ms * 1_000_000, self.rules.sustained_share):
                self._open = Alarm(
                    row.at_ms, row.at_ms, row.version, found.value, found.limit, found.samples, found.reason
                )
                self._seen_ms = self._opened_ms = row.monotonic_ms
                self.alarms.append(self._open)
                break
        self._running = any(path.running for path in self._paths)
        if self.evaluations >= EVALUATIONS_MAX or len(self.alarms) >= self._alarms_max:
            self.exhausted_ms = row.at_ms

    def _results(self, context: TriggerContext) -> tuple[TriggerResult, ...]:
        if self.kind == "latency":
            return latency(context)
        return (error_rate(context)[0],) if self.kind == "error_rate" else (errors(context)[0],)

    # -- whether the trigger may fail: a cheap test that never misses a failure
    def _may_fail(self, windows: RowWindows, baseline: Baseline | None) -> bool:
        if self.kind == "latency":
            return self._may_be_late(windows)
        return self._may_err(windows, baseline) if self.kind == "error_rate" else self._may_break(windows)

    def _may_err(self, windows: RowWindows, baseline: Baseline | None) -> bool:
        rule = self.rules.error_rate
        if baseline is not self._known or not self._threshold:
            self._known = baseline
            self._threshold = limit_of(_bare(self.rules, baseline), baseline)
        for pair in rule.windows:
            faults, requests = windows.faults(pair.long_s)
            if faults > self._threshold * requests and faults >= rule.faults_min and requests >= pair.requests_min:
                if windows.faults(pair.short_s)[0]:
                    return True
        return False

    def _may_be_late(self, windows: RowWindows) -> bool:
        rule, row = self.rules.latency, windows.row
        if self._limits is None or row is None:
            return False
        since_ms = windows.start_ms + self.rules.warmup_s * 1000
        for number, share in zip(self._limits, (rule.slo_share, rule.fast_share), strict=True):
            late, timed = windows.lateness(number, rule.window_s, since_ms)
            if late > share * timed and timed >= rule.requests_min:
                return True
        return False

    def _may_break(self, windows: RowWindows) -> bool:
        rule, row = self.rules.hard_failure, windows.row
        if row is None or not windows.row_faults:  # earlier faults were evaluated at their own row
            return False
        if row.faults_unbegun and not row.begun:
            return True
        for seconds in rule.burst_windows_s:
            faults, requests = windows.faults(seconds)
            if faults >= rule.burst_faults_min and faults >= rule.burst_fault_share * requests:
                return True
        return False


class _Path:
    """For how long one result has failed; ticked each second between two rows with the state of the first one."""

    def __init__(self, at_ns: int) -> None:
        self._sustained = Sustained()
        self._state: State = "pass"
        self._at_ns = at_ns
        self._failed_ns = 0

    @property
    def running(self) -> bool:
        """Whether it has failed recently and not passed since: then every following row must be evaluated."""
        return self._state != "pass" and self._at_ns - self._failed_ns < RECENT_S * SECOND_NS

    def tick(self, found: TriggerResult, at_ns: int, sustained_share: float) -> bool:
        """Advance to the row that ends at `at_ns`; return whether the action would be due."""
        if self._state == "pass":
            self._sustained.tick("pass", self._at_ns)
            self._at_ns = max(self._at_ns, at_ns - SECOND_NS)
        while at_ns - self._at_ns > SECOND_NS:
            self._at_ns += SECOND_NS
            self._sustained.tick(self._state, self._at_ns)
        self._state, self._at_ns = found.state, at_ns
        if found.state == "fail":
            self._failed_ns = at_ns
        self._sustained.tick(found.state, at_ns)
        if found.failing:
            return True
        needed_s = found.sustained_needed_s  # 0: the trigger says itself when it acts
        return found.state == "fail" and needed_s > 0 and self._sustained.is_sustained(needed_s, sustained_share)


def _bare(rules: Rules, baseline: Baseline | None) -> TriggerContext:
    return RowWindows().context(rules, baseline, 1.0)


def replay(
    rows: Iterable[Row], trials: Iterable[Trial], baseline_at: BaselineAt, rows_max: int = ROWS_MAX
) -> RowWindows:
    """Run `rows` (of active versions, oldest first) through all `trials`; return the windows at the end."""
    registered = list(trials)
    windows = RowWindows(list(dict.fromkeys(limit for trial in registered for limit in trial.limits())), rows_max)
    for trial in registered:
        trial.find_limits(windows)
    for row in rows:
        windows.add(row)
        baseline = baseline_at(row.at_ms)
        for trial in registered:
            trial.evaluate(windows, baseline)
    return windows
