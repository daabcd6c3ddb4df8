from __future__ import annotations

import random
from dataclasses import replace

import pytest

from router.rollout.history.row import ROLES, SPAN_MAX_S, Reading, Row, RowBase, dense, pack, row, row_base, unpack
from router.rollout.outcome import OUTCOMES
from router.rollout.stats.histogram import BUCKETS
from router.rollout.units import SECOND_NS

NOTHING = (0,) * BUCKETS


def histogram(**counts: int) -> tuple[int, ...]:
    return tuple(counts.get(f"b{bucket}", 0) for bucket in range(BUCKETS))


def reading(at_s: float, begun: int = 0, **other: object) -> Reading:
    """A version that has begun and answered `begun` requests in 100 ms each by `at_s`."""
    counters = (begun, begun, 0, 0, 0, begun, *[0] * (len(OUTCOMES) - 1))
    timed = histogram(b100=begun)
    result = Reading(0, "v1", 1, 77, "active", int(at_s * SECOND_NS), 0, counters, (timed, timed, NOTHING))
    return replace(result, **other)  # type: ignore[arg-type]


def test_a_row_is_what_was_counted_between_two_readings() -> None:
    before = reading(100, 1_000, left_out_ns=SECOND_NS, work=(900, 20))
    after = reading(
        110.004, 1_300, left_out_ns=3 * SECOND_NS, waiting=4, waiting_long=2, ready=True, verdict=1, failing="latency",
        work=(1_150, 27),
    )  # fmt: skip
    found = row(row_base(before), after, 1_700_000_000_000, boot=5)
    assert found == Row(
        at_ms=1_700_000_000_000, slot=0, monotonic_ms=110_004, version="v1", boot=5, span_ms=10_004, generation=77,
        role=ROLES.index("active"), incarnation=1, stalled_ms=2_000, claimed=300, begun=300, faults_unbegun=0, rescued=0,
        abandoned_long=0, ok=300, client_error=0, throttled=0, server_error=0, connect_failed=0, timed_out=0,
        truncated=0, invalid=0, client_gone=0, saturated=0, refused=0, cut=0, router_fault=0, waiting=4, waiting_long=2,
        ready=1, verdict=1, useful=250, without_use=7, failing="latency", histograms=found.histograms if found else b"",
    )  # fmt: skip
    assert found is not None
    assert found.since_ms == 1_699_999_989_996
    assert (found.requests, found.faults, found.outcomes) == (300, 0, (300, *[0] * 12))
    sparse = unpack(found.histograms)
    assert sparse is not None
    assert [dense(one) for one in sparse] == [histogram(b100=300), histogram(b100=300), NOTHING]


@pytest.mark.parametrize(
    ("known", "now", "work"),
    [
        (reading(100, work=(5, 1)), reading(110, work=(9, 1)), (4, 0)),
        (reading(100), reading(110, work=(9, 1)), (0, 0)),  # a reading of an older release
        (None, reading(110, work=(9, 1), zero_ns=104 * SECOND_NS), (9, 1)),
    ],
)
def test_work_between_two_readings(known: Reading | None, now: Reading, work: tuple[int, int]) -> None:
    found = row(row_base(known) if known else None, now, 1_700_000_000_000, boot=5)
    assert found is not None
    assert (found.useful, found.without_use) == work


@pytest.mark.parametrize(
    ("known", "now", "begun"),
    [
        pytest.param(reading(100, 10), reading(110, 30), 20, id="the last reading is known"),
        pytest.param(None, reading(110, 30), None, id="nothing is known of its past"),
        pytest.param(None, reading(110, 30, zero_ns=104 * SECOND_NS), 30, id="it counts from zero since 6 s"),
        pytest.param(reading(100, 10), reading(110, 3, incarnation=2), None, id="another tenant"),
        pytest.param(
            reading(100, 10), reading(110, 3, incarnation=2, zero_ns=100 * SECOND_NS), 3, id="another tenant, from zero"
        ),
        pytest.param(
            reading(100, 10), reading(110, 30, zero_ns=100 * SECOND_NS), 20, id="what is known wins over zero"
        ),
        pytest.param(reading(100, 10), reading(100, 10), None, id="no time has passed"),
        pytest.param(reading(100, 10), reading(100 + SPAN_MAX_S, 30), 20, id="the longest stretch"),
        pytest.param(reading(100, 10), reading(100.1 + SPAN_MAX_S, 30), None, id="a gap"),
        pytest.param(reading(100, 30), reading(110, 10), None, id="counters that went back are not its own"),
    ],
)
def test_what_a_row_counts_from(known: Reading | None, now: Reading, begun: int | None) -> None:
    found = row(row_base(known) if known else None, now, 0, 1)
    assert (found.begun if found else None) == begun


def test_without_histograms_at_either_end_they_are_unknown() -> None:
    full, bare = reading(100, 10), reading(110, 20, histograms=None)
    later = row(row_base(bare), reading(120, 30), 0, 1)
    first = row(row_base(full), bare, 0, 1)
    assert first is not None
    assert later is not None
    assert (first.histograms, later.histograms) == (b"", b"")
    assert unpack(b"") is None


def test_spans_of_rows_in_a_row_add_up_to_the_time() -> None:
    marks: RowBase | None = row_base(reading(100.0004))
    total = 0
    for step in range(1, 50):
        now = reading(100.0004 + step * 9.9996)
        made = row(marks, now, 0, 1)
        assert made is not None
        total += made.span_ms
        marks = row_base(now)
    assert total == int(100_000.4 + 49 * 9_999.6) - 100_000


@pytest.mark.parametrize("most", [1, 255, 256, 65_535, 65_536, 4_294_967_295], ids=lambda most: f"up to {most}")
def test_histograms_are_packed_and_found_again(most: int) -> None:
    chance = random.Random(most)
    made = [[chance.randint(1, most) if chance.random() < 0.2 else 0 for _ in range(BUCKETS)] for _ in range(3)]
    made[1][BUCKETS - 1] = most
    packed = pack((tuple(made[0]), tuple(made[1]), tuple(made[2])))
    sparse = unpack(packed)
    assert sparse is not None
    assert [list(dense(one)) for one in sparse] == made
    kept = sum(1 for counts in made for count in counts if count)
    assert len(packed) == 4 + kept * (2 if most < 256 else 3 if most < 65_536 else 5)
