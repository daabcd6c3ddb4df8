from __future__ import annotations

import json

import pytest

from router.proxy.http1 import fields as http
from router.rollout.model.rewrite import (
    FIELDS_BYTES_MAX,
    NO_REWRITE,
    REFUSED_FIELDS,
    Rewrite,
    SentRewrite,
    from_dict,
    parse_fields,
    valid_host,
    valid_prefix,
)

SECRET = "sk-0123456789"


def test_the_journal_keeps_the_members_that_are_set() -> None:
    for rewrite in (NO_REWRITE, Rewrite("h"), Rewrite(None, "/v2", "/run/secrets/key")):
        assert from_dict(json.loads(json.dumps(rewrite.as_dict()))) == rewrite
    assert NO_REWRITE.as_dict() == {}
    assert [NO_REWRITE.distinguishes, Rewrite("h").distinguishes] == [False, True]


@pytest.mark.parametrize("host", ["fraud-v8.default.example.com", "10.0.0.1:80", "[::1]:9000", "model_v8", "a:65535"])
def test_hosts(host: str) -> None:
    assert valid_host(host) == host


@pytest.mark.parametrize("host", ["", "http://a", "a b", "a\r\nX: 1", "a/b", "u@a", "a:", "a:0", "a:65536", "é", "a,b"])
def test_what_is_no_host(host: str) -> None:
    with pytest.raises(ValueError, match="is no Host"):
        valid_host(host)


@pytest.mark.parametrize("prefix", ["/", "/v2", "/v2/models/fraud-v8", "/v1/models/m:predict", "/a%2Fb", "/v2/"])
def test_prefixes(prefix: str) -> None:
    assert valid_prefix(prefix) == prefix


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "v2",
        "/a?b",
        "/a#b",
        "/a b",
        "/a\r\nX: 1",
        "//a",
        "/a//b",
        "/../a",
        "/a/..",
        "/a/./b",
        "/%2e%2E/a",
        "/a%",
        "/é",
    ],
)
def test_what_is_no_prefix(prefix: str) -> None:
    with pytest.raises(ValueError, match="is no path prefix"):
        valid_prefix(prefix)


def test_a_headers_file() -> None:
    text = f"# credentials\r\nAuthorization: Bearer {SECRET}\n\nX-Model:  fraud v8 \n"
    assert parse_fields(text) == (("Authorization", f"Bearer {SECRET}"), ("X-Model", "fraud v8"))
    assert parse_fields("") == ()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (f"Authorization Bearer {SECRET}", "line 1 is no header field"),
        (f"\nAuthorization:{SECRET}", "line 2 is no header field"),
        (f"A: b\rX: {SECRET}", "line 1 is no header field"),
        (f"A: {SECRET}\x00", "line 1 is no header field"),
        (f"A: {SECRET}\x7f", "line 1 is no header field"),
        (f" A: {SECRET}", "line 1 is no header field"),
        (f"A : {SECRET}", "line 1 is no header field"),
        ("A: ", "line 1 is no header field"),
        (f"A: é{SECRET}", "line 1 is no header field"),
        (f"Connection: {SECRET}", "line 1 sets Connection"),
        (f"Transfer_Encoding: {SECRET}", "line 1 sets Transfer_Encoding"),
        (f"Host: {SECRET}", "line 1 sets Host"),
        (f"a: {SECRET}\nA: {SECRET}", "line 2 sets A a second time"),
        ("A: " + "x" * FIELDS_BYTES_MAX, "more than 4096 bytes"),
        ("".join(f"A{number}: b\n" for number in range(33)), "33 fields"),
    ],
)
def test_what_is_no_headers_file_is_named_without_its_value(text: str, error: str) -> None:
    with pytest.raises(ValueError, match=error) as caught:
        parse_fields(text)
    assert SECRET not in str(caught.value)


def test_a_version_cannot_set_what_the_data_plane_sets() -> None:
    ours = http.HOP_BY_HOP | http.ROUTER_FIELDS | http.NEVER_REMOVED
    assert {name.decode() for name in ours} <= REFUSED_FIELDS


def test_controls_own_requests() -> None:
    sent = SentRewrite("/fraud", Rewrite("v8.example.com", "/v2/models/v8", "/f"), (("Authorization", SECRET),))
    assert sent.target("/fraud/infer?x=%2F") == "/v2/models/v8/infer?x=%2F"
    assert sent.target("/health") == "/health"
    assert sent.headers({"Accept": "*/*", "authorization": "client"}) == {
        "Accept": "*/*", "Authorization": SECRET, "Host": "v8.example.com",
    }  # fmt: skip
    assert SECRET not in repr(sent)
    assert SentRewrite().headers({"Accept": "*/*"}) == {"Accept": "*/*"}
