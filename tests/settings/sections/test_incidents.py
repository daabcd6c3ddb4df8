from __future__ import annotations

import pytest
from pydantic import ValidationError

from router.settings.sections.retention import IncidentSettings


@pytest.mark.parametrize("member", [{"after_s": 0.5}, {"after_s": 900.0}, {"kept_max": 0}, {"failures_max": 21}])
def test_records_are_bounded(member: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        IncidentSettings.model_validate(member)
