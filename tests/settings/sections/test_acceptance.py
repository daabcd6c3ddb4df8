from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from router.settings.sections.service import Service


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param({"acceptance": {"after_s": 0}}, "acceptance.after_s = 0: more than 0", id="no time"),
        pytest.param({"acceptance": {"requests_min": 0}}, "acceptance.requests_min = 0: at least 1", id="no requests"),
        pytest.param(
            {"acceptance": {"fault_share_max": 2}},
            "acceptance.fault_share_max = 2: within 0 and 1",
            id="two hundred per cent",
        ),
        pytest.param({"acceptance": {"longest_wait_s_max": -1}}, "longest_wait_s_max = -1: 0 or more", id="negative"),
        pytest.param({"acceptance": {"fault_factor_max": 0}}, "fault_factor_max = 0: more than 0", id="no factor"),
        pytest.param({"acceptance": {"late_share_max": 0.1}}, "needs rules.latency.slo_ms", id="late than what"),
        pytest.param({"acceptance": {"p99": 1}}, "Unexpected keyword argument", id="unknown member"),
    ],
)
def test_mistakes_name_value_and_remedy(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Service.model_validate(settings)


def test_what_can_be_asked() -> None:
    criteria = {"after_s": 60, "late_share_max": 0.02, "fault_factor_max": 1.5, "cases": "required"}
    service = Service.model_validate({"acceptance": criteria, "rules": {"latency": {"slo_ms": 100}}})
    assert service.acceptance.limits() == {"late_share": 0.02, "quality_alerts": 0.0}
