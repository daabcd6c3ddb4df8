"""The take-over benchmark's arithmetic: steps from a log, their spread, the output."""

from __future__ import annotations

import pytest

from benchmarks import takeover
from benchmarks.program import BenchmarkError

LOG = """2026-11-29T10:08:15.540 INFO supervisor take-over: ready after 1.50 s
2026-11-29T10:08:19.636 INFO supervisor take-over: released after 1.75 s
2026-11-29T10:08:21.213 INFO supervisor taken over from process 3366 within 2.25 s
2026-11-29T10:08:21.213 INFO supervisor take-over: done after 2.25 s
"""


def test_steps_are_read_from_the_log() -> None:
    assert takeover.steps_of(LOG) == {"ready": 1.5, "released": 1.75, "yours": 2.25}
    assert takeover.steps_of("") == {}


def test_the_spread_of_steps() -> None:
    spread = takeover.spread([{"ready": 1.0}, {"ready": 3.0}, {"ready": 2.0, "yours": 4.0}])
    assert spread == {"ready": {"min": 1.0, "p50": 2.0, "max": 3.0}, "yours": {"min": 4.0, "p50": 4.0, "max": 4.0}}


@pytest.mark.parametrize(("number", "hogs"), [(-1, 5), (1, -1), (1, 17)])
def test_numbers_that_cannot_be_are_refused(number: int, hogs: int) -> None:
    with pytest.raises(BenchmarkError, match="--take-overs"):
        takeover.run(True, number, hogs, tls=False, before=None)


def test_hogs_are_gone_afterwards() -> None:
    with takeover.busy(2):
        pass
