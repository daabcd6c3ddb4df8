from __future__ import annotations

import pytest

from router.errors import InternalError
from router.rollout.machine.version_rules import VersionRules, quarantined
from router.rollout.model.events import Ticked
from tests.rollout.playbook import BOOT, Playbook


def test_an_event_that_is_none_of_its_business() -> None:
    with pytest.raises(InternalError, match="Ticked"):
        VersionRules(Playbook().registry, BOOT + 1).handle(Ticked(), 0)


@pytest.mark.parametrize(("incident", "expected"), [(None, "bad;"), ("svc-1-2", "bad (incident svc-1-2);")])
def test_a_refusal_names_the_reason_and_the_incident(incident: str | None, expected: str) -> None:
    mark = {"reason": "bad", "incident": incident, "actor": "ann", "at": 1.5}
    error = quarantined("v1", mark)
    assert error.code == "version_quarantined"
    assert f"version v1 is quarantined: {expected}" in error.detail
    assert error.facts == {"quarantine": {"reason": "bad", "incident": incident, "actor": "ann"}}
