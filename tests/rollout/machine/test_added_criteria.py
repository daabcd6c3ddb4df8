from __future__ import annotations

import pytest

from router.errors import Refusal
from router.rollout.facts.record import Record
from router.rollout.machine.replay import rebuild
from router.rollout.model import events as ev
from tests import entry_types
from tests.rollout.playbook import Playbook


def lesson(limit: float, origin: str = "svc-1-4") -> Record:
    data = {"metric": "fault_share", "limit": limit, "origin": origin, "reason": "v2 was rolled back"}
    return Record.of(entry_types.CRITERION_ADDED, "control", data)


def limit(playbook: Playbook) -> float | None:
    known = playbook.registry.criteria.known.get("fault_share")
    return known["limit"] if known else None


def test_of_one_metric_the_stricter_lesson_stays() -> None:
    playbook = Playbook().seed()
    for result, kept in ((0.02, 0.02), (0.05, 0.02), (0.01, 0.01)):
        playbook.record(lesson(result))
        assert limit(playbook) == kept
    assert rebuild("svc", playbook.entries).as_dict() == playbook.registry.as_dict()


def test_a_limit_of_an_operator_holds() -> None:
    playbook = Playbook().seed()
    playbook.record(lesson(0.01))
    commands = playbook.tell(ev.CriterionSet("fault_share", 0.03, "ann", "too strict"))
    data = {"metric": "fault_share", "limit": 0.03, "origin": "ann", "reason": "too strict"}
    assert commands == [Record.of("criterion_set", "ann", data)]
    assert limit(playbook) == 0.03
    assert playbook.tell(ev.CriterionSet("fault_share", 0.03, "bob", "the same")) == []
    playbook.tell(ev.CriterionRemoved("fault_share", "ann", "not for us"))
    assert limit(playbook) is None


@pytest.mark.parametrize(
    ("event", "code"),
    [
        pytest.param(ev.CriterionSet("p99", 1.0, "ann", "x"), "metric_unknown", id="no such metric"),
        pytest.param(ev.CriterionSet("fault_share", 1.5, "ann", "x"), "limit_invalid", id="a share above one"),
        pytest.param(ev.CriterionSet("longest_wait_s", -1.0, "ann", "x"), "limit_invalid", id="negative"),
        pytest.param(ev.CriterionRemoved("fault_share", "ann", "x"), "criterion_unknown", id="none to remove"),
    ],
)
def test_refusals_change_nothing(event: ev.Event, code: str) -> None:
    playbook = Playbook().seed()
    before = playbook.registry.as_dict()
    with pytest.raises(Refusal) as caught:
        playbook.tell(event)
    assert (caught.value.code, playbook.registry.as_dict()) == (code, before)
