"""The rollback that most tests of this room look at; nobody changes it."""

from __future__ import annotations

import pytest

from tests.control.incidents.played_incident import Played


@pytest.fixture(scope="session")
def played() -> Played:
    return Played()
