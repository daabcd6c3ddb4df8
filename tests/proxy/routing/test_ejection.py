"""Which addresses are ejected: a table of states, each with its healthy twin."""

from __future__ import annotations

import pytest

from router.proxy.routing.ejection import AddressState, ejected, kept_out, reason
from router.rollout.units import SECOND_NS

NOW = 1000 * SECOND_NS
A_SECOND_AGO = NOW - SECOND_NS


def state(key: int = 1, **seen: int | bool) -> AddressState:
    """Return the state of an address to which something bad has happened just now."""
    return AddressState(key, **({"bad_ns": A_SECOND_AGO} | seen))


@pytest.mark.parametrize(
    ("bad", "healthy"),
    [
        pytest.param(
            state(in_a_row=5, requests=2), state(in_a_row=4, requests=2), id="five faults in a row, and not four"
        ),
        pytest.param(state(in_a_row=5, requests=2), state(in_a_row=50, requests=1), id="and not one request again"),
        pytest.param(state(overdue=3), state(overdue=2), id="three waits too long, and not two"),
        pytest.param(
            state(overdue=3), state(overdue=3, good_ns=A_SECOND_AGO + 1), id="and not if it answered after the others"
        ),
        pytest.param(state(attempts=10, faults=5), state(attempts=10, faults=4), id="half of ten, and not less"),
        pytest.param(state(attempts=10, faults=5), state(attempts=9, faults=9), id="and not of nine"),
        pytest.param(
            state(red=True), state(red=True, good_ns=A_SECOND_AGO), id="its probe fails, and it gives no answer"
        ),
        pytest.param(
            state(in_a_row=9, requests=2),
            state(in_a_row=9, requests=2, until_ns=A_SECOND_AGO + 1),
            id="something new after the last ejection",
        ),
    ],
)
def test_an_address_is_ejected_and_its_healthy_twin_is_not(bad: AddressState, healthy: AddressState) -> None:
    others_good_ns = A_SECOND_AGO
    assert reason(bad, others_good_ns, NOW) is not None
    assert reason(healthy, others_good_ns, NOW) is None


def test_waits_are_no_reason_while_no_other_address_answers() -> None:
    assert reason(state(overdue=9, good_ns=5 * SECOND_NS), 4 * SECOND_NS, NOW) is None


def test_an_ejection_lasts_twice_as_long_each_time_up_to_a_minute() -> None:
    one, lasted = state(), []
    now_ns = NOW
    for _ in range(6):
        until_ns, ejections = ejected(one, now_ns)
        lasted.append((until_ns - now_ns) // SECOND_NS)
        one, now_ns = state(until_ns=until_ns, ejections=ejections), until_ns + SECOND_NS
    assert lasted == [5, 10, 20, 40, 60, 60]


def test_an_address_whose_probe_fails_waits_no_longer_each_time() -> None:
    assert ejected(state(red=True, until_ns=NOW, ejections=5), NOW) == (NOW + 5 * SECOND_NS, 5)


def test_old_ejections_are_forgotten() -> None:
    assert ejected(state(until_ns=NOW - 61 * SECOND_NS, ejections=4), NOW) == (NOW + 5 * SECOND_NS, 1)


@pytest.mark.parametrize(
    ("addresses", "bad", "out"),
    [(1, 1, 0), (2, 1, 1), (2, 2, 1), (3, 2, 1), (4, 1, 1), (4, 4, 2), (5, 3, 2)],
)
def test_at_most_half_are_kept_out_and_never_the_last(addresses: int, bad: int, out: int) -> None:
    states = [state(key, until_ns=NOW + 1 if key < bad else 0) for key in range(addresses)]
    assert len(kept_out(states, NOW)) == out


def test_the_worst_are_kept_out_and_all_workers_agree() -> None:
    states = [state(key, until_ns=NOW + 1, in_a_row=number) for key, number in ((7, 5), (8, 9), (9, 5))]
    assert kept_out(states, NOW) == kept_out(states[::-1], NOW) == {8}
