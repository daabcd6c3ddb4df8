"""What this worker has taken over from the wall: for each service its route and the targets it names.

The route word is read for every claim (0.05 µs). If it differs from the one held, the new route is taken over at once:
slot contents are read until each named slot matches its CRC, else the old route is kept and not acknowledged. From the
acknowledgement on this worker claims by the new route only, because claiming contains no await.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from router import clock
from router.proxy.backend_tls import BackendContext
from router.proxy.deadlines import Deadlines
from router.proxy.failures import failures_of
from router.proxy.places import Places
from router.proxy.pool import Pool
from router.proxy.witness import witnesses_of
from router.rollout.endpoint import parse_endpoint
from router.rollout.route import NO_SLOT, SLOTS, Flag, Route, decode
from router.shm import layout as at
from router.shm.slots import SlotContent, Slots

if TYPE_CHECKING:
    from router.proxy.exchange import Exchange
    from router.proxy.options import ServiceOptions
    from router.proxy.plane import Plane

NEVER_RESENT: Final = ("never", "unsent")
"""Replay rules under which no request leaves twice."""
_READS_MAX: Final = 100
"""Readings of a slot whose CRC does not match, in one go; the 100 ms timer and the next request try again."""


class TargetView:
    """One version as this worker serves it. `open` are its attempts that have not ended, `waiting` those sent whole that
    have no first byte yet; `row` is its row in this worker's lane; `quota` is how many may be open without asking (room.py),
    `upgrades` how many of them are tunnels or may become one, `books` who holds the places of all and of tunnels.
    """

    def __init__(self, plane: Plane, service: ServiceView, slot: int, content: SlotContent) -> None:
        self.slot = slot
        self.version = content.version
        self.incarnation = content.incarnation
        self.row = plane.wall.layout.lane_slot(plane.index, service.index, slot)
        self.served_version = b"X-Served-Version: %s\r\n" % content.version.encode()
        self.open: set[Exchange] = set()
        self.waiting: Deadlines = Deadlines(
            service.options.first_byte_timeout_s, lambda exchange: exchange.first_byte_late()
        )
        self.retrying = 0
        self.quota = 0
        self.upgrades = 0
        self.books = (Places(), Places())
        self._plane = plane
        self._backend_context = service.backend_context
        self.pools: tuple[Pool, ...] = ()
        self.move_to(content.endpoints)

    def __repr__(self) -> str:
        return f"<TargetView {self.version} in slot {self.slot}: {len(self.open)} open, {self.pools}>"

    def move_to(self, urls: tuple[str, ...]) -> None:
        """Serve from these endpoints; pools of endpoints that stay are kept."""
        held = {pool.endpoint.url: pool for pool in self.pools}
        self.pools = tuple(
            held.pop(url) if url in held else Pool(self._plane, parse_endpoint(url), self._backend_context)
            for url in urls
        )
        for pool in held.values():
            pool.close()

    def may_retry(self) -> bool:
        """Return whether the budget allows one more try on another endpoint: 20 % of what is in flight, at least 3."""
        return self.retrying < max(3, len(self.open) // 5)

    def retire(self) -> None:
        """This version has no role any more: keep what is open, close what is idle."""
        for pool in self.pools:
            pool.close()


class ServiceView:
    """One service. `active` and `standby` are None where the route names no slot; `generation` is that of the route;
    `never_resends`: what was sent once is not sent to another backend; `witnesses` is None unless somebody asks about bodies,
    `failures` unless failing requests are kept.
    """

    def __init__(self, plane: Plane, index: int, options: ServiceOptions) -> None:
        self.index = index
        self.options = options
        self.names_version = options.served_version_header
        self.never_resends = options.replay in NEVER_RESENT
        self.failures = failures_of(plane, index, options)
        self.backend_context = BackendContext(options.backend_tls)
        self.active: TargetView | None = None
        self.standby: TargetView | None = None
        self.route: Route | None = None
        self.word = 0
        self.generation = 0
        self.row = plane.wall.layout.lane_service(plane.index, index)
        self.witnesses = witnesses_of(plane, index, options)
        self.targets: dict[int, TargetView] = {}
        self.leaving: list[TargetView] = []
        """Views of versions that have no role any more and still have attempts open."""
        self.idle: Deadlines = Deadlines(options.idle_timeout_s, lambda exchange: exchange.idle_too_long())
        self._cuts = [0] * SLOTS
        self._plane = plane
        self._slots = Slots(plane.wall, index)
        self._words = plane.words
        self.word_at = plane.wall.layout.route(index) + at.R_WORD

    def reconfigure(self, options: ServiceOptions) -> None:
        """Take over changed settings; waits that have begun keep their start."""
        self.options = options
        self.names_version = options.served_version_header
        self.never_resends = options.replay in NEVER_RESENT
        self.witnesses = witnesses_of(self._plane, self.index, options)
        self.failures = failures_of(self._plane, self.index, options)
        self.backend_context.reconfigure(options.backend_tls)
        self.idle.duration_s = options.idle_timeout_s
        for target in self.targets.values():
            target.waiting.duration_s = options.first_byte_timeout_s

    def refresh(self) -> None:
        """Take over the present route word if it differs from the one held."""
        word = self._words[self.word_at]
        if word == self.word:
            return
        route = decode(word)
        contents = {slot: content for slot in route.named() if (content := self._read(slot)) is not None}
        if len(contents) != len(route.named()):
            self._words[self.row + at.LS_REFUSED_WORD] = word
            return
        self._take_over(route, word, contents)

    def _read(self, slot: int) -> SlotContent | None:
        for _ in range(_READS_MAX):
            if (content := self._slots.read(slot)) is not None:
                return content
        return None

    def _take_over(self, route: Route, word: int, contents: dict[int, SlotContent]) -> None:
        before = dict(self.targets)
        self.targets = {slot: self._view(slot, content) for slot, content in contents.items()}
        self.active = self.targets[route.active] if route.active != NO_SLOT else None
        self.standby = self.targets[route.standby] if route.standby != NO_SLOT else None
        self.route, self.word, self.generation = route, word, route.generation
        self._words[self.row + at.LS_REFUSED_WORD] = 0
        self._words[self.row + at.LS_ACKNOWLEDGED_NS] = clock.now_ns()
        self._words[self.row + at.LS_ACKNOWLEDGED] = route.generation
        self._plane.acknowledged()
        for slot, target in before.items():
            if self.targets.get(slot) is not target:
                target.retire()
                self.leaving.append(target)
        if Flag.FLEE in route.flags:
            self._flee()

    def _view(self, slot: int, content: SlotContent) -> TargetView:
        view = self.targets.get(slot)
        if view is None:
            view = next(
                (old for old in self.leaving if old.slot == slot and old.incarnation == content.incarnation), None
            )
            if view is not None:
                self.leaving.remove(view)
        if view is None or view.incarnation != content.incarnation:
            return TargetView(self._plane, self, slot, content)
        for pool in view.pools:
            pool.closed = False
        view.move_to(content.endpoints)
        return view

    def _flee(self) -> None:
        """After a rollback: what still waits on another version moves to the active one where its replay rule allows."""
        for target in (*self.leaving, *self.targets.values()):
            if target is not self.active:
                for exchange in list(target.open):
                    if exchange in target.open:  # one that fled may have had a newer route taken over
                        exchange.flee()

    def obey_cuts(self) -> None:
        """End the attempts that control has told us to end."""
        for target in (*self.leaving, *self.targets.values()):
            generation = self._slots.cut_generation(target.slot)
            if generation > self._cuts[target.slot]:
                for exchange in list(target.open):
                    if exchange.attempt is not None and exchange.attempt.generation <= generation:
                        exchange.cut()
        for slot in range(SLOTS):
            self._cuts[slot] = self._slots.cut_generation(slot)

    def sweep(self, now_s: float) -> None:
        """Every 100 ms: expire waits, drop views that have drained, write this service's gauges into the lane."""
        self.refresh()
        self.obey_cuts()
        self.idle.sweep(now_s)
        for target in (*self.leaving, *self.targets.values()):
            target.waiting.sweep(now_s)
            for pool in target.pools:
                pool.expire(now_s)
            self._write_gauges(target, now_s)
        self.leaving = [target for target in self.leaving if target.open]

    def _write_gauges(self, target: TargetView, now_s: float) -> None:
        words, row = self._words, target.row
        oldest = target.waiting.oldest()
        words[row + at.L_TUNNELS] = target.upgrades
        words[row + at.L_WAITING] = len(target.waiting.since)
        words[row + at.L_WAITING_LONG] = target.waiting.longer_than(self.options.hang_wait_min_s, now_s)
        words[row + at.L_OLDEST_WAITING_NS] = int(oldest * 1e9) if oldest is not None else 0
