"""A row of the history: the counts of one version, or of the service as its clients see it, over about ten seconds.

A reading is cumulative. A row is the difference of two readings of the same slot and incarnation, so a restarted control with the
last reading counts nothing twice and loses nothing. A period longer than `SPAN_MAX_S` makes no row: it is a gap, not a row of
zeros.

Only non-empty buckets of a histogram are stored: one byte for the bucket, and one, two or four for its count.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from operator import sub
from typing import Final, NamedTuple, cast

from router.rollout.outcome import OUTCOMES
from router.rollout.stats.histogram import BUCKETS
from router.rollout.stats.sample import NO_COUNTS, NO_TIMES, Counters, Histograms
from router.rollout.stats.window import count_faults, differences

SPAN_MAX_S: Final = 30.0
ROLES: Final = ("service", "active", "standby", "candidate", "draining", "none")
"""A row's `role` is an index into these; `service`: exchanges as seen by clients, of all versions."""
SERVICE_SLOT: Final = -1
UNDECIDED, PASSED, FAILED = range(3)
"""A row's `verdict`: no trigger could decide in it, none failed, or at least one failed (whether or not it acted)."""
_HEAD: Final = struct.Struct("<BBBB")
_WIDTHS: Final = "BHI"
Work = tuple[int, int]
Sparse = tuple[bytes, Sequence[int]]
"""(buckets in rising order, a byte each; how often each of them was counted)."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One slot at one monotonic time. `counters` as in `Sample.counters`; for the service `claimed` is the number of
    accepted exchanges, and the outcomes are those of exchanges. `left_out_ns`: time so far in which this router stalled.
    `work`: attempts that became useful, and that ended without use; None if unknown.

    `zero_ns`: without an earlier reading, the counters were zero at this time; None: unknown.
    """

    slot: int
    version: str
    incarnation: int
    generation: int
    role: str
    at_ns: int
    left_out_ns: int
    counters: Counters
    histograms: Histograms | None = None
    waiting: int = 0
    waiting_long: int = 0
    ready: bool = False
    verdict: int = UNDECIDED
    failing: str = ""
    zero_ns: int | None = None
    work: Work | None = None


class RowBase(NamedTuple):
    """The members of the last reading of a slot that the next row needs."""

    incarnation: int
    at_ns: int
    left_out_ns: int
    counters: Counters
    histograms: Histograms | None
    work: Work | None = None


class Row(NamedTuple):
    """`at_ms`: wall time of its end. `monotonic_ms`: the same on the clock of `boot`; `span_ms`: its length on that clock, so a
    jump of the wall clock does not change it. `stalled_ms`: time of the row in which this router stalled.

    Counts are those of the row; `waiting`, `waiting_long` and `ready` (the last probes were good) are of its end.
    `useful` and `without_use` are attempts by what they came to, of versions only; both are 0 in rows of an older release.
    `failing` names the triggers that failed in it; `!` marks those whose action was due. `histograms` is empty if unknown.
    """

    at_ms: int
    slot: int
    monotonic_ms: int
    version: str
    boot: int
    span_ms: int
    generation: int
    role: int
    incarnation: int
    stalled_ms: int
    claimed: int
    begun: int
    faults_unbegun: int
    rescued: int
    abandoned_long: int
    ok: int
    client_error: int
    throttled: int
    server_error: int
    connect_failed: int
    timed_out: int
    truncated: int
    invalid: int
    client_gone: int
    saturated: int
    refused: int
    cut: int
    router_fault: int
    waiting: int
    waiting_long: int
    ready: int
    verdict: int
    useful: int
    without_use: int
    failing: str
    histograms: bytes

    @property
    def outcomes(self) -> tuple[int, ...]:
        """The 13 outcomes, in the order of outcome.py."""
        return cast(tuple[int, ...], self[_FIRST_OUTCOME : _FIRST_OUTCOME + len(OUTCOMES)])

    @property
    def requests(self) -> int:
        """Attempts whose response began, or that failed before a response began."""
        return self.begun + self.faults_unbegun

    @property
    def faults(self) -> int:
        """Number of faults of the target."""
        return count_faults(self.outcomes)

    @property
    def since_ms(self) -> int:
        """Wall time of its start, by the wall clock at its end."""
        return self.at_ms - self.span_ms


_FIRST_OUTCOME: Final = Row._fields.index("ok")
assert Row._fields[_FIRST_OUTCOME : _FIRST_OUTCOME + len(OUTCOMES)] == tuple(outcome.label for outcome in OUTCOMES)


def row_base(reading: Reading) -> RowBase:
    """Return the base of the next row of this slot."""
    return RowBase(
        reading.incarnation, reading.at_ns, reading.left_out_ns, reading.counters, reading.histograms, reading.work
    )


def row(known: RowBase | None, reading: Reading, at_ms: int, boot: int) -> Row | None:
    """Return the row from `known` to `reading` (whose wall time is `at_ms`); None if the base is unknown, or the period is a
    gap.
    """
    base = known if known is not None and known.incarnation == reading.incarnation else _zero(reading)
    if base is None or reading.at_ns - base.at_ns > SPAN_MAX_S * 1e9:
        return None
    # Both ends are rounded alike, so that the spans of consecutive rows add up to the time.
    monotonic_ms = reading.at_ns // 1_000_000
    span_ms = monotonic_ms - base.at_ns // 1_000_000
    counters = tuple(map(sub, reading.counters, base.counters))
    if span_ms <= 0 or min(counters) < 0:  # decreasing counters belong to another version
        return None
    packed = b""
    if reading.histograms is not None and base.histograms is not None:
        packed = pack(differences(reading.histograms, base.histograms))
    useful, without_use = _work(reading.work, base.work)
    return Row._make(
        (
            at_ms,
            reading.slot,
            monotonic_ms,
            reading.version,
            boot,
            span_ms,
            reading.generation,
            ROLES.index(reading.role),
            reading.incarnation,
            max(0, reading.left_out_ns - base.left_out_ns) // 1_000_000,
            *counters,
            reading.waiting,
            reading.waiting_long,
            int(reading.ready),
            reading.verdict,
            useful,
            without_use,
            reading.failing,
            packed,
        )
    )


def _work(now: Work | None, base: Work | None) -> Work:
    """Return the work between two readings; (0, 0) if it is unknown at either end."""
    if now is None or base is None:
        return 0, 0
    return max(0, now[0] - base[0]), max(0, now[1] - base[1])


def _zero(reading: Reading) -> RowBase | None:
    if reading.zero_ns is None:
        return None
    times = (NO_TIMES, NO_TIMES, NO_TIMES)
    return RowBase(reading.incarnation, reading.zero_ns, reading.left_out_ns, NO_COUNTS, times, (0, 0))


def pack(histograms: Histograms) -> bytes:
    """Return the three histograms (first-byte times, durations, abandoned waits) as few bytes."""
    kept = [[(bucket, count) for bucket, count in enumerate(counts) if count > 0] for counts in histograms]
    most = max((count for pairs in kept for _, count in pairs), default=0)
    width = 0 if most < 1 << 8 else 1 if most < 1 << 16 else 2
    parts = [_HEAD.pack(width, *map(len, kept))]
    for pairs in kept:
        parts.append(bytes(bucket for bucket, _ in pairs))
        parts.append(struct.pack(f"<{len(pairs)}{_WIDTHS[width]}", *(min(count, 0xFFFFFFFF) for _, count in pairs)))
    return b"".join(parts)


def unpack(packed: bytes) -> tuple[Sparse, Sparse, Sparse] | None:
    """Return the three histograms that `pack` wrote, sparse; None if they are unknown."""
    if not packed:
        return None
    width, *lengths = _HEAD.unpack_from(packed)
    found, place = [], _HEAD.size
    for length in lengths:
        buckets = packed[place : place + length]
        place += length
        found.append((buckets, struct.unpack_from(f"<{length}{_WIDTHS[width]}", packed, place)))
        place += length << width
    return found[0], found[1], found[2]


def dense(sparse: Sparse) -> tuple[int, ...]:
    """Return one histogram as `BUCKETS` counts."""
    counts = [0] * BUCKETS
    for bucket, count in zip(*sparse, strict=True):
        counts[bucket] = count
    return tuple(counts)
