import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import InternalError
from router.rollout.model.route import NO_SLOT, Flag, Route, decode, first_generation, own_successor, successor

ROUTES = st.builds(
    lambda generation, slots, split, flags: Route(generation, *slots, split, flags),
    st.integers(0, (1 << 44) - 1),
    st.permutations([*range(NO_SLOT), NO_SLOT, NO_SLOT, NO_SLOT]).map(lambda slots: slots[:3]),
    st.integers(0, 100),
    st.sampled_from(list(Flag)),
)


@given(ROUTES)
def test_a_route_is_one_word_and_comes_back_whole(route: Route) -> None:
    assert 0 <= route.encode() < 1 << 64
    assert decode(route.encode()) == route


def test_the_word_bit_by_bit() -> None:
    route = Route(first_generation(3) + 5, active=1, standby=2, candidate=7, split=100, flags=Flag.REDISPATCH)
    assert route.encode() == 1 | 2 << 3 | 7 << 6 | 100 << 9 | 1 << 16 | 5 << 20 | 3 << 44
    assert (route.boot, route.named()) == (3, [1, 2])


@pytest.mark.parametrize(
    "wrong", [{"active": 8}, {"standby": -1}, {"active": 1, "candidate": 1}, {"split": 101}, {"split": -1}]
)
def test_an_impossible_route_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InternalError) as caught:
        Route(1, **wrong)
    assert caught.value.code == "route_invalid"


def test_next_keeps_the_split_and_counts_on() -> None:
    route = Route(first_generation(1), active=0, split=10, flags=Flag.REDISPATCH)
    assert route.next(active=1, standby=0, candidate=NO_SLOT) == Route(
        first_generation(1) + 1, active=1, standby=0, split=10
    )


@pytest.mark.parametrize("boot", [0, -1, 1 << 20])
def test_boots_end(boot: int) -> None:
    with pytest.raises(InternalError) as caught:
        first_generation(boot)
    assert caught.value.code == "boots_exhausted"


def test_generations_of_a_boot_end_before_those_of_the_next_begin() -> None:
    last = first_generation(2) - 1
    assert successor(last - 1) == last
    with pytest.raises(InternalError) as caught:
        successor(last)
    assert caught.value.code == "generations_exhausted"


# -- room for a router's own steps
STEPS = st.sampled_from([1, 2, 256, 4096])
MOVES = st.lists(st.sampled_from(["record", "own"]), max_size=600)


@given(STEPS, st.integers(1, 1 << 19), MOVES)
def test_generations_only_grow_and_a_record_is_greater_than_every_own_step_before(
    step: int, boot: int, moves: list[str]
) -> None:
    generation = record = first_generation(boot)
    for move in moves:
        before = generation
        if move == "record":
            generation = record = successor(generation, step)
        elif generation + 1 < record + step:
            generation = own_successor(generation, step)
        else:
            with pytest.raises(InternalError, match=f"{step - 1} own steps") as caught:
                own_successor(generation, step)
            assert caught.value.code == "generation_room_exhausted"
            continue
        assert before < generation
        assert record <= generation < successor(generation, step) == record + step
        assert generation - generation % step == record


def test_a_single_router_has_no_room_and_counts_by_one() -> None:
    first = first_generation(1)
    assert successor(first) == first + 1
    with pytest.raises(InternalError):
        own_successor(first, 1)


@pytest.mark.parametrize("step", [1, 256])
def test_a_boot_ends_with_its_last_whole_step(step: int) -> None:
    last = first_generation(2) - step
    assert successor(last - step, step) == last
    with pytest.raises(InternalError) as caught:
        successor(last + step - 1, step)
    assert caught.value.code == "generations_exhausted"
