from __future__ import annotations

import pytest
from pydantic import ValidationError

from router.settings.sections.retention import Retention


@pytest.mark.parametrize("number", [-1, 101])
def test_how_many_may_be_kept(number: int) -> None:
    with pytest.raises(ValidationError):
        Retention(keep_accepted=number)
    assert Retention(keep_accepted=0).keep_accepted == 0
