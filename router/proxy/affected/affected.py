"""Writes who is affected on one version: epoch rows, and what was lost in each work bucket (shm/layout.py).

    useful  once for each attempt, at its first useful byte: a comparison of the clock, and a bit
    fault   once for each fault
    lost    once for each attempt that ended without use
    waits   once a second for each attempt that waits for hang_wait_min_s or longer

An epoch is ten seconds. Its row is begun by the first event in it, so an old row says nothing; its number tells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from router.proxy.affected.fingerprints import Fingerprints
from router.proxy.affected.known_good import KnownGood
from router.rollout.work import WORK_BUCKETS
from router.runtime import clock
from router.shm import layout as at

if TYPE_CHECKING:
    from router.proxy.context import WorkerContext
    from router.proxy.http1.request_head import RequestHead

_USEFUL_CLIENTS: Final = at.EP_USEFUL_CLIENTS
_UNAFFECTED_CLIENTS: Final = at.EP_UNAFFECTED_CLIENTS
_WORK: Final = at.L_WORK
_WORK_WORDS: Final = at.WORK_WORDS
_LOST_REQUESTS: Final = at.B_LOST_REQUESTS
_EXACT: Final = at.LOST_MAX
_SKETCH_WORDS: Final = at.DISTINCT_WORDS - at.LOST_MAX
OTHERS_MIN: Final = 2
"""So many other clients are served while one fails: what it sends is to blame, not the version."""
_ONE: Final = 1
"""Compiled, a word: a literal would be shifted as an int of 32 bits."""


class PrintedConnection(Protocol):
    """The client's connection. `client_print` is the fingerprint of `client`, 0 before it is hashed."""

    client: str
    client_print: int


class AffectedExchange(Protocol):
    """One request in flight. `first_bytes` and `last_bytes` begin and end with the samples of its body (fingerprints.py);
    `request_print` is its fingerprint, 0 before it is hashed.
    """

    request_print: int

    @property
    def downstream(self) -> PrintedConnection:
        """The client's connection."""

    @property
    def head(self) -> RequestHead:
        """The request's head."""

    @property
    def first_bytes(self) -> bytes:
        """The beginning of the body that was read."""

    @property
    def last_bytes(self) -> bytes:
        """The end of the body that was read."""

    @property
    def body_complete(self) -> bool:
        """Whether the whole body has arrived."""


class Affected:
    """The writer of one version in one worker. `known_good` and `fingerprints` are those of its service."""

    def __init__(
        self, context: WorkerContext, row: int, incarnation: int, known_good: KnownGood, fingerprints: Fingerprints
    ) -> None:
        """`row` is the slot row of this worker. What it holds of another incarnation is removed."""
        self._words = context.words
        self._row = row
        self._incarnation = incarnation
        self._known_good = known_good
        self._due_s = known_good.due_s
        self._fingerprints = fingerprints
        self._number = 0
        self._epoch = row + at.L_EPOCHS
        self._until_s = 0.0  # the end of the epoch
        self._faulty = False  # some bucket had a fault in this epoch or in the one before
        self._fault_epochs = [-2] * WORK_BUCKETS  # the last epoch with a fault, by bucket
        self._good_faults: set[int] = set()  # requests of EP_KNOWN_GOOD
        self._remove_others()

    def _remove_others(self) -> None:
        words = self._words
        rows = [self._row + at.L_EPOCHS + number * at.EPOCH_WORDS for number in range(at.EPOCHS)]
        if any(words[row + at.EP_NUMBER] and words[row + at.EP_INCARNATION] != self._incarnation for row in rows):
            for row in rows:
                for word in range(at.EPOCH_WORDS):
                    words[row + word] = 0
            for bucket in range(WORK_BUCKETS):
                self._forget_lost(self._row + _WORK + bucket * _WORK_WORDS)

    # -- what happens
    def useful(self, bucket: int, client: int, exchange: AffectedExchange, now_s: float) -> None:
        """Note that an attempt is useful now; `client` is its connection's `client_print`, `now_s` is monotonic."""
        if now_s >= self._until_s:
            self._begin_epoch(now_s)
        client = client or self.client(exchange)
        self._add(self._epoch + _USEFUL_CLIENTS, client)
        if self._faulty and self._fault_epochs[bucket] >= self._number - 1:
            self._add(self._epoch + _UNAFFECTED_CLIENTS, client)
        row = self._row + _WORK + bucket * _WORK_WORDS
        if self._words[row + _LOST_REQUESTS]:
            self._forget_lost(row)
        due_s = self._due_s[bucket]
        if now_s >= due_s:
            self._known_good.keep(bucket, self.request(exchange), now_s)

    def fault(self, bucket: int, exchange: AffectedExchange) -> None:
        """Note an attempt that ended with a fault of the version, useful or not."""
        now_ns = clock.now_ns()
        if now_ns / 1e9 >= self._until_s:
            self._begin_epoch(now_ns / 1e9)
        words, epoch, request = self._words, self._epoch, self.request(exchange)
        words[epoch + at.EP_FAULTS] += 1
        self._add(epoch + at.EP_FAULT_REQUESTS, request)
        self._add(epoch + at.EP_FAULT_CLIENTS, self.client(exchange))
        if request not in self._good_faults and self._known_good.has(request):
            self._good_faults.add(request)
            words[epoch + at.EP_KNOWN_GOOD] += 1
        self._faulty = True
        self._fault_epochs[bucket] = self._number

    def untried(self, exchange: AffectedExchange) -> int | None:
        """Return the fingerprint of a request that may be to blame for its faults itself; None if it was useful before."""
        request = self.request(exchange)
        return None if self._known_good.has(request) else request

    def serves_others(self, exchange: AffectedExchange) -> bool:
        """Whether at least OTHERS_MIN other clients had a useful answer in this epoch or in the one before."""
        number, own, count = int(clock.now_s()) // at.EPOCH_S, self.client(exchange), 0
        rows = [self._row + at.L_EPOCHS + place * at.EPOCH_WORDS for place in range(at.EPOCHS)]
        rows = [row for row in rows if self._words[row + at.EP_NUMBER] >= number - 1]
        for word in range(_SKETCH_WORDS):
            found = 0
            for row in rows:
                found |= self._words[row + _USEFUL_CLIENTS + _EXACT + word]
            if word == own >> 6 & 3:
                found &= ~(_ONE << (own & 63))
            count += bin(found).count("1")
        return count >= OTHERS_MIN

    def lost(self, bucket: int, exchange: AffectedExchange) -> None:
        """Note an attempt that ended without use."""
        self.waits(bucket, exchange)
        self._words[self._epoch + at.EP_LOST] += 1

    def waits(self, bucket: int, exchange: AffectedExchange) -> None:
        """Note an attempt that waits for long; again each second, because a useful answer removes what was lost before."""
        now_s = clock.now_s()
        if now_s >= self._until_s:
            self._begin_epoch(now_s)
        words, request, client = self._words, self.request(exchange), self.client(exchange)
        self._add(self._epoch + at.EP_LOST_REQUESTS, request)
        self._add(self._epoch + at.EP_LOST_CLIENTS, client)
        row = self._row + _WORK + bucket * _WORK_WORDS
        if self._add_exact(row + _LOST_REQUESTS, request) and self._known_good.has(request):
            words[row + at.B_KNOWN_GOOD] += 1
        self._add_exact(row + at.B_LOST_CLIENTS, client)

    # -- fingerprints
    def request(self, exchange: AffectedExchange) -> int:
        """Return the fingerprint of the request, hashed once."""
        found = exchange.request_print
        if not found:
            head, whole = exchange.head, exchange.body_complete
            first, last = exchange.first_bytes, exchange.last_bytes
            found = self._fingerprints.request(head.method, head.target, head.length, first, last, whole=whole)
            if whole:
                exchange.request_print = found
        return found

    def client(self, exchange: AffectedExchange) -> int:
        """Return the fingerprint of the client, hashed once for its connection."""
        downstream = exchange.downstream
        if not downstream.client_print:
            downstream.client_print = self._fingerprints.client(downstream.client)
        return downstream.client_print

    # -- words
    def _begin_epoch(self, now_s: float) -> None:
        """Begin the row of the present epoch, unless a worker before this one has begun it for the same incarnation."""
        words = self._words
        self._number = number = int(now_s) // at.EPOCH_S
        self._until_s = float((number + 1) * at.EPOCH_S)
        self._epoch = row = self._row + at.L_EPOCHS + number % at.EPOCHS * at.EPOCH_WORDS
        self._good_faults.clear()
        self._faulty = max(self._fault_epochs) >= number - 1
        if words[row + at.EP_NUMBER] != number:
            for word in range(at.EPOCH_WORDS):  # the number first: a row without one is none
                words[row + word] = 0
            words[row + at.EP_INCARNATION] = self._incarnation
            words[row + at.EP_NUMBER] = number

    def _add(self, start: int, fingerprint: int) -> None:
        """Add to the distinct set at `start`: the first four exactly, and the bit of the sketch."""
        sketch, bit = start + _EXACT + (fingerprint >> 6 & 3), _ONE << (fingerprint & 63)
        if self._words[sketch] & bit and (self._words[start] == fingerprint or self._words[start + _EXACT - 1]):
            return
        self._add_exact(start, fingerprint)
        self._words[sketch] |= bit

    def _add_exact(self, start: int, fingerprint: int) -> bool:
        """Put `fingerprint` into the first free of four cells; return False if it is there, or no cell is free."""
        for cell in range(start, start + _EXACT):
            if self._words[cell] == fingerprint:
                return False
            if not self._words[cell]:
                self._words[cell] = fingerprint
                return True
        return False

    def _forget_lost(self, row: int) -> None:
        words = self._words
        words[row + at.B_KNOWN_GOOD] = 0
        for cell in range(at.LOST_MAX):
            words[row + _LOST_REQUESTS + cell] = words[row + at.B_LOST_CLIENTS + cell] = 0
