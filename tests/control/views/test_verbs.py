"""Each verb is allowed or has its reason, as the machine would decide now, and asking changes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from router.control.views import verbs
from router.control.views.verbs import VerbStatus
from router.errors import Refusal
from router.rollout.machine.registry import Registry
from router.shm import layout as at
from tests.control.control_harness import ControlHarness


def found(control: ControlHarness) -> dict[str, VerbStatus]:
    registry: Registry = control.service_controller.registry
    before = registry.as_dict()
    answer = verbs.allowed(control.service_controller, control.now_ns)
    assert registry.as_dict() == before
    return answer


def allowed(control: ControlHarness) -> set[str]:
    return {name for name, verb in found(control).items() if verb["allowed"]}


async def test_with_an_active_version_and_a_standby(control: ControlHarness) -> None:
    assert allowed(control) == {"rollback", "switch", "deploy", "retire", "freeze", "quarantine"}
    answer = found(control)
    assert answer["switch"]["versions"] == answer["retire"]["versions"] == ["v2"]
    assert all(verb["reasons"] for verb in answer.values() if not verb["allowed"])
    assert not any(verb["reasons"] for verb in answer.values() if verb["allowed"])


async def test_the_reason_is_that_of_the_refusal(control: ControlHarness) -> None:
    control.probe("v2", ok=False, times=5)
    with pytest.raises(Refusal) as refused:
        await control.operations.switch(service="svc", to="v2", actor="ann")
    assert found(control)["switch"] == {"allowed": False, "reasons": [refused.value.detail], "versions": []}
    await control.operations.retire(service="svc", version="v2", actor="ann")
    with pytest.raises(Refusal) as refused:
        await control.operations.rollback(service="svc", reason="bad", actor="ann")
    assert found(control)["rollback"]["reasons"] == [refused.value.detail]


async def test_a_candidate_may_be_promoted_once_it_is_ready(control: ControlHarness) -> None:
    await control.operations.deploy(service="svc", version="v3", endpoints=["http://127.0.0.1:3"], actor="ann")
    assert "promote" not in allowed(control)
    control.probe("v3", times=5)
    assert found(control)["promote"] == {"allowed": True, "reasons": [], "versions": ["v3"]}
    await control.operations.promote(service="svc", version="v3", actor="ann")
    assert found(control)["promote"]["allowed"] is False


async def test_what_is_frozen_can_only_be_unfrozen(control: ControlHarness) -> None:
    await control.operations.freeze(service="svc", reason="a test", actor="ann")
    assert {"freeze", "unfreeze"} & allowed(control) == {"unfreeze"}


async def test_a_blocked_version_may_be_released(control: ControlHarness) -> None:
    await control.operations.quarantine(service="svc", version="v2", actor="ann")
    assert found(control)["release"]["versions"] == ["v2"]
    assert not {"rollback", "switch", "quarantine"} & allowed(control)


async def test_nothing_is_allowed_during_a_take_over(control: ControlHarness) -> None:
    control.segment.words[at.H_TAKING_OVER] = 1
    document: dict[str, Any] = control.queries.service_status("svc")
    assert {verb["allowed"] for verb in document["verbs"].values()} == {False}
    assert len({verb["reasons"][0] for verb in document["verbs"].values()}) == 1
