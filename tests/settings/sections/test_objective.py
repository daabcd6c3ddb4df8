from __future__ import annotations

import pytest
from pydantic import ValidationError

from router.settings.sections.service import Objective


def test_without_a_promise_there_is_no_budget() -> None:
    assert Objective().availability is None


@pytest.mark.parametrize("availability", [0.0, 1.0, 99.9])
def test_a_promise_leaves_something_to_fail(availability: float) -> None:
    with pytest.raises(ValidationError):
        Objective(availability=availability)
