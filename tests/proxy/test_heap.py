"""When pages are returned to the system: once for each burst of connections that is over, and never otherwise."""

from __future__ import annotations

import pytest

from router.proxy import heap
from router.proxy.heap import BURST, PAUSE_S, Heap


class Looks:
    """A heap that is looked at every 100 ms; `walks` are the seconds at which it returned pages."""

    def __init__(self) -> None:
        self.walks: list[float] = []
        self.now_s = 100.0
        self.heap = Heap(lambda: self.walks.append(self.now_s))

    def see(self, *connections: int) -> int:
        for number in connections:
            self.now_s += 0.1
            self.heap.trim_after_burst(number, self.now_s)
        return len(self.walks)


def test_a_crowd_that_is_gone_is_worth_one_walk() -> None:
    looks = Looks()
    assert looks.see(10, 2000, 2000, 1500, 900, 300, 10) == 0, "it still leaves"
    assert looks.see(10) == 1
    assert looks.see(*([10] * 1000)) == 1, "and never again for the same one"
    assert looks.see(2000, 10, 10) == 2


@pytest.mark.parametrize(
    "numbers",
    [
        [0, BURST - 1, 0, 0] * 50,
        [4000, 2001, 2001, 4000, 3000, 3000] * 20,
        [1000] * 100,
        list(range(0, 5000, 10)),
    ],
    ids=["few come and go", "less than half leaves", "all stay", "more and more come"],
)
def test_other_traffic_is_worth_none(numbers: list[int]) -> None:
    assert Looks().see(*numbers) == 0


def test_crowds_that_come_and_go_quickly_cost_one_walk_a_pause() -> None:
    looks = Looks()
    looks.see(*([1000, 0, 0, 0] * 100))
    assert len(looks.walks) <= 40 / PAUSE_S
    assert all(later - earlier >= PAUSE_S - 1e-9 for earlier, later in zip(looks.walks, looks.walks[1:], strict=False))
    assert looks.see(*([0] * 20)) > 0
    assert looks.heap.most == 0, "what the last one left is given back, too"


def test_the_c_library_returns_pages_or_has_no_such_function() -> None:
    trim = heap.trimmer()
    if trim is None:
        Heap(None).trim_after_burst(0, 1.0)
    else:
        assert trim() in (0, 1)
