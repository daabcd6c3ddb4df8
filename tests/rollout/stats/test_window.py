from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.rollout.outcome import Outcome
from router.rollout.stats.window import TIERS, Sample, SlotHistory, Window
from router.rollout.units import SECOND_NS
from router.shm import layout
from tests.example_counts import examples
from tests.rollout.simulator import START_NS, TICK_NS, Version, seconds


def fed(version: Version, ticks: int, per_tick: int = 1, history: SlotHistory | None = None) -> SlotHistory:
    history = history or SlotHistory()
    for _ in range(ticks):
        history.append(version.sample())
        version.answer(per_tick)
    return history


def window_of(begun: int = 0, unbegun: int = 0, **outcomes: int) -> Window:
    counts = [0] * 13
    for name, number in outcomes.items():
        counts[Outcome[name.upper()]] = number
    return Window(0, SECOND_NS, 1.0, begun + unbegun, begun, unbegun, 0, 0, tuple(counts))


def test_the_wall_has_room_for_the_same_tiers() -> None:
    assert tuple(tier[:3] for tier in layout.TIERS) == TIERS


# -- rates
@pytest.mark.parametrize(
    ("window", "requests", "faults", "rate"),
    [
        (window_of(), 0, 0, None),
        (window_of(begun=10, ok=10), 10, 0, 0.0),
        (window_of(begun=9, unbegun=1, ok=9, server_error=1), 10, 1, 0.1),
        (window_of(begun=100), 100, 0, 0.0),  # long streams: they count when they begin
        (window_of(begun=100, unbegun=1, truncated=2, ok=3), 101, 2, 2 / 101),
        (window_of(begun=10, client_error=5, throttled=3, client_gone=2, cut=1, router_fault=1), 10, 0, 0.0),
        (window_of(client_gone=50, saturated=9), 0, 0, None),
        (window_of(ok=95, truncated=5), 0, 5, None),  # arrivals have ended: what ends says nothing about now
        (window_of(begun=10, ok=95, truncated=5), 10, 5, 0.05),
        (window_of(begun=2, truncated=100), 2, 100, 1.0),
    ],
)
def test_requests_faults_and_rate(window: Window, requests: int, faults: int, rate: float | None) -> None:
    assert (window.requests, window.faults, window.rate) == (requests, faults, pytest.approx(rate) if rate else rate)


@given(st.integers(0, 50), st.integers(0, 50), st.lists(st.integers(0, 50), min_size=13, max_size=13))
def test_a_rate_is_a_share(begun: int, unbegun: int, outcomes: list[int]) -> None:
    outcomes[Outcome.SERVER_ERROR] += unbegun
    rate = Window(0, 1, 1.0, 0, begun, unbegun, 0, 0, tuple(outcomes)).rate
    assert rate is None or 0.0 <= rate <= 1.0 + 1e-12


# -- bases
def test_no_sample_or_one_is_no_window() -> None:
    history, version = SlotHistory(), Version()
    assert history.window(10, START_NS) is None
    history.append(version.sample())
    assert history.window(10, START_NS) is None


def test_a_young_history_is_covered_as_far_as_it_goes() -> None:
    window = fed(Version(), 11).window(60, seconds(1.0))
    assert window is not None
    assert (window.begun, window.covered_s, window.since_ns) == (10, 1.0, START_NS)


def test_nothing_newer_than_the_window_is_no_data() -> None:
    history = fed(Version(), 11)
    assert history.window(2, seconds(2.9)) is not None
    assert history.window(2, seconds(3.0)) is None


def test_a_window_begins_with_the_promotion() -> None:
    history = fed(Version(), 51)
    window = history.window(60, seconds(5.0), seconds(2.05))
    assert window is not None
    assert (window.since_ns, window.begun) == (seconds(2.1), 29)
    assert history.window(60, seconds(5.0), seconds(5.0)) is None


@pytest.mark.parametrize(("asked_s", "covered_s"), [(2, 2), (20, 20), (60, 60), (120, 120), (900, 900)])
def test_each_length_is_covered(asked_s: int, covered_s: int) -> None:
    window = fed(Version(), 10_001).window(asked_s, seconds(1_000))
    assert window is not None
    step_s = 0.1 if asked_s <= 20 else 1 if asked_s <= 90 else 10
    assert covered_s <= window.covered_s <= covered_s + step_s
    assert window.begun == round(window.covered_s * 10)


def test_histograms_come_from_the_tiers_that_have_them() -> None:
    history, version = SlotHistory(), Version()
    for _ in range(301):
        history.append(version.sample())
        version.answer(1, first_byte_ms=10)
    window = history.window(10, seconds(30), histograms=True)
    assert window is not None
    assert (window.covered_s, window.begun, sum(window.first_byte or ())) == (10.0, 100, 100)
    scalars = history.window(10, seconds(30.05))
    assert scalars is not None


def test_tiers_keep_what_is_due() -> None:
    history, version = SlotHistory(), Version()
    names = [history.append(version.sample()) for _ in range(101)]
    assert names[0] == ["tick", "second", "decade"]
    assert {tuple(kept) for kept in names[1:10]} == {("tick",)}
    assert (names[10], names[100]) == (["tick", "second"], ["tick", "second", "decade"])


def test_a_slot_without_histograms_still_has_a_past() -> None:
    history, version = SlotHistory(), Version()
    for _ in range(601):
        sample = replace(version.sample(), first_byte=None, duration=None, abandoned=None)
        history.append(sample)
        version.answer()
    window = history.window(50, seconds(60))
    assert window is not None
    assert 50 <= window.covered_s <= 51.5
    assert history.window(50, seconds(60), histograms=True) is None


def test_memory_is_bounded() -> None:
    history = fed(Version(), 3_000)
    assert len(list(history.entries_since())) < 500


def test_an_old_or_repeated_sample_is_dropped() -> None:
    history, version = SlotHistory(), Version()
    sample = version.sample()
    assert history.append(sample) == ["tick", "second", "decade"]
    assert history.append(sample) == []
    assert history.append(replace(sample, at_ns=sample.at_ns - 1)) == []


def test_a_new_incarnation_starts_afresh() -> None:
    history = fed(Version(), 100, per_tick=50)
    successor = Version(incarnation=2, at_ns=seconds(10))
    successor.answer(7)
    history.append(successor.sample())
    assert history.window(60, seconds(10)) is None
    successor.fail(2)
    history.append(successor.sample())
    window = history.window(60, seconds(10.1))
    assert window is not None
    assert (window.begun, window.faults) == (0, 2)


# -- stalls
def test_a_stalled_stretch_and_its_echo_leave_the_window() -> None:
    history, version = SlotHistory(), Version()
    for tick in range(101):
        history.append(version.sample(stalled=tick == 50))
        version.answer(1)
        if tick in (49, 50):  # counted with the stall, and right after it
            version.fail(10, Outcome.TIMED_OUT)
    window = history.window(60, seconds(10))
    assert window is not None
    assert (window.faults, window.begun, window.covered_s) == (0, 98, pytest.approx(9.8))


def test_a_gap_between_samples_is_our_own_stall() -> None:
    history, version = SlotHistory(stall_s=1.0), Version()
    for after_s in (0.1, 0.1, 1.0, 1.1, 0.1, 0.1):
        history.append(version.sample(after_s=after_s))
        version.answer(1)
    window = history.window(60, version.at_ns)
    assert window is not None
    assert window.begun == 3  # two before, one after one second; the gap of 1.1 s and the tick after it are out


def test_a_gap_before_a_sample_that_repeats_the_last_one_is_a_stall_too() -> None:
    history, version = SlotHistory(stall_s=0.5), Version()
    history.append(version.sample())
    first = version.sample()
    history.append(first)
    for after_ms, covered_s in ((100, 0.2), (600, 0.7), (1200, 0.7), (1300, 0.7), (1400, 0.8)):
        history.append(first.again(first.at_ns + after_ms * 1_000_000))
        window = history.window(60, version.at_ns + 2 * SECOND_NS)
        assert window is not None
        assert window.covered_s == pytest.approx(covered_s)  # without the gap of 0.6 s and the tick after it


def test_histograms_leave_out_the_second_that_stalled() -> None:
    history, version = SlotHistory(), Version()
    for tick in range(61):
        history.append(version.sample(stalled=tick == 25))
        version.answer(1, first_byte_ms=5_000 if tick == 24 else 5)
        version.useful[0] += 1
    window = history.window(60, seconds(6), histograms=True)
    assert window is not None
    assert (sum(window.first_byte or ()), sum(window.first_useful or ())) == (50, 50)
    assert window.begun == 58


# -- restoring
def kept_of(version: Version, ticks: int, per_tick: int = 3) -> tuple[SlotHistory, dict[str, list[Sample]]]:
    history, kept = SlotHistory(), {name: [] for name, _, _ in TIERS}
    for tick in range(ticks):
        sample = version.sample(stalled=tick == 70)
        for name in history.append(sample):
            kept[name].append(sample)
        version.answer(per_tick)
        version.fail(1 if tick % 10 == 0 else 0)
    sizes = {name: size for name, _, size in TIERS}
    return history, {name: samples[-sizes[name] :] for name, samples in kept.items()}


@pytest.mark.parametrize("asked_s", [2, 5, 20, 60, 300, 900])
def test_a_restored_history_shows_what_the_lost_one_showed(asked_s: int) -> None:
    history, kept = kept_of(Version(), 9_500)
    restored = SlotHistory()
    restored.restore(kept)
    now_ns = seconds(950)
    lost, found = history.window(asked_s, now_ns), restored.window(asked_s, now_ns)
    assert lost is not None
    assert found is not None
    assert found.rate == pytest.approx(lost.rate, rel=0.1)
    assert found.covered_s == pytest.approx(lost.covered_s, rel=0.02, abs=0.2)


def test_of_two_incarnations_the_newer_one_is_restored() -> None:
    _, old = kept_of(Version(), 50)
    _, new = kept_of(Version(incarnation=2, at_ns=seconds(10)), 20)
    restored = SlotHistory()
    restored.restore({name: old[name] + new[name] for name in old})
    assert {entry.sample.incarnation for entry in restored.entries_since()} == {2}


# -- evidence
def test_first_fault() -> None:
    history, version = SlotHistory(), Version()
    for tick in range(30):
        if tick in (3, 20):
            version.fail()
        history.append(version.sample())
    assert history.first_fault_ns(START_NS) == seconds(0.3)
    assert history.first_fault_ns(seconds(1)) == seconds(2.0)
    assert history.first_fault_ns(seconds(2.5)) is None


# -- the model
TICKS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 5), st.sampled_from([False] * 9 + [True])), min_size=2, max_size=120
)


@settings(max_examples=examples(150))
@given(TICKS, st.integers(1, 150), st.integers(0, 120))
def test_a_window_is_the_sum_of_its_ticks(ticks: list[tuple[int, int, bool]], asked: int, promoted: int) -> None:
    """The naive model: add up the ticks within the window one by one, except the stalled ones and those after them."""
    history, version = SlotHistory(), Version()
    for begun, unbegun, stalled in ticks:
        version.answer(begun)
        version.fail(unbegun)
        history.append(version.sample(stalled=stalled))
    last = len(ticks) - 1
    found = history.window(asked / 10, START_NS + last * TICK_NS, START_NS + promoted * TICK_NS)
    first = max(last - asked, promoted, 0)
    if first >= last:
        assert found is None
        return
    flags = [stalled for _, _, stalled in ticks]
    counted = [ticks[i] for i in range(first + 1, last + 1) if not (flags[i] or flags[i - 1])]
    assert found is not None
    assert (found.begun, found.faults_unbegun, found.covered_s) == (
        sum(begun for begun, _, _ in counted),
        sum(unbegun for _, unbegun, _ in counted),
        pytest.approx(len(counted) / 10),
    )


def test_tiers_of_the_shared_memory_are_ours() -> None:
    assert layout.TIERS == TIERS


def test_faults_that_are_set_aside_are_neither_faults_nor_requests() -> None:
    history = SlotHistory()
    before, after = (0,) * 13, [0] * 13
    after[Outcome.OK], after[Outcome.SERVER_ERROR], after[Outcome.CONNECT_FAILED] = 90, 7, 3
    history.append(Sample(SECOND_NS, 1, 1, 1, 0, 0, 0, before))
    history.append(Sample(2 * SECOND_NS, 1, 1, 1, 100, 90, 10, tuple(after), set_aside=8))
    window = history.window(10, 2 * SECOND_NS)
    assert window is not None
    assert (window.requests, window.faults, window.failed, window.failed_share) == (92, 2, 2, 2 / 92)


def test_no_more_is_set_aside_than_failed_in_the_window() -> None:
    history = SlotHistory()
    counts = [0] * 13
    history.append(Sample(SECOND_NS, 1, 1, 1, 0, 0, 0, tuple(counts)))
    counts[Outcome.OK], counts[Outcome.SERVER_ERROR] = 5, 1
    history.append(Sample(2 * SECOND_NS, 1, 1, 1, 6, 5, 1, tuple(counts), set_aside=50))
    window = history.window(10, 2 * SECOND_NS)
    assert window is not None
    assert (window.requests, window.faults, window.weighted_faults) == (5, 0, 0.0)
