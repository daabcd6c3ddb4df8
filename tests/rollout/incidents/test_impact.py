from __future__ import annotations

from dataclasses import replace

from router.rollout.incidents.impact import POINTS_MAX, impact, merge, onset_ns, periods, points, summarize
from router.rollout.outcome import Outcome
from router.rollout.stats.window import SlotHistory, WindowEntry
from tests.rollout.simulator import START_NS, Version, seconds


def lived(*acts: tuple[float, int, int], version: Version | None = None) -> list[WindowEntry]:
    """The trail of a version that in each act lives (seconds, good, faults a tick)."""
    version, history = version or Version(), SlotHistory()
    history.append(version.sample())
    for for_s, good, bad in acts:
        for _ in range(round(for_s * 10)):
            version.answer(good)
            version.fail(bad)
            history.append(version.sample())
    return list(history.entries_since())


def test_points_are_the_stretches_between_histograms() -> None:
    assert points(lived((2, 10, 0), (1, 5, 5)), 0) == [
        [seconds(1), 1.0, 100, 0, 0, 4.864, 5.115],
        [seconds(2), 1.0, 100, 0, 0, 4.864, 5.115],
        [seconds(3), 1.0, 100, 50, 0, 4.864, 5.115],
    ]
    assert points([], 0) == []


def test_without_entries_there_is_no_snapshot() -> None:
    assert points(lived((1, 0, 0)), 0) == [[seconds(1), 1.0, 0, 0, 0, None, None]]
    assert summarize([], START_NS, START_NS) is None


def test_a_version_without_a_role_has_points_from_counters() -> None:
    version, history = Version(), SlotHistory()
    for tick in range(41):
        sample = version.sample()
        nothing = {"first_byte": None, "duration": None, "abandoned": None} if tick > 20 else {}
        history.append(replace(sample, **nothing))
        version.fail(1)
    result = [(point[0], point[1], point[2], point[6]) for point in points(list(history.entries_since()), seconds(2.3))]
    assert result == [
        (seconds(1), 1.0, 10, None),
        (seconds(2), 1.0, 10, None),
        (seconds(2.3), 0.3, 3, None),
        (seconds(3.3), 1.0, 10, None),
        (seconds(4), 0.7, 7, None),
    ]


def test_a_last_point_is_completed_by_a_later_snapshot() -> None:
    version, history = Version(), SlotHistory()
    one = None
    for tick in range(31):
        history.append(version.sample())
        version.answer(1)
        if tick == 25:
            one = summarize(list(history.entries_since()), seconds(1), seconds(1))
    assert one is not None
    assert one["points"][-1][:3] == [seconds(2.5), 0.5, 5]
    both = merge(one, summarize(list(history.entries_since()), seconds(1), seconds(1), one))
    assert [point[:3] for point in (both or {})["points"]] == [[seconds(at), 1.0, 10] for at in (1, 2, 3)]


def test_the_beginning_of_a_share_of_faults() -> None:
    trail = lived((10, 10, 0), (0.1, 9, 1), (9.9, 10, 0), (3, 7, 3), (1, 10, 0), (6, 7, 3))
    assert onset_ns(trail, seconds(30), 0.02) == seconds(20), (
        "one good second is no end, one fault long before no beginning"
    )
    assert onset_ns(trail, seconds(19), 0.02) is None
    assert onset_ns([], seconds(30), 0.02) is None


def test_snapshots_merge_without_a_point_twice() -> None:
    version = Version()
    first = lived((3, 10, 0), version=version)
    one = summarize(first, seconds(1), seconds(3))
    both = merge(one, summarize([*first, *lived((2, 10, 0), version=version)[1:]], seconds(1), seconds(3), one))
    assert both is not None
    assert [point[0] for point in both["points"]] == [seconds(at) for at in (1, 2, 3, 4, 5, 5.1)]
    assert merge(None, one) == merge(one, None) == one
    assert merge(None, None) is None


def test_points_are_bounded() -> None:
    one = summarize(lived((2, 1, 0)), seconds(1), seconds(1))
    assert one is not None
    long = {**one, "points": [[at, 0.0, 0, 0, 0, None, None] for at in range(POINTS_MAX)]}
    assert len((merge(long, one) or {})["points"]) == POINTS_MAX


def test_what_it_cost() -> None:
    left, back = Version(), Version()
    left.answer(50, Outcome.CLIENT_ERROR)
    trail = lived((1, 10, 0), version=left)
    back_trail = lived((1, 0, 0), version=back)
    start = summarize(trail, START_NS, seconds(1))
    left.fail(20, Outcome.TIMED_OUT)
    left.leave(3)
    left.rescued += 8
    back.answer(6)
    back.fail(2)
    history, other = SlotHistory(), SlotHistory()
    history.append(left.sample())
    other.append(back.sample())
    later, behind = (
        summarize(list(history.entries_since()), START_NS, seconds(9)),
        summarize(list(other.entries_since()), START_NS, seconds(9)),
    )
    behind = merge(summarize(back_trail, START_NS, seconds(9)), behind)
    behind["readings"]["decision"] = behind["readings"]["last"]  # type: ignore[index]
    both = merge(start, later)
    assert both is not None
    both["readings"]["decision"] = both["readings"]["last"]
    assert impact(both, behind) == {
        "requests": 120,
        "errors": {"timed_out": 20},
        "rescued": 8,
        "clients_gone": 3,
        "failed": 20,
        "failed_until_decision": 20,
        "failed_max": 14,
        "rescue": {"rescued": 8, "answered": 6, "failed": 2, "other": 0, "under_way": 0},
    }
    assert impact(None, behind) is None


def test_periods_without_time_are_unknown() -> None:
    trail = summarize(lived((4, 10, 0)), seconds(1), seconds(2))
    result = periods(trail, seconds(1), seconds(2))
    assert [result[name] and result[name]["requests"] for name in ("before", "during", "after")] == [90, 110, 200], (
        "the sample in which the trouble began is part of it, and counted once"
    )
    assert periods(trail, None, seconds(2))["during"] is None
    assert periods(None, None, seconds(2)) == {"before": None, "during": None, "after": None}
