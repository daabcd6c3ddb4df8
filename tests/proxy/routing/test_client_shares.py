"""Who has had its share of a bound, from values and times alone."""

from __future__ import annotations

from router.proxy.routing.client_shares import HOLD_S, STUCK_S, ClientShares

A, B, C = "192.0.2.1", "192.0.2.2", "192.0.2.3"


def pressed(places: int = 80) -> ClientShares:
    """Return a bound whose places A holds, where B was refused at 0 s."""
    shares = ClientShares()
    shares.count({A: places}, 0.0)
    shares.record_refusal(B, places, 0.0)
    assert shares.contended
    return shares


def test_a_client_alone_is_never_limited_however_often_it_is_refused() -> None:
    shares = ClientShares()
    for second in range(100):
        shares.count({A: 80}, second)
        shares.record_refusal(A, 80, second)
        assert not shares.contended
        assert not shares.refuses(A, 80, 1, second)


def test_who_nothing_tells_apart_is_neither_limited_nor_is_anybody_for_its_sake() -> None:
    shares = ClientShares()
    shares.count({A: 80}, 0.0)
    shares.record_refusal(None, 80, 0.0)
    assert not shares.contended
    assert not pressed().refuses(None, 80, 0, 0.0)


def test_while_another_is_refused_who_has_its_share_leaves_places_free() -> None:
    shares = pressed()
    assert shares.share(80) == 40
    assert shares.refuses(A, 80, 1, 0.1), "the place that came free is for B"
    assert not shares.refuses(B, 80, 1, 0.1)
    assert not shares.refuses(A, 80, 2, 0.1), "B has asked for one"
    shares.count({A: 39}, 0.2)
    assert not shares.refuses(A, 80, 1, 0.2)


def test_what_is_kept_free_is_what_others_ask_for_and_at_most_an_eighth() -> None:
    shares = pressed()
    assert shares.kept_free(80) == 1
    for _ in range(5):
        shares.record_refusal(B, 80, 0.1)
    assert shares.kept_free(80) == 6
    for _ in range(500):
        shares.record_refusal(B, 80, 0.1)
    assert shares.kept_free(80) == 10
    for second in range(1, 60):
        shares.count({A: 70}, second)
        shares.record_refusal(B, 80, second)
        shares.places_to_clear(80, second)
    assert shares.kept_free(80) == 1


def test_two_that_hold_the_same_cost_each_other_nothing() -> None:
    shares = ClientShares()
    shares.count({A: 40, B: 40}, 0.0)
    for _ in range(100):
        shares.record_refusal(A, 80, 0.0)
        shares.record_refusal(B, 80, 0.0)
    assert not shares.contended
    shares.count({A: 41, B: 39}, 0.1)
    for _ in range(100):
        shares.record_refusal(A, 80, 0.1)
        shares.record_refusal(B, 80, 0.1)
    assert shares.kept_free(80) == 1, "B is one below its share, so it asks for one"


def test_many_addresses_do_not_take_a_client_below_an_eighth() -> None:
    shares = ClientShares()
    shares.count({A: 10, **{f"198.51.100.{number}": 1 for number in range(70)}}, 0.0)
    for number in range(2000):
        shares.record_refusal(f"2001:db8:0:{number:x}::/64", 80, 0.0)
    assert (shares.contended, shares.share(80)) == (False, 10)


def test_places_are_cleared_only_where_nobody_else_was_let_in_for_long() -> None:
    shares = pressed()
    for tenth in range(1, int(STUCK_S * 10)):
        shares.count({A: 80}, tenth / 10)
        if tenth % 10 == 0:
            shares.record_refusal(B, 80, tenth / 10)
        assert shares.places_to_clear(80, tenth / 10) == 0
    assert shares.places_to_clear(80, STUCK_S) == 10
    assert shares.places_to_clear(80, STUCK_S + 0.1) == 0
    assert shares.kept_free(80) == 10, "and A does not take them"
    shares = pressed()
    for second in range(1, 30):
        shares.count({A: 79}, second)
        shares.record_admission(B, 80, second)
        shares.record_refusal(B, 80, second)
        assert shares.places_to_clear(80, second) == 0


def test_one_that_asks_every_half_minute_is_served_in_the_end() -> None:
    shares = pressed()
    cleared = []
    for second in range(1, 31):
        shares.count({A: 80 - sum(cleared)}, second)
        cleared.append(shares.places_to_clear(80, second))
    assert sum(cleared) == 1
    assert shares.contended
    assert shares.refuses(A, 80, 1, 30.0)
    assert not shares.refuses(B, 80, 1, 30.0)


def test_it_ends_by_itself_when_nobody_else_asks_or_nobody_has_more_than_its_share() -> None:
    shares = pressed()
    for second in range(1, int(HOLD_S)):
        shares.count({A: 70}, second)
        shares.places_to_clear(80, second)
        assert shares.contended
    shares.places_to_clear(80, HOLD_S)
    assert not shares.contended
    shares.count({A: 80}, 100.0)
    assert (shares.share(80), shares.refuses(A, 80, 0, 100.0)) == (80, False)
    shares = pressed()
    for second in range(1, int(HOLD_S) + 1):
        shares.count({A: 30, B: 30}, second)
        shares.record_admission(B, 80, second)
        shares.places_to_clear(80, second)
    assert not shares.contended


def test_a_single_place_is_nobodys_share() -> None:
    shares = ClientShares()
    shares.count({A: 1}, 0.0)
    shares.record_refusal(B, 1, 0.0)
    assert not shares.contended
    shares.count({A: 2}, 0.0)
    shares.record_refusal(B, 2, 0.0)
    assert (shares.contended, shares.share(2), shares.kept_free(2)) == (True, 1, 1)
