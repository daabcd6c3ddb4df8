"""How many examples hypothesis tries: all of them with --nightly, a quarter without (`tests/conftest.py` loads the profile)."""

from __future__ import annotations

from typing import Final

from hypothesis import settings

ALL: Final = 100
"""max_examples of the profile `nightly`, which is hypothesis's own default."""
QUARTER: Final = ALL // 4
"""max_examples of the profile `project`."""


def examples(nightly: int) -> int:
    """Return max_examples for a test that tries `nightly` examples with --nightly."""
    return nightly * settings().max_examples // ALL
