"""For every head, a template gives the result of the slow path, or no match."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.errors import DownstreamError, UpstreamError
from router.proxy.http1.fields import CHUNKED, JSON, VIA
from router.proxy.http1.head_cache import HeadCache
from router.proxy.http1.head_template import compile_template, may_differ
from router.proxy.http1.request_head import RequestHead, parse_request
from router.proxy.http1.response_head import ResponseHead, parse_response
from tests.example_counts import examples

POST = b"POST /infer?a=%25 HTTP/1.1\r\n"
REQUEST_FIELDS = (
    (b"Host", b"Model:80"),
    (b"User-Agent", b"python-httpx/0.28.1 %s %(a)d"),
    (b"Connection", b"keep-alive"),
    (b"connection", b"x-hop, keep-alive"),
    (b"X-Hop", b"1"),
    (b"Content-Length", b"140"),
    (b"X-Request-ID", b"0123-abc"),
    (b"traceparent", b"00-0af7-b7ad-01"),
    (b"X-Forwarded-For", b"10.0.0.1, 10.0.0.2"),
    (b"Authorization", b"Bearer a.b.c"),
    (b"Cookie", b""),
    (b"X-Under_score", b"1"),
    (b"Expect", b"100-continue"),
    (b"Transfer-Encoding", b"chunked"),
    (b"TE", b"trailers"),
    (b"Max-Forwards", b"7"),
    (b"Accept", b"\x80\xff\t*/*"),
    (b"Upgrade", b"websocket"),
    (b"Sec-WebSocket-Key", b"AAAA"),
)
RESPONSE_FIELDS = (
    (b"Date", b"Sun, 22 Nov 2026 22:18:04 GMT"),
    (b"Content-Length", b"185"),
    (b"Connection", b"keep-alive"),
    (b"Keep-Alive", b"timeout=5"),
    (b"X-Request-ID", b"r-1"),
    (b"x-ratelimit-remaining", b"99"),
    (b"ETag", b'W/"5f%d"'),
    (b"Transfer-Encoding", b"chunked"),
    (b"X-Served-Version", b"v9"),
    (b"Set-Cookie", b"a=b; Path=/"),
)
NASTY = (
    *(
        b"",
        b" ",
        b"\t",
        b" x ",
        b"x y",
        b"0",
        b"5",
        b"00005",
        b"+5",
        b"5,5",
        b"5 ",
        b"0x5",
        b"9" * 18,
        b"9" * 19,
        b"1_0",
    ),
    *(
        b"\x00",
        b"\r",
        b"\n",
        b"\r\n",
        b"a\r\nb",
        b"a\r\n b",
        b"a\r\nContent-Length: 7",
        b"a\nContent-Length: 7",
        b"\x7f",
        b"\x0b",
    ),
    *(
        b"a\r\nHost: b",
        b"a\r\n\r\n",
        b"\x80\xff",
        b"\xc2\xb2",
        b"%s%b%%",
        b"\\1",
        b"a" * 128,
        b"a" * 129,
        b"a" * 10_000,
        b"chunked",
    ),
    *(b"1000705182937460", b"websocket", b"close", b"100-continue", b"identity", b":", b": b"),
)
EDITS = ("value", "value", "value", "twice", "drop", "case", "name", "insert", "cut", "swap", "same")

EXAMPLES = examples(120)
"""4,000 of each found nothing when this was written."""

Outcome = RequestHead | ResponseHead | tuple[int, str] | str


def request(raw: bytes) -> RequestHead:
    return parse_request(raw, 12, VIA)


def response(raw: bytes) -> ResponseHead:
    return parse_response(raw, VIA)


def outcome(parse: Callable[[bytes], Any], raw: bytes) -> Outcome:
    try:
        return parse(raw)  # type: ignore[no-any-return]
    except DownstreamError as error:
        return error.status, error.code
    except UpstreamError as error:
        return error.code


def head(start: bytes, fields: list[tuple[bytes, bytes]]) -> bytes:
    return start + b"".join(name + b": " + value + b"\r\n" for name, value in fields) + b"\r\n"


def edited(draw: st.DrawFn, start: bytes, fields: list[tuple[bytes, bytes]]) -> bytes:
    """A head like the others, or nearly."""
    fields = list(fields)
    for _ in range(draw(st.integers(1, 3))):
        edit, at = draw(st.sampled_from(EDITS)), draw(st.integers(0, max(0, len(fields) - 1)))
        if not fields:
            break
        name, value = fields[at]
        if edit == "value":
            fields[at] = name, draw(st.sampled_from(NASTY) | st.binary(max_size=6))
        elif edit == "twice":
            fields.insert(draw(st.integers(0, len(fields))), (name, draw(st.sampled_from((value, *NASTY)))))
        elif edit == "drop":
            del fields[at]
        elif edit == "case":
            fields[at] = name.swapcase(), value
        elif edit == "name":
            fields[at] = (
                draw(st.sampled_from((name + b" ", name.replace(b"-", b"_"), b" " + name, b"", name[1:]))),
                value,
            )
        elif edit == "swap":
            fields[at], fields[0] = fields[0], fields[at]
        else:
            raw = head(start, fields)
            place = draw(st.integers(0, len(raw)))
            return (
                raw[:place]
                + (draw(st.binary(min_size=1, max_size=3)) if edit == "insert" else b"")
                + raw[place + (edit == "cut") :]
            )
    return head(start, fields)


def plain_variants(draw: st.DrawFn, start: bytes, fields: list[tuple[bytes, bytes]]) -> list[bytes]:
    """Heads of one kind, as a memory learns from them."""
    variants = [head(start, fields)]
    for number in range(draw(st.integers(1, 3))):
        changing = draw(st.sets(st.integers(0, len(fields) - 1), max_size=4)) if fields else set()
        changed = [
            (name, b"%d" % (10 + number) if at in changing and may_differ(name.lower()) else value)
            for at, (name, value) in enumerate(fields)
        ]
        variants.append(head(start, changed))
    return variants


def judge(draw: st.DrawFn, parse: Callable[[bytes], Any], start: bytes, fields: list[tuple[bytes, bytes]]) -> None:
    memory: HeadCache = HeadCache(parse)
    raws = [
        *plain_variants(draw, start, fields),
        *(edited(draw, start, fields) for _ in range(draw(st.integers(1, 4)))),
    ]
    for raw in (*raws, *raws):
        memory.refill()
        assert outcome(memory.translate, raw) == outcome(parse, raw), raw


@settings(max_examples=EXAMPLES, derandomize=True)
@given(st.data())
def test_requests_are_translated_as_the_careful_path_does(data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(REQUEST_FIELDS[1:]), max_size=9))
    judge(data.draw, request, POST, [REQUEST_FIELDS[0], *chosen])


@settings(max_examples=EXAMPLES, derandomize=True)
@given(st.data())
def test_responses_are_translated_as_the_careful_path_does(data: st.DataObject) -> None:
    start = data.draw(
        st.sampled_from((b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200\r\n", b"HTTP/1.1 204 X\r\n", b"HTTP/1.1 304 %d\r\n"))
    )
    judge(data.draw, response, start, data.draw(st.lists(st.sampled_from(RESPONSE_FIELDS), max_size=7)))


FRESH = head(POST, [REQUEST_FIELDS[at] for at in (0, 1, 2, 5, 6, 7, 8)])
VALUES = frozenset((0, 3, 4, 5, 6))


def test_each_byte_in_each_value_is_judged_as_the_careful_path_judges_it() -> None:
    template = compile_template(FRESH, frozenset((1, 3, 4, 5, 6)), request)
    assert template is not None
    for byte, old in product(range(256), (b"python", b"140", b"0123", b"af7", b"10.0.0.2")):
        for raw in (FRESH.replace(old, old + bytes((byte,)), 1), FRESH.replace(old, bytes((byte,)) + old, 1)):
            found, slow = template.translate(raw), outcome(request, raw)
            if found is not None:
                assert found == slow, raw
            elif old not in (b"140", b"0123"):
                assert isinstance(slow, tuple), raw


@settings(max_examples=EXAMPLES, derandomize=True)
@given(st.data())
def test_both_forms_of_a_template_find_the_same_values(data: st.DataObject) -> None:
    chosen = [REQUEST_FIELDS[0], *data.draw(st.lists(st.sampled_from(REQUEST_FIELDS[5:11]), min_size=1, unique=True))]
    raw = head(POST, chosen)
    template = compile_template(raw, frozenset(range(1, len(chosen))), request)
    assert template is not None
    for other in (raw, *(edited(data.draw, POST, chosen) for _ in range(8))):
        assert template.scanned(other) == template.matched(other), other


@pytest.mark.parametrize("value", NASTY)
def test_both_forms_find_the_same_values_at_each_limit(value: bytes) -> None:
    template = compile_template(FRESH, frozenset((1, 3, 4, 5, 6)), request)
    assert template is not None
    for old in (b"python-httpx/0.28.1 %s %(a)d", b"140", b"0123-abc", b"00-0af7-b7ad-01", b"10.0.0.1, 10.0.0.2"):
        raw = FRESH.replace(old, value, 1)
        assert template.scanned(raw) == template.matched(raw), raw


def test_what_a_template_makes_of_values() -> None:
    template = compile_template(FRESH, frozenset((1, 3, 4, 5, 6)), request)
    assert template is not None
    raw = head(POST, [
        (b"Host", b"Model:80"), (b"User-Agent", b"%b"), (b"Connection", b"keep-alive"), (b"Content-Length", b"007"),
        (b"X-Request-ID", b"other"), (b"traceparent", b""), (b"X-Forwarded-For", b"1.1.1.1"),
    ])  # fmt: skip
    found = template.translate(raw)
    assert found is not None
    assert (found.length, found.request_id) == (7, b"other")
    assert found.upstream == POST + (
        b"Host: Model:80\r\nUser-Agent: %b\r\nContent-Length: 007\r\nX-Request-ID: other\r\ntraceparent: \r\n"
        b"X-Forwarded-Host: Model:80\r\nVia: 1.1 rollback-router\r\n"
    )


@pytest.mark.parametrize(
    ("fields", "variables"),
    [
        pytest.param(((b"Host", b"a"),), {0}, id="Host"),
        pytest.param(((b"Host", b"a"), (b"Connection", b"close")), {1}, id="Connection"),
        pytest.param(((b"Host", b"a"), (b"Transfer-Encoding", b"chunked")), {1}, id="Transfer-Encoding"),
        pytest.param(((b"Host", b"a"), (b"Max-Forwards", b"1")), {1}, id="Max-Forwards"),
        pytest.param(((b"Host", b"a"), (b"Content-Length", b"0"), (b"Expect", b"100-continue")), {1}, id="Expect"),
        pytest.param(((b"Host", b"a"), (b"Upgrade", b"websocket"), (b"X", b"y")), {2}, id="Upgrade"),
        pytest.param(((b"Host", b"a"), (b"X-Request-ID", b"a"), (b"x-request-id", b"b")), {1}, id="two identifiers"),
        pytest.param(((b"Host", b"a"), (b"X", b"1000705182937460")), {1}, id="a mark"),
        pytest.param(((b"Host", b"a"), *((b"X", b"y"),) * 25), set(range(1, 26)), id="too many values"),
    ],
)
def test_no_template_where_a_value_decides(fields: tuple[tuple[bytes, bytes], ...], variables: set[int]) -> None:
    raw = head(b"OPTIONS / HTTP/1.1\r\n", list(fields))
    assert compile_template(raw, frozenset(variables), lambda raw: parse_request(raw, 100)) is None


@pytest.mark.parametrize("start", [b"HTTP/1.1 204 X\r\n", b"HTTP/1.1 103 X\r\n"])
def test_no_template_for_a_response_without_a_body(start: bytes) -> None:
    assert compile_template(start + b"Content-Length: 0\r\n\r\n", frozenset({0}), response) is None


def test_a_parser_that_uses_a_value_elsewhere_makes_no_template() -> None:
    def curious(raw: bytes) -> RequestHead:
        found = request(raw)
        found.host = re.search(rb"traceparent:(.*)\r", raw)[1]  # type: ignore[index]
        return found

    assert compile_template(FRESH, VALUES - {0}, request) is not None
    assert compile_template(FRESH, VALUES - {0}, curious) is None
    assert compile_template(FRESH, VALUES - {0, 5}, curious) is not None


def test_a_parser_that_refuses_the_probe_makes_no_template() -> None:
    def strict(raw: bytes) -> RequestHead:
        if b"X-Forwarded-For: 10." not in raw:
            raise DownstreamError(400, "bad_request", "an address is required")
        return request(raw)

    memory: HeadCache = HeadCache(strict)
    for number in range(5):
        memory.refill()
        raw = FRESH.replace(b"10.0.0.2", b"%d" % number)
        assert memory.translate(raw) == request(raw)


def test_a_head_with_chunks_may_have_values_too() -> None:
    raw = head(POST, [(b"Host", b"a"), (b"Transfer-Encoding", b"chunked"), (b"X", b"y")])
    template = compile_template(raw, frozenset({2}), request)
    assert template is not None
    found = template.translate(raw.replace(b"X: y", b"X: z"))
    assert found is not None
    assert found.length == CHUNKED


REQUEST = RequestHead(
    b"PUT", b"/a?b", b"/a", b"h", True, True, 1, b"old", b"old", True, True, True, object(), object(), (b"X_a",)
)
RESPONSE = ResponseHead(201, True, 1, b"old", True, 4.5, True, JSON, True)


@pytest.mark.parametrize(
    ("head", "new"),
    [
        (REQUEST, {"upstream": b"new", "length": 7, "request_id": b"new"}),
        (RESPONSE, {"downstream": b"new", "length": 7}),
    ],
    ids=["request", "response"],
)
def test_a_head_with_other_values_is_otherwise_the_same(head: RequestHead | ResponseHead, new: dict[str, Any]) -> None:
    made = head.with_values(b"new", 7, b"new")
    assert {field.name: getattr(made, field.name) for field in fields(head)} == {
        **{field.name: getattr(head, field.name) for field in fields(head)},
        **new,
    }
