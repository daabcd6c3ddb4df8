"""The judge of one service: samples and `JudgeInputs` in, a verdict out. No I/O and no clock.

Only the active version is judged, and only on the counts since its promotion. The outcome of an attempt is counted for
the slot and incarnation on which it was claimed, so a late failure of the previous version does not count for the
present version.

Cost of `evaluate` with 5 minutes of history and every trigger configured, mean CPU of a tick: 0.16 ms at 200
requests/s, 0.10 ms at rest. A tick that is judged anew (one a second, and each with a fault) costs 0.8 to 1.4 ms, the others
0.02 ms (CPython 3.11 on a busy machine, 600 ticks).

Why: docs/decisions.md#a-baseline-does-not-creep.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

from router.rollout.judge.active.calm import CalmVerdict, calm_verdict
from router.rollout.judge.active.judge_inputs import JudgeInputs
from router.rollout.judge.baseline import DAY_S, Baseline, BucketNormal, estimate, useful_share_of
from router.rollout.judge.context import TriggerContext
from router.rollout.judge.criteria import Acceptance, Criterion, Observed, criteria
from router.rollout.judge.error_rate import error_rate
from router.rollout.judge.errors import errors
from router.rollout.judge.evidence import Evidence
from router.rollout.judge.hard_failure import hang, unreachable
from router.rollout.judge.latency import latency
from router.rollout.judge.probation import Key, Probation
from router.rollout.judge.progress.inference_probe import inference_probe
from router.rollout.judge.progress.known_work import OTHER_NAMES, KnownWork
from router.rollout.judge.progress.no_progress import no_progress, queue_note
from router.rollout.judge.progress.useful_share import useful_share
from router.rollout.judge.progress.work_state import SlotWork, WorkState, work_state
from router.rollout.judge.rules import Rules
from router.rollout.judge.sustained import Sustained
from router.rollout.judge.verdict import Note, TriggerResult, Verdict, conclude
from router.rollout.outcome import Outcome
from router.rollout.stats.epoch_history import AffectedPeriod
from router.rollout.stats.histogram import quantile
from router.rollout.stats.sample import Histograms
from router.rollout.stats.window import Sample, SlotHistory, Window, WindowEntry
from router.rollout.stats.work_history import WorkWindow
from router.rollout.units import SECOND_NS
from router.rollout.work import WorkEnd

TIMED_EVERY_NS: Final = 2 * SECOND_NS
"""Histograms come once a second. Their result is used until the next ones come, but no longer than this."""

ANSWERED: Final = (WorkEnd.USEFUL, WorkEnd.CLIENT_ERROR, WorkEnd.UNAUTHORISED, WorkEnd.THROTTLED, WorkEnd.EMPTY)
"""Ends of inference attempts that end a run of faults."""


class _ActiveVersion:
    """State of the triggers for one active version since it began to serve. `calm`: the verdict that may still hold."""

    def __init__(self, key: tuple[int, int, int], timeouts_are_long: bool) -> None:
        self.key = key
        self.evidence = Evidence(timeouts_are_long)
        self.error_rate = Sustained()
        self.slow = Sustained()
        self.fast = Sustained()
        self.timed_at_ns = 0
        self.work_at_ns = 0
        self.work: WorkState | None = None
        self.work_key: tuple[object, ...] = ()
        self.by_work: tuple[tuple[TriggerResult, tuple[Note, ...]], ...] = ()
        self.latency: tuple[TriggerResult, TriggerResult] | None = None
        self.p99_s: float | None = None
        self.calm: CalmVerdict | None = None

    @property
    def is_clear(self) -> bool:
        """Whether no trigger has begun to fail: then no tick counts for its time."""
        return self.error_rate.is_clear and self.slow.is_clear and self.fast.is_clear


class Judge:
    """Keeps the samples of each slot and judges the active version."""

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
        self._work: dict[int, SlotWork] = {}
        self._restored: dict[int, dict[str, Sequence[Sample]]] = {}
        self._active: _ActiveVersion | None = None
        self._probation: Probation | None = None

    def reconfigure(self, rules: Rules, first_byte_timeout_s: float, acceptance: Acceptance | None = None) -> None:
        """Use these rules from now on; samples and sustained times stay."""
        self._rules = rules
        self._acceptance = acceptance or Acceptance()
        self._first_byte_timeout_s = first_byte_timeout_s
        for history in self._histories.values():
            history.reconfigure(rules.stall_s)
        if self._active is not None:
            self._active.latency = self._active.work = self._active.calm = None
            self._active.work_key = ()
            self._active.evidence.reconfigure(self._timeouts_are_long)

    @property
    def _timeouts_are_long(self) -> bool:
        return self._first_byte_timeout_s >= self._rules.hard_failure.hang_wait_min_s

    def observe(self, slot: int, sample: Sample) -> list[str]:
        """Add a sample of a slot; return the names of the tiers that keep it."""
        history = self._history(slot)
        kept_in = history.append(sample)
        active, probation, entry = self._active, self._probation, history.newest
        if kept_in and entry is not None:
            self._work_of(slot).add(entry)
            if active is not None and active.key[:2] == (slot, sample.incarnation):
                active.evidence.add(entry)
            if probation is not None and probation.key[:2] == (slot, sample.incarnation):
                probation.add(entry)
        return kept_in

    def restore(self, slot: int, tier: str, samples: Sequence[Sample]) -> None:
        """Load the samples of one tier of a slot that an earlier process kept; call it before the first `observe`.

        Sustained times are not kept: they start again, which can delay error_rate and latency by their period.
        """
        tiers = self._restored.setdefault(slot, {})
        tiers[tier] = samples
        order = ("tick", "second", "decade")
        self._history(slot).restore({name: tiers[name] for name in order if name in tiers})
        self._work[slot] = SlotWork()
        for entry in self._history(slot).entries_since():
            self._work[slot].add(entry)
        self._active = None

    def _history(self, slot: int) -> SlotHistory:
        history = self._histories.get(slot)
        if history is None:
            history = self._histories[slot] = SlotHistory(self._rules.stall_s)
        return history

    def _work_of(self, slot: int) -> SlotWork:
        work = self._work.get(slot)
        if work is None:
            work = self._work[slot] = SlotWork()
        return work

    def window(self, slot: int, seconds: float, now_ns: int, *, histograms: bool = False) -> Window | None:
        """Return the last `seconds` of a slot, in any role; for status."""
        history = self._histories.get(slot)
        return history.window(seconds, now_ns, histograms=histograms) if history is not None else None

    @property
    def seen_ns(self) -> int:
        """Time of the newest sample of any slot (monotonic nanoseconds); 0 before the first."""
        return max((history.newest.at_ns for history in self._histories.values() if history.newest), default=0)

    def newest(self, slot: int) -> tuple[WindowEntry, Histograms | None] | None:
        """Return the newest entry of a slot and its newest histograms, which may be a second older. Histograms are None if they
        are older than that: the slot has no role then.
        """
        history = self._histories.get(slot)
        if history is None or history.newest is None:
            return None
        last, full = history.newest, history.newest_full
        if full is None or last.at_ns - full.at_ns > TIMED_EVERY_NS:
            return last, None
        return last, full.sample.histograms

    def newest_full(self, slot: int) -> Sample | None:
        """Return the newest sample of a slot with histograms and work; None without one."""
        full = history.newest_full if (history := self._histories.get(slot)) is not None else None
        return full.sample if full is not None else None

    def newest_full_entry(self, slot: int) -> WindowEntry | None:
        """Return the newest entry of a slot with histograms and work; None without one."""
        return history.newest_full if (history := self._histories.get(slot)) is not None else None

    def work_window(self, slot: int, window: Window, buckets: Collection[int]) -> WorkWindow | None:
        """Return the work of a slot between the two samples of `window`; None if they hold no work."""
        work = self._work.get(slot)
        return work.history.between(window.since_ns, window.until_ns, buckets) if work is not None else None

    def entries(self, slot: int) -> list[WindowEntry]:
        """Return the entries of a slot, oldest first, each period from the finest tier that has it."""
        history = self._histories.get(slot)
        return list(history.entries_since()) if history is not None else []

    def share_of_faults(self, slot: int, seconds: float, now_ns: int) -> tuple[float, int] | None:
        """Return (share of faults, requests) of a slot in the last `seconds`; None without requests. For the gate."""
        window = self.window(slot, seconds, now_ns)
        return None if window is None or window.rate is None else (window.rate, window.requests)

    def affected(self, slot: int, since_ns: int) -> AffectedPeriod:
        """Return who was affected on a slot since then, in whole epochs of 10 s."""
        work = self._work.get(slot)
        return work.epochs.since(since_ns) if work is not None else AffectedPeriod()

    def pairs(self, slot: int, seconds: float, now_ns: int, since_ns: int) -> tuple[int, int]:
        """Return how many requests rescued from a slot the other version answered well, and failed, in the last `seconds`."""
        history = self._histories.get(slot)
        entries = (
            iter(()) if history is None else history.entries_since(max(now_ns - int(seconds * SECOND_NS), since_ns))
        )
        first = next(entries, None)
        newest = history.newest if history is not None else None
        if first is None or newest is None:
            return 0, 0
        base, last = first.sample, newest.sample
        return last.pairs_well - base.pairs_well, last.pairs_failed - base.pairs_failed

    def acceptance(self, now_ns: int) -> tuple[int, float]:
        """Return (requests, seconds without a failing trigger) of the active version since its promotion."""
        probation = self._probation
        window = probation.accumulator.window() if probation is not None else None
        if probation is None or window is None:
            return 0, 0.0
        return window.requests, probation.clean_s(now_ns)

    def known_times(self, now_ns: int) -> Mapping[int, tuple[float | None, float | None]]:
        """Return (limit of a wait, median time to useful) in seconds of each work bucket of the active version; None: unknown."""
        state = self._active.work if self._active is not None else None
        if state is None:
            return {}
        known = state.known
        return {
            bucket: (state.limits[bucket] if known.limit_s(bucket) is not None else None, known.median_s(bucket))
            for bucket in known.own
        }

    # -- judging
    def evaluate(self, inputs: JudgeInputs, now_ns: int) -> Verdict:
        """Return the verdict on the active version; inconclusive without results if there is none or nothing is known."""
        active = self._active_version(inputs)
        if active is None:
            return conclude(())
        verdict = self._verdict(inputs, active, now_ns)
        probation = self._on_probation(inputs, active.key, now_ns)
        if probation is None:
            return verdict
        if verdict.pending and any(result.failing for result in verdict.results):
            probation.failed(now_ns)
        accepted = None if verdict.pending else self._accept(inputs, probation, now_ns)
        return verdict if accepted is None else replace(verdict, accepted=accepted)

    def _verdict(self, inputs: JudgeInputs, active: _ActiveVersion, now_ns: int) -> Verdict:
        """Return the verdict of the tick before while it holds (active/calm.py), else a new one."""
        basis = self._basis(inputs, active)
        if active.calm is not None and active.calm.holds(basis, active.evidence, now_ns):
            return active.calm.verdict
        context = self._context(inputs, active, now_ns)
        by_errors, by_rate = errors(context), error_rate(context)
        by_work, by_probe = self._work_results(context, active), inference_probe(context)
        rate = self._with_sustained(by_rate[0], active.error_rate, context.now_ns)
        results = (
            unreachable(context),
            by_errors[0],
            hang(context),
            *(result for result, _ in by_work),
            by_probe[0],
            rate,
            self._latency(context, active),
            *inputs.external_results,
        )
        notes = _notes(context, *by_errors[1], *by_rate[1], *by_probe[1], *(n for _, found in by_work for n in found))
        verdict = conclude(results, notes=notes)
        active.calm = calm_verdict(context, verdict, basis) if basis[0] and active.is_clear else None
        return verdict

    def _basis(self, inputs: JudgeInputs, active: _ActiveVersion) -> tuple[object, ...]:
        """Return what a verdict rests on beside counters and time: it changes about once a second."""
        history, work = self._histories[active.key[0]], self._work.get(active.key[0])
        newest, full = history.newest, history.newest_full
        stalled, full_ns = newest is not None and newest.stalled, full.at_ns if full is not None else 0
        return work.history.at_ns if work is not None else 0, full_ns, stalled, inputs, self.baseline

    def _active_version(self, inputs: JudgeInputs) -> _ActiveVersion | None:
        """Return the state for the present promotion; a new state is filled from the history."""
        slot = inputs.active_slot
        history = self._histories.get(slot) if slot is not None else None
        if slot is None or history is None or history.newest is None:
            return None
        key = (slot, history.newest.sample.incarnation, inputs.promoted_at_ns)
        if self._active is None or self._active.key != key:
            self._active = _ActiveVersion(key, self._timeouts_are_long)
            for entry in history.entries_since(inputs.promoted_at_ns):
                self._active.evidence.add(entry)
        return self._active

    def _context(self, inputs: JudgeInputs, active: _ActiveVersion, now_ns: int) -> TriggerContext:
        history = self._histories[active.key[0]]
        newest, full = history.newest, history.newest_full
        stalled = newest is not None and newest.stalled
        if full is None or full.at_ns != active.timed_at_ns or now_ns - full.at_ns > TIMED_EVERY_NS:
            active.latency = None
        if full is not None and full.at_ns != active.timed_at_ns:
            active.timed_at_ns = full.at_ns
            active.p99_s = self._p99_s(full)
        return TriggerContext(
            now_ns=now_ns,
            promoted_at_ns=inputs.promoted_at_ns,
            history=history,
            evidence=active.evidence,
            rules=self._rules,
            first_byte_timeout_s=self._first_byte_timeout_s,
            baseline=self._usable_baseline(),
            hang_p99_s=active.p99_s,
            probes_unreachable_since_ns=inputs.probes_unreachable_since_ns,
            paused=inputs.unwell or ("the router's own loop stalled just now" if stalled else None),
            work=self._work_state(inputs, active),
            epochs=self._work_of(active.key[0]).epochs,
            inference_probe=inputs.inference_probe,
        )

    def _usable_baseline(self) -> Baseline | None:
        baseline = self.baseline
        return baseline if baseline is not None and baseline.requests >= self._rules.baseline_requests_min else None

    def _p99_s(self, full: WindowEntry) -> float | None:
        """Return the p99 of all first-byte times of this incarnation, in seconds."""
        times = full.sample.first_byte or ()
        micros = quantile(times, 0.99) if sum(times) >= self._rules.hard_failure.hang_samples_min else None
        return None if micros is None else micros / 1e6

    def _work_state(self, inputs: JudgeInputs, active: _ActiveVersion) -> WorkState | None:
        """Return the work of the active version at its newest sample with work; None if its samples have none."""
        slot = self._work.get(active.key[0])
        if slot is None or not slot.history.work or slot.history.incarnation != active.key[1]:
            return None
        if slot.history.at_ns == active.work_at_ns and active.work is not None:
            return active.work
        before = self._work.get(inputs.standby_slot) if inputs.standby_slot is not None else None
        known = KnownWork(
            self._rules.hard_failure,
            inputs.buckets,
            slot.history.work,
            before.history.work if before is not None else {},
            self._usable_baseline(),
        )
        active.work_at_ns = slot.history.at_ns
        active.work = work_state(
            slot,
            before,
            known,
            self._rules,
            inputs.inference_probe,
            promoted_at_ns=inputs.promoted_at_ns,
            accepted=inputs.accepted,
            first_byte_timeout_s=self._first_byte_timeout_s,
        )
        counted = [slot.history.work[bucket] for bucket in known.inference]
        failed = sum(counts.ends[WorkEnd.FAULT] + counts.late_faults for counts in counted)
        answered = sum(counts.ends[end] for counts in counted for end in ANSWERED)
        active.evidence.add_inference(failed, answered, slot.history.at_ns)
        return active.work

    def _work_results(
        self, context: TriggerContext, active: _ActiveVersion
    ) -> tuple[tuple[TriggerResult, tuple[Note, ...]], ...]:
        """Return no_progress and useful_share. They are evaluated anew with the sample of each second."""
        probe = context.inference_probe
        unreachable, red = context.probes_unreachable_since_ns is not None, probe is not None and probe.red
        key = (active.work_at_ns, context.paused, unreachable, red)
        if active.work_key != key:
            active.work_key, active.by_work = key, (no_progress(context), useful_share(context))
        return active.by_work

    def _latency(self, context: TriggerContext, active: _ActiveVersion) -> TriggerResult:
        """Return the path that acts; else the failing path that is nearer to acting; else the slow path."""
        if active.latency is None or context.paused or context.in_warmup:
            found = latency(context)
            active.latency = None if context.paused or context.in_warmup else found
        else:
            found = active.latency
        slow = self._with_sustained(found[0], active.slow, context.now_ns)
        fast = self._with_sustained(found[1], active.fast, context.now_ns)
        if slow.failing or fast.state != "fail":
            return slow
        left = [path.sustained_needed_s - path.sustained_s for path in (slow, fast)]
        return fast if slow.state != "fail" or left[1] <= left[0] else slow

    def _with_sustained(self, result: TriggerResult, sustained: Sustained, now_ns: int) -> TriggerResult:
        needed_s, share = result.sustained_needed_s, self._rules.sustained_share
        sustained.tick(result.state, now_ns)
        return result.sustained(
            sustained.sustained_s(needed_s, share), needed_s, sustained.is_sustained(needed_s, share)
        )

    # -- acceptance
    def _on_probation(self, inputs: JudgeInputs, key: Key, now_ns: int) -> Probation | None:
        """Return the probation of the active version; None while a drill has swapped the roles."""
        if inputs.in_drill:
            if self._probation is not None:
                self._probation.pause(now_ns)
            return None
        since_ns = inputs.promoted_at_ns if inputs.probation_since_ns is None else inputs.probation_since_ns
        key = (*key[:2], since_ns)
        if self._probation is None or self._probation.key != key:
            self._probation = Probation(key, self._rules.warmup_s)
            for entry in self._histories[key[0]].entries_since(since_ns):
                self._probation.add(entry)
        self._probation.resume(now_ns)
        return self._probation

    def _accept(self, inputs: JudgeInputs, probation: Probation, now_ns: int) -> Baseline | None:
        """Return the baseline to judge by when the version is accepted, and again each day; None otherwise.

        A version that is worse than the baseline with confidence, but does not fail, is accepted and leaves the baseline
        unchanged. Only the daily estimate raises the baseline: otherwise a slow degradation would become normal.
        """
        rules, counted = self._rules, probation.accumulator
        if counted.since_ns is None:
            return None
        daily = inputs.accepted or probation.accepted
        lasted_s = (now_ns - counted.since_ns) / SECOND_NS if daily else probation.clean_s(now_ns)
        due_s = DAY_S if daily else self._acceptance.after_s
        requests_min = rules.baseline_requests_min if daily else self._acceptance.requests_min
        if lasted_s < due_s or counted.attempts < max(requests_min, 1):
            return None
        window = counted.window()
        if window is None or window.requests < max(requests_min, 1):
            return None
        if not daily and not self._meets(inputs, probation, now_ns):
            return None
        sure = rules.error_rate.baseline_confidence
        found = replace(
            estimate(window.requests, window.weighted_faults, sure, probation.accumulator.histograms()),
            first_useful=probation.accumulator.first_useful(),
            work=probation.accumulator.work(_names(inputs)) or {},
        )
        known = self._usable_baseline()
        if daily or known is None or found.lower <= known.upper:
            self.baseline = found
        probation.accept()
        return self.baseline

    def _meets(self, inputs: JudgeInputs, probation: Probation, now_ns: int) -> bool:
        """Whether every criterion is met. Evaluated once a second, because it adds up histograms."""
        return probation.take_check(now_ns) and all(criterion.passes for criterion in self.criteria(inputs, now_ns))

    def _useful_share_before(self, inputs: JudgeInputs) -> float | None:
        """Return the share of useful answers in the baseline, or of the version before; None if unknown."""
        baseline = self._usable_baseline()
        if baseline is not None and (known := useful_share_of(baseline.work.values())) is not None:
            return known
        before = self._work.get(inputs.standby_slot) if inputs.standby_slot is not None else None
        counts = before.history.work.values() if before is not None else ()
        return useful_share_of(BucketNormal(part.ends) for part in counts)

    def criteria(self, inputs: JudgeInputs, now_ns: int) -> tuple[Criterion, ...]:
        """Return the acceptance criteria of the version on probation with its observed values; empty without one."""
        probation, settings = self._probation, self._acceptance
        window = probation.accumulator.window() if probation is not None else None
        if probation is None or window is None:
            return ()
        work = probation.accumulator.work(_names(inputs))
        observed = Observed(
            window.requests,
            probation.clean_s(now_ns),
            window.weighted_faults,
            window.outcomes[Outcome.INVALID],
            *(probation.accumulator.histograms() or ((), (), ())),
            longest_wait_s=probation.longest_wait_s(settings.after_s, now_ns),
            quality_alerts=sum(
                result.kind == "quality" and result.state == "fail" for result in inputs.external_results
            ),
            cases=inputs.cases,
            useful=None if not work else sum(normal.ends[WorkEnd.USEFUL] for normal in work.values()),
            useful_share=None if not work else useful_share_of(work.values()),
            useful_share_before=self._useful_share_before(inputs),
            first_useful=probation.accumulator.first_useful(),
        )
        return criteria(observed, settings, inputs.criteria, self._rules.latency, self._usable_baseline())


def _names(inputs: JudgeInputs) -> dict[int, str]:
    """Return the names of all work buckets, those of the nameless ones included."""
    return OTHER_NAMES | {number: bucket.name for number, bucket in inputs.buckets.items()}


def _notes(context: TriggerContext, *found: Note) -> tuple[Note, ...]:
    """Return the notes of the triggers and of the queue, the first of each code."""
    queue = queue_note(context.work) if context.work is not None else None
    notes: dict[str, Note] = {}
    for note in (*found, *((queue,) if queue is not None else ())):
        notes.setdefault(note.code, note)
    return tuple(notes.values())
