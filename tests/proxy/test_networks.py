"""Addresses in every spelling, and the networks that cover them."""

from __future__ import annotations

import pytest

from router.proxy.addresses import UNIX, UNKNOWN, Networks, address_of, plain_address

MEMBERS = {
    b"192.0.2.1": "192.0.2.1",
    b"192.0.2.1:4711": "192.0.2.1",
    b"2001:DB8:0::1": "2001:db8::1",
    b"[2001:db8::1]": "2001:db8::1",
    b"[2001:db8::1]:4711": "2001:db8::1",
    b"::ffff:192.0.2.1": "192.0.2.1",
    b"[::FFFF:192.0.2.1]:80": "192.0.2.1",
    b"fe80::1%eth0": "fe80::1",
    b"[fe80::1%eth0.5]:80": "fe80::1",
    b"::": "::",
    b"": None,
    b"unknown": None,
    b"_hidden": None,
    b"example.com": None,
    b"1.2.3": None,
    b"1.2.3.4.5": None,
    b"01.2.3.4": None,
    b"256.2.3.4": None,
    b"0x7f.0.0.1": None,
    b"1.2.3.4:": None,
    b"1.2.3.4:123456": None,
    b"1.2.3.4 ": None,
    b"[1.2.3.4]": None,
    b"[::1": None,
    b"::1]": None,
    b"[::1]80": None,
    b"::1%": None,
    b"::1%a b": None,
    b"1::2::3": None,
    b"1.2.3.4\xff": None,
    b'"1.2.3.4"': None,
    b"1.2.3.4;x": None,
    b"\xd9\xa1.2.3.4": None,
}


@pytest.mark.parametrize(("member", "address"), MEMBERS.items(), ids=[repr(member) for member in MEMBERS])
def test_an_address_is_read_in_every_spelling_of_proxies_and_in_no_other(member: bytes, address: str | None) -> None:
    assert address_of(member) == address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%2", "fe80::1"),
        ("2001:db8:0:0::1", "2001:db8::1"),
        ("", UNKNOWN),
        ("localhost", UNKNOWN),
    ],
)
def test_what_a_socket_says_is_made_plain(text: str, address: str) -> None:
    assert plain_address(text) == address


COVERED = {
    ("10.0.0.0/8", "10.255.0.1"): True,
    ("10.0.0.0/8", "11.0.0.1"): False,
    ("10.0.0.0/8", "::ffff:10.0.0.1"): True,
    ("10.1.2.3", "10.1.2.3"): True,
    ("10.1.2.3", "10.1.2.4"): False,
    ("0.0.0.0/0", "192.0.2.1"): True,
    ("0.0.0.0/0", "::1"): False,
    ("::/0", "192.0.2.1"): False,
    ("::/0", "2001:db8::1"): True,
    ("2001:db8::/33", "2001:db8:7fff::1"): True,
    ("2001:db8::/33", "2001:db8:8000::1"): False,
    ("::/96", "10.0.0.1"): False,
    ("unix", UNIX): True,
    ("unix", UNKNOWN): False,
    ("unix", "127.0.0.1"): False,
    ("0.0.0.0/0", UNIX): False,
    ("0.0.0.0/0", UNKNOWN): False,
}


@pytest.mark.parametrize(("case", "covered"), COVERED.items(), ids=[" ".join(case) for case in COVERED])
def test_a_network_covers_its_own(case: tuple[str, str], covered: bool) -> None:
    network, address = case
    assert Networks([network]).covers(address) is covered
    assert Networks(["198.51.100.0/24", network, "2001:db8:ffff::/48"]).covers(address) is covered


def test_no_network_covers_nobody() -> None:
    nobody = Networks()
    assert not any(nobody.covers(address) for address in ("127.0.0.1", "::1", UNIX, UNKNOWN))
