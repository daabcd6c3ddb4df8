"""One lane a worker: what it counted, when it was last alive, which generation it claims from.

The worker writes its own lane by plain `words[row + L_...] += 1` on the request path; this module is for the readers
(control, supervisor) and for the supervisor's reaping of a dead worker's lane. Counters only grow, also across the restart
of a worker, which goes on in the lane of its predecessor.

In flight is derived, not stored: claimed minus the sum of all ends. Ends are read first and claims last, so a reading
taken while the worker counts is never too small.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from router.rollout.model.route import SLOTS
from router.rollout.outcome import Outcome
from router.rollout.stats.histogram import BUCKETS
from router.shm import layout as at
from router.shm.holdings import HoldingsRecord
from router.shm.segment import Segment


@dataclass(frozen=True, slots=True)
class WorkerState:
    """A worker's own row. `lag_us` is the worst loop lag of its last second."""

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
    """All lanes of the wall."""

    def __init__(self, segment: Segment) -> None:
        self._words = segment.words
        self._layout = segment.layout
        self._holdings = [HoldingsRecord(segment, worker) for worker in range(segment.layout.workers)]

    @property
    def workers(self) -> int:
        """How many lanes there are."""
        return self._layout.workers

    # -- workers
    def worker(self, index: int) -> WorkerState:
        """Return what worker `index` says of itself."""
        row, words = self._layout.lane(index), self._words
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

    def acknowledged(self, worker: int, service: int) -> int:
        """Return the generation from which `worker` claims; 0 before its first route."""
        return self._words[self._layout.lane_service(worker, service) + at.LS_ACKNOWLEDGED]

    def acknowledged_ns(self, worker: int, service: int) -> int:
        """Return when (monotonic) `worker` acknowledged that generation; 0 before its first route."""
        return self._words[self._layout.lane_service(worker, service) + at.LS_ACKNOWLEDGED_NS]

    # -- sums over the lanes
    def slot_scalars(self, service: int, slot: int) -> list[int]:
        """Return the `L_SCALARS` counters of a slot summed over the lanes, ends before claims. Gauges that do not add
        (`L_OLDEST_WAITING_NS`: the smallest but zero; `L_LAST_BEGUN_NS`, `L_GAP_MAX_US`: the largest) are merged so.
        """
        rows = [self._layout.lane_slot(worker, service, slot) for worker in range(self.workers)]
        words = self._words
        worker_stats = [list(words[row : row + at.L_SCALARS]) for row in rows]
        claims = [words[row + at.L_CLAIMED] for row in rows]
        sums = [sum(column) for column in zip(*worker_stats, strict=True)]
        sums[at.L_CLAIMED] = sum(claims)
        sums[at.L_OLDEST_WAITING_NS] = min(
            (lane[at.L_OLDEST_WAITING_NS] for lane in worker_stats if lane[at.L_OLDEST_WAITING_NS]), default=0
        )
        for offset in (at.L_LAST_BEGUN_NS, at.L_GAP_MAX_US):
            sums[offset] = max(lane[offset] for lane in worker_stats)
        return sums

    def slot_histogram(self, service: int, slot: int, which: int) -> list[int]:
        """Return one histogram (`L_FIRST_BYTE`, `L_DURATION`, `L_ABANDONED`) of a slot summed over the lanes."""
        rows = [self._layout.lane_slot(worker, service, slot) + which for worker in range(self.workers)]
        worker_stats = [self._words[row : row + BUCKETS].tolist() for row in rows]
        return (
            worker_stats[0] if len(worker_stats) == 1 else [sum(column) for column in zip(*worker_stats, strict=True)]
        )

    def slot_in_flight(self, service: int, slot: int, worker: int | None = None) -> int:
        """Return the attempts on a slot that have not ended, of one worker or of all."""
        workers = range(self.workers) if worker is None else (worker,)
        return sum(self._in_flight(self._layout.lane_slot(index, service, slot)) for index in workers)

    def _in_flight(self, row: int) -> int:
        ends = sum(self._words[row + at.L_OUTCOMES : row + at.L_OUTCOMES + at.OUTCOME_COUNT])
        return self._words[row + at.L_CLAIMED] - ends

    def exchanges(self, service: int) -> tuple[int, list[int]]:
        """Return (accepted, ends by outcome) of a service's exchanges over all lanes; accepted minus ends is in flight."""
        ends = [0] * at.OUTCOME_COUNT
        words = self._words
        for worker in range(self.workers):
            row = self._layout.lane_service(worker, service) + at.LS_ENDED
            for outcome in range(at.OUTCOME_COUNT):
                ends[outcome] += words[row + outcome]
            for slot in range(SLOTS):
                row = self._layout.lane_slot(worker, service, slot) + at.L_EXCHANGES
                counts = words[row : row + at.ROLE_COUNT * at.OUTCOME_COUNT].tolist()
                for position, count in enumerate(counts):
                    ends[position % at.OUTCOME_COUNT] += count
        accepted = sum(
            words[self._layout.lane_service(worker, service) + at.LS_ACCEPTED] for worker in range(self.workers)
        )
        return accepted, ends

    def rescued(self, service: int) -> int:
        """Return how many exchanges of a service ever left a failing slot for another one, whoever holds the slots now."""
        layout = self._layout
        rows = [layout.lane_slot(worker, service, slot) for worker in range(self.workers) for slot in range(SLOTS)]
        return sum(self._words[row + at.L_RESCUED] for row in rows)

    def proxy_headers_refused(self) -> int:
        """Return how many connections were closed for want of a PROXY header, over all lanes."""
        rows = (self._layout.lane(worker) for worker in range(self.workers))
        return sum(self._words[row + at.W_PROXY_HEADERS_REFUSED] for row in rows)

    def handshakes(self) -> tuple[int, int]:
        """Return (TLS handshakes of clients that have ended, of these failed), over all lanes."""
        rows = [self._layout.lane(worker) for worker in range(self.workers)]
        return sum(self._words[row + at.W_HANDSHAKES] for row in rows), sum(
            self._words[row + at.W_HANDSHAKES_FAILED] for row in rows
        )

    def unmatched(self) -> tuple[int, list[int]]:
        """Return (accepted, ends by outcome) of exchanges that matched no service, over all lanes."""
        rows = [self._layout.lane(worker) for worker in range(self.workers)]
        ends = [sum(self._words[row + at.W_ENDED + outcome] for row in rows) for outcome in range(at.OUTCOME_COUNT)]
        return sum(self._words[row + at.W_ACCEPTED] for row in rows), ends

    def limited(self) -> dict[str, int]:
        """Return how often each limit on clients acted, over all lanes, by the setting's name."""
        rows = [self._layout.lane(worker) + at.W_LIMITED for worker in range(self.workers)]
        return {name: sum(self._words[row + number] for row in rows) for number, name in enumerate(at.LIMITS)}

    def validated(self, service: int) -> dict[tuple[str, str], int]:
        """Return what the validators of a service found so far, over all lanes: counts by (what, result)."""
        rows = [self._layout.lane_service(worker, service) + at.LS_VALIDATED for worker in range(self.workers)]
        return {pair: sum(self._words[row + number] for row in rows) for number, pair in enumerate(at.VALIDATED)}

    def holdings(self, now_ns: int) -> list[dict[str, Any]]:
        """Return what workers have said lately of who holds their places (proxy/engine/holdings.py), by worker."""
        return [told for record in self._holdings if (told := record.read(now_ns)) is not None]

    # -- reaping
    def close_dead_worker(self, worker: int) -> int:
        """End as `cut` whatever a dead worker left in flight; return how many exchanges that were.

        Only the supervisor may call this, and only once the process is gone: from then until the next start it is the
        lane's single writer. Open exchanges are counted without a slot: which one they were on died with the worker.
        """
        words = self._words
        cut = 0
        header = self._layout.lane(worker)
        for service in range(self._layout.services):
            row = self._layout.lane_service(worker, service)
            ended = sum(words[row + at.LS_ENDED : row + at.LS_ENDED + at.OUTCOME_COUNT])
            for slot in range(SLOTS):
                slot_row = self._layout.lane_slot(worker, service, slot)
                words[slot_row + at.L_OUTCOMES + Outcome.CUT] += self._in_flight(slot_row)
                for gauge in (at.L_WAITING, at.L_WAITING_LONG, at.L_OLDEST_WAITING_NS, at.L_TUNNELS):
                    words[slot_row + gauge] = 0
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
