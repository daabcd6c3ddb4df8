from __future__ import annotations

import pytest

from router.rollout.history.period import Period, moment, period

NOW_S = 1_800_000_000.0  # 2027-01-15T08:00:00Z
DAY_S = 86_400.0


@pytest.mark.parametrize(
    ("text", "ago_s"),
    [
        ("30d", 30 * DAY_S),
        ("12h", DAY_S / 2),
        ("90m", 5_400),
        ("1.5h", 5_400),
        ("2w", 14 * DAY_S),
        ("45s", 45),
        ("0s", 0),
        ("2027-01-14", DAY_S + 8 * 3600),
        ("2027-01-15T07:00", 3600),
        ("2027-01-15T07:00:00Z", 3600),
        ("2027-01-15T08:00+01:00", 3600),
    ],
)
def test_times_are_parsed(text: str, ago_s: float) -> None:
    assert NOW_S - moment(text, NOW_S) == ago_s


@pytest.mark.parametrize(
    ("since", "until", "why"),
    [
        ("", "", "write 30d, 12h, 45m, 2026-11-01"),
        ("yesterday", "", "'yesterday': write 30d"),
        ("30 d", "", "write 30d"),
        ("-3d", "", "write 30d"),
        ("1e9d", "", "write 30d"),
        ("x" * 500, "", f"'{'x' * 40}': write"),
        ("9999999d", "", "more than 10 years ago"),
        ("1h", "2h", "since '1h' is not before until '2h'"),
        ("2030-01-01", "", "since '2030-01-01' is not before until 'now'"),
    ],
)
def test_an_invalid_period_names_the_spelling(since: str, until: str, why: str) -> None:
    with pytest.raises(ValueError) as refused:
        period(since, until, NOW_S)
    assert why in str(refused.value)


def test_a_period_ends_now_at_the_latest_and_gives_overlaps() -> None:
    assert period("2h", "1h", NOW_S) == Period(NOW_S - 7200, NOW_S - 3600)
    assert period("2h", "2030-01-01", NOW_S) == Period(NOW_S - 7200, NOW_S)
    made = Period(100, 200)
    assert made.seconds == 100
    assert [made.overlap_s(*pair) for pair in ((0, 50), (50, 150), (120, 130), (0, 300), (250, 300))] == [
        0, 50, 10, 100, 0,
    ]  # fmt: skip
