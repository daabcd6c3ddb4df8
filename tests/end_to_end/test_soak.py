"""A minute of random verbs, kills and faults at once (`soak.py` plays any time), each night with another seed."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.end_to_end.soak import soaked

pytestmark = [pytest.mark.end_to_end, pytest.mark.nightly, pytest.mark.alone, pytest.mark.timeout(600)]

SECONDS = 60.0


async def test_everything_holds_under_verbs_kills_and_faults_at_once(tmp_path: Path) -> None:
    """The seed and the last acts are printed if it fails: `python -m tests.end_to_end.soak --seed N` draws the same acts."""
    acts = await soaked(tmp_path, random.SystemRandom().randrange(1 << 32), SECONDS)
    assert any(act.startswith("kill ") for act in acts)
    assert acts["entry promoted"] > 0
