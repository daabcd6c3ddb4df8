"""Records the history: a row per slot every ten seconds, and at every change of roles.

It uses the counts of the judge's newest sample; the writer's thread computes the difference to the last one. A row ends when a
role changes, so no row mixes a version's time as standby with its time as active version. Histograms are read once a second:
those of a row may begin and end up to a second earlier than its counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import orjson
from prometheus_client.metrics_core import Metric

from router.control.addon import Addon
from router.control.core.loop import ControlLoop
from router.control.core.service_controller import ServiceController
from router.control.history.answers import HistoryDocument, HistoryPoint
from router.control.history.recent import KEPT_S, RecentHistory
from router.control.monitors.alarms import Alarms
from router.control.store.history_file import HistoryFile, Step
from router.control.store.history_store import HistoryStore, Readings
from router.control.views.metric_table import counter, gauge
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.rollout.facts.entry import Entry
from router.rollout.facts.versions import VersionFact
from router.rollout.history.period import Period, period
from router.rollout.history.row import FAILED, PASSED, ROLES, SERVICE_SLOT, UNDECIDED, Reading, Work
from router.rollout.placement.slot_table import SlotHolder
from router.rollout.stats.work_counts import WorkCounts
from router.runtime import clock
from router.settings.settings import Settings
from router.shm import layout as at

EVERY_NS: Final = 10_000_000_000
STEP_MIN_S: Final = 10.0
STEPS: Final = 360
"""Steps of a period by default."""
POINTS_MAX: Final = 3_000
"""Encoding this many as JSON takes control's loop about a millisecond."""
TIMED_S: Final = 6 * 3600.0
"""Longer periods have no first-byte times: SQLite cannot add up histograms."""
_VERDICTS: Final = ("undecided", "pass", "fail")
_EARLY_NS: Final = 500_000_000
"""Half the time between two ticks, so that a row is as close to ten seconds as ticks allow."""


def open_history(state_dir: Path, settings: Settings, alarms: Alarms) -> HistoryStore:
    """Return the history of a state directory. It raises an alarm while rows are being lost, and if it was damaged."""

    def damaged(name: str) -> None:
        detail = f"the history was damaged and is kept as {name}; a new one was begun, without the earlier rows"
        alarms.up("history_damaged", detail)

    unavailable = alarms.reporter("history_unavailable", "rows of the history are being lost: {}")
    return HistoryStore(state_dir, settings.history.keep_days, settings.history.file_bytes_max, unavailable, damaged)


class _Interval:
    """The state of one service since its last row."""

    def __init__(self, due_ns: int) -> None:
        self.due_ns = due_ns
        self.read_ns: int | None = None
        self.roles: dict[int, tuple[str, int]] = {}
        """(role, incarnation) by slot, at the start of the interval."""
        self.generation = 0
        self.clear()

    def clear(self) -> None:
        self.failing: dict[str, bool] = {}
        self.decided = False

    @property
    def verdict(self) -> int:
        """FAILED if any trigger failed in the interval, PASSED if one was decided, else UNDECIDED."""
        return FAILED if self.failing else PASSED if self.decided else UNDECIDED

    def failing_names(self) -> str:
        """Return the names of the triggers that failed. `!` marks those whose action was due."""
        return " ".join(f"{name}!" if due else name for name, due in sorted(self.failing.items()))


class HistoryAddon(Addon):
    """Records the history of every service. `history` is the store that others read."""

    def __init__(self, control_loop: ControlLoop, history: HistoryStore, now_ns: int) -> None:
        self.history = history
        self._control_loop = control_loop
        self._since_ns = now_ns
        names = list(control_loop.services)
        # Staggered, so that not all services are read in the same tick.
        self._intervals = {
            name: _Interval(now_ns + EVERY_NS * (number + 1) // len(names)) for number, name in enumerate(names)
        }
        self.recent = {name: RecentHistory() for name in names}
        """The last minutes of each service, in steps of a second."""
        for name in names:
            self._begin(control_loop.services[name], self._intervals[name])

    def reconfigure(self, settings: Settings) -> None:
        """Apply the changed limits of age and size."""
        self.history.reconfigure(settings.history.keep_days, settings.history.file_bytes_max)

    def service_added(self, service: str, entries: Sequence[Entry]) -> None:
        """Record one more service from now on: its counts begin at zero."""
        interval = self._intervals[service] = _Interval(self._added_ns(service) + EVERY_NS)
        interval.read_ns = self._added_ns(service)
        self.recent[service] = RecentHistory()
        self._begin(self._control_loop.services[service], interval)

    def _added_ns(self, service: str) -> int:
        return self._control_loop.services[service].executor.since_ns

    def service_removed(self, service: str) -> None:
        """Record the last counts of a service."""
        service_controller = self._control_loop.services[service]
        self._read(service_controller, self._intervals.pop(service), clock.now_ns())
        del self.recent[service]

    def on_entry(self, entry: Entry) -> None:
        """End the row if roles have changed."""
        service_controller = self._control_loop.services.get(entry.service)
        changes_states = isinstance(entry.fact, VersionFact) and entry.fact.states is not None
        if service_controller is not None and changes_states:
            interval = self._intervals[service_controller.name]
            self._record_verdict(service_controller, interval)
            self._read(service_controller, interval, service_controller.judge.seen_ns)

    def on_second(self, now_ns: int) -> None:
        """Record the verdict of the triggers; every ten seconds, submit the rows."""
        for name, service_controller in self._control_loop.services.items():
            interval = self._intervals[name]
            self.recent[name].record(service_controller, clock.wall_s(), now_ns)
            self._record_verdict(service_controller, interval)
            if now_ns >= interval.due_ns - _EARLY_NS:
                self._read(service_controller, interval, now_ns)
                interval.due_ns = max(interval.due_ns + EVERY_NS, now_ns)

    def _record_verdict(self, service_controller: ServiceController, interval: _Interval) -> None:
        for result in service_controller.verdict.results:
            if result.state == "fail":
                interval.failing[result.name] = interval.failing.get(result.name, False) or result.failing
            interval.decided = interval.decided or result.state == "pass"

    def _read(self, service_controller: ServiceController, interval: _Interval, now_ns: int) -> None:
        found = [
            self._slot_reading(service_controller, holder, interval)
            for holder in service_controller.executor.held.holders()
        ]
        readings = [reading for reading in found if reading is not None]
        readings.append(self._service_reading(service_controller, interval, now_ns))
        boot = self._control_loop.segment.words[at.H_BOOT]
        self.history.submit(Readings(service_controller.name, boot, clock.wall_s(), clock.now_ns(), tuple(readings)))
        interval.read_ns = now_ns
        interval.clear()
        self._begin(service_controller, interval)

    def _begin(self, service_controller: ServiceController, interval: _Interval) -> None:
        interval.roles = {
            holder.slot: (holder.role, holder.incarnation) for holder in service_controller.executor.held.holders()
        }
        interval.generation = service_controller.registry.generation

    def _slot_reading(
        self, service_controller: ServiceController, holder: SlotHolder, interval: _Interval
    ) -> Reading | None:
        if (newest := service_controller.judge.newest(holder.slot)) is None:
            return None
        entry, histograms = newest
        sample = entry.sample
        role, incarnation = interval.roles.get(holder.slot, (holder.role, holder.incarnation))
        if incarnation != holder.incarnation or sample.incarnation != holder.incarnation:
            return None  # the slot was just filled: its first row comes with the next reading
        active = role == "active"
        return Reading(
            slot=holder.slot,
            version=holder.target.version,
            incarnation=holder.incarnation,
            generation=interval.generation,
            role=role,
            at_ns=sample.at_ns,
            left_out_ns=entry.at_ns - entry.running_ns,
            counters=sample.counters(),
            histograms=histograms,
            waiting=sample.waiting,
            waiting_long=sample.waiting_long,
            ready=service_controller.machine.streaks.ready(holder.target),
            verdict=interval.verdict if active else UNDECIDED,
            failing=interval.failing_names() if active else "",
            zero_ns=self._zero_ns(interval),
            work=_work(service_controller.executor.counters.work(holder.slot).values()),
        )

    def _service_reading(self, service_controller: ServiceController, interval: _Interval, now_ns: int) -> Reading:
        worker_stats, index = self._control_loop.worker_stats, service_controller.executor.index
        accepted, ended = worker_stats.exchanges(index)
        return Reading(
            slot=SERVICE_SLOT,
            version="",
            incarnation=0,
            generation=interval.generation,
            role="service",
            at_ns=now_ns,
            left_out_ns=0,
            counters=(accepted, 0, 0, worker_stats.rescued(index), 0, *ended),
            verdict=interval.verdict,
            failing=interval.failing_names(),
            zero_ns=self._zero_ns(interval),
        )

    def _zero_ns(self, interval: _Interval) -> int | None:
        """Return since when a slot without an earlier reading has counted from zero; None if its past is unknown.

        In the first control of a boot all counts begin with its start.
        """
        if interval.read_ns is not None:
            return interval.read_ns
        return self._since_ns if self._control_loop.segment.words[at.H_CONTROL_STARTS] <= 1 else None

    async def points(
        self, service: str, since: str, until: str, step_s: float | None, version: str | None
    ) -> HistoryDocument:
        """Return the figures of each version from `since` to `until` in steps of `step_s`. A step without rows is unknown.

        Periods up to TIMED_S have the median and p99 of first bytes. Raise Refusal:
        `service_unknown`, `period_invalid`, or `history_unavailable`.
        """
        self._control_loop.services[service]
        try:
            span = period(since, until, clock.wall_s())
        except ValueError as error:
            raise Refusal(RefusalCode.PERIOD_INVALID, str(error)) from None
        if step_s is not None and step_s < STEP_MIN_S:
            return self._seconds(service, span, step_s, version)
        step_s = step_s or max(10.0, math.ceil(span.seconds / STEPS / 10) * 10.0)
        since_ms, until_ms, step_ms = int(span.since_s * 1000), int(span.until_s * 1000), int(step_s * 1000)
        times = span.seconds <= TIMED_S

        def read(file: HistoryFile) -> list[HistoryPoint]:
            steps = file.steps(service, since_ms, until_ms, step_ms, version, POINTS_MAX, times=times)
            return [_point(step) for step in steps]

        points = await self.history.read(read)
        return {
            "service": service,
            "since": clock.iso(span.since_s),
            "until": clock.iso(span.until_s),
            "step_s": step_s,
            "complete": len(points) < POINTS_MAX,
            "points": points,
        }

    def _seconds(self, service: str, span: Period, step_s: float, version: str | None) -> HistoryDocument:
        """Return the points of the last KEPT_S, which are in memory, in steps of a second; raise Refusal for other steps."""
        if step_s != 1 or span.since_s < clock.wall_s() - KEPT_S - 1:
            detail = (
                f"step_s: {step_s:g} is neither 1, for the last {KEPT_S / 60:g} minutes, nor {STEP_MIN_S:g} or more"
            )
            raise Refusal(RefusalCode.PERIOD_INVALID, detail)
        return {
            "service": service,
            "since": clock.iso(span.since_s),
            "until": clock.iso(span.until_s),
            "step_s": step_s,
            "complete": True,
            "points": self.recent[service].points(span.since_s, span.until_s, version),
        }

    def newest_points(self, service: str) -> list[HistoryPoint]:
        """Return the points of the newest second."""
        return self.recent[service].newest()

    def metrics(self) -> Iterable[Metric]:
        """Return the size of the history, and how many rows were lost."""
        dropped, size = counter("history_batches_dropped"), gauge("history_bytes")
        dropped.add_metric([], self.history.dropped)
        size.add_metric([], self.history.used_bytes)
        yield from (size, dropped)

    async def close(self) -> None:
        """Record the counts since the last rows."""
        for name, service_controller in self._control_loop.services.items():
            self._read(service_controller, self._intervals[name], service_controller.judge.seen_ns)
        await self.history.close()


def _point(step: Step) -> HistoryPoint:
    exchanges = step.version == ""
    p50_us, p99_us = orjson.loads(step.times_us) if step.times_us else (None, None)
    return {
        "at": clock.iso(step.at_ms / 1000),
        "version": step.version or None,
        "role": ROLES[step.role],
        "seconds": step.span_ms / 1000,
        "asked": step.claimed,
        "requests": step.claimed if exchanges else step.begun + step.faults_unbegun,
        "faults": step.faults,
        "p50_ms": None if p50_us is None else round(p50_us / 1000, 3),
        "p95_ms": None,
        "p99_ms": None if p99_us is None else round(p99_us / 1000, 3),
        "rescued": step.rescued,
        "abandoned_long": step.abandoned_long,
        "stalled_s": step.stalled_ms / 1000,
        "waiting_max": step.waiting_max,
        "ready": None if exchanges else bool(step.ready),
        "verdict": _VERDICTS[step.verdict] if exchanges or ROLES[step.role] == "active" else None,
        "useful": None if exchanges else step.useful,
        "without_use": None if exchanges else step.without_use,
        "useful_p50_ms": None,
        "useful_p95_ms": None,
        "useful_p99_ms": None,
    }


def _work(buckets: Iterable[WorkCounts]) -> Work:
    """Return attempts that became useful, and that ended without use, of all buckets."""
    found = list(buckets)
    return sum(counts.useful for counts in found), sum(counts.without_use for counts in found)
