"""Hosts in the form for comparison, and hosts of the settings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.uri.authority import AUTHORITY_BYTES_MAX, comparable, host_of, setting_host, setting_origin


@pytest.mark.parametrize(
    ("authority", "host"),
    [
        (b"Fraud.NS.svc", b"fraud.ns.svc"),
        (b"fraud.ns.svc.", b"fraud.ns.svc"),
        (b"fraud.ns.svc.:8080", b"fraud.ns.svc"),
        (b"fraud:", b"fraud"),
        (b"fraud:65535", b"fraud"),
        (b"fr%61ud%2Eexample%2ecom", b"fraud.example.com"),
        (b"%46raud", b"fraud"),
        (b"a%2Fb", b"a%2fb"),
        (b"a%00b", b"a%00b"),
        (b"%C3%BC.example", b"%c3%bc.example"),
        (b"xn--bcher-kva.EXAMPLE.", b"xn--bcher-kva.example"),
        (b"a..", b"a."),
        (b".", b"."),
        (b"127.0.0.1.:80", b"127.0.0.1"),
        (b"127.1", b"127.1"),
        (b"[::1]", b"::1"),
        (b"[0:0:0::0001]:443", b"::1"),
        (b"[2001:DB8::A]", b"2001:db8::a"),
        (b"[::ffff:192.0.2.1]", b"::ffff:192.0.2.1"),
        (b"[::FFFF:c000:201]", b"::ffff:192.0.2.1"),
        (b"a_b", b"a_b"),
    ],
)
def test_one_form(authority: bytes, host: bytes) -> None:
    assert host_of(authority) == host
    assert comparable(host.decode()).encode() in (host, b"a"), "once more makes no difference"


@pytest.mark.parametrize(
    "authority",
    [
        *(b"", b":80", b"user@a", b"u:p@a", b"a b", b"a,b", b"a/b", b"a?b", b"a:65536", b"a:123456", b"a:b", b"a:1:2"),
        *(b"::1", b"[::1", b"[::1]a", b"[]", b"[fe80::1%25eth0]", b"[v1.a]", b"[1.2.3.4]", b"%", b"%4", b"%zz"),
        *("bücher".encode(), b"\x80", b"a\x00", b"a" * (AUTHORITY_BYTES_MAX + 1)),
    ],
)
def test_no_authority(authority: bytes) -> None:
    assert host_of(authority) is None


@given(st.binary(max_size=40))
def test_any_bytes(authority: bytes) -> None:
    host = host_of(authority)
    assert host is None or (host and host_of(b"[%b]" % host if b":" in host else host) is not None)


@pytest.mark.parametrize(
    ("value", "host"),
    [
        *(
            ("Fraud.Example.COM.", "fraud.example.com"),
            ("[0::1]", "[::1]"),
            ("a_b-c", "a_b-c"),
            ("127.0.0.1", "127.0.0.1"),
        ),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ],
)
def test_a_host_of_the_settings(value: str, host: str) -> None:
    assert setting_host(value) == host == setting_host(host)


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        *(
            ("fraud:8080", "port"),
            ("fraud:", "port"),
            ("[::1]:80", "port"),
            ("bücher.example", "xn--"),
            ("::1", "[::1]"),
        ),
        *(("http://fraud", "fraud.example.com"), ("user@fraud", "fraud.example.com"), ("*.fraud", "letters")),
        *(("", "fraud.example.com"), ("a%2Fb", "letters"), ("[fe80::1%eth0]", "2001:db8::1")),
    ],
)
def test_a_wrong_host_of_the_settings_names_value_and_remedy(value: str, remedy: str) -> None:
    with pytest.raises(ValueError) as caught:
        setting_host(value)
    assert repr(value) in str(caught.value)
    assert remedy in str(caught.value)


@pytest.mark.parametrize(
    ("value", "origin"),
    [
        ("https://ops.example.com", "https://ops.example.com"),
        ("HTTPS://Ops.Example.com:443/", "https://ops.example.com"),
        ("http://ops.example.com:80", "http://ops.example.com"),
        ("http://ops.example.com:443", "http://ops.example.com:443"),
        ("http://[::1]:8081", "http://[::1]:8081"),
        ("chrome-extension://abcdefgh", "chrome-extension://abcdefgh"),
    ],
)
def test_an_origin_of_the_settings_is_what_browsers_send(value: str, origin: str) -> None:
    assert setting_origin(value) == origin == setting_origin(origin)


@pytest.mark.parametrize(
    "value", ["ops.example.com", "*", "null", "", "https://", "https://ops.example.com/page", "https://é"]
)
def test_a_wrong_origin_of_the_settings_names_value_and_remedy(value: str) -> None:
    with pytest.raises(ValueError) as caught:
        setting_origin(value)
    assert repr(value) in str(caught.value)
    assert "https://ops.example.com" in str(caught.value)


def test_a_wrong_origin_with_a_password_is_not_shown() -> None:
    with pytest.raises(ValueError) as caught:
        setting_origin("https://ann:secret@ops.example.com")
    assert "secret" not in str(caught.value)
