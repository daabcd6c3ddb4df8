"""The statistics of the benchmarks: figures are only as good as the arithmetic under them."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
import uvloop

from benchmarks import build
from benchmarks.commits import PAIRS_MIN, Readings
from benchmarks.failover import GOOD, healthy_since_ns, met_by, rescued
from benchmarks.figures import Ratio, median_ratio, quantile, slope
from benchmarks.load import OK, Record
from benchmarks.micro import measure
from benchmarks.program import BenchmarkError, cpu_s, wakes
from tests.waiting import until

S = 1_000_000_000


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        pytest.param([7.0], 0.5, 7.0, id="one value is every quantile"),
        pytest.param([4.0, 1.0, 3.0, 2.0], 0.5, 2.0, id="nearest rank, not interpolated"),
        pytest.param(list(range(1, 1001)), 0.99, 990, id="p99 of a thousand"),
        pytest.param(list(range(1, 21)), 0.95, 19, id="a share that is not exact in binary"),
        pytest.param(list(range(1, 41)), 0.025, 1, id="exactly on the first"),
        pytest.param([3.0, 9.0, 5.0], 1.0, 9.0, id="1.0 is the maximum"),
    ],
)
def test_quantile(values: list[float], share: float, expected: float) -> None:
    assert quantile(values, share) == expected


def test_no_values_have_no_quantile() -> None:
    with pytest.raises(ValueError, match="no values"):
        quantile([], 0.5)


def test_a_constant_ratio_has_no_width() -> None:
    assert median_ratio([20.0, 30.0, 10.0], [10.0, 15.0, 5.0]) == Ratio(2.0, 2.0, 2.0)


def test_the_ratio_is_taken_within_each_round_not_between_medians() -> None:
    # The machine was four times slower in the second and third round, for both.
    assert median_ratio([10.0, 44.0, 48.0], [10.0, 40.0, 40.0]).median == pytest.approx(1.1)


def test_the_interval_holds_the_median_and_narrows_with_more_rounds() -> None:
    few = median_ratio([1.0, 1.1, 1.2], [1.0, 1.0, 1.0])
    many = median_ratio([1.0, 1.1, 1.2] * 20, [1.0] * 60)
    assert few == Ratio(1.1, 1.0, 1.2)
    assert few.low <= many.low <= many.median <= many.high <= few.high
    assert many.high - many.low < few.high - few.low


def test_a_comparison_of_commits_ends_when_its_interval_is_narrow_and_not_before() -> None:
    alike = Readings([20.0] * PAIRS_MIN, [20.2] * PAIRS_MIN)
    assert alike.is_narrow()
    assert not Readings(alike.before[1:], alike.after[1:]).is_narrow(), "too few pairs"
    assert not Readings(alike.before, [19.0, 21.4] * (PAIRS_MIN // 2)).is_narrow(), "too wide"


def test_the_bootstrap_is_repeatable() -> None:
    ours, theirs = [1.0, 1.3, 0.9, 1.1, 1.2], [1.0, 1.1, 1.0, 0.9, 1.0]
    assert median_ratio(ours, theirs) == median_ratio(ours, theirs)


@pytest.mark.parametrize(("ours", "theirs"), [([], []), ([1.0], [1.0, 2.0])], ids=["no rounds", "unequal rounds"])
def test_a_ratio_without_pairs_is_refused(ours: list[float], theirs: list[float]) -> None:
    with pytest.raises(ValueError, match="rounds"):
        median_ratio(ours, theirs)


def test_slope() -> None:
    assert slope([0, 1000, 2000], [50.0, 56.0, 62.0]) == pytest.approx(0.006)


def _each_half_second(outcomes: str) -> list[Record]:
    """One request each 0.5 s from second 1 on: o = ok, e = an error, p = still under way."""
    word = {"o": OK, "e": "500 by the backend", "p": "pending"}
    return [
        Record(S + i * S // 2, 0 if letter == "p" else S + i * S // 2 + 1, word[letter])
        for i, letter in enumerate(outcomes)
    ]


@pytest.mark.parametrize(
    ("outcomes", "fault_s", "now_s", "expected_s"),
    [
        pytest.param("ooee" + "o" * 11, 2, 8, 3, id="from the first success after the last error"),
        pytest.param("ooee" + "o" * 10, 2, 8, None, id="4.5 s are not enough"),
        pytest.param("ooeoooooe" + "o" * 11, 2, 11, 5.5, id="a later error starts again"),
        pytest.param("oo" + "o" * 11, 2, 8, 2, id="nobody noticed: from the fault on"),
        pytest.param("ooep" + "o" * 11, 2, 8.5, 3, id="an old request that still waits is no success"),
        pytest.param("ooee" + "o" * 11 + "p", 2, 8.6, 3, id="a young one decides nothing"),
        pytest.param("ooee" + "o" * 11 + "p", 2, 9.6, None, id="a second later it does"),
        pytest.param("o" * 20, 20, 20, None, id="nothing begun since the fault"),
    ],
)
def test_healthy_since(outcomes: str, fault_s: float, now_s: float, expected_s: float | None) -> None:
    records = _each_half_second(outcomes)
    expected = None if expected_s is None else int(expected_s * S)
    assert healthy_since_ns(records, int(fault_s * S), int(now_s * S)) == expected


def test_what_the_fault_met() -> None:
    records = [
        Record(1 * S, 2 * S, OK),  # over before the fault
        Record(2 * S, 4 * S, "reset"),  # under way at the fault
        Record(3 * S, 0, "pending"),
        Record(4 * S, 5 * S, OK),
        Record(5 * S, 6 * S, "reset"),
        Record(6 * S, 7 * S, OK),  # begun when it was healthy again
    ]
    assert met_by(records, 3 * S, 6 * S) == {"reset": 2, "pending": 1, OK: 1}


def test_what_was_rescued() -> None:
    records = [
        Record(1 * S, 2 * S, OK, GOOD),  # over before the fault
        Record(2 * S, 4 * S, OK, GOOD),  # rescued
        Record(2 * S, 4 * S, OK, "bad-1"),  # the failing version answered after all
        Record(3 * S, 4 * S, "503 saturated by the router", GOOD),
        Record(4 * S, 5 * S, OK, GOOD),  # rescued
        Record(5 * S, 6 * S, OK, GOOD),  # begun on the new route
    ]
    assert rescued(records, 3 * S, 5 * S) == 2


def test_every_step_within_a_request_is_measured_in_every_round() -> None:
    taken = uvloop.run(measure(2, batch=20))
    assert {len(some) for some in taken.values()} == {2}
    assert all(each_us > 0 for some in taken.values() for each_us in some)
    assert {name.partition(",")[0].partition(":")[0] for name in taken} == {
        *("request", "connection", "accounting", "request head", "response head", "event of a stream"),
        *("request of 64 floats against a schema", "answer of 64 floats", "inference of 64 floats"),
        *(f"chunks of {size} bytes" for size in (64, 1024, 65536)),
    }


def test_an_unknown_revision_is_named() -> None:
    with pytest.raises(BenchmarkError, match="'no-such-revision' is no commit of this checkout"):
        build.commit("no-such-revision")


def test_a_missing_program_is_named() -> None:
    with pytest.raises(BenchmarkError, match="/no/such/python is needed"):
        build.flavour(Path("/no/such/python"))


@pytest.mark.parametrize("busy_s", [0.023, 0.027])
def test_cpu_time_is_counted_finer_than_ticks(busy_s: float) -> None:
    code = f"import time\nwhile time.process_time() < {busy_s}: pass\nprint(time.process_time(), flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-S", "-E", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin
        assert child.stdout
        used_s = float(child.stdout.readline())
        assert cpu_s([child.pid]) == pytest.approx(used_s, abs=0.004)
        child.stdin.write(b"\n")


def _waits(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def test_each_wait_is_a_wake() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as child:
        assert child.stdin
        assert child.stdout
        child.stdin.write(b"x")
        child.stdout.read(1)
        asyncio.run(until(lambda: _waits(child.pid)))
        before = wakes([child.pid])
        for _ in range(20):
            child.stdin.write(b"x")
            assert child.stdout.read(1) == b"x"
            asyncio.run(until(lambda: _waits(child.pid)))
        assert 20 <= wakes([child.pid]) - before <= 40


def test_a_process_that_has_ended_has_no_figures() -> None:
    with pytest.raises(BenchmarkError, match="has ended"):
        cpu_s([2**22 + 1])
