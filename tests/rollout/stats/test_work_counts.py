from router.rollout.stats.work_counts import NO_ENDS, WorkCounts, merged
from router.rollout.work import WorkEnd


def ends(**counts: int) -> tuple[int, ...]:
    return tuple(counts.get(end.label, 0) for end in WorkEnd)


def test_asked_is_useful_and_without_use_and_open() -> None:
    counts = WorkCounts(ends=ends(useful=5, fault=2, neutral=1), asked=10)
    assert (counts.useful, counts.without_use, counts.open) == (5, 3, 2)


def test_workers_are_added_up() -> None:
    one = WorkCounts(ends(useful=2), 3, oldest_wait_ns=50, last_useful_ns=9, lost_requests=frozenset({1}), waiting=1)
    other = WorkCounts(ends(fault=1), 1, last_useful_ns=7, lost_requests=frozenset({1, 2}), known_good=1)
    both = merged([one, other])
    assert both.ends == ends(useful=2, fault=1)
    assert (both.asked, both.waiting, both.oldest_wait_ns, both.last_useful_ns, both.known_good) == (4, 1, 50, 9, 1)
    assert both.lost_requests == {1, 2}


def test_the_oldest_wait_is_that_of_a_worker_that_has_one() -> None:
    both = merged([WorkCounts(oldest_wait_ns=0), WorkCounts(oldest_wait_ns=8)])
    assert both.oldest_wait_ns == 8
    assert merged([WorkCounts(), WorkCounts()]).ends == NO_ENDS
