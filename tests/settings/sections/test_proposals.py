"""How long proposals wait for a decision, and the action if there is none."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from router.control.core.service_controller import proposal_rules
from router.rollout.proposals.proposal import ProposalRules
from router.settings.sections.service import ProposalSettings, Service


def test_the_defaults_are_those_of_the_machine() -> None:
    assert proposal_rules(Service()) == ProposalRules()


def test_every_setting_reaches_the_machine() -> None:
    values = {"expire_after_s": 1, "at_expiry": "rollback", "repeat_after_s": 0, "promotion_expire_after_s": 2}
    service = Service.model_validate({"promote_needs": "approval", "proposals": values})
    assert proposal_rules(service) == ProposalRules(1, "rollback", 0, True, 2)


@pytest.mark.parametrize(
    "values",
    [
        {"expire_after_s": 0},
        {"at_expiry": "approve"},
        {"repeat_after_s": -1},
        {"promotion_expire_after_s": 9e9},
        {"x": 1},
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ProposalSettings.model_validate(values)
