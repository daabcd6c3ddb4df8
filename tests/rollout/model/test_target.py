from __future__ import annotations

from itertools import product

import pytest

from router.errors import InternalError
from router.rollout.model.target import LEGAL, State, Target

TARGET = Target("v1", ("http://a:1",), State.ACTIVE, 3, 2, since_ns=5, since=0.5, bounded=True, accepted=True)


@pytest.mark.parametrize(("before", "after"), list(product(State, State)), ids=lambda state: state.value)
def test_only_what_the_table_has_is_possible(before: State, after: State) -> None:
    target = Target("v1", ("http://a:1",), before, 3, 2, 5, 0.5)
    if after in LEGAL[before]:
        assert target.moved(after, at=1.0, at_ns=9, generation=7).state is after
    else:
        with pytest.raises(InternalError, match="cannot become"):
            target.moved(after, at=1.0, at_ns=9, generation=7)


def test_a_lost_role_is_dated_and_a_retired_version_holds_no_slot() -> None:
    draining = TARGET.moved(State.DRAINING, at=1.0, at_ns=9, generation=7)
    assert draining == Target("v1", ("http://a:1",), State.DRAINING, 3, 2, 9, 1.0, 7, accepted=True)
    assert draining.role == "draining"
    retired = draining.moved(State.RETIRED, at=2.0, at_ns=10, generation=8)
    assert retired == Target("v1", ("http://a:1",), State.RETIRED, None, 2, 10, 2.0, 7, accepted=True)


@pytest.mark.parametrize(
    ("state", "slot", "role"),
    [
        (State.VERIFYING, 0, "candidate"),
        (State.READY, 0, "candidate"),
        (State.ACTIVE, 0, "active"),
        (State.STANDBY, 0, "standby"),
        (State.UNREACHABLE, 0, "none"),
        (State.DRAINING, 0, "draining"),
        (State.FAILED, 0, "draining"),
        (State.FAILED, None, "none"),
        (State.RETIRED, None, "none"),
    ],
)
def test_role(state: State, slot: int | None, role: str) -> None:
    assert Target("v1", (), state, slot, 1, 0, 0.0).role == role


def test_shared_memory_overrules_the_table() -> None:
    retired = Target("v1", (), State.RETIRED, 2, 1, 0, 0.0)
    assert retired.forced(State.ACTIVE, at=1.0, at_ns=1, generation=4).state is State.ACTIVE
