"""One definition of each figure: parts are never more than the whole, and shares are of the numbers beside them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.rollout.outcome import FAULTS, OUTCOMES, Outcome
from router.rollout.stats.figures import (
    CounterDelta,
    delta_between,
    fault_count_text,
    format_value,
    rescue_outcomes,
    rollback_cost,
    share,
    unit,
    whole_faults,
)
from router.rollout.stats.window import Window

COUNT = st.integers(0, 300)
GROWTH = st.tuples(*[COUNT] * (5 + len(OUTCOMES)))


def readings(*growths: tuple[int, ...]) -> dict[str, list[int]]:
    """Return {start, decision, last}, each of which has grown by what is given."""
    now = [0] * (6 + len(OUTCOMES))
    result = {}
    for at, (name, grown) in enumerate(zip(("start", "decision", "last"), growths, strict=True)):
        now = [at, *(before + more for before, more in zip(now[1:], grown, strict=True))]
        result[name] = now
    return result


@given(GROWTH, GROWTH, GROWTH, GROWTH)
def test_the_toll_of_any_samples_adds_up(
    start: tuple[int, ...], grown: tuple[int, ...], later: tuple[int, ...], other: tuple[int, ...]
) -> None:
    left, back = readings(start, grown, later), readings(start, other, later)
    result = rollback_cost(left, back)
    during, after = delta_between(left["start"], left["decision"]), delta_between(left["decision"], left["last"])
    assert result["failed"] == sum(result["errors"].values()) == during.failed + after.failed <= result["requests"]
    assert result["failed_until_decision"] == during.failed
    assert result["requests"] == during.requests + after.requests
    assert result["rescued"] <= result["requests"]
    assert result["failed_max"] <= result["failed"] + result["rescued"]
    parts = dict(result["rescue"] or {})
    if parts:
        among_them = parts.pop("rescued")
        assert sum(parts.values()) == among_them <= result["rescued"]
        assert min(parts.values()) >= 0
        assert parts["failed"] <= result["failed_max"]


@given(st.integers(0, 400), st.integers(0, 400), st.tuples(*[st.integers(0, 400)] * len(OUTCOMES)))
def test_a_window_prints_the_share_of_its_two_numbers(begun: int, unbegun: int, outcomes: tuple[int, ...]) -> None:
    ends = list(outcomes)
    ends[Outcome.CONNECT_FAILED] += unbegun
    window = Window(0, 1, 1.0, 0, begun, unbegun, 0, 0, tuple(ends))
    failed, requests, printed = re.fullmatch(
        r"(\d+) faults in (\d+) requests \((.*)%\)", fault_count_text(window.failed, window.requests)
    ).groups()  # type: ignore[union-attr]
    assert int(failed) <= int(requests)
    assert float(printed) == pytest.approx(100 * int(failed) / int(requests) if int(requests) else 0.0, abs=0.051)
    assert window.failed_share == share(window.failed, window.requests)
    assert abs(window.failed - window.weighted_faults) <= 0.5 + 1e-9
    if window.requests and ends[Outcome.OK] + sum(ends[fault] for fault in FAULTS) <= begun:
        assert window.failed == window.faults, "no stream that began before: what is counted is what is told"


def test_fault_count_of_a_burst() -> None:
    """15 requests, 15 faults, of which one belongs to an earlier request."""
    ends = [0] * len(OUTCOMES)
    ends[Outcome.SERVER_ERROR], ends[Outcome.OK] = 15, 1
    window = Window(0, 1, 1.0, 15, 15, 0, 0, 0, tuple(ends))
    assert fault_count_text(window.failed, window.requests) == "14 faults in 15 requests (93.3%)"


@pytest.mark.parametrize(
    ("rescued", "ok", "failed", "gone", "parts"),
    [
        (61, 63, 0, 0, (61, 0, 0, 0)),
        (61, 63, 2, 0, (59, 2, 0, 0)),
        (61, 40, 1, 3, (40, 1, 3, 17)),
        (0, 5, 5, 0, (0, 0, 0, 0)),
        (3, 0, 9, 0, (0, 3, 0, 0)),
    ],
    ids=["it answered others too", "and failed some", "some are under way", "nothing was rescued", "all failed again"],
)
def test_what_became_of_the_rescued_adds_up(
    rescued: int, ok: int, failed: int, gone: int, parts: tuple[int, ...]
) -> None:
    ends = [0] * len(OUTCOMES)
    ends[Outcome.OK], ends[Outcome.TIMED_OUT], ends[Outcome.CLIENT_GONE] = ok, failed, gone
    result = rescue_outcomes(rescued, CounterDelta(ok + failed, 0, tuple(ends)))
    assert tuple(result[name] for name in ("answered", "failed", "other", "under_way")) == parts
    assert sum(parts) == rescued == result["rescued"]


def test_no_requests_have_no_share() -> None:
    assert share(0, 0) is None
    assert whole_faults(0.0, 0) == 0


@pytest.mark.parametrize(
    ("kind", "detail", "value", "limit", "texts"),
    [
        ("hard_failure", "errors", 0.957, 0.9, ("95.7 %", "90 %")),
        ("hard_failure", "errors", 6.0, 5.0, ("6", "5")),
        ("hard_failure", "hang", 10.44, 10.0, ("10.4 s", "10 s")),
        ("hard_failure", "unreachable", 1.0, 1.0, ("1 s", "1 s")),
        ("error_rate", "", 0.139, 0.02, ("13.9 %", "2 %")),
        ("quality", "inputs", 0.4, None, ("40 %", "none")),
        ("business", "alert", 2.0, 0.0, ("2", "0")),
    ],
)
def test_a_number_of_a_trigger_has_one_unit(
    kind: str, detail: str, value: float, limit: float | None, texts: tuple[str, str]
) -> None:
    trigger = {"kind": kind, "detail": detail, "value": value, "limit": limit}
    assert (format_value(trigger, "value"), format_value(trigger, "limit")) == texts


def test_a_share_of_useful_answers_is_a_share() -> None:
    assert unit({"kind": "hard_failure", "detail": "useful_share", "value": 0.1}) == "share"
    assert unit({"kind": "hard_failure", "detail": "no_progress", "value": 10.4}) == "seconds"
