"""A lost race says what came first, and how long the disk let the change wait."""

from __future__ import annotations

import pytest

from router.control.core.overtaken import SLOW_DISK_S, comparable, difference, lost_race
from router.rollout.facts.entry import Entry
from router.rollout.facts.record import Record
from router.rollout.machine.registry import Registry

ROLLED_BACK = Entry.of("rolled_back", "svc", "control", {"states": {}, "generation": (1 << 24) + 7}, 0.0, 0, 1)


@pytest.mark.parametrize(
    ("first", "waited_s", "change", "words", "missing"),
    [
        pytest.param(
            ROLLED_BACK, 3.2, "", ["rolled_back by control, generation 1.7", "3.2 s", "disk"], [], id="slow disk"
        ),
        pytest.param(ROLLED_BACK, 0.004, "", ["rolled_back by control"], ["disk"], id="healthy disk"),
        pytest.param(ROLLED_BACK, 2.0, "freed: another to", ["freed: another to", "2 s"], ["rolled_back"], id="other"),
        pytest.param(None, 0.0, "", ["another change of svc came first;"], ["disk"], id="unknown"),
    ],
)
def test_the_reason(first: Entry | None, waited_s: float, change: str, words: list[str], missing: list[str]) -> None:
    refusal = lost_race(Registry("svc"), first, int(waited_s * 1e9), change)
    assert refusal.code == "lost_race"
    assert [word for word in words if word not in refusal.detail] == []
    assert [word for word in missing if word in refusal.detail] == []
    assert refusal.facts["overtaken_by"] == ("rolled_back" if first and not change else None)
    assert refusal.facts["waited_s"] == waited_s or waited_s < SLOW_DISK_S


def test_the_difference_between_two_results() -> None:
    def result(*records: Record) -> list[object]:
        return comparable(list(records))

    one, two = Record.of("switched", "ann", {"to": "v2", "generation": 1}), Record.of("switched", "ann", {"to": "v3"})
    assert difference(result(one), result(two)) == "switched: another to"
    assert difference(result(one), result(Record.of("frozen", "ann", {}))) == "frozen instead of switched"
    assert difference(result(one), []) == "0 steps instead of 1"
    assert result(one) == result(Record.of("switched", "ann", {"to": "v2", "generation": 2})), "a generation is none"
