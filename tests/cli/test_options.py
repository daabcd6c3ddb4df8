from __future__ import annotations

import pytest

from router.cli.options import seconds
from router.errors import CommandError
from router.runtime.exit_codes import exit_code


@pytest.mark.parametrize(
    ("text", "expected"), [("90", 90.0), ("90s", 90.0), ("1.5m", 90.0), ("2h", 7200.0), (" 7d ", 604_800.0)]
)
def test_lengths_of_time(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "h", "-1h", "2 hours", "1e9", "2w", "9999999999"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(CommandError, match="write 90s, 15m, 2h or 7d") as caught:
        seconds(text)
    assert exit_code(caught.value) == 2
