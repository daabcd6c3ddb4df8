"""Which version has which role, found once for each change."""

from __future__ import annotations

from dataclasses import replace

from router.rollout.machine.roles import Roles
from router.rollout.model.target import State, Target

V1 = Target("v1", ("http://127.0.0.1:1",), State.ACTIVE, 0, 0.0)


def test_roles() -> None:
    standby = replace(V1, version="v2", state=State.STANDBY)
    old = replace(V1, version="v0", state=State.RETIRED)
    left = replace(V1, version="v3", state=State.DRAINING)
    ready = replace(V1, version="v4", state=State.READY)
    roles = Roles({target.version: target for target in (V1, old, standby, left, ready)})
    assert (roles.active, roles.standby, roles.candidate) == (V1, standby, ready)
    assert roles.draining == roles.awaited == (left,)
    assert (roles.holding, State.RETIRED in roles.by_state) == ((V1, standby, left, ready), False)


def test_of_a_state_with_several_versions_the_last_one_counts() -> None:
    first, second = (replace(V1, version=name, state=State.DRAINING) for name in ("a", "b"))
    assert Roles({"a": first, "b": second}).by_state == {State.DRAINING: second}
    assert Roles({}).active is None


def test_what_time_alone_changes_is_awaited() -> None:
    verifying = replace(V1, version="v2", state=State.VERIFYING)
    failed = replace(V1, version="v4", state=State.FAILED)
    bounded = replace(V1, version="v5", state=State.STANDBY, bounded=True)
    gone = replace(V1, version="v6", state=State.FAILED, drained=True)
    roles = Roles({target.version: target for target in (V1, verifying, failed, bounded, gone)})
    assert roles.awaited == (verifying, failed, bounded)
