"""The judge of one service: samples and facts go in, a verdict comes out. No I/O and no clock.

Only the active version is judged, and only on what was counted since its promotion. What an attempt becomes is scored to the
slot and incarnation it was claimed on, so a late failure of the previous version never touches the present one.

Cost of `evaluate` with 15 minutes of history, 200 requests/s and every trigger configured: 0.17 ms of CPU, and 0.48 ms at the
tick of each second that brings histograms (CPython 3.11, medians of 540 and 60 ticks, the largest of them 1.6 ms).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from router.rollout.judge.baseline import DAY_S, Baseline, estimate
from router.rollout.judge.context import TriggerContext
from router.rollout.judge.criteria import Acceptance, Criterion, Observed, criteria
from router.rollout.judge.error_rate import error_rate
from router.rollout.judge.evidence import Evidence
from router.rollout.judge.hard_failure import errors, hang, unreachable
from router.rollout.judge.latency import latency
from router.rollout.judge.probation import Key, Probation
from router.rollout.judge.rules import Rules
from router.rollout.judge.sustained import Sustained
from router.rollout.judge.verdict import TriggerResult, Verdict, conclude
from router.rollout.outcome import Outcome
from router.rollout.stats.histogram import quantile
from router.rollout.stats.sample import Histograms
from router.rollout.stats.window import SECOND_NS, Sample, SlotHistory, Window, WindowEntry

TIMED_EVERY_NS: Final = 2 * SECOND_NS
"""Histograms come once a second, and what was made of them holds until the next ones, but no longer than this."""


@dataclass(frozen=True, slots=True)
class JudgeInputs:
    """What the judge cannot see in the samples. Times are monotonic nanoseconds.

    `promoted_at_ns` is since when the active version serves; `probation_since_ns` when it was promoted, if that was before
    (a drill lay between). `rehearsing`: it serves for a drill, so nobody is on probation. `criteria` are those that rollbacks
    and people have added to the settings', `cases` (passed, detail) of the last check of the captured cases.
    `unwell`: why the router's own numbers are not to be trusted now; None if they are.
    `probes_unreachable_since_ns`: since when no endpoint of the active version accepts control's probes. `heard`: what others
    than the samples say of the active version.
    """

    active_slot: int | None
    standby_slot: int | None
    promoted_at_ns: int
    accepted: bool
    probes_unreachable_since_ns: int | None = None
    unwell: str | None = None
    external_results: tuple[TriggerResult, ...] = ()
    probation_since_ns: int | None = None
    in_drill: bool = False
    criteria: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    cases: tuple[bool, str] | None = None


class _ActiveVersion:
    """What is remembered of one active version since it began to serve."""

    def __init__(self, key: tuple[int, int, int], timeouts_are_long: bool) -> None:
        self.key = key
        self.evidence = Evidence(timeouts_are_long)
        self.error_rate = Sustained()
        self.slow = Sustained()
        self.fast = Sustained()
        self.timed_at_ns = 0
        self.latency: tuple[TriggerResult, TriggerResult] | None = None
        self.p99_s: float | None = None


class Judge:
    """Keeps the past of each slot and judges the active one."""

    def __init__(
        self,
        rules: Rules,
        first_byte_timeout_s: float,
        baseline: Baseline | None = None,
        acceptance: Acceptance | None = None,
    ) -> None:
        self.baseline = baseline
        self._acceptance = acceptance or Acceptance()
        self._rules = rules
        self._first_byte_timeout_s = first_byte_timeout_s
        self._histories: dict[int, SlotHistory] = {}
        self._restored: dict[int, dict[str, Sequence[Sample]]] = {}
        self._watch: _ActiveVersion | None = None
        self._probation: Probation | None = None

    def reconfigure(self, rules: Rules, first_byte_timeout_s: float, acceptance: Acceptance | None = None) -> None:
        """Judge by other rules from now on; the past and what has been sustained so far stay."""
        self._rules = rules
        self._acceptance = acceptance or Acceptance()
        self._first_byte_timeout_s = first_byte_timeout_s
        for history in self._histories.values():
            history.stall_s = rules.stall_s
        if self._watch is not None:
            self._watch.latency = None
            self._watch.evidence.timeouts_are_long = self._timeouts_are_long

    @property
    def _timeouts_are_long(self) -> bool:
        return self._first_byte_timeout_s >= self._rules.hard_failure.hang_wait_min_s

    def observe(self, slot: int, sample: Sample) -> list[str]:
        """Take a sample of a slot in; return the names of the tiers that keep it."""
        history = self._history(slot)
        kept_in = history.append(sample)
        watch, probation, entry = self._watch, self._probation, history.newest
        if kept_in and entry is not None:
            if watch is not None and watch.key[:2] == (slot, sample.incarnation):
                watch.evidence.add(entry)
            if probation is not None and probation.key[:2] == (slot, sample.incarnation):
                probation.add(entry)
        return kept_in

    def restore(self, slot: int, tier: str, samples: Sequence[Sample]) -> None:
        """Take over what a predecessor kept of a slot in one tier; to be called before the first `observe`.

        What had been sustained is not kept and begins again, which can delay error_rate and latency by their period.
        """
        tiers = self._restored.setdefault(slot, {})
        tiers[tier] = samples
        order = ("tick", "second", "decade")
        self._history(slot).restore({name: tiers[name] for name in order if name in tiers})
        self._watch = None

    def _history(self, slot: int) -> SlotHistory:
        return self._histories.setdefault(slot, SlotHistory(self._rules.stall_s))

    def window(self, slot: int, seconds: float, now_ns: int, *, histograms: bool = False) -> Window | None:
        """Return what a slot did in the last `seconds`, whatever its role was; for status."""
        history = self._histories.get(slot)
        return history.window(seconds, now_ns, histograms=histograms) if history is not None else None

    @property
    def seen_ns(self) -> int:
        """When it last took a sample in, of whichever slot; 0 before the first."""
        return max((history.newest.at_ns for history in self._histories.values() if history.newest), default=0)

    def newest(self, slot: int) -> tuple[WindowEntry, Histograms | None] | None:
        """Return the last entry of a slot, and the newest histograms, which may be a second older; None if they are older
        than that, because the slot has no role.
        """
        history = self._histories.get(slot)
        if history is None or history.newest is None:
            return None
        last, full = history.newest, history.newest_full
        if full is None or last.at_ns - full.at_ns > TIMED_EVERY_NS:
            return last, None
        return last, full.sample.histograms

    def trail(self, slot: int) -> list[WindowEntry]:
        """Return what is known of a slot, oldest first, each stretch as fine as it was kept."""
        history = self._histories.get(slot)
        return list(history.trail()) if history is not None else []

    def share_of_faults(self, slot: int, seconds: float, now_ns: int) -> tuple[float, int] | None:
        """Return (share of faults, requests) of a slot in the last `seconds`; None without requests. For the gate."""
        window = self.window(slot, seconds, now_ns)
        return None if window is None or window.rate is None else (window.rate, window.requests)

    def acceptance(self, now_ns: int) -> tuple[int, float]:
        """Return (requests, seconds without a failing trigger) of the active version since its promotion."""
        probation = self._probation
        window = probation.tally.window() if probation is not None else None
        if probation is None or window is None:
            return 0, 0.0
        return window.requests, probation.clean_s(now_ns)

    # -- judging
    def evaluate(self, facts: JudgeInputs, now_ns: int) -> Verdict:
        """Return the verdict on the active version; inconclusive without results if there is none or nothing is known."""
        watch = self._watched(facts)
        if watch is None:
            return conclude(())
        view = self._view(facts, watch, now_ns)
        results = (
            unreachable(view),
            errors(view),
            hang(view),
            self._error_rate(view, watch),
            self._latency(view, watch),
            *facts.external_results,
        )
        verdict = conclude(results)
        probation = self._on_probation(facts, watch.key, now_ns)
        if probation is None:
            return verdict
        if any(result.failing for result in results):
            probation.failed(now_ns)
        accepted = None if verdict.pending else self._accept(facts, probation, now_ns)
        return verdict if accepted is None else replace(verdict, accepted=accepted)

    def _watched(self, facts: JudgeInputs) -> _ActiveVersion | None:
        """Return the watch over this very promotion; a new one reads what the history has of it."""
        slot = facts.active_slot
        history = self._histories.get(slot) if slot is not None else None
        if slot is None or history is None or history.newest is None:
            return None
        key = (slot, history.newest.sample.incarnation, facts.promoted_at_ns)
        if self._watch is None or self._watch.key != key:
            self._watch = _ActiveVersion(key, self._timeouts_are_long)
            for entry in history.trail(facts.promoted_at_ns):
                self._watch.evidence.add(entry)
        return self._watch

    def _view(self, facts: JudgeInputs, watch: _ActiveVersion, now_ns: int) -> TriggerContext:
        history = self._histories[watch.key[0]]
        newest, full = history.newest, history.newest_full
        stalled = newest is not None and newest.stalled
        if full is None or full.at_ns != watch.timed_at_ns or now_ns - full.at_ns > TIMED_EVERY_NS:
            watch.latency = None
        if full is not None and full.at_ns != watch.timed_at_ns:
            watch.timed_at_ns = full.at_ns
            watch.p99_s = self._p99_s(full)
        return TriggerContext(
            now_ns=now_ns,
            promoted_at_ns=facts.promoted_at_ns,
            history=history,
            evidence=watch.evidence,
            rules=self._rules,
            first_byte_timeout_s=self._first_byte_timeout_s,
            baseline=self._usable_baseline(),
            hang_p99_s=watch.p99_s,
            probes_unreachable_since_ns=facts.probes_unreachable_since_ns,
            paused=facts.unwell or ("the router's own loop stalled just now" if stalled else None),
        )

    def _usable_baseline(self) -> Baseline | None:
        baseline = self.baseline
        return baseline if baseline is not None and baseline.requests >= self._rules.baseline_requests_min else None

    def _p99_s(self, full: WindowEntry) -> float | None:
        """Return the p99 of all first-byte times of this incarnation, in seconds."""
        times = full.sample.first_byte or ()
        micros = quantile(times, 0.99) if sum(times) >= self._rules.hard_failure.hang_samples_min else None
        return None if micros is None else micros / 1e6

    def _error_rate(self, view: TriggerContext, watch: _ActiveVersion) -> TriggerResult:
        result = error_rate(view)
        return self._held(result, watch.error_rate, view.now_ns)

    def _latency(self, view: TriggerContext, watch: _ActiveVersion) -> TriggerResult:
        """Return the path that acts, else the one that fails and is nearer to acting, else the slow one."""
        if watch.latency is None or view.paused or view.in_warmup:
            found = latency(view)
            watch.latency = None if view.paused or view.in_warmup else found
        else:
            found = watch.latency
        slow = self._held(found[0], watch.slow, view.now_ns)
        fast = self._held(found[1], watch.fast, view.now_ns)
        if slow.failing or fast.state != "fail":
            return slow
        left = [path.sustained_needed_s - path.sustained_s for path in (slow, fast)]
        return fast if slow.state != "fail" or left[1] <= left[0] else slow

    def _held(self, result: TriggerResult, held: Sustained, now_ns: int) -> TriggerResult:
        needed_s, share = result.sustained_needed_s, self._rules.sustained_share
        held.tick(result.state, now_ns)
        return result.sustained(held.held_s(needed_s, share), needed_s, held.is_sustained(needed_s, share))

    # -- acceptance
    def _on_probation(self, facts: JudgeInputs, key: Key, now_ns: int) -> Probation | None:
        """Return what the active version has shown since its promotion; None while a drill is away."""
        if facts.in_drill:
            if self._probation is not None:
                self._probation.pause(now_ns)
            return None
        since_ns = facts.promoted_at_ns if facts.probation_since_ns is None else facts.probation_since_ns
        key = (*key[:2], since_ns)
        if self._probation is None or self._probation.key != key:
            self._probation = Probation(key, self._rules.warmup_s)
            for entry in self._histories[key[0]].trail(since_ns):
                self._probation.add(entry)
        self._probation.go_on(now_ns)
        return self._probation

    def _accept(self, facts: JudgeInputs, probation: Probation, now_ns: int) -> Baseline | None:
        """Return the baseline to judge by once the version has proven itself, and again each day; None otherwise.

        A version that is surely worse than the baseline, but not so much that it fails, is accepted and leaves the baseline
        as it is: only a whole day moves it upwards, else a slow degradation would become the new normal.
        """
        rules, window = self._rules, probation.tally.window()
        if window is None or probation.tally.since_ns is None:
            return None
        daily = facts.accepted or probation.accepted
        lasted_s = (now_ns - probation.tally.since_ns) / SECOND_NS if daily else probation.clean_s(now_ns)
        due_s = DAY_S if daily else self._acceptance.after_s
        requests_min = rules.baseline_requests_min if daily else self._acceptance.requests_min
        if lasted_s < due_s or window.requests < max(requests_min, 1):
            return None
        if not daily and not self._meets(facts, probation, now_ns):
            return None
        sure = rules.error_rate.baseline_confidence
        found = estimate(window.requests, window.weighed_faults, sure, probation.tally.histograms())
        known = self._usable_baseline()
        if daily or known is None or found.lower <= known.upper:
            self.baseline = found
        probation.accepted = True
        probation.tally.restart()
        return self.baseline

    def _meets(self, facts: JudgeInputs, probation: Probation, now_ns: int) -> bool:
        """Whether every criterion is met, looked at once a second: it adds histograms up."""
        if now_ns - probation.looked_ns < SECOND_NS:
            return False
        probation.looked_ns = now_ns
        return all(criterion.passes for criterion in self.criteria(facts, now_ns))

    def criteria(self, facts: JudgeInputs, now_ns: int) -> tuple[Criterion, ...]:
        """Return the acceptance criteria of the version on probation with what it has shown; empty without one."""
        probation, asked = self._probation, self._acceptance
        window = probation.tally.window() if probation is not None else None
        if probation is None or window is None:
            return ()
        shown = Observed(
            window.requests,
            probation.clean_s(now_ns),
            window.weighed_faults,
            window.outcomes[Outcome.INVALID],
            *(probation.tally.histograms() or ((), (), ())),
            longest_wait_s=probation.longest_wait_s(asked.after_s, now_ns),
            quality_alerts=sum(
                result.kind == "quality" and result.state == "fail" for result in facts.external_results
            ),
            cases=facts.cases,
        )
        return criteria(shown, asked, facts.criteria, self._rules.latency, self._usable_baseline())
