from __future__ import annotations

from router.rollout.stats.histogram import BUCKETS
from router.rollout.stats.sample import NO_COUNTS, Sample

BARE = Sample(1, 2, 3, 1, 4, 5, 6, (0,) * 13)


def test_histograms_are_all_three_or_none() -> None:
    times = (0,) * BUCKETS
    assert Sample(1, 2, 3, 1, 4, 5, 6, (0,) * 13, first_byte=times, duration=times).histograms is None
    whole = Sample(1, 2, 3, 1, 4, 5, 6, (0,) * 13, first_byte=times, duration=times, abandoned=times)
    assert whole.histograms == (times,) * 3


def test_counters_are_those_that_only_grow() -> None:
    assert len(BARE.counters()) == len(NO_COUNTS)
    assert BARE.counters()[:3] == (4, 5, 6)


def test_a_marked_sample_is_stalled() -> None:
    assert BARE.marked_stalled().stalled
