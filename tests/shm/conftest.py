from collections.abc import Iterator

import pytest

from router.shm import segment as segments
from router.shm.segment import Segment


@pytest.fixture
def segment() -> Iterator[Segment]:
    made = segments.create(workers=2, services=2)
    yield made
    made.close()
