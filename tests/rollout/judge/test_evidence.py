"""Runs and waits by themselves; how samples feed them is tested with the triggers."""

from __future__ import annotations

import pytest

from router.rollout.judge.evidence import FRESH_NS, Evidence, Run, Waits
from router.rollout.outcome import Outcome
from router.rollout.stats.sample import Sample
from router.rollout.stats.window import SlotHistory
from router.rollout.units import SECOND_NS

NOW_NS = 1_000 * SECOND_NS


def test_a_run_spans_from_its_first_event_to_its_last() -> None:
    run = Run()
    run.add(2, NOW_NS)
    run.add(0, NOW_NS + 9 * SECOND_NS)
    run.add(3, NOW_NS + 4 * SECOND_NS)
    assert (run.count, run.span_s) == (5, 4.0)
    run.clear()
    assert run == Run()


@pytest.mark.parametrize(("age_ns", "fresh"), [(0, True), (FRESH_NS, True), (FRESH_NS + 1, False)])
def test_evidence_grows_old(age_ns: int, fresh: bool) -> None:
    run, waits = Run(), Waits(since_ns=NOW_NS - 1, until_ns=NOW_NS)
    run.add(1, NOW_NS)
    assert run.is_fresh(NOW_NS + age_ns) is fresh
    assert waits.is_fresh(NOW_NS + age_ns) is fresh


def test_without_events_nothing_is_fresh() -> None:
    assert not Run().is_fresh(0)
    assert not Waits().is_fresh(0)


def test_what_we_slept_is_no_part_of_a_wait_unless_others_confirm_it() -> None:
    waits = Waits(NOW_NS, NOW_NS + 10 * SECOND_NS, stalled_ns=4 * SECOND_NS, ended_long=1, waiting_long=2)
    assert waits.long == 3
    assert waits.lasted_s(with_stalls=False) == 6.0
    assert waits.lasted_s(with_stalls=True) == 10.0
    assert Waits(NOW_NS, NOW_NS, stalled_ns=SECOND_NS).lasted_s(with_stalls=False) == 0.0


def test_a_wait_of_the_first_sample_that_goes_on_is_a_wait() -> None:
    """The first entry only sets the start, so the next one must count although nothing has changed since."""
    history, evidence = SlotHistory(), Evidence()
    outcomes = (0,) * len(Outcome)
    first = Sample(SECOND_NS, 1, 1, 1, 1, 0, 0, outcomes, waiting=1, waiting_long=1, oldest_waiting_ns=SECOND_NS // 2)
    for sample in (first, first.again(2 * SECOND_NS)):
        history.append(sample)
        assert history.newest is not None
        evidence.add(history.newest)
    assert (evidence.waits.since_ns, evidence.waits.until_ns, evidence.waits.long) == (SECOND_NS, 2 * SECOND_NS, 1)
