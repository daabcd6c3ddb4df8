from __future__ import annotations

from router.rollout.outcome import OUTCOMES
from router.rollout.stats.sample import Sample
from router.rollout.stats.window import SlotHistory
from router.rollout.stats.work_counts import NO_ENDS, WorkCounts
from router.rollout.stats.work_history import WorkHistory
from router.rollout.units import SECOND_NS
from router.rollout.work import WorkEnd


def ends(**counts: int) -> tuple[int, ...]:
    found = list(NO_ENDS)
    for name, count in counts.items():
        found[WorkEnd[name.upper()]] = count
    return tuple(found)


class Samples:
    def __init__(self) -> None:
        self.slot, self.history, self.second = SlotHistory(), WorkHistory(), 0

    def add(self, work: dict[int, WorkCounts] | None, *, incarnation: int = 1, stalled: bool = False) -> bool:
        self.second += 1
        at_ns = self.second * SECOND_NS
        self.slot.append(Sample(at_ns, incarnation, 1, 1, 0, 0, 0, (0,) * len(OUTCOMES), stalled=stalled, work=work))
        entry = self.slot.newest
        assert entry is not None
        return self.history.add(entry)

    def window(self, seconds: float, *buckets: int, since_s: int = 0) -> tuple[int, int, int] | None:
        found = self.history.window(seconds, self.second * SECOND_NS, since_s * SECOND_NS, buckets)
        return None if found is None else (found.useful, found.failed, found.requests)


def test_the_counts_of_some_buckets_in_a_period() -> None:
    samples = Samples()
    for second in range(20):
        chat = WorkCounts(ends(useful=second * 3, fault=second, gone_early=second), late_faults=second)
        samples.add({0: chat, 3: WorkCounts(ends(useful=second))})
    assert samples.window(10, 0) == (30, 20, 40)
    assert samples.window(10, 0, 3) == (40, 20, 50)
    assert samples.window(10, 5) == (0, 0, 0)
    assert samples.window(10, 0, since_s=15) == (15, 10, 20)


def test_a_sample_without_work_adds_nothing() -> None:
    samples = Samples()
    assert not samples.add(None)
    assert samples.window(10, 0) is None


def test_a_stalled_second_is_left_out() -> None:
    samples = Samples()
    for second in range(10):
        samples.add({0: WorkCounts(ends(useful=second * 10))}, stalled=second == 5)
    assert samples.window(20, 0) == (70, 0, 70)  # the stalled second, and the one with what piled up


def test_another_version_starts_with_nothing() -> None:
    samples = Samples()
    for second in range(5):
        samples.add({0: WorkCounts(ends(useful=second * 10))})
    samples.add({0: WorkCounts(ends(useful=1))}, incarnation=2)
    assert samples.window(20, 0) is None


def test_a_quarter_of_an_hour_is_kept() -> None:
    samples = Samples()
    for second in range(1_200):
        samples.add({0: WorkCounts(ends(useful=second))})
    assert samples.window(300, 0) == (300, 0, 300)
    found = samples.window(900, 0)
    assert found is not None
    assert 900 <= found[0] <= 910
