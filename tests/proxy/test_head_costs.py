"""No head costs much more than another one of its size: lists, values and names of every field that is read or searched.

Counted is the memory that a translation takes at its peak: to take a list of 15,000 members apart makes 15,000 objects, in the
compiled build, too. An expression that tries again and again takes none, so those are timed: what is quadratic takes
thousands of times as long as it should, whatever else the machine does.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

import pytest

from router.errors import RouterError
from router.proxy.addresses import Peer
from router.proxy.http1.fields import LIST_MEMBERS_MAX, VIA
from router.proxy.http1.forwarding import Forwarding
from router.proxy.http1.head_cache import HEAD_BYTES_MAX, HeadCache
from router.proxy.http1.request_head import RequestHead, parse_request
from router.proxy.http1.response_head import parse_response
from router.proxy.options import ForwardingOptions
from router.uri.authority import host_of

SIZE = 30_000
START = b"GET / HTTP/1.1\r\nHost: a\r\n"
FACTOR_MAX = 3
QUADRATIC = 100
LISTED = (
    b"Connection",
    b"Upgrade",
    b"Via",
    b"TE",
    b"Trailer",
    b"Keep-Alive",
    b"Proxy-Authorization",
    b"Cookie",
    b"Accept",
)
LISTED += (b"X-Forwarded-For", b"X-Forwarded-Host", b"X-Forwarded-Proto", b"Forwarded", b"X-Request-ID", b"Expect")
LISTED += (b"Transfer-Encoding", b"Content-Length", b"Max-Forwards", b"Sec-WebSocket-Key", b"Host", b"X-Real-IP")
MEMBERS = {
    "short": b"a,",
    "empty": b",",
    "words": b"1.1 a,",
    "ours": b"1.1 rollback-router,",
    "other": b"rollback-router,",
}
MEMBERS |= {
    "blanks": b" ",
    "pairs": b"a=b;",
    "quoted": b'"\\a",',
    "escaped": b"%20",
    "names": b"close,",
    "long": b"a",
    "elements": b"a=b,",
}


def parse(raw: bytes) -> RequestHead:
    return parse_request(raw, 100, VIA)


def ended(work: Callable[[], object]) -> None:
    try:
        work()
    except RouterError:
        pass


def peak_bytes(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        ended(work)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def seconds(work: Callable[[], object]) -> float:
    found = []
    for _ in range(3):
        began = time.thread_time()
        ended(work)
        found.append(time.thread_time() - began)
    return min(found)


def head(field: bytes, value: bytes) -> bytes:
    start = START.partition(b"Host:")[0] if field == b"Host" else START
    return start + field + b": x" + value + b"x\r\n\r\n"


@pytest.fixture(scope="module")
def usual() -> tuple[int, float]:
    """Peak and time of a head of that size that has one uncommon field, and so takes the careful path."""
    raw = START + b"Connection: close\r\nX: " + b"a" * SIZE + b"\r\n\r\n"
    return peak_bytes(lambda: parse(raw)), seconds(lambda: parse(raw))


@pytest.mark.parametrize("member", MEMBERS.values(), ids=MEMBERS)
@pytest.mark.parametrize("field", LISTED, ids=bytes.decode)
def test_no_value_costs_more_than_its_bytes(field: bytes, member: bytes, usual: tuple[int, float]) -> None:
    raw = head(field, member * (SIZE // len(member)))
    assert peak_bytes(lambda: parse(raw)) <= FACTOR_MAX * usual[0]
    assert seconds(lambda: parse(raw)) <= QUADRATIC * usual[1]


@pytest.mark.parametrize("member", MEMBERS.values(), ids=MEMBERS)
@pytest.mark.parametrize(
    "field", [b"Connection", b"Upgrade", b"Keep-Alive", b"Transfer-Encoding", b"Via"], ids=bytes.decode
)
def test_no_value_of_a_response_does_either(field: bytes, member: bytes, usual: tuple[int, float]) -> None:
    raw = b"HTTP/1.1 200 OK\r\n" + head(field, member * (SIZE // len(member)))[len(START) :]
    assert peak_bytes(lambda: parse_response(raw, VIA)) <= FACTOR_MAX * usual[0]
    assert seconds(lambda: parse_response(raw, VIA)) <= QUADRATIC * usual[1]


@pytest.mark.parametrize("member", MEMBERS.values(), ids=MEMBERS)
@pytest.mark.parametrize(
    "field", [b"X-Forwarded-For", b"X-Forwarded-Host", b"X-Forwarded-Proto", b"Forwarded"], ids=bytes.decode
)
def test_no_claim_of_a_trusted_proxy_does_either(field: bytes, member: bytes, usual: tuple[int, float]) -> None:
    keep = frozenset(("for", "proto", "host", "port"))
    forwarding = Forwarding(ForwardingOptions(trusted=("10.0.0.0/8",), keep=keep, forwarded=True, hops_max=32))
    value = member * (SIZE // len(member)) + (b"a=b" if member == MEMBERS["elements"] else b"")
    raw, peer = START + field + b": " + value + b"\r\n\r\n", Peer("10.0.0.1", "http")
    assert peak_bytes(lambda: forwarding.trusted_fields(raw, peer)) <= 4 * SIZE
    assert seconds(lambda: forwarding.trusted_fields(raw, peer)) <= QUADRATIC * usual[1]


@pytest.mark.parametrize(
    "host", [b"a" * SIZE, b"a%20" * (SIZE // 4), b"[" + b":" * SIZE], ids=["long", "escaped", "v6"]
)
@pytest.mark.parametrize("end", [b"", b"@", b":99999"], ids=["whole", "user", "port"])
def test_no_host_does_either(host: bytes, end: bytes, usual: tuple[int, float]) -> None:
    assert host_of(host + end) is None
    assert seconds(lambda: host_of(host + end)) <= usual[1]


@pytest.mark.parametrize("name", [b"Connection", b"Via", b"X-Forwarded-For", b"TE", b"a"], ids=bytes.decode)
def test_many_equal_fields_cost_as_much_as_many_different_ones(name: bytes) -> None:
    different = START + b"Connection: close\r\n" + b"".join(b"x-%02d: b\r\n" % n for n in range(95)) + b"\r\n"
    equal = START + b"Connection: close\r\n" + b"".join(name + b": b\r\n" for n in range(95)) + b"\r\n"
    assert peak_bytes(lambda: parse(equal)) <= FACTOR_MAX * peak_bytes(lambda: parse(different))


@pytest.mark.parametrize("field", [b"Connection", b"Upgrade"], ids=bytes.decode)
@pytest.mark.parametrize("lines", [1, 4])
def test_a_list_may_have_as_many_members_as_a_head_has_fields(field: bytes, lines: int) -> None:
    members = b", ".join(b"a%d" % n for n in range(LIST_MEMBERS_MAX // lines))
    websocket = START + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n"
    start = websocket if field == b"Upgrade" else START
    fitting = (LIST_MEMBERS_MAX - 1) // lines if field == b"Upgrade" else LIST_MEMBERS_MAX // lines
    whole = b", ".join(b"a%d" % n for n in range(fitting))
    assert parse(start + (field + b": " + whole + b"\r\n") * lines + b"\r\n").method == b"GET"
    with pytest.raises(RouterError) as caught:
        parse(start + (field + b": " + members + b",,,,,\r\n") * (lines + 1) + b"\r\n")
    assert (caught.value.code, getattr(caught.value, "status", 0)) == ("head_too_large", 431)


def test_a_backend_with_such_a_list_is_at_fault_and_one_with_a_short_one_is_not() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: %b\r\n\r\n"
    assert parse_response(answer % (b"a," * (LIST_MEMBERS_MAX - 1) + b"close")).keep_alive is False
    with pytest.raises(RouterError, match="members of Connection"):
        parse_response(answer % (b"a," * LIST_MEMBERS_MAX))


def test_a_long_via_without_us_passes() -> None:
    value = b", ".join(b"1.1 other" for _ in range(1000))
    assert value in parse(START + b"Via: " + value + b"\r\n\r\n").upstream


def test_templates_are_not_tried_on_heads_that_none_can_take() -> None:
    parsed: list[bytes] = []

    def translate(raw: bytes) -> RequestHead:
        parsed.append(raw)
        return parse(raw)

    memory = HeadCache(translate)
    raw = START + b"X: " + b"a" * HEAD_BYTES_MAX + b"\r\n\r\n"
    for _ in range(3):
        memory.translate(raw)
    assert parsed == [raw] * 3
    assert memory._heads == memory._shapes == {}
