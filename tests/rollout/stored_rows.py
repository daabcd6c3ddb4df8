"""Rows as a running router would have kept them: the simulator's version, read every ten seconds."""

from __future__ import annotations

from collections.abc import Callable

from router.rollout.history.row import Reading, Row, RowBase, row, row_base
from router.rollout.outcome import Outcome
from router.rollout.units import SECOND_NS
from tests.rollout.simulator import START_NS, Version

WALL_MS = 1_700_000_000_000
EVERY_S = 10.0


class Recording:
    """Rows of active versions. `play` lets seconds pass; requests come evenly, `faults` of them fail before they begin."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.version, self.boot = "v1", 1
        self._counts = Version()
        self._at_ns = START_NS
        self._mark: RowBase | None = None
        self._owed = self._owed_faults = 0.0
        self.incarnation = 1

    @property
    def now_s(self) -> float:
        """Seconds since the beginning."""
        return (self._at_ns - START_NS) / SECOND_NS

    @property
    def wall_s(self) -> float:
        return WALL_MS / 1000 + self.now_s

    def play(
        self,
        for_s: float,
        per_s: float = 10.0,
        faults: float = 0.0,
        first_byte_ms: float = 5.0,
        every_s: float = EVERY_S,
        stalled_s: float = 0.0,
        failing: str = "",
        each: Callable[[], None] = lambda: None,
    ) -> Recording:
        passed = 0.0
        while passed < for_s - 1e-9:
            span_s = min(every_s, for_s - passed)
            self._serve(span_s * per_s, faults, first_byte_ms)
            passed += span_s
            self._read(span_s, stalled_s, failing)
            each()
        return self

    def _serve(self, requests: float, faults: float, first_byte_ms: float) -> None:
        self._owed += requests
        number, self._owed = int(self._owed), self._owed - int(self._owed)
        self._owed_faults += number * faults
        bad, self._owed_faults = int(self._owed_faults), self._owed_faults - int(self._owed_faults)
        self._counts.fail(bad, Outcome.SERVER_ERROR)
        self._counts.answer(number - bad, Outcome.OK, first_byte_ms)

    def _read(self, span_s: float, stalled_s: float, failing: str) -> None:
        before_ns, self._at_ns = self._at_ns, self._at_ns + round(span_s * SECOND_NS)
        counts = self._counts
        counters = (counts.claimed, counts.begun, counts.unbegun, 0, 0, *counts.outcomes)
        reading = Reading(
            0, self.version, self.incarnation, 1, "active", self._at_ns, 0, counters,
            (tuple(counts.times), tuple(counts.durations), tuple(counts.given_up)), verdict=1, failing=failing,
            zero_ns=before_ns,
        )  # fmt: skip
        made = row(self._mark, reading, WALL_MS + (self._at_ns - START_NS) // 1_000_000, self.boot)
        assert made is not None
        self.rows.append(made._replace(stalled_ms=round(stalled_s * 1000)))
        self._mark = row_base(reading)

    def gap(self, for_s: float) -> Recording:
        """Control is away, and the same version goes on."""
        self._at_ns += round(for_s * SECOND_NS)
        if self._mark is not None:
            self._mark = replace_mark(self._mark, self._at_ns)
        return self

    def switch(self, version: str) -> Recording:
        """Another version is active from now on."""
        self.version, self.incarnation = version, self.incarnation + 1
        self._counts, self._mark = Version(self.incarnation), None
        return self


def replace_mark(known: RowBase, at_ns: int) -> RowBase:
    return known._replace(at_ns=at_ns)
