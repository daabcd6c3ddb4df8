from __future__ import annotations

import pytest

from router.rollout.facts import alerts, automation, cases, drills, incidents, inputs, mlflow, proposals, router_itself
from router.rollout.facts.fact import FactInvalid, Scope
from router.rollout.facts.known import FACTS, OtherFact, fact_of, fact_of_json
from router.rollout.facts.switches import SwitchFact
from tests import entry_types


def test_every_type_has_its_class() -> None:
    types = {value for name, value in vars(entry_types).items() if name.isupper() and isinstance(value, str)}
    assert types == FACTS.keys()
    assert {kind for kind, known in FACTS.items() if issubclass(known, SwitchFact)} == entry_types.SWITCHES


def test_whose_fact_it_is() -> None:
    own = {kind for kind, known in FACTS.items() if known.SCOPE is Scope.ROUTER}
    assert own == {kind for kind, known in FACTS.items() if known.__module__ == router_itself.__name__}
    assert own >= {"boot", "settings_changed", "drained", "drain_cut"}
    of_all = (alerts, automation, cases, drills, incidents, inputs, mlflow, proposals)
    names = {module.__name__ for module in of_all}
    assert all(known.SCOPE is Scope.FLEET for known in FACTS.values() if known.__module__ in names)


def test_an_unknown_type_keeps_its_members() -> None:
    fact = fact_of("epoch", {"epoch": 3, "states": {"v1": "active"}})
    assert isinstance(fact, OtherFact)
    assert (fact.type, fact.to_data()) == ("epoch", {"epoch": 3, "states": {"v1": "active"}})
    assert fact_of_json("epoch", '{"epoch": 3, "states": {"v1": "active"}}') == fact


@pytest.mark.parametrize("text", ["", "[]", "5", '{"boot": 3', "\x00"])
@pytest.mark.parametrize("kind", ["boot", "epoch", "promoted", "drill_ended"])
def test_what_is_no_object_is_no_fact(kind: str, text: str) -> None:
    with pytest.raises(FactInvalid):
        fact_of_json(kind, text)
