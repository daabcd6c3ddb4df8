"""Reads the counters of all workers: their exchanges and attempts, their heartbeats, the generations that they claim from.

A worker writes its own block by plain `words[row + L_...] += 1` on the request path. This module is for the readers (control,
supervisor), and for the supervisor when it closes the counters of a dead worker. Counters only grow. A restarted worker
continues in the block of its predecessor.

The number in flight is not stored; it is claims minus the sum of all ends. Ends are read first and claims last, so the result
is never too small if the worker counts meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from operator import add
from typing import Any

from router.rollout.model.route import SLOTS
from router.rollout.outcome import Outcome
from router.rollout.stats.breadth import Epoch
from router.rollout.stats.histogram import BUCKETS
from router.rollout.stats.work_counts import WorkCounts
from router.shm import layout as at
from router.shm import work_rows
from router.shm.holdings import HoldingsRecord
from router.shm.segment import Segment


@dataclass(frozen=True, slots=True)
class WorkerState:
    """The header of a worker's block. `lag_us` is the worst loop lag of its last second."""

    index: int
    pid: int
    heartbeat_ns: int
    lag_us: int
    lag_sum_us: int
    starts: int
    connections: int
    connections_total: int
    draining: bool


class WorkerStats:
    """The blocks of all workers."""

    def __init__(self, segment: Segment) -> None:
        self._words = segment.words
        self._layout = segment.layout
        self._holdings = [HoldingsRecord(segment, worker) for worker in range(segment.layout.workers)]

    @property
    def workers(self) -> int:
        """The number of workers."""
        return self._layout.workers

    # -- workers
    def worker(self, index: int) -> WorkerState:
        """Return the header of worker `index`."""
        row, words = self._layout.worker(index), self._words
        return WorkerState(
            index,
            words[row + at.W_PID],
            words[row + at.W_HEARTBEAT_NS],
            words[row + at.W_LAG_US],
            words[row + at.W_LAG_SUM_US],
            words[row + at.W_STARTS],
            words[row + at.W_CONNECTIONS],
            words[row + at.W_CONNECTIONS_TOTAL],
            bool(words[row + at.W_DRAINING] or words[at.H_DRAINING]),
        )

    def pid(self, index: int) -> int:
        """Return the process id of worker `index`; 0 before its first start."""
        return self._words[self._layout.worker(index) + at.W_PID]

    def heartbeat_ns(self, index: int) -> int:
        """Return the time (monotonic) of the last heartbeat of worker `index`; 0 before the first."""
        return self._words[self._layout.worker(index) + at.W_HEARTBEAT_NS]

    def left(self, index: int) -> int:
        """Return the newest document such that nothing is in flight in worker `index` of a service that it lacks."""
        return self._words[self._layout.worker(index) + at.W_LEFT]

    def lag_sum_us(self, index: int) -> int:
        """Return the sum of the long delays of worker `index`."""
        return self._words[self._layout.worker(index) + at.W_LAG_SUM_US]

    def acknowledged(self, worker: int, service: int) -> int:
        """Return the generation from which `worker` claims; 0 before its first route."""
        return self._words[self._layout.worker_service(worker, service) + at.LS_ACKNOWLEDGED]

    def acknowledged_ns(self, worker: int, service: int) -> int:
        """Return the time (monotonic) at which `worker` acknowledged that generation; 0 before its first route."""
        return self._words[self._layout.worker_service(worker, service) + at.LS_ACKNOWLEDGED_NS]

    # -- sums over the workers
    def slot_scalars(self, service: int, slot: int) -> list[int]:
        """Return the first `L_USED` words of a slot, summed over the workers. Ends are read before claims.

        Gauges that cannot be added are merged: `L_OLDEST_WAITING_NS` is the smallest value other than 0, `L_LAST_BEGUN_NS` and
        `L_GAP_MAX_US` are the largest value.
        """
        rows = [self._layout.worker_slot(worker, service, slot) for worker in range(self.workers)]
        words = self._words
        scalars = [words[row : row + at.L_USED].tolist() for row in rows]
        claims = [words[row + at.L_CLAIMED] for row in rows]
        sums = [sum(column) for column in zip(*scalars, strict=True)]
        sums[at.L_CLAIMED] = sum(claims)
        sums[at.L_OLDEST_WAITING_NS] = min(
            (row[at.L_OLDEST_WAITING_NS] for row in scalars if row[at.L_OLDEST_WAITING_NS]), default=0
        )
        for offset in (at.L_LAST_BEGUN_NS, at.L_GAP_MAX_US):
            sums[offset] = max(row[offset] for row in scalars)
        return sums

    def slot_histogram(self, service: int, slot: int, offset: int) -> list[int]:
        """Return one histogram (`L_FIRST_BYTE`, `L_DURATION`, `L_ABANDONED`, `L_FIRST_USEFUL`) of a slot, over all workers."""
        rows = [self._layout.worker_slot(worker, service, slot) + offset for worker in range(self.workers)]
        histograms = [self._words[row : row + BUCKETS].tolist() for row in rows]
        return histograms[0] if len(histograms) == 1 else [sum(column) for column in zip(*histograms, strict=True)]

    def slot_work(self, service: int, slot: int) -> dict[int, WorkCounts]:
        """Return the work buckets of a slot that ever had an attempt, summed over the workers."""
        rows = [self._layout.worker_slot(worker, service, slot) for worker in range(self.workers)]
        buckets = sorted({bucket for row in rows for bucket in work_rows.used(self._words, row)})
        return {bucket: work_rows.read(self._words, rows, bucket) for bucket in buckets}

    def slot_epochs(self, service: int, slot: int, incarnation: int, since: int) -> tuple[Epoch, ...]:
        """Return the epochs of an incarnation of a slot from number `since` on, oldest first, over the workers."""
        rows = [self._layout.worker_slot(worker, service, slot) for worker in range(self.workers)]
        return work_rows.epochs(self._words, rows, incarnation, since)

    def slot_in_flight(self, service: int, slot: int, worker: int | None = None) -> int:
        """Return the attempts on a slot that have not ended, of one worker or of all."""
        workers = range(self.workers) if worker is None else (worker,)
        return sum(self._in_flight(self._layout.worker_slot(index, service, slot)) for index in workers)

    def _in_flight(self, row: int) -> int:
        ends = sum(self._words[row + at.L_OUTCOMES : row + at.L_OUTCOMES + at.OUTCOME_COUNT])
        return self._words[row + at.L_CLAIMED] - ends

    def exchanges(self, service: int) -> tuple[int, list[int]]:
        """Return (accepted, ends by outcome) of a service's exchanges over all workers; accepted minus ends is in flight."""
        ends = [0] * at.OUTCOME_COUNT
        words = self._words
        for worker in range(self.workers):
            rows = [self._layout.worker_service(worker, service) + at.LS_ENDED]
            for slot in range(SLOTS):
                row = self._layout.worker_slot(worker, service, slot) + at.L_EXCHANGES
                rows += [row + role * at.OUTCOME_COUNT for role in range(at.ROLE_COUNT)]
            for row in rows:
                ends = list(map(add, ends, words[row : row + at.OUTCOME_COUNT].tolist()))
        accepted = sum(
            words[self._layout.worker_service(worker, service) + at.LS_ACCEPTED] for worker in range(self.workers)
        )
        return accepted, ends

    def rescued(self, service: int) -> int:
        """Return how many exchanges of a service ever left a failing slot for another one, summed over all slots."""
        layout = self._layout
        rows = [layout.worker_slot(worker, service, slot) for worker in range(self.workers) for slot in range(SLOTS)]
        return sum(self._words[row + at.L_RESCUED] for row in rows)

    def refused_answers(self, service: int, slot: int) -> list[int]:
        """Return how many answers of a slot were ever refused, one count a member of `REFUSED_ANSWERS`, over all workers."""
        rows = [self._layout.worker_slot(worker, service, slot) for worker in range(self.workers)]
        starts = [row + at.L_REFUSED_ANSWERS for row in rows]
        columns = zip(*(self._words[start : start + len(at.REFUSED_ANSWERS)].tolist() for start in starts), strict=True)
        return [sum(column) for column in columns]

    def proxy_headers_refused(self) -> int:
        """Return how many connections were closed because they had no valid PROXY header, over all workers."""
        return self._sum(at.W_PROXY_HEADERS_REFUSED)

    def access_lines_dropped(self) -> int:
        """Return how many lines of the access log were dropped, over all workers."""
        return self._sum(at.W_ACCESS_LINES_DROPPED)

    def traces(self) -> tuple[int, int]:
        """Return (spans that were sent, sampled exchanges whose spans were dropped), over all workers."""
        return self._sum(at.W_SPANS_SENT), self._sum(at.W_TRACES_DROPPED)

    def lookalikes(self) -> int:
        """Return how many request fields were left out because of their names, over all workers."""
        return self._sum(at.W_LOOKALIKES)

    def handshakes(self) -> tuple[int, int]:
        """Return (TLS handshakes of clients that have ended, the failed ones among them), over all workers."""
        return self._sum(at.W_HANDSHAKES), self._sum(at.W_HANDSHAKES_FAILED)

    def _sum(self, word: int) -> int:
        """Return the sum of one word of the rows of all workers."""
        return sum(self._words[self._layout.worker(worker) + word] for worker in range(self.workers))

    def unmatched(self) -> tuple[int, list[int]]:
        """Return (accepted, ends by outcome) of exchanges that matched no service, over all workers."""
        rows = [self._layout.worker(worker) for worker in range(self.workers)]
        ends = [sum(self._words[row + at.W_ENDED + outcome] for row in rows) for outcome in range(at.OUTCOME_COUNT)]
        return sum(self._words[row + at.W_ACCEPTED] for row in rows), ends

    def limited(self) -> dict[str, int]:
        """Return how often each limit on clients acted, over all workers, by its name in `LIMITS`."""
        rows = [self._layout.worker(worker) + at.W_LIMITED for worker in range(self.workers)]
        return {name: sum(self._words[row + number] for row in rows) for number, name in enumerate(at.LIMITS)}

    def validated(self, service: int) -> dict[tuple[str, str], int]:
        """Return the validations of a service so far, over all workers: counts by (subject, result)."""
        rows = [self._layout.worker_service(worker, service) + at.LS_VALIDATED for worker in range(self.workers)]
        return {pair: sum(self._words[row + number] for row in rows) for number, pair in enumerate(at.VALIDATED)}

    def holdings(self, now_ns: int) -> list[dict[str, Any]]:
        """Return the recent holdings documents (proxy/routing/holdings.py) of the workers that have one."""
        return [document for record in self._holdings if (document := record.read(now_ns)) is not None]

    # -- dead workers
    def close_dead_worker(self, worker: int, services: Iterable[int]) -> int:
        """Count everything that a dead worker left in flight as ended by `cut`; return the number of exchanges.

        `services` are the places in use: to read any other one would take memory for it.

        Only the supervisor may call this, between the end of the process and its next start: in that time the supervisor is
        the single writer of the block. Open exchanges are counted without a slot, because only the worker knew the slot.
        """
        words = self._words
        cut = 0
        header = self._layout.worker(worker)
        for service in services:
            row = self._layout.worker_service(worker, service)
            ended = sum(words[row + at.LS_ENDED : row + at.LS_ENDED + at.OUTCOME_COUNT])
            for slot in range(SLOTS):
                slot_row = self._layout.worker_slot(worker, service, slot)
                words[slot_row + at.L_OUTCOMES + Outcome.CUT] += self._in_flight(slot_row)
                for gauge in (at.L_WAITING, at.L_WAITING_LONG, at.L_OLDEST_WAITING_NS, at.L_TUNNELS):
                    words[slot_row + gauge] = 0
                work_rows.close(words, slot_row)
                ended += sum(
                    words[slot_row + at.L_EXCHANGES : slot_row + at.L_EXCHANGES + at.ROLE_COUNT * at.OUTCOME_COUNT]
                )
            open_exchanges = words[row + at.LS_ACCEPTED] - ended
            words[row + at.LS_ENDED + Outcome.CUT] += open_exchanges
            cut += open_exchanges
        open_unmatched = words[header + at.W_ACCEPTED] - sum(
            words[header + at.W_ENDED : header + at.W_ENDED + at.OUTCOME_COUNT]
        )
        words[header + at.W_ENDED + Outcome.CUT] += open_unmatched
        words[header + at.W_CONNECTIONS] = 0
        self._holdings[worker].clear()
        return cut + open_unmatched
