"""What is remembered of heads: found again, bounded, forgotten, and not to be pushed out by those that never come again."""

from __future__ import annotations

import pytest

from router.proxy.http1.head_cache import BUDGET, HEADS_MAX, KINDS_MAX, KINDS_PER_LINE_MAX, HeadCache
from router.proxy.http1.request_head import RequestHead, parse_request

KIND = b"POST /%b HTTP/1.1\r\nHost: a\r\n%bX-Request-ID: %d\r\nX-Trace: %d\r\nContent-Length: %d\r\n\r\n"


class Parser:
    """The careful path, which counts; it is asked twice more for each template."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, raw: bytes) -> RequestHead:
        self.asked += 1
        return parse_request(raw, 100)


@pytest.fixture
def parser() -> Parser:
    return Parser()


@pytest.fixture
def memory(parser: Parser) -> HeadCache:
    return HeadCache(parser)


def fresh(number: int, path: bytes = b"a", more: bytes = b"") -> bytes:
    return KIND % (path, more, number, number, number)


def careful(memory: HeadCache, parser: Parser, *raws: bytes) -> int:
    """How many of these heads went the careful path; each is translated rightly."""
    took = 0
    for raw in raws:
        before = parser.asked
        assert memory.translate(raw) == parse_request(raw, 100)
        took += parser.asked > before
    return took


def test_a_head_that_comes_again_is_known(memory: HeadCache, parser: Parser) -> None:
    assert careful(memory, parser, *[fresh(1)] * 5) == 1
    assert memory.translate(fresh(1)) is memory.translate(fresh(1))


def test_two_heads_of_a_kind_make_a_template(memory: HeadCache, parser: Parser) -> None:
    assert careful(memory, parser, *(fresh(number) for number in range(100, 200))) == 2


def test_a_head_taken_twice_by_a_template_is_then_known_by_its_bytes(memory: HeadCache) -> None:
    for number in (100, 101):
        memory.translate(fresh(number))
    assert memory.translate(fresh(102)) is not memory.translate(fresh(102))
    assert memory.translate(fresh(102)) is memory.translate(fresh(102))


def test_heads_of_many_clients_have_a_template_each(memory: HeadCache, parser: Parser) -> None:
    kinds = [b"X-%d: a\r\n" % number for number in range(KINDS_PER_LINE_MAX)]
    for number in (100, 101):
        for kind in kinds:
            memory.refill()
            memory.translate(fresh(number, more=kind))
    assert careful(memory, parser, *(fresh(number, more=kind) for number in range(102, 110) for kind in kinds)) == 0


def test_a_template_widens_to_what_differs(memory: HeadCache, parser: Parser) -> None:
    agents = [b"User-Agent: %d\r\n" % number for number in range(20)]
    careful(memory, parser, fresh(100, more=agents[0]), fresh(101, more=agents[0]))
    memory.refill()
    assert careful(memory, parser, *(fresh(102, more=agent) for agent in agents)) == 2 - 1
    assert careful(memory, parser, *(fresh(103, more=agent) for agent in agents)) == 0


def test_learning_ends_with_its_budget_and_goes_on_with_the_next(memory: HeadCache, parser: Parser) -> None:
    paths = [b"p%d" % number for number in range(4)]
    assert careful(memory, parser, *(fresh(100 + number, path) for path in paths for number in range(9))) == 9 * 4 - 7
    for number in range(2):
        memory.refill()
        careful(memory, parser, *(fresh(200 + number, path) for path in paths[1:2]))
    assert careful(memory, parser, *(fresh(300 + number, paths[1]) for number in range(9))) == 0


def test_heads_that_never_come_again_push_out_only_their_like(memory: HeadCache, parser: Parser) -> None:
    used = fresh(1)
    careful(memory, parser, used, fresh(2, b"b"), fresh(3, b"b"))
    for number in range(20 * HEADS_MAX):
        memory.refill()
        memory.translate(b"GET /%d HTTP/1.1\r\nHost: a\r\nX-%d: y\r\n\r\n" % (number, number % 7))
        if number % 50 == 0:
            assert careful(memory, parser, used, fresh(number, b"b")) == 0
    assert len(memory._heads) + len(memory._older_heads) <= 2 * HEADS_MAX
    kinds = [kind for table in (memory._shapes, memory._older_shapes) for some in table.values() for kind in some]
    assert len(kinds) <= 2 * KINDS_MAX


def test_kinds_of_one_start_line_push_out_only_the_least_used(memory: HeadCache, parser: Parser) -> None:
    careful(memory, parser, fresh(100), fresh(101), fresh(102))
    for number in range(20 * KINDS_PER_LINE_MAX):
        memory.refill()
        memory.translate(fresh(100, more=b"X-%d: a\r\n" % number))
        if number % 8 == 0:
            assert careful(memory, parser, fresh(1000 + number)) == 0
    assert [len(kinds) for kinds in memory._shapes.values()] == [KINDS_PER_LINE_MAX]


def test_what_is_forgotten_is_learned_anew(memory: HeadCache, parser: Parser) -> None:
    raws = [fresh(number) for number in range(100, 110)]
    careful(memory, parser, *raws)
    memory.forget()
    memory.refill()
    assert careful(memory, parser, *raws) == 2


def test_a_value_out_of_grammar_makes_a_template_for_the_others_and_buys_none_again(
    memory: HeadCache, parser: Parser
) -> None:
    odd = [fresh(number).replace(b"X-Request-ID: ", b"X-Request-ID: a ") for number in range(100, 120)]
    careful(memory, parser, *odd[:3])
    assert careful(memory, parser, *(fresh(number) for number in range(200, 210))) == 0
    parser.asked = 0
    for raw in odd[3:]:
        memory.refill()
        assert memory.translate(raw).request_id is None
    assert parser.asked == len(odd[3:])


def test_long_heads_are_not_kept(memory: HeadCache, parser: Parser) -> None:
    raws = [fresh(number, more=b"X: " + b"a" * 4096 + b"\r\n") for number in (1, 1, 2, 2)]
    assert careful(memory, parser, *raws) == 4


def test_the_budget_buys_one_template() -> None:
    assert BUDGET >= KINDS_PER_LINE_MAX
