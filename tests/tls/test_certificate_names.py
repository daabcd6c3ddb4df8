"""Which hosts belong to which certificate, as a table."""

from __future__ import annotations

import pytest

from router.tls.certificate_names import PresentedCertificate, choose
from router.uri.authority import host_of

CERTIFICATES = (
    frozenset({"localhost", "127.0.0.1", "::1", "shared.test", "d.test"}),
    frozenset({"a.test", "a2.test"}),
    frozenset({"*.b.test", "shared.test"}),
)
BY_NAME = {"a.test": 1, "*.b.test": 2, "cn-only.test": 2}
DEFAULT, A, B = range(3)


@pytest.mark.parametrize(
    ("host", "served_by"),
    [
        (b"a.test", {A}),
        (b"a.test:443", {A}),
        (b"a.test.", {A}),
        (b"a.test.:8443", {A}),
        (b"%61.test", {A}),
        (b"x.b.test", {B}),
        (b"cn-only.test", {B}),
        (b"d.test", {DEFAULT}),
        (b"localhost:80", {DEFAULT}),
        (b"127.0.0.1", {DEFAULT}),
        (b"[::1]", {DEFAULT}),
        (b"[0:0:0:0:0:0:0:1]:443", {DEFAULT}),
        (b"shared.test", {DEFAULT, B}),
        # SNI would choose the first certificate for it, which does not hold it: either is right.
        (b"a2.test", {DEFAULT, A}),
        # Nobody's: there is no certificate that the client could ask for instead.
        (b"", {DEFAULT, A, B}),
        (b"unknown.test", {DEFAULT, A, B}),
        (b"b.test", {DEFAULT, A, B}),
        (b"x.y.b.test", {DEFAULT, A, B}),
        (b"192.0.2.1", {DEFAULT, A, B}),
        (b"[2001:db8::1]:443", {DEFAULT, A, B}),
        (b"notb.test", {DEFAULT, A, B}),
    ],
)
def test_which_connections_serve_a_host(host: bytes, served_by: set[int]) -> None:
    places = range(len(CERTIFICATES))
    assert {
        place
        for place in places
        if not PresentedCertificate(CERTIFICATES, BY_NAME, place).misdirects(host_of(host) or b"")
    } == served_by


def test_an_exact_name_is_chosen_before_a_wildcard() -> None:
    by_name = {"*.b.test": 1, "x.b.test": 2}
    assert [choose(name, by_name) for name in ("x.b.test", "y.b.test", "b.test", "")] == [2, 1, None, None]
