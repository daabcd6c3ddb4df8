from collections.abc import Iterator

import pytest

from router.shm import wall as walls
from router.shm.wall import Wall


@pytest.fixture
def wall() -> Iterator[Wall]:
    made = walls.create(workers=2, services=2)
    yield made
    made.close()
