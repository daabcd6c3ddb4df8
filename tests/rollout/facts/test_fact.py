from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from router.rollout.facts.automation import Frozen
from router.rollout.facts.fact import FactInvalid
from router.rollout.facts.known import FACTS, OtherFact, fact_of, fact_of_json
from router.rollout.facts.switches import Confirmed, Promoted, RolledBack
from router.rollout.facts.versions import Deployed, Placement, Registered, Retired
from router.rollout.model.identity import Identity
from router.rollout.model.rewrite import NO_REWRITE, Rewrite
from router.rollout.model.target import State
from tests.rollout.facts.examples import ALL


def text(data: Any) -> str:
    """Return JSON that distinguishes 1 from 1.0 and True."""
    return json.dumps(data, sort_keys=True)


@pytest.mark.parametrize(("kind", "data"), ALL)
def test_what_is_read_is_written_again(kind: str, data: dict[str, Any]) -> None:
    fact = FACTS[kind].from_data(json.loads(text(data)))
    assert type(fact) is FACTS[kind]
    assert (fact.type, text(fact.to_data())) == (kind, text(data))
    assert fact_of_json(kind, text(data)) == fact == fact_of(kind, json.loads(text(data)))


@pytest.mark.parametrize(("kind", "data"), ALL)
def test_what_is_written_is_json_sorted_by_name(kind: str, data: dict[str, Any]) -> None:
    written = fact_of(kind, data).to_data()
    assert list(written) == sorted(written)
    assert json.loads(orjson.dumps(written)) == written


def test_members_have_their_types() -> None:
    data = {"states": {"v2": "active"}, "target": {"version": "v2", "endpoints": ["http://a:1"], "rewrite": {}}}
    fact = Deployed.from_data(data)
    assert (fact.states, fact.activated) == ({"v2": State.ACTIVE}, "v2")
    assert fact.target == Placement(version="v2", endpoints=("http://a:1",), rewrite=NO_REWRITE)
    identity = {"probe": "GET /", "status": 2, "models": ["m"], "certificate": []}
    verified = FACTS["version_verified"].from_data({"states": {}, "good_probes": 5, "identity": {"v2": identity}})
    assert verified.identity == {"v2": Identity("GET /", 2, ("m",))}  # type: ignore[attr-defined]


def test_a_rewrite_that_stays_is_another_fact_than_one_that_ends() -> None:
    placed = {"version": "v2", "endpoints": []}
    stays, ends = (Registered.from_data({"target": {**placed, **more}}).target for more in ({}, {"rewrite": {}}))
    assert (stays and stays.rewrite, ends and ends.rewrite) == (None, Rewrite())


def test_members_that_are_gone_are_ignored_and_missing_ones_have_defaults() -> None:
    placed = {"version": "v2", "endpoints": ["http://a:1"], "slot": 1, "incarnation": 7}
    fact = Deployed.from_data({"states": {"v2": "verifying"}, "target": placed, "freed": ["v1"], "generation": 5})
    assert fact.to_data() == {
        "states": {"v2": "verifying"},
        "target": {"version": "v2", "endpoints": ["http://a:1"]},
        "generation": 5,
    }
    confirmed = Confirmed.from_data({"generation": 5})
    assert (confirmed.swap_us, confirmed.confirmed_ms, confirmed.workers_unconfirmed) == (None, None, ())
    assert Retired.from_data({}).new_states == {}


@pytest.mark.parametrize(
    ("kind", "data", "said"),
    [
        ("promoted", {"to": 5}, "promoted: to: Input should be a valid string"),
        ("rolled_back", {"states": {"v1": "asleep"}}, "rolled_back: states.v1: Input should be 'registered', "),
        ("version_deployed", {"target": {"version": "v1"}}, "version_deployed: target.endpoints: Field required"),
        ("drill_switched", {"to": "v1"}, "drill_switched: drill: Field required"),
    ],
)
def test_a_bad_member_is_named(kind: str, data: dict[str, Any], said: str) -> None:
    for read in (lambda: fact_of(kind, data), lambda: fact_of_json(kind, text(data))):
        with pytest.raises(FactInvalid) as caught:
            read()
        assert str(caught.value).startswith(said)


def test_a_bad_member_of_another_fact_ends_no_start() -> None:
    for data in ({"reason": 5}, {"reason": ["x"]}):
        fact = fact_of("frozen", data)
        assert (fact, fact.type) == (OtherFact(kind="frozen", data=data), "frozen")
        assert fact_of_json("frozen", text(data)) == fact


def test_a_fact_is_made_by_its_members_alone() -> None:
    assert Frozen(reason="x") == Frozen.from_data({"reason": "x"})
    with pytest.raises(TypeError):
        Frozen("x")  # type: ignore[misc]
    with pytest.raises(AttributeError):
        Frozen(reason="x").reason = "y"  # type: ignore[misc]
    assert Promoted(to="v1").to_data() == {"from": None, "reason": "", "to": "v1"}
    assert RolledBack(to="v1", left="v2").to_data().keys() >= {"automatic", "trigger", "evidence", "unreachable"}
