"""Switches are counted by a bounded set of reasons, their durations by bucket."""

from __future__ import annotations

from router.control.monitors.switch_stats import BUCKETS_S, REASONS, SwitchStats


def test_a_switch_is_counted_once_in_each_figure() -> None:
    stats = SwitchStats(["fraud", "churn"])
    stats.record("fraud", "latency", swap_us=100.0, confirmed_ms=2000.0)
    fraud = stats.services["fraud"]
    assert fraud.by_reason == {reason: int(reason == "latency") for reason in REASONS}
    assert (fraud.swap.counts, fraud.swap.sum_s) == (
        [1] + [0] * len(BUCKETS_S),
        0.0001,
    )  # a bound belongs to its bucket
    assert (fraud.confirm.counts, fraud.confirm.sum_s) == ([0] * len(BUCKETS_S) + [1], 2.0)
    assert sum(stats.services["churn"].by_reason.values()) == 0


def test_an_unconfirmed_switch_has_no_confirmation_time_and_an_unknown_reason_no_label_of_its_own() -> None:
    stats = SwitchStats(["fraud"])
    stats.record("fraud", "x" * 1000, swap_us=1.0, confirmed_ms=None)
    assert stats.services["fraud"].by_reason["other"] == 1
    assert (sum(stats.services["fraud"].swap.counts), sum(stats.services["fraud"].confirm.counts)) == (1, 0)
