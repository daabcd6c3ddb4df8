"""The choice of an endpoint."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random

from router.proxy.routing.balancer import choose
from router.proxy.routing.standing import Standing


@dataclass(eq=False)
class Place:
    name: str
    in_flight: int = 0
    standing: Standing = field(default_factory=Standing)


def resting(name: str) -> Place:
    """A place to which no connection could be made: it rests until 10.1."""
    place = Place(name)
    place.standing.back_off(10.0)
    return place


def test_the_less_loaded_of_two_is_chosen() -> None:
    busy, free = Place("busy", in_flight=5), Place("free", in_flight=1)
    assert {choose([busy, free], [], 1.0, Random(seed)) for seed in range(20)} == {free}


def test_load_spreads_over_equal_endpoints() -> None:
    places, random = [Place(str(number)) for number in range(4)], Random(1)
    chosen = Counter(place.name for _ in range(4000) if (place := choose(places, [], 1.0, random)) is not None)
    assert all(800 < number < 1200 for number in chosen.values()), chosen


def test_a_resting_endpoint_is_left_alone_until_its_time_and_a_tried_one_for_good() -> None:
    rests, awake = resting("resting"), Place("awake", in_flight=9)
    assert choose([rests, awake], [], 10.0, Random(1)) is awake
    assert choose([rests, awake], [], 10.1, Random(1)) is rests
    assert choose([rests, awake], [awake], 10.0, Random(1)) is rests
    assert choose([rests, awake], [awake, rests], 10.0, Random(1)) is None


def test_when_all_rest_all_are_asked() -> None:
    assert choose([resting("a")], [], 10.0, Random(1)) is not None
    assert choose([resting("a"), resting("b")], [], 10.0, Random(1)) is not None
