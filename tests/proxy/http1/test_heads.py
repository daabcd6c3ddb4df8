"""Heads: the table of what is refused and with which status, and what a translation keeps, removes and adds."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import DownstreamError, UpstreamError
from router.proxy.http1.fields import CHUNKED, UNTIL_CLOSE, VIA
from router.proxy.http1.request_head import RequestHead, can_never_be_valid, over_tls, parse_request, parse_slow
from router.proxy.http1.response_head import parse_response

GET = b"GET / HTTP/1.1\r\nHost: a\r\n"

REFUSED: dict[bytes, int] = {
    # Host
    b"GET / HTTP/1.1\r\n\r\n": 400,
    GET + b"Host: a\r\n\r\n": 400,
    GET + b"host: b\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: \r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost:\r\nHost: a\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: u@b\r\nHost: a\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: a:1234567\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: a\x80\r\n\r\n": 400,
    # the request line
    b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n": 400,
    b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n": 400,
    b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n": 400,
    b" GET / HTTP/1.1\r\nHost: a\r\n\r\n": 400,
    b"GET /\r\nHost: a\r\n\r\n": 400,
    b"GET / HTTP/1.1x\r\nHost: a\r\n\r\n": 400,
    b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n": 400,
    b"GET / http/1.1\r\nHost: a\r\n\r\n": 400,
    b"GET / HTTP/11\r\nHost: a\r\n\r\n": 400,
    b"GET / HTTP/2.0\r\nHost: a\r\n\r\n": 505,
    b"GET / HTTP/0.9\r\nHost: a\r\n\r\n": 505,
    b"GET / HTTP/1.2\r\nHost: a\r\n\r\n": 505,
    b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n": 400,
    b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n": 400,
    b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n": 400,
    b"GET a HTTP/1.1\r\nHost: a\r\n\r\n": 400,
    b"GET * HTTP/1.1\r\nHost: a\r\n\r\n": 400,
    b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n": 400,
    b"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n": 400,
    b"GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n": 400,
    b"PRI * HTTP/2.0\r\nHost: a\r\n\r\n": 505,
    b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n": 405,
    b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n": 405,
    b"TRACK / HTTP/1.1\r\nHost: a\r\n\r\n": 405,
    b"BREW / HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n": 400,
    b"head / HTTP/1.1\r\nHost: a\r\n\r\n": 501,
    b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n": 400,
    # fields
    GET + b"A : b\r\n\r\n": 400,
    GET + b"A\t: b\r\n\r\n": 400,
    GET + b"A: b\r\n c\r\n\r\n": 400,
    GET + b"A: b\r\n\tc\r\n\r\n": 400,
    GET + b": b\r\n\r\n": 400,
    GET + b"A\r\n\r\n": 400,
    GET + b"A\x80: b\r\n\r\n": 400,
    GET + b"A(: b\r\n\r\n": 400,
    GET + b"A: b\x00\r\n\r\n": 400,
    GET + b"A: b\x0b\r\n\r\n": 400,
    GET + b"A: b\x1f\r\n\r\n": 400,
    GET + b"A: b\x7f\r\n\r\n": 400,
    GET + b"A: b\rc\r\n\r\n": 400,
    GET + b"A: b\nc: d\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\n Host: a\r\n\r\n": 400,
    GET + b"A: b\r\n" * 101 + b"\r\n": 431,
    # framing
    GET + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n": 400,
    GET + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n": 400,
    GET + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n": 400,
    GET + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n": 400,
    GET + b"Content-Length: 5, 5\r\n\r\n": 400,
    GET + b"Content-Length: +5\r\n\r\n": 400,
    GET + b"Content-Length: -5\r\n\r\n": 400,
    GET + b"Content-Length: 0x5\r\n\r\n": 400,
    GET + b"Content-Length: 5 5\r\n\r\n": 400,
    GET + b"Content-Length: 5,\r\n\r\n": 400,
    GET + b"Content-Length: \r\n\r\n": 400,
    GET + b"Content-Length: 99999999999999999999\r\n\r\n": 400,
    GET + b"Transfer-Encoding: xchunked\r\n\r\n": 400,
    GET + b"Transfer-Encoding: chunked, chunked\r\n\r\n": 400,
    GET + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n": 400,
    GET + b"Transfer-Encoding: chunked, gzip\r\n\r\n": 400,
    GET + b"Transfer-Encoding: gzip, chunked\r\n\r\n": 501,
    GET + b"Transfer-Encoding: ,chunked\r\n\r\n": 501,
    GET + b"Transfer-Encoding: identity\r\n\r\n": 400,
    GET + b'Transfer-Encoding: "chunked"\r\n\r\n': 400,
    GET + b"Transfer-Encoding:\x0bchunked\r\n\r\n": 400,
    b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n": 400,
    GET + b"Expect: 200-ok\r\n\r\n": 417,
    # how far
    b"OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: -1\r\n\r\n": 400,
    b"OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 1\r\nMax-Forwards: 1\r\n\r\n": 400,
    b"OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: \r\n\r\n": 400,
    b"TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n": 405,
    GET + b"Via: 1.1 rollback-router\r\n" * 8 + b"\r\n": 508,
    GET + b"vIA: 1.0 a" + b",1.1 Rollback-Router (x) " * 8 + b"\r\n\r\n": 508,
}


@pytest.mark.parametrize(("raw", "status"), REFUSED.items(), ids=[repr(raw[-44:]) for raw in REFUSED])
def test_what_is_refused_and_with_which_status(raw: bytes, status: int) -> None:
    with pytest.raises(DownstreamError) as caught:
        parse_request(raw, 100)
    assert caught.value.status == status, caught.value


@pytest.mark.parametrize("raw", REFUSED, ids=[repr(raw[-44:]) for raw in REFUSED])
def test_the_careful_path_alone_refuses_the_same(raw: bytes) -> None:
    with pytest.raises(DownstreamError) as caught:
        parse_slow(raw, 100)
    assert caught.value.status == REFUSED[raw]


FIELDS = (
    b"Content-Length: 5\r\n",
    b"Connection: keep-alive\r\n",
    b"Connection: Keep-Alive\r\n",
    b"CONNECTION: close\r\n",
    b"X-Request-ID: a-1\r\n",
    b"x-request-id: \r\n",
    b"X-A: \x80 b\r\n",
    b"Expect: 100-continue\r\n",
    b"X-Forwarded-For: 6.6.6.6\r\n",
    b"traceparent: 00-1-2-01\r\n",
    b"X-Under_score: 1\r\n",
    b"Host_: b\r\n",
    b"Via: 1.1 a\r\n",
)


@given(st.lists(st.sampled_from(FIELDS), unique=True), st.sampled_from([b"/", b"/a?b=/c", b"/%2e%2e/\x80", b"/a_b"]))
def test_the_quick_path_says_what_the_careful_one_says(fields: list[bytes], target: bytes) -> None:
    raw = b"POST %b HTTP/1.1\r\nHost: Example:80\r\n%b\r\n" % (target, b"".join(fields))

    def outcome(parse: Callable[[bytes, int], RequestHead]) -> RequestHead | int:
        try:
            return parse(raw, 100)
        except DownstreamError as error:
            return error.status

    assert outcome(parse_request) == outcome(parse_slow)
    assert outcome(lambda head, limit: parse_request(head, limit, VIA)) == outcome(
        lambda head, limit: parse_slow(head, limit, VIA)
    )


LOOKALIKES = (
    *(b"X_Request_Id", b"x_request-id", b"X-Request_ID", b"X-Forwarded_For", b"x_forwarded_for", b"X_FORWARDED_PROTO"),
    *(b"X_Forwarded-Host", b"X_Forwarded-Port", b"X_Real_IP", b"Content_Length"),
    *(b"Transfer_Encoding", b"TRANSFER_ENCODING", b"Content_Type", b"Content_Encoding"),
    *(b"Proxy_Authorization", b"Keep_Alive", b"Max_Forwards", b"X_Served_Version", b"Http2_Settings", b"X_Named"),
)


@pytest.mark.parametrize("name", LOOKALIKES)
@pytest.mark.parametrize("value", [b"5", b"chunked", b"1.2.3.4"])
def test_a_lookalike_is_left_out_and_the_request_is_served(name: bytes, value: bytes) -> None:
    raw = b"POST /a HTTP/1.1\r\nHost: a\r\nConnection: X-Named\r\n%bContent-Length: 3\r\n\r\n"
    head, without = parse_request(raw % b"%b: %b\r\n" % (name, value), 100), parse_request(raw % b"", 100)
    assert head.lookalikes == (name.lower(),)
    assert (head.upstream, head.length, head.request_id) == (without.upstream, 3, None)
    with pytest.raises(DownstreamError) as caught:
        parse_request(raw % b"%b: %b\r\n" % (name, value), 100, refuse_lookalikes=True)
    assert (caught.value.status, caught.value.code) == (400, "bad_request")


@pytest.mark.parametrize(
    "name",
    [
        b"X_Model",
        b"x.model",
        b"Under_score",
        b"_Host",
        b"Host_",
        b"X__Real_IP",
        b"XRequestId",
        b"Transfer.Encoding",
        b"X~Real~IP",
    ],
)
def test_any_other_name_with_an_underscore_is_forwarded_unchanged(name: bytes) -> None:
    raw = b"GET /a_b HTTP/1.1\r\nHost: a\r\n%b: _v\r\nCookie: a_b=c_d\r\n" % name
    for parse in (parse_request, parse_slow):
        head = parse(raw + b"\r\n", 100, refuse_lookalikes=True)
        assert head.upstream == raw + b"X-Forwarded-Host: a\r\n"
        assert head.lookalikes == ()


def test_host_may_stand_anywhere() -> None:
    raw = b"GET /a HTTP/1.1\r\nX-A: 1\r\nHOST: Example:80\r\nX-B: 2\r\n"
    head = parse_request(raw + b"\r\n", 100)
    assert head.upstream == raw + b"X-Forwarded-Host: Example:80\r\n"
    assert head.host == parse_slow(raw + b"\r\n", 100).host == b"example"


def test_a_plain_head_is_forwarded_byte_for_byte() -> None:
    raw = (
        b"POST /a?b HTTP/1.1\r\nHOST: Example:80\r\nContent-Length: 5\r\nX-A: \x80\xff\ttab\r\nx-request-id: Abc-1\r\n"
    )
    head = parse_request(raw + b"\r\n", 100)
    assert head.upstream == raw + b"X-Forwarded-Host: Example:80\r\n"
    assert (head.host, head.path, head.length, head.request_id) == (b"example", b"/a", 5, b"Abc-1")


def test_hop_by_hop_and_forged_fields_are_removed_and_framing_stays() -> None:
    raw = (
        b"POST / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Secret, Content-Length\r\nX-Secret: 1\r\nX-Kept: 2\r\n"
        b"Content-Length: 5\r\nKeep-Alive: 5\r\nTE: trailers\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\nProxy-Authorization: x\r\n"
        b"X-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nX-Served-Version: v9\r\n\r\n"
    )
    head = parse_request(raw, 100)
    assert head.upstream == (b"POST / HTTP/1.1\r\nHost: a\r\nX-Kept: 2\r\nContent-Length: 5\r\nX-Forwarded-Host: a\r\n")
    assert head.keep_alive


@pytest.mark.parametrize(
    ("target", "path", "host"),
    [
        (b"http://Other/p?q", b"/p?q", b"Other"),
        (b"http://h:1", b"/", b"h:1"),
        (b"http://h?q", b"/?q", b"h"),
        (b"HTTP://h/p", b"/p", b"h"),
    ],
)
def test_the_authority_of_an_absolute_target_wins(target: bytes, path: bytes, host: bytes) -> None:
    head = parse_request(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target, 100)
    assert head.upstream == b"GET %b HTTP/1.1\r\nHost: %b\r\nX-Forwarded-Host: %b\r\n" % (path, host, host)


def test_asterisk_form_is_for_options() -> None:
    assert parse_request(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 100).target == b"*"


@pytest.mark.parametrize(
    ("fields", "version", "kept"),
    [
        (b"", b"1.1", True),
        (b"Connection: close\r\n", b"1.1", False),
        (b"Connection: foo, CLOSE\r\n", b"1.1", False),
        (b"", b"1.0", False),
        (b"Connection: Keep-Alive\r\n", b"1.0", True),
    ],
)
def test_persistence(fields: bytes, version: bytes, kept: bool) -> None:
    assert parse_request(b"GET / HTTP/%b\r\nHost: a\r\n%b\r\n" % (version, fields), 100).keep_alive is kept


def test_an_https_url_is_served_over_tls_alone() -> None:
    def translate(raw: bytes) -> RequestHead:
        return parse_request(raw, 100)

    raw = b"GET HTTPS://t:1/p?q HTTP/1.1\r\nHost: t\r\n\r\n"
    with pytest.raises(DownstreamError) as refusal:
        translate(raw)
    assert refusal.value.status == 421
    head = over_tls(translate)(raw)
    assert (head.target, head.host) == (b"/p?q", b"t")
    plain = GET + b"X: GET https://t\r\n\r\n"
    assert over_tls(translate)(plain) == translate(plain)


def test_a_request_id_out_of_grammar_is_replaced() -> None:
    head = parse_request(GET + b"X-Request-ID: " + b"a" * 129 + b"\r\n\r\n", 100)
    assert head.request_id is None
    assert b"X-Request-ID" not in head.upstream


def test_expect_is_passed_on_only_with_a_body() -> None:
    with_body = parse_request(GET + b"Content-Length: 1\r\nExpect: 100-Continue\r\n\r\n", 100)
    assert (with_body.expects_continue, b"Expect" in with_body.upstream) == (True, True)
    without = parse_request(GET + b"Expect: 100-continue\r\n\r\n", 100)
    assert (without.expects_continue, b"Expect" in without.upstream) == (False, False)


def test_an_incomplete_head_with_bare_line_ends_is_hopeless() -> None:
    assert can_never_be_valid(b"GET / HTTP/1.1\nHost: a\n\n")
    assert can_never_be_valid(b"GET / HTTP/1.1\rHost")
    assert can_never_be_valid(b"GET /\x00")
    assert not can_never_be_valid(b"GET / HTTP/1.1\r\nHost: a\r")


@pytest.mark.parametrize(
    ("fields", "version", "last"),
    [
        (b"", b"1.1", b"X-Forwarded-Host: a\r\nVia: 1.1 rollback-router\r\n"),
        (b"Via: 1.0 b\r\n", b"1.1", b"Via: 1.0 b\r\nX-Forwarded-Host: a\r\nVia: 1.1 rollback-router\r\n"),
        (b"TE: x\r\nVia: 1.0 b\r\n", b"1.1", b"Via: 1.0 b\r\nX-Forwarded-Host: a\r\nVia: 1.1 rollback-router\r\n"),
        (b"", b"1.0", b"X-Forwarded-Host: a\r\nVia: 1.0 rollback-router\r\n"),
    ],
)
def test_via_ends_with_us_and_says_how_the_request_came(fields: bytes, version: bytes, last: bytes) -> None:
    head = parse_request(b"GET / HTTP/%b\r\nHost: a\r\n%b\r\n" % (version, fields), 100, VIA)
    assert head.upstream == b"GET / HTTP/1.1\r\nHost: a\r\n" + last


@pytest.mark.parametrize(
    "values",
    [
        b"Via: 1.1 rollback-router\r\n" * 7,
        b"Via: " + b"1.1 rollback-router-2, 1.1 a (1.1 rollback-router)," * 9 + b"\r\n",
    ],
    ids=["seven times", "others"],
)
def test_routers_may_stand_behind_each_other(values: bytes) -> None:
    head = parse_request(GET + values + b"\r\n", 100, VIA)
    assert head.upstream == GET + values + b"X-Forwarded-Host: a\r\n" + VIA


@pytest.mark.parametrize(
    ("value", "sent_on"), [(b"1", b"0"), (b"10", b"9"), (b"007", b"6"), (b"9" * 300, b"999999999")]
)
def test_max_forwards_of_options_counts_down(value: bytes, sent_on: bytes) -> None:
    head = parse_request(b"OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: %b\r\n\r\n" % value, 100)
    assert not head.final
    assert head.upstream == b"OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: %b\r\nX-Forwarded-Host: a\r\n" % sent_on


def test_max_forwards_of_zero_ends_here_for_options_alone() -> None:
    assert parse_request(b"OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n", 100).final
    assert not parse_request(GET + b"Max-Forwards: 0\r\n\r\n", 100).final


OK = b"HTTP/1.1 200 OK\r\n"
BROKEN = {
    "two lengths": OK + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n",
    "length and coding": OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "gzip": OK + b"Transfer-Encoding: gzip\r\n\r\n",
    "chunked twice": OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n",
    "coding in 1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "length +1": OK + b"Content-Length: +1\r\n\r\n",
    "HTTP/2": b"HTTP/2 200 OK\r\n\r\n",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\n\r\n",
    "status 99": b"HTTP/1.1 099 OK\r\n\r\n",
    "status 2000": b"HTTP/1.1 2000 OK\r\n\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "NUL": OK + b"A: \x00\r\n\r\n",
    "space before colon": OK + b"A : b\r\n\r\n",
    "obs-fold": OK + b"A: b\r\n c\r\n\r\n",
    "reason with CR": b"HTTP/1.1 200 O\rK\r\n\r\n",
}


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN)
def test_a_broken_response_head_is_refused(raw: bytes) -> None:
    with pytest.raises(UpstreamError):
        parse_response(raw)


@pytest.mark.parametrize(
    ("raw", "length", "kept", "downstream"),
    [
        (OK + b"Content-Length: 5\r\n\r\n", 5, True, OK + b"Content-Length: 5\r\n"),
        (OK + b"\r\n", UNTIL_CLOSE, True, OK),
        (OK + b"Transfer-Encoding: Chunked\r\n\r\n", CHUNKED, True, OK + b"Transfer-Encoding: chunked\r\n"),
        (OK + b"Connection: close, X-A\r\nX-A: 1\r\nX-B: 2\r\n\r\n", UNTIL_CLOSE, False, OK + b"X-B: 2\r\n"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", 0, False, OK + b"Content-Length: 0\r\n"),
        (b"HTTP/1.1 200\r\n\r\n", UNTIL_CLOSE, True, b"HTTP/1.1 200 \r\n"),
        (OK + b"X-Served-Version: forged\r\n\r\n", UNTIL_CLOSE, True, OK),
    ],
)
def test_a_response_head_is_translated(raw: bytes, length: int, kept: bool, downstream: bytes) -> None:
    head = parse_response(raw)
    assert (head.length, head.keep_alive, head.downstream) == (length, kept, downstream)


@pytest.mark.parametrize(
    ("raw", "via"),
    [
        (OK + b"Via: 1.1 b\r\n\r\n", b"Via: 1.1 b\r\nVia: 1.1 rollback-router\r\n"),
        (OK + b"Connection: close\r\n\r\n", b"Via: 1.1 rollback-router\r\n"),
        (b"HTTP/1.0 200 OK\r\n\r\n", b"Via: 1.0 rollback-router\r\n"),
        (b"HTTP/1.1 103 Early\r\n\r\n", b"Via: 1.1 rollback-router\r\n"),
    ],
)
def test_via_of_a_response_says_how_it_came(raw: bytes, via: bytes) -> None:
    assert parse_response(raw, VIA).downstream == b"HTTP/1.1" + raw[8:].partition(b"\r\n")[0] + b"\r\n" + via


def test_the_backends_own_idle_timeout_is_kept_with_a_second_to_spare() -> None:
    assert parse_response(OK + b"Keep-Alive: timeout=5, max=100\r\n\r\n").idle_timeout_s == 4.0
    assert parse_response(OK + b"\r\n").idle_timeout_s is None


@pytest.mark.parametrize(
    "line", [b"GET /a#b HTTP/1.1", b"GET /#", b"GET http://t/a#b HTTP/1.1", b"GET http://t#b HTTP/1.1"]
)
def test_a_target_with_a_fragment_is_refused(line: bytes) -> None:
    with pytest.raises(DownstreamError) as refusal:
        parse_request(line + b"\r\nHost: t\r\n\r\n", 100)
    assert refusal.value.status == 400


@pytest.mark.parametrize("host", [b"a%zz", b"a%4", b"[]", b"[...]", b"[1::2::3]", b"[::1]x", b"[v1.a]"])
def test_a_host_that_is_no_name_and_no_address_is_refused(host: bytes) -> None:
    with pytest.raises(DownstreamError) as refusal:
        parse_request(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n", 100)
    assert refusal.value.status == 400


@pytest.mark.parametrize(
    ("host", "compared"),
    [
        *((b"[::1]", b"::1"), (b"[0::ffff:1.2.3.4]:80", b"::ffff:1.2.3.4"), (b"A%2Db", b"a-b"), (b"a:", b"a")),
        *((b"a!b", b"a!b"), (b"A.b.:8080", b"a.b"), (b"a.b.", b"a.b"), (b".", b"."), (b"a:80", b"a")),
    ],
)
def test_a_host_by_the_grammar_is_compared_in_one_form_and_forwarded_unchanged(host: bytes, compared: bytes) -> None:
    for parse in (parse_request, parse_slow):
        head = parse(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n", 100)
        assert head.host == compared
        assert head.upstream == b"GET / HTTP/1.1\r\nHost: %b\r\nX-Forwarded-Host: %b\r\n" % (host, host)
        head = parse(b"GET http://%b/ HTTP/1.1\r\nHost: other\r\n\r\n" % host, 100)
        assert (head.host, head.upstream.split(b"\r\n")[1]) == (compared, b"Host: " + host)


def test_each_connection_field_is_removed_however_often_it_comes() -> None:
    head = parse_request(b"GET / HTTP/1.1\r\nHost: t\r\n" + b"Connection: keep-alive\r\n" * 2 + b"\r\n", 100)
    assert head.upstream == b"GET / HTTP/1.1\r\nHost: t\r\nX-Forwarded-Host: t\r\n"


def test_connection_cannot_take_the_request_id_away() -> None:
    head = parse_request(b"GET / HTTP/1.1\r\nHost: t\r\nX-Request-ID: a\r\nConnection: x-request-id\r\n\r\n", 100)
    assert head.upstream == b"GET / HTTP/1.1\r\nHost: t\r\nX-Request-ID: a\r\nX-Forwarded-Host: t\r\n"


@pytest.mark.parametrize("framing", [b"Content-Length: 5", b"Transfer-Encoding: chunked"])
@pytest.mark.parametrize("status", [b"204", b"103"])
def test_a_response_that_cannot_have_a_body_gets_no_framing(status: bytes, framing: bytes) -> None:
    head = parse_response(b"HTTP/1.1 " + status + b" X\r\nX: y\r\n" + framing + b"\r\n\r\n")
    assert head.downstream == b"HTTP/1.1 " + status + b" X\r\nX: y\r\n"
    assert not head.keep_alive


@pytest.mark.parametrize("more", [b"", b"Keep-Alive: timeout=5\r\n"], ids=["fast path", "slow path"])
def test_fields_that_are_ours_in_a_request_are_the_backends_own_in_a_response(more: bytes) -> None:
    own = b"X-Forwarded-For: 1\r\nForwarded: for=1\r\nContent-Length: 0\r\n"
    assert parse_response(OK + more + own + b"\r\n").downstream == OK + own
