from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from router.settings.sections.retention import HistorySettings
from router.settings.sections.service import Service


@pytest.mark.parametrize("member", [{"keep_days": 0}, {"keep_days": 400}, {"file_bytes_max": 1000}, {"rows": 3}])
def test_what_is_kept_is_bounded(member: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        HistorySettings.model_validate(member)


@pytest.mark.parametrize("member", [{"standby_cost_per_hour": -1}, {"standby_cost_currency": "a\nb"}])
def test_costs_are_numbers_with_a_name(member: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Service.model_validate(member)
