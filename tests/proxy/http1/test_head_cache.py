"""What is remembered of heads: found again, bounded, forgotten, and not to be pushed out by those that never come again."""

from __future__ import annotations

import pytest

from router.proxy.http1.head_cache import BUDGET, HEADS_MAX, SHAPES_MAX, SHAPES_PER_LINE_MAX, HeadCache
from router.proxy.http1.request_head import RequestHead, parse_request

KIND = b"POST /%b HTTP/1.1\r\nHost: a\r\n%bX-Request-ID: %d\r\nX-Trace: %d\r\nContent-Length: %d\r\n\r\n"


class Parser:
    """The slow path, which counts its calls; each template costs two more."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, raw: bytes) -> RequestHead:
        self.calls += 1
        return parse_request(raw, 100)


@pytest.fixture
def parser() -> Parser:
    return Parser()


@pytest.fixture
def cache(parser: Parser) -> HeadCache:
    return HeadCache(parser)


def fresh(number: int, path: bytes = b"a", more: bytes = b"") -> bytes:
    return KIND % (path, more, number, number, number)


def slow_count(cache: HeadCache, parser: Parser, *raws: bytes) -> int:
    """Return how many of these heads took the slow path; check that each translation is right."""
    took = 0
    for raw in raws:
        before = parser.calls
        assert cache.translate(raw) == parse_request(raw, 100)
        took += parser.calls > before
    return took


def test_a_head_that_comes_again_is_known(cache: HeadCache, parser: Parser) -> None:
    assert slow_count(cache, parser, *[fresh(1)] * 5) == 1
    assert cache.translate(fresh(1)) is cache.translate(fresh(1))


def test_two_heads_of_a_kind_make_a_template(cache: HeadCache, parser: Parser) -> None:
    assert slow_count(cache, parser, *(fresh(number) for number in range(100, 200))) == 2


def test_a_head_taken_twice_by_a_template_is_then_known_by_its_bytes(cache: HeadCache) -> None:
    for number in (100, 101):
        cache.translate(fresh(number))
    assert cache.translate(fresh(102)) is not cache.translate(fresh(102))
    assert cache.translate(fresh(102)) is cache.translate(fresh(102))


def test_a_repeated_head_is_right_in_any_order_with_fresh_ones(cache: HeadCache, parser: Parser) -> None:
    known = fresh(1)
    slow_count(cache, parser, known, fresh(2), known)
    for number in range(100, 110):
        assert slow_count(cache, parser, fresh(number), known, known, known, fresh(number)) == 0
        assert cache.translate(known) == cache.translate(known)


def test_what_is_forgotten_is_not_translated_by_the_last_template(cache: HeadCache, parser: Parser) -> None:
    slow_count(cache, parser, fresh(1), fresh(2), fresh(3))
    cache.clear()
    assert slow_count(cache, parser, fresh(4)) == 1


def test_heads_of_many_clients_have_a_template_each(cache: HeadCache, parser: Parser) -> None:
    kinds = [b"X-%d: a\r\n" % number for number in range(SHAPES_PER_LINE_MAX)]
    for number in (100, 101):
        for kind in kinds:
            cache.refill()
            cache.translate(fresh(number, more=kind))
    assert slow_count(cache, parser, *(fresh(number, more=kind) for number in range(102, 110) for kind in kinds)) == 0


def test_a_template_widens_to_what_differs(cache: HeadCache, parser: Parser) -> None:
    agents = [b"User-Agent: %d\r\n" % number for number in range(20)]
    slow_count(cache, parser, fresh(100, more=agents[0]), fresh(101, more=agents[0]))
    cache.refill()
    assert slow_count(cache, parser, *(fresh(102, more=agent) for agent in agents)) == 2 - 1
    assert slow_count(cache, parser, *(fresh(103, more=agent) for agent in agents)) == 0


def test_learning_ends_with_its_budget_and_goes_on_with_the_next(cache: HeadCache, parser: Parser) -> None:
    paths = [b"p%d" % number for number in range(4)]
    assert slow_count(cache, parser, *(fresh(100 + number, path) for path in paths for number in range(9))) == 9 * 4 - 7
    for number in range(2):
        cache.refill()
        slow_count(cache, parser, *(fresh(200 + number, path) for path in paths[1:2]))
    assert slow_count(cache, parser, *(fresh(300 + number, paths[1]) for number in range(9))) == 0


def test_heads_that_never_come_again_push_out_only_their_like(cache: HeadCache, parser: Parser) -> None:
    used = fresh(1)
    slow_count(cache, parser, used, fresh(2, b"b"), fresh(3, b"b"))
    for number in range(20 * HEADS_MAX):
        cache.refill()
        cache.translate(b"GET /%d HTTP/1.1\r\nHost: a\r\nX-%d: y\r\n\r\n" % (number, number % 7))
        if number % 50 == 0:
            assert slow_count(cache, parser, used, fresh(number, b"b")) == 0
    assert len(cache._heads) + len(cache._older_heads) <= 2 * HEADS_MAX
    kinds = [kind for table in (cache._shapes, cache._older_shapes) for some in table.values() for kind in some]
    assert len(kinds) <= 2 * SHAPES_MAX


def test_kinds_of_one_start_line_push_out_only_the_least_used(cache: HeadCache, parser: Parser) -> None:
    slow_count(cache, parser, fresh(100), fresh(101), fresh(102))
    for number in range(20 * SHAPES_PER_LINE_MAX):
        cache.refill()
        cache.translate(fresh(100, more=b"X-%d: a\r\n" % number))
        if number % 8 == 0:
            assert slow_count(cache, parser, fresh(1000 + number)) == 0
    assert [len(kinds) for kinds in cache._shapes.values()] == [SHAPES_PER_LINE_MAX]


def test_what_is_forgotten_is_learned_anew(cache: HeadCache, parser: Parser) -> None:
    raws = [fresh(number) for number in range(100, 110)]
    slow_count(cache, parser, *raws)
    cache.clear()
    cache.refill()
    assert slow_count(cache, parser, *raws) == 2


def test_a_value_out_of_grammar_makes_a_template_for_the_others_and_buys_none_again(
    cache: HeadCache, parser: Parser
) -> None:
    odd = [fresh(number).replace(b"X-Request-ID: ", b"X-Request-ID: a ") for number in range(100, 120)]
    slow_count(cache, parser, *odd[:3])
    assert slow_count(cache, parser, *(fresh(number) for number in range(200, 210))) == 0
    parser.calls = 0
    for raw in odd[3:]:
        cache.refill()
        assert cache.translate(raw).request_id is None
    assert parser.calls == len(odd[3:])


def test_long_heads_are_not_kept(cache: HeadCache, parser: Parser) -> None:
    raws = [fresh(number, more=b"X: " + b"a" * 4096 + b"\r\n") for number in (1, 1, 2, 2)]
    assert slow_count(cache, parser, *raws) == 4


def test_the_budget_buys_one_template() -> None:
    assert BUDGET >= SHAPES_PER_LINE_MAX
