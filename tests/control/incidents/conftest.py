"""The rollback that most tests of incidents read. No test changes it."""

from __future__ import annotations

import pytest

from tests.control.incidents.played_incident import Played


@pytest.fixture(scope="session")
def played() -> Played:
    return Played()
