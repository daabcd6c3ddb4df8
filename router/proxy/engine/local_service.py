"""This worker's copy of one service: its route, and the targets that the route names.

Every claim reads the route word (0.05 µs). If it differs from the adopted one, the new route is adopted at once: slots are read
until each named slot matches its CRC; otherwise the old route stays and the new one is not acknowledged. After the
acknowledgement this worker claims by the new route only, because claiming contains no await.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from router.proxy.affected.fingerprints import Fingerprints
from router.proxy.affected.known_good import KnownGood
from router.proxy.deadlines import Deadlines
from router.proxy.engine import holding
from router.proxy.engine.local_target import LocalTarget
from router.proxy.rescue.held_answer import HOLD_S
from router.proxy.rescue.rescue_budget import RescueBudget
from router.proxy.tap.failure_recorder import make_failure_recorder
from router.proxy.tap.refused_answers import RefusedAnswers
from router.proxy.tap.tap import make_service_tap
from router.proxy.tls.backend import BackendContext
from router.proxy.work.work_path import WorkPaths
from router.rollout.model.route import NO_SLOT, SLOTS, Flag, Route, decode
from router.runtime import clock
from router.shm import layout as at
from router.shm.slots import SlotRecord, Slots

if TYPE_CHECKING:
    from router.proxy.context import WorkerContext
    from router.proxy.engine.exchange import Exchange
    from router.proxy.options import ServiceOptions
    from router.proxy.routing.concurrency import ConcurrencyLimiter

_NEVER_RESENT: Final = ("never", "unsent")
"""Replay rules under which no request is sent twice."""
WORK_GAUGES_EVERY_S: Final = 1.0
"""Control reads work rows as often."""
_READS_MAX: Final = 100
"""How often a slot is read at once while its CRC does not match; the sweep and the next request try again."""


class LocalService:
    """One service. `active` and `standby` are None if the route names no slot for them; `generation` is that of the route.

    `never_resends`: a request that was sent is not sent to another backend. `tap` is None if nothing is checked, kept or
    sampled; `failures` is None if failed requests are not kept.
    """

    def __init__(
        self, context: WorkerContext, index: int, options: ServiceOptions, concurrency: ConcurrencyLimiter
    ) -> None:
        self.index = index
        self.concurrency = concurrency
        self.options = options
        self.names_version = options.served_version_header
        self.never_resends = options.replay in _NEVER_RESENT
        self.rescues_answers = _rescues_answers(options)
        self.failures = make_failure_recorder(context, index, options)
        self.refused_answers = RefusedAnswers(context, options.name)
        self.backend_context = BackendContext(options.backend_tls)
        self.active: LocalTarget | None = None
        self.standby: LocalTarget | None = None
        self.route: Route | None = None
        self.word = 0
        self.generation = 0
        self.row = context.segment.layout.worker_service(context.index, index)
        self.tap = make_service_tap(context, index, options)
        self.work_paths = WorkPaths(context, index, options.inference)
        self.known_good = KnownGood()
        self.fingerprints = Fingerprints(context.words)
        self.targets: dict[int, LocalTarget] = {}
        self.draining: list[LocalTarget] = []
        """Targets that lost their role and still have attempts in flight."""
        self.idle: Deadlines = Deadlines(options.idle_timeout_s, lambda exchange: exchange.idle_too_long())
        self._work_due_s = 0.0
        self.held: Deadlines = Deadlines(HOLD_S, holding.hand_on)
        self.rescue_budget = RescueBudget()
        self._cuts = [0] * SLOTS
        self._context = context
        self._slots = Slots(context.segment, index)
        self._words = context.words
        self.word_at = context.segment.layout.route(index) + at.R_WORD

    def reconfigure(self, options: ServiceOptions) -> None:
        """Apply changed settings; waits that have begun keep their start."""
        self.options = options
        self.names_version = options.served_version_header
        self.never_resends = options.replay in _NEVER_RESENT
        self.tap = make_service_tap(self._context, self.index, options)
        self.rescues_answers = _rescues_answers(options)
        self.failures = make_failure_recorder(self._context, self.index, options)
        self.work_paths.reconfigure(options.inference)
        self.backend_context.reconfigure(options.backend_tls)
        self.idle.duration_s = options.idle_timeout_s
        for target in self.targets.values():
            target.awaiting_first_byte.duration_s = options.first_byte_timeout_s
            target.adopt(target.content, options.path_prefix)

    def close(self) -> None:
        """Close the idle connections: the service is removed, and nothing is in flight."""
        for target in (*self.draining, *self.targets.values()):
            target.close_idle()

    def exchanges(self) -> set[Exchange]:
        """Return the exchanges that have claimed a target."""
        return {exchange for target in (*self.draining, *self.targets.values()) for exchange in target.in_flight}

    def refresh(self) -> None:
        """Adopt the current route if its word differs from the adopted one."""
        word = self._words[self.word_at]
        if word == self.word:
            return
        route = decode(word)
        contents = {slot: content for slot in route.named() if (content := self._read(slot)) is not None}
        if len(contents) != len(route.named()):
            self._words[self.row + at.LS_REFUSED_WORD] = word
            return
        self._adopt(route, word, contents)

    def _read(self, slot: int) -> SlotRecord | None:
        for _ in range(_READS_MAX):
            if (content := self._slots.read(slot)) is not None:
                return content
        return None

    def _adopt(self, route: Route, word: int, contents: dict[int, SlotRecord]) -> None:
        before = dict(self.targets)
        self.targets = {slot: self._local_target(slot, content) for slot, content in contents.items()}
        self.active = self.targets[route.active] if route.active != NO_SLOT else None
        self.standby = self.targets[route.standby] if route.standby != NO_SLOT else None
        self.route, self.word, self.generation = route, word, route.generation
        self._words[self.row + at.LS_REFUSED_WORD] = 0
        self._words[self.row + at.LS_ACKNOWLEDGED_NS] = clock.now_ns()
        self._words[self.row + at.LS_ACKNOWLEDGED] = route.generation
        self._context.acknowledged()
        for slot, target in before.items():
            if self.targets.get(slot) is not target:
                target.close_idle()
                self.draining.append(target)
        if Flag.REDISPATCH in route.flags:
            self._redispatch_waiting()

    def _local_target(self, slot: int, content: SlotRecord) -> LocalTarget:
        target = self.targets.get(slot)
        if target is None:
            target = next(
                (old for old in self.draining if old.slot == slot and old.incarnation == content.incarnation), None
            )
            if target is not None:
                self.draining.remove(target)
        if target is None or target.incarnation != content.incarnation:
            return LocalTarget(self._context, self, slot, content)
        for pool in target.pools:
            pool.closed = False
        target.adopt(content, self.options.path_prefix)
        return target

    def _adopt_rewritten(self) -> None:
        """Adopt slots that control has written again for the same version: its header fields were read again."""
        for slot, target in self.targets.items():
            crc = self._slots.crc(slot)
            if crc not in (0, target.crc) and (content := self._slots.read(slot)) is not None:
                target.crc = crc
                if content.incarnation == target.incarnation:
                    target.adopt(content, self.options.path_prefix)

    def _redispatch_waiting(self) -> None:
        """After a rollback, move requests that wait on another version to the active one if their replay rule allows it."""
        for target in (*self.draining, *self.targets.values()):
            if target is not self.active:
                for exchange in list(target.in_flight):
                    if exchange in target.in_flight:  # moving another exchange may have adopted a newer route
                        exchange.redispatch()

    def apply_cuts(self) -> None:
        """End the attempts that control has cut."""
        cuts = self._slots.cut_generations()
        if cuts == self._cuts:
            return
        for target in (*self.draining, *self.targets.values()):
            generation = cuts[target.slot]
            if generation > self._cuts[target.slot]:
                for exchange in list(target.in_flight):
                    if exchange.attempt is not None and exchange.attempt.generation <= generation:
                        exchange.cut()
        self._cuts = cuts

    def sweep(self, now_s: float) -> None:
        """Every 100 ms: expire waits, drop drained targets, write this service's gauges into the worker's block."""
        self.refresh()
        self._adopt_rewritten()
        self.work_paths.refresh()
        self.apply_cuts()
        self.idle.sweep(now_s)
        self.held.sweep(now_s)
        for target in (*self.draining, *self.targets.values()):
            target.sweep(now_s)
            self._write_gauges(target, now_s)
        self._write_work_gauges(now_s)
        if self.draining:
            self.draining = [target for target in self.draining if target.in_flight]

    def _write_work_gauges(self, now_s: float) -> None:
        """Write the gauges of work rows, once a second, and once more when nothing is in flight."""
        due = now_s >= self._work_due_s
        if due:
            self._work_due_s = now_s + WORK_GAUGES_EVERY_S
        busy = [
            target
            for target in (*self.draining, *self.targets.values())
            if (due and target.in_flight) or (target.work_gauges.shown and not target.in_flight)
        ]
        if busy:
            overdue_us = self.work_paths.read_times()
            for target in busy:
                wait_min_s = self.options.hang_wait_min_s
                for bucket, exchange in target.work_gauges.write(target.in_flight, overdue_us, wait_min_s, now_s):
                    target.affected.waits(bucket, exchange)
                target.find_overdue(overdue_us, now_s)

    def _write_gauges(self, target: LocalTarget, now_s: float) -> None:
        waits = bool(target.awaiting_first_byte.since or target.upgrades)
        if not waits and not target.shows_waits:
            return
        target.shows_waits = waits
        words, row = self._words, target.row
        oldest = target.awaiting_first_byte.oldest()
        words[row + at.L_TUNNELS] = target.upgrades
        words[row + at.L_WAITING] = len(target.awaiting_first_byte.since)
        words[row + at.L_WAITING_LONG] = target.awaiting_first_byte.longer_than(self.options.hang_wait_min_s, now_s)
        words[row + at.L_OLDEST_WAITING_NS] = int(oldest * 1e9) if oldest is not None else 0


def _rescues_answers(options: ServiceOptions) -> bool:
    return "5xx" in options.rescue_on and options.replay not in _NEVER_RESENT
