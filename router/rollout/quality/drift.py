"""Decides whether requests have drifted from the reference: sampled bodies in, `DriftStatus` out.

A finding is a share of requests: those without a field; those with a field outside its range or with an unknown category; those
that the schema rejected. A finding fails if it is above its limit with confidence. The limit is the larger of `share_min` and
twice the usual share. Drift is a failure that lasts for `sustained_s`. Another active version resets it.

Cost: a request of 32 fields takes about 0.1 ms, in a thread of control; a worker samples at most a few requests a second.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from router.rollout.judge.sustained import Sustained
from router.rollout.judge.verdict import State
from router.rollout.quality.field_profile import CONFIDENCE
from router.rollout.quality.reference import Field, Reference, ReferenceLearner
from router.rollout.quality.reference import field as field_of
from router.rollout.stats.bounds import is_above, upper_bound
from router.rollout.units import SECOND_NS
from router.runtime.text.plurals import counted, plural

REJECTED: Final = "(request_schema)"
BUCKETS: Final = 30
USUAL_FACTOR: Final = 2.0


@dataclass(frozen=True, slots=True)
class DriftRules:
    """The settings. Without `fields` and `learn_fields` drift detection is off."""

    fields: tuple[Field, ...] = ()
    learn_fields: bool = False
    learn_samples: int = 1000
    learn_s: float = 600.0
    share_min: float = 0.05
    confidence: float = 0.999
    window_s: float = 300.0
    samples_min: int = 100
    sustained_s: float = 60.0
    sustained_share: float = 0.8

    @property
    def enabled(self) -> bool:
        """Whether drift detection is on."""
        return self.learn_fields or bool(self.fields)


@dataclass(frozen=True, slots=True)
class DriftContext:
    """The inputs of one evaluation: the active version and since when (monotonic); `well`: it is accepted and no trigger fails;
    `seen` and `refused`: requests that the schema has checked and rejected since the start.
    """

    version: str
    since_ns: int
    well: bool
    seen: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """One share of the window's requests. `what`: missing, out, rejected; `usual` is the share in the reference."""

    field: str
    what: str
    share: float
    limit: float
    usual: float
    samples: int
    fails: bool

    def __str__(self) -> str:
        reason = {
            "missing": f"{self.field} is missing in",
            "out": f"{self.field} is outside the reference range in",
            "rejected": "the schema refuses",
        }[self.what]
        found = f"{reason} {self.share:.1%} of {counted(self.samples, 'request')}"
        return f"{found} (limit {self.limit:.1%}, usual up to {self.usual:.1%})"


@dataclass(frozen=True, slots=True)
class DriftStatus:
    """The result. `worst`: the finding that is furthest above its limit, or nearest to it; `drifted`: the failure is sustained;
    `reference` is set when a new one has been learned.
    """

    state: State = "not_configured"
    reason: str = ""
    worst: Finding | None = None
    drifted: bool = False
    sustained_s: float = 0.0
    failing: tuple[Finding, ...] = ()
    learned: int = 0
    unreadable: int = 0
    reference: Reference | None = None


@dataclass(slots=True)
class _Counts:
    """Counts of a period: sampled requests, checked and rejected requests, and requests by finding."""

    at_ns: int
    samples: int = 0
    seen: int = 0
    refused: int = 0
    found: dict[tuple[str, str], int] = field(default_factory=dict)


class DriftJudge:
    """Drift detection of one service; used by one thread at a time."""

    def __init__(self, rules: DriftRules, reference: Reference | None = None) -> None:
        self.reference = reference
        self._rules = rules
        self._learner: ReferenceLearner | None = None
        self._key: tuple[str, int] | None = None
        self._buckets: deque[_Counts] = deque(maxlen=BUCKETS)
        self._sustained = Sustained()
        self._schema: tuple[int, int] | None = None
        self._schema_counts = [0, 0]
        self._unreadable = 0

    def reconfigure(self, rules: DriftRules) -> None:
        """Use these rules; other fields reset learning and counts."""
        if rules.fields != self._rules.fields or rules.learn_fields != self._rules.learn_fields:
            self._learner = None
            self._reset()
        self._rules = rules

    def relearn(self) -> None:
        """Drop the reference and learn a new one; an operator requests it."""
        self.reference = self._learner = None
        self._reset()

    def _reset(self) -> None:
        self._buckets.clear()
        self._sustained = Sustained()

    def take(self, bodies: Iterable[bytes], now: DriftContext, now_ns: int) -> DriftStatus:
        """Add sampled request bodies; return the status at `now_ns` (monotonic)."""
        if not self._rules.enabled:
            return DriftStatus()
        if self._key != (now.version, now.since_ns):
            self._key = (now.version, now.since_ns)
            self._reset()
        counts = self._bucket(now_ns)
        documents = [document for body in bodies if (document := self._read(body)) is not None]
        refused = self._count_refused(counts, now)
        known = self._known()
        if known is not None:
            for document in documents:
                self._count(counts, known, document)
        learned = self._learn(documents, refused, now, now_ns)
        return self._status(self._known(), learned, now_ns)

    def _known(self) -> Reference | None:
        """Return the reference if it has the fields of the present rules, else None."""
        requested = tuple((field.name, field.kind) for field in self._rules.fields)
        return self.reference if self.reference is not None and self.reference.requested == requested else None

    def _read(self, body: bytes) -> Any:
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            self._unreadable += 1
            return None

    # -- counting
    def _bucket(self, now_ns: int) -> _Counts:
        each_ns = int(self._rules.window_s * SECOND_NS) // BUCKETS
        while self._buckets and now_ns - self._buckets[0].at_ns > self._rules.window_s * SECOND_NS:
            self._buckets.popleft()
        if not self._buckets or now_ns - self._buckets[-1].at_ns >= each_ns:
            self._buckets.append(_Counts(now_ns))
        return self._buckets[-1]

    def _count_refused(self, counts: _Counts, now: DriftContext) -> tuple[int, int]:
        before, self._schema = self._schema, (now.seen, now.refused)
        seen, refused = (now.seen - before[0], now.refused - before[1]) if before is not None else (0, 0)
        counts.seen += max(seen, 0)
        counts.refused += max(refused, 0)
        return max(seen, 0), max(refused, 0)

    def _count(self, counts: _Counts, known: Reference, document: Any) -> None:
        counts.samples += 1
        for name, profile in known.profiles.items():
            values = field_of(name).values(document)
            if not values:
                counts.found[name, "missing"] = counts.found.get((name, "missing"), 0) + 1
            elif profile.steady and profile.is_out(values):
                counts.found[name, "out"] = counts.found.get((name, "out"), 0) + 1

    # -- learning
    def _learn(
        self, documents: Sequence[Any], refused: tuple[int, int], now: DriftContext, now_ns: int
    ) -> Reference | None:
        known = self._known()
        if not now.well or (known is not None and known.version == now.version) or self._is_failing():
            self._learner = None
            return None
        rules = self._rules
        if self._learner is None or self._learner.version != now.version:
            self._learner = ReferenceLearner(now.version, rules.fields, rules.learn_samples, rules.learn_s)
            self._schema_counts = [0, 0]
        for document in documents:
            self._learner.take(document, now_ns)
        self._schema_counts = [sum(pair) for pair in zip(self._schema_counts, refused, strict=True)]
        usual = (
            upper_bound(self._schema_counts[1], self._schema_counts[0], CONFIDENCE) if self._schema_counts[0] else 0.0
        )
        learned = self._learner.reference(now_ns, usual)
        if learned is not None:
            self.reference, self._learner = learned, None
            self._reset()
        return learned

    def _is_failing(self) -> bool:
        return any(finding.fails for finding in self._findings(self._known()))

    # -- judging
    def _status(self, known: Reference | None, learned: Reference | None, now_ns: int) -> DriftStatus:
        rules = self._rules
        learned_count = self._learner.seen if self._learner is not None else 0
        if known is None:
            needs = f"{rules.learn_samples} over {rules.learn_s:g} s, of an accepted version"
            reason = f"there is no reference yet ({learned_count} learned; it needs {needs})"
            return DriftStatus("inconclusive", reason, learned=learned_count, unreadable=self._unreadable)
        findings = self._findings(known)
        worst = max(findings, key=lambda found: (found.fails, found.share / found.limit), default=None)
        state: State = "inconclusive" if worst is None else "fail" if worst.fails else "pass"
        self._sustained.tick(state, now_ns)
        sustained_s = self._sustained.sustained_s(rules.sustained_s, rules.sustained_share)
        samples = sum(counts.samples for counts in self._buckets)
        reason = (
            str(worst)
            if worst
            else f"{counted(samples, 'request')} {plural('was', samples)} evaluated, {rules.samples_min} are needed"
        )
        return DriftStatus(
            state,
            reason,
            worst,
            state == "fail" and self._sustained.is_sustained(rules.sustained_s, rules.sustained_share),
            sustained_s,
            tuple(found for found in findings if found.fails),
            learned_count,
            self._unreadable,
            learned,
        )

    def _findings(self, known: Reference | None) -> list[Finding]:
        if known is None:
            return []
        found = []
        samples = sum(counts.samples for counts in self._buckets)
        for name, profile in known.profiles.items():
            found.append(self._finding(name, "missing", samples, profile.usual_missing))
            if profile.steady:
                found.append(self._finding(name, "out", samples, profile.usual_out))
        seen, refused = (sum(getattr(counts, what) for counts in self._buckets) for what in ("seen", "refused"))
        if seen:
            found.append(self._measured(REJECTED, "rejected", refused, seen, known.usual_rejected))
        return [finding for finding in found if finding.samples >= self._rules.samples_min]

    def _finding(self, name: str, what: str, samples: int, usual: float) -> Finding:
        count = sum(counts.found.get((name, what), 0) for counts in self._buckets)
        return self._measured(name, what, count, samples, usual)

    def _measured(self, name: str, what: str, count: int, samples: int, usual: float) -> Finding:
        limit = min(max(self._rules.share_min, USUAL_FACTOR * usual), 1.0)
        fails = samples >= self._rules.samples_min and is_above(count, samples, limit, self._rules.confidence)
        return Finding(name, what, count / samples if samples else 0.0, limit, usual, samples, fails)
