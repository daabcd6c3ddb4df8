from router.rollout.stats.work_counts import WorkCounts
from router.rollout.work import WorkEnd


def ends(**counts: int) -> tuple[int, ...]:
    return tuple(counts.get(end.label, 0) for end in WorkEnd)


def test_asked_is_useful_and_without_use_and_open() -> None:
    counts = WorkCounts(ends=ends(useful=5, fault=2, neutral=1), asked=10)
    assert (counts.useful, counts.without_use, counts.open) == (5, 3, 2)
