"""A rewritten head: what the version carries is in it once, and everything else is the client's, byte for byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.proxy.http1.fields import VIA
from router.proxy.http1.head_rewrite import HeadRewrite, head_rewrite
from router.proxy.http1.request_head import parse_request, parse_slow
from router.rollout.model.rewrite import NO_REWRITE, Rewrite

RAW = (
    b"POST /fraud/infer?a=/fraud HTTP/1.1\r\nHost: Client.example.com\r\nauthorization: Bearer client\r\n"
    b"X_Model: guess\r\nAccept: */*\r\nContent-Length: 2\r\n\r\n"
)
FIELDS = (("Authorization", "Bearer ours"), ("X-Model", "fraud-v8"))


def test_a_version_without_a_rewrite_costs_nothing() -> None:
    assert head_rewrite(NO_REWRITE, (), b"/") is None


def test_host_path_and_fields() -> None:
    rewrite = HeadRewrite(Rewrite("v8.example.com", "/v2/models/v8", "/f"), FIELDS, b"/fraud")
    for head in (parse_request(RAW.replace(b"X_Model: guess\r\n", b""), 100, VIA), parse_slow(RAW, 100, VIA)):
        assert rewrite.text(head, b"10.0.0.1:9000") == (
            b"POST /v2/models/v8/infer?a=/fraud HTTP/1.1\r\nAccept: */*\r\nContent-Length: 2\r\n"
            b"X-Forwarded-Host: Client.example.com\r\n" + VIA
            + b"Host: v8.example.com\r\nAuthorization: Bearer ours\r\nX-Model: fraud-v8\r\n"
        )  # fmt: skip


def test_only_a_path() -> None:
    rewrite = HeadRewrite(Rewrite(None, "/v2"), (), b"/")
    head = parse_request(RAW, 100)
    assert rewrite.text(head, b"e:1") == head.upstream.replace(b" /fraud/infer", b" /v2/fraud/infer", 1)


def test_a_client_of_http_1_0_without_a_host_gets_the_endpoints() -> None:
    head = parse_request(b"GET /a HTTP/1.0\r\n\r\n", 100)
    assert HeadRewrite(Rewrite(None, "/b"), (), b"/a").text(head, b"e:1") == b"GET /b HTTP/1.1\r\nHost: e:1\r\n"
    assert HeadRewrite(Rewrite("h"), (), b"/").text(head, b"e:1") == b"GET /a HTTP/1.1\r\nHost: h\r\n"


@pytest.mark.parametrize("target", [b"/fraud/../other", b"/fraudulent", b"/fraud%2Finfer", b"*"])
def test_the_rest_of_a_target_is_not_interpreted(target: bytes) -> None:
    method = b"OPTIONS" if target == b"*" else b"GET"
    head = parse_request(b"%b %b HTTP/1.1\r\nHost: a\r\n\r\n" % (method, target), 100)
    text = HeadRewrite(Rewrite(None, "/v8"), (), b"/fraud").text(head, b"e:1")
    expected = b"/v8/../other" if target == b"/fraud/../other" else target
    assert text.startswith(b"%b %b HTTP/1.1\r\n" % (method, expected))


VALUES = st.from_regex(rb"[!-~]([ -~]{0,20}[!-~])?", fullmatch=True)
NAMES = st.sampled_from(
    [b"Authorization", b"X-Model", b"x_model", b"AUTHORIZATION", b"Accept", b"Cookie", b"X-Model-2"]
)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=8))
def test_the_versions_fields_stand_once_and_no_line_is_added_or_lost(client: list[tuple[bytes, bytes]]) -> None:
    lines = b"".join(b"%b: %b\r\n" % pair for pair in client)
    head = parse_slow(b"GET /fraud/x HTTP/1.1\r\nHost: a\r\n%b\r\n" % lines, 100)
    text = HeadRewrite(Rewrite("h", "/v8", "/f"), FIELDS, b"/fraud").text(head, b"e:1")
    assert text.endswith(b"\r\n")
    first, *rest = text[:-2].split(b"\r\n")
    assert first == b"GET /v8/x HTTP/1.1"
    ours = {b"host", b"authorization", b"x-model", b"x_model"}
    kept = [b"%b: %b" % pair for pair in client if pair[0].lower() not in ours]
    assert rest == [*kept, b"X-Forwarded-Host: a", b"Host: h", b"Authorization: Bearer ours", b"X-Model: fraud-v8"]
