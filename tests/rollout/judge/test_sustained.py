import pytest

from router.rollout.judge.sustained import Sustained
from router.rollout.judge.verdict import State
from tests.rollout.simulator import TICK_NS

LETTERS: dict[str, State] = {"F": "fail", "P": "pass", "i": "inconclusive", "n": "not_configured"}


def after(states: str, tick_ns: int = TICK_NS) -> Sustained:
    sustained = Sustained()
    for number, letter in enumerate(states):
        sustained.tick(LETTERS[letter], number * tick_ns)
    return sustained


@pytest.mark.parametrize(
    ("states", "sustained_s", "is_sustained"),
    [
        ("", 0.0, False),
        ("F" * 10, 0.9, False),
        ("F" * 11, 1.0, True),
        ("F" * 30, 1.0, True),
        ("F" * 10 + "P" + "F" * 10, 0.9, False),
        ("F" * 10 + "P" + "F" * 11, 1.0, True),
        ("F" * 11 + "P", 0.0, False),
        ("F" * 11 + "n", 0.0, False),
        ("F" * 11 + "i", 1.0, False),  # decided long ago; at an inconclusive tick it does not act
        ("F" * 6 + "ii" + "F" * 4, 0.9, False),  # a pause adds nothing
        ("F" * 6 + "ii" + "F" * 5, 1.0, True),  # 10 of 12
        ("F" * 6 + "iii" + "F" * 5, 0.0, False),  # 10 of 13 is below 80 %
        ("i" * 50 + "F" * 11, 1.0, True),
        ("Fi" * 50 + "F", 0.0, False),
        ("FFFFFFi" * 3, 1.0, False),
        ("FFFFFFi" * 3 + "F", 1.0, True),
    ],
)
def test_one_second(states: str, sustained_s: float, is_sustained: bool) -> None:
    sustained = after(states)
    assert (sustained.sustained_s(1.0, 0.8), sustained.is_sustained(1.0, 0.8)) == (
        pytest.approx(sustained_s),
        is_sustained,
    )


def test_a_period_of_zero_acts_at_the_first_failing_tick() -> None:
    assert after("F").is_sustained(0.0, 0.8)
    assert not after("P").is_sustained(0.0, 0.8)


def test_time_between_two_ticks_counts_at_most_a_second() -> None:
    assert after("FF", tick_ns=600 * 1_000_000_000).sustained_s(300.0, 0.8) == 1.0


def test_failing_long_ago_does_not_outweigh_a_long_pause() -> None:
    sustained = after("F" * 1_000 + "i" * 20 + "F" * 10)
    assert not sustained.is_sustained(2.0, 0.8)  # the last 20 failing ticks and the 20 pauses between them
    assert sustained.is_sustained(10.0, 0.8)
