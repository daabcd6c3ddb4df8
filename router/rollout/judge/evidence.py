"""Events since the active version last began a response: faults in a row, refused connections, waits. Faults of inference
in a row are counted once a second, since its last answer.

The entries since the promotion are added one by one. Earlier counts (rescued requests while it was standby, probes) are
no evidence. A response that begins ends all three runs: within one sample of 100 ms the order of events is unknown, and
the order that is better for the target is assumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from router.rollout.outcome import Outcome
from router.rollout.stats.window import WindowEntry, count_faults
from router.rollout.units import SECOND_NS

QUIET_NS: Final = 60 * SECOND_NS
"""A gap of this length without a waiting request ends the run of waits; the next wait starts a new one."""
FRESH_NS: Final = 10 * SECOND_NS
"""Evidence whose last event is older than this is ignored."""


@dataclass(slots=True)
class Run:
    """Events of one kind without a begun response between them; times are those of the samples."""

    count: int = 0
    first_ns: int = 0
    last_ns: int = 0

    def add(self, count: int, at_ns: int) -> None:
        """Add `count` events at `at_ns`."""
        if count <= 0:
            return
        if self.count == 0:
            self.first_ns = at_ns
        self.count += count
        self.last_ns = at_ns

    def clear(self) -> None:
        """Reset to no events."""
        self.count = self.first_ns = self.last_ns = 0

    @property
    def span_s(self) -> float:
        """Seconds from the first event to the last."""
        return (self.last_ns - self.first_ns) / SECOND_NS

    def is_fresh(self, now_ns: int) -> bool:
        """Whether the last event is at most FRESH_NS old."""
        return self.count > 0 and now_ns - self.last_ns <= FRESH_NS


@dataclass(slots=True)
class Waits:
    """A run of waits during which no response began. `ended_long`: waits of hang_wait_min_s or longer that ended without a first
    byte; `waiting_long`: such waits that go on. `stalled_ns`: time of the run during which this router stalled.
    """

    since_ns: int = 0
    until_ns: int = 0
    stalled_ns: int = 0
    ended_long: int = 0
    waiting_long: int = 0

    @property
    def long(self) -> int:
        """Number of waits of hang_wait_min_s or longer."""
        return self.ended_long + self.waiting_long

    def lasted_s(self, *, with_stalls: bool) -> float:
        """Seconds from the first wait to the last sample with a wait."""
        lasted_ns = self.until_ns - self.since_ns - (0 if with_stalls else self.stalled_ns)
        return max(lasted_ns, 0) / SECOND_NS

    def is_fresh(self, now_ns: int) -> bool:
        """Whether the last wait is at most FRESH_NS old."""
        return self.since_ns > 0 and now_ns - self.until_ns <= FRESH_NS

    def clear(self) -> None:
        """Reset to no events."""
        self.since_ns = self.until_ns = self.stalled_ns = self.ended_long = self.waiting_long = 0


class Evidence:
    """The runs of one version since its promotion. `last_fault_ns`: the newest sample with a fault of any kind."""

    def __init__(self, timeouts_are_long: bool = True) -> None:
        self._timeouts_are_long = timeouts_are_long
        self.faults = Run()
        self.refusals = Run()
        self.waits = Waits()
        self.inference_faults = Run()
        self.last_fault_ns = 0
        self._inference: tuple[int, int] | None = None
        self._start_ns = 0
        self._last: WindowEntry | None = None

    def reconfigure(self, timeouts_are_long: bool) -> None:
        """Set whether a wait that timed out lasted at least hang_wait_min_s."""
        self._timeouts_are_long = timeouts_are_long

    def add(self, entry: WindowEntry) -> None:
        """Add the next entry; the first entry only sets the start."""
        last, self._last = self._last, entry
        if last is None:
            self._start_ns = entry.at_ns
            return
        new, old = entry.sample, last.sample
        if not new.waiting and not self.waits.since_ns and not self.waits.waiting_long and new.repeats(old):
            return  # no event
        if count_faults(new.outcomes) > count_faults(old.outcomes):
            self.last_fault_ns = entry.at_ns
        if new.begun > old.begun:
            self.faults.clear()
            self.refusals.clear()
            self.waits.clear()
        else:
            self._add_faults(entry, last)
        self._add_waits(entry, last)

    def add_inference(self, failed: int, answered: int, at_ns: int) -> None:
        """Add the inference attempts of this version so far: those that failed, and those that were answered in any other way.

        It is called once a second. Answers and faults of one second are taken in the order that is better for the version.
        """
        last, self._inference = self._inference, (failed, answered)
        if last is None:
            return
        if answered > last[1]:
            self.inference_faults.clear()
        else:
            self.inference_faults.add(failed - last[0], at_ns)

    def _add_faults(self, entry: WindowEntry, last: WindowEntry) -> None:
        """Count faults before the response began. In a stalled period timeouts and broken connections may be caused by this
        router: then only error responses of the target count.
        """
        unbegun = entry.sample.faults_unbegun - last.sample.faults_unbegun
        answered = _grown(entry, last, Outcome.SERVER_ERROR)
        self.faults.add(min(answered, unbegun) if entry.stalled else unbegun, entry.at_ns)
        if answered:  # a target that responds is reachable
            self.refusals.clear()
        elif not entry.stalled:
            self.refusals.add(_grown(entry, last, Outcome.CONNECT_FAILED), entry.at_ns)

    def _add_waits(self, entry: WindowEntry, last: WindowEntry) -> None:
        sample, waits, at_ns = entry.sample, self.waits, entry.at_ns
        begun = sample.begun > last.sample.begun
        ended = 0 if begun else sample.abandoned_long - last.sample.abandoned_long
        if not begun and self._timeouts_are_long:
            unbegun = sample.faults_unbegun - last.sample.faults_unbegun
            ended += min(_grown(entry, last, Outcome.TIMED_OUT), unbegun)
        if waits.since_ns and at_ns - waits.until_ns > QUIET_NS:
            waits.clear()
        waits.waiting_long = sample.waiting_long
        if not sample.waiting and not ended:
            return
        if not waits.since_ns:
            # A wait that started before the last response began, or before the promotion, is no evidence for the time before.
            last_begun_ns = (sample.last_begun_ns or at_ns) if begun else sample.last_begun_ns
            waits.since_ns = max(sample.oldest_waiting_ns or last.at_ns, last_begun_ns, self._start_ns)
        if entry.stalled:
            waits.stalled_ns += at_ns - max(last.at_ns, waits.since_ns)
        waits.ended_long += ended
        waits.until_ns = at_ns


def _grown(entry: WindowEntry, last: WindowEntry, outcome: Outcome) -> int:
    return entry.sample.outcomes[outcome] - last.sample.outcomes[outcome]
