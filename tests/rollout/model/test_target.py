from __future__ import annotations

from itertools import product

import pytest

from router.errors import InternalError
from router.rollout.model.target import LEGAL, State, Target

TARGET = Target("v1", ("http://a:1",), State.ACTIVE, since_ns=5, since=0.5, bounded=True, accepted=True)


@pytest.mark.parametrize(("before", "after"), list(product(State, State)), ids=lambda state: state.value)
def test_only_what_the_table_has_is_possible(before: State, after: State) -> None:
    target = Target("v1", ("http://a:1",), before, 5, 0.5)
    if after in LEGAL[before]:
        assert target.moved(after, at=1.0, at_ns=9).state is after
    else:
        with pytest.raises(InternalError, match="cannot become"):
            target.moved(after, at=1.0, at_ns=9)


def test_a_change_of_state_is_dated() -> None:
    draining = TARGET.moved(State.DRAINING, at=1.0, at_ns=9)
    assert draining == Target("v1", ("http://a:1",), State.DRAINING, 9, 1.0, accepted=True)
    retired = draining.moved(State.RETIRED, at=2.0, at_ns=10)
    assert retired == Target("v1", ("http://a:1",), State.RETIRED, 10, 2.0, accepted=True)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("drained", [False, True])
def test_which_versions_may_hold_a_slot(state: State, drained: bool) -> None:
    holding = state not in (State.REGISTERED, State.RETIRED) and not drained
    assert Target("v1", (), state, 0, 0.0, drained=drained).may_hold_slot is holding


def test_shared_memory_overrules_the_table() -> None:
    retired = Target("v1", (), State.RETIRED, 0, 0.0)
    assert retired.forced(State.ACTIVE, at=1.0, at_ns=1).state is State.ACTIVE
