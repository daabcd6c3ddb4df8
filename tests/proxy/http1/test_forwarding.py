"""The forwarded fields for backends, without a connection."""

from __future__ import annotations

import pytest

from router.errors import DownstreamError
from router.proxy.addresses import UNIX, UNKNOWN, Peer
from router.proxy.http1.forwarding import (
    PEERS_REMEMBERED_MAX,
    ForwardedFields,
    Forwarding,
    PeerTrust,
    parse_forwarded,
)
from router.proxy.options import ForwardingOptions

TRUSTED = ("10.0.0.0/8", "2001:db8::/32", "unix")
PROXY = Peer("10.0.0.1", "http")


def forwarded(claims: ForwardedFields, peer: Peer = PROXY, **options: object) -> tuple[list[bytes], str]:
    """Return (the lines that backends get, the client's address)."""
    rules = Forwarding(ForwardingOptions(trusted=TRUSTED, **options))  # type: ignore[arg-type]
    fields, client = rules.forwarded_fields(claims, peer)
    assert fields.endswith(b"\r\n")
    return fields[:-2].split(b"\r\n"), client


CHAINS: dict[str, tuple[list[bytes], bytes, str]] = {
    "nothing": ([], b"10.0.0.1", "10.0.0.1"),
    "one client": ([b"192.0.2.7"], b"192.0.2.7, 10.0.0.1", "192.0.2.7"),
    "the right-most that is not ours": (
        [b"6.6.6.6, 192.0.2.7, 10.9.9.9"],
        b"6.6.6.6, 192.0.2.7, 10.9.9.9, 10.0.0.1",
        "192.0.2.7",
    ),
    "all are ours": ([b"10.3.3.3, 10.2.2.2"], b"10.3.3.3, 10.2.2.2, 10.0.0.1", "10.3.3.3"),
    "several fields are one list": ([b"6.6.6.6", b"192.0.2.7"], b"6.6.6.6, 192.0.2.7, 10.0.0.1", "192.0.2.7"),
    "spaces and none": ([b"6.6.6.6,192.0.2.7 \t, 10.1.1.1"], b"6.6.6.6, 192.0.2.7, 10.1.1.1, 10.0.0.1", "192.0.2.7"),
    "a forger's rubbish cannot hide": ([b"<script>, 192.0.2.7"], b"192.0.2.7, 10.0.0.1", "192.0.2.7"),
    "behind rubbish nobody is believed": ([b"10.6.6.6, x, 10.2.2.2"], b"10.2.2.2, 10.0.0.1", "10.2.2.2"),
    "rubbish alone": ([b"unknown"], b"10.0.0.1", "10.0.0.1"),
    "empty": ([b""], b"10.0.0.1", "10.0.0.1"),
    "empty members": ([b"6.6.6.6,,192.0.2.7"], b"192.0.2.7, 10.0.0.1", "192.0.2.7"),
    "raw bytes": ([b"6.6.6.6, \xff\xfe, 192.0.2.7"], b"192.0.2.7, 10.0.0.1", "192.0.2.7"),
    "as long as a head may be": ([b"6" * 30_000 + b", 192.0.2.7"], b"192.0.2.7, 10.0.0.1", "192.0.2.7"),
    "version 6": ([b"2001:DB9::7"], b"2001:DB9::7, 10.0.0.1", "2001:db9::7"),
    "4 in 6 of a proxy": ([b"192.0.2.7, ::ffff:10.2.2.2"], b"192.0.2.7, ::ffff:10.2.2.2, 10.0.0.1", "192.0.2.7"),
    "ports": ([b"192.0.2.7:4711, [2001:db8::2]:80"], b"192.0.2.7:4711, [2001:db8::2]:80, 10.0.0.1", "192.0.2.7"),
    "a zone": ([b"fe80::7%eth0"], b"fe80::7%eth0, 10.0.0.1", "fe80::7"),
}


@pytest.mark.parametrize(("values", "chain", "client"), CHAINS.values(), ids=CHAINS)
def test_the_chain_is_read_from_the_right(values: list[bytes], chain: bytes, client: str) -> None:
    claims = [(b"x-forwarded-for", value) for value in values]
    assert forwarded(claims) == ([b"X-Forwarded-For: " + chain, b"X-Forwarded-Proto: http"], client)


def test_of_a_long_chain_the_end_is_kept() -> None:
    claims = [(b"x-forwarded-for", b", ".join(b"10.0.1.%d" % number for number in range(100)))]
    lines, client = forwarded(claims, hops_max=2)
    assert lines[0] == b"X-Forwarded-For: 10.0.1.98, 10.0.1.99, 10.0.0.1"
    assert client == "10.0.1.98"


def test_a_unix_socket_adds_no_address() -> None:
    local = Peer(UNIX, "http")
    assert forwarded([(b"x-forwarded-for", b"192.0.2.7")], local) == (
        [b"X-Forwarded-For: 192.0.2.7", b"X-Forwarded-Proto: http"],
        "192.0.2.7",
    )
    assert forwarded([], local) == ([b"X-Forwarded-For: unknown", b"X-Forwarded-Proto: http"], UNIX)


LAST: dict[str, tuple[ForwardedFields, list[bytes]]] = {
    "proto": ([(b"x-forwarded-proto", b"https")], [b"X-Forwarded-Proto: https"]),
    "proto in capitals": ([(b"x-forwarded-proto", b"HTTPS")], [b"X-Forwarded-Proto: HTTPS"]),
    "the nearest proxy's proto": ([(b"x-forwarded-proto", b"https, http")], [b"X-Forwarded-Proto: http"]),
    "the last proto": (
        [(b"x-forwarded-proto", b"http"), (b"x-forwarded-proto", b"https")],
        [b"X-Forwarded-Proto: https"],
    ),
    "no such proto": ([(b"x-forwarded-proto", b"https;x")], [b"X-Forwarded-Proto: http"]),
    "host": (
        [(b"x-forwarded-host", b"Example.com:8443")],
        [b"X-Forwarded-Proto: http", b"X-Forwarded-Host: Example.com:8443"],
    ),
    "the last host": (
        [(b"x-forwarded-host", b"evil, example.com")],
        [b"X-Forwarded-Proto: http", b"X-Forwarded-Host: example.com"],
    ),
    "no host": ([(b"x-forwarded-host", b"a/b")], [b"X-Forwarded-Proto: http"]),
    "host of raw bytes": ([(b"x-forwarded-host", b"\xff")], [b"X-Forwarded-Proto: http"]),
    "port": ([(b"x-forwarded-port", b"8443")], [b"X-Forwarded-Proto: http", b"X-Forwarded-Port: 8443"]),
    "no port": ([(b"x-forwarded-port", b"65536")], [b"X-Forwarded-Proto: http"]),
    "port with a sign": ([(b"x-forwarded-port", b"+80")], [b"X-Forwarded-Proto: http"]),
}


@pytest.mark.parametrize(("claims", "lines"), LAST.values(), ids=LAST)
def test_of_proto_host_and_port_the_last_word_counts_if_it_is_well_formed(
    claims: ForwardedFields, lines: list[bytes]
) -> None:
    assert forwarded(claims)[0][1:] == lines


def test_what_is_not_to_be_kept_is_not_believed() -> None:
    claims = [(b"x-forwarded-" + name, b"192.0.2.7") for name in (b"for", b"host")] + [(b"x-forwarded-proto", b"https")]
    assert forwarded(claims, keep=frozenset(("proto",))) == (
        [b"X-Forwarded-For: 10.0.0.1", b"X-Forwarded-Proto: https"],
        "10.0.0.1",
    )
    assert Forwarding(ForwardingOptions(keep=frozenset())).forwarded_host(claims) == b""


FORWARDED: dict[str, tuple[list[bytes], Peer, bytes]] = {
    "new": ([], PROXY, b"for=10.0.0.1;proto=http"),
    "appended": (
        [b'for=192.0.2.7;host="a:1";proto=https'],
        PROXY,
        b'for=192.0.2.7;host="a:1";proto=https, for=10.0.0.1;proto=http',
    ),
    "several": ([b"for=a,for=b ", b"for=c"], PROXY, b"for=a, for=b, for=c, for=10.0.0.1;proto=http"),
    "quoted": ([b'for="a\\",b";by=x'], PROXY, b'for="a\\",b";by=x, for=10.0.0.1;proto=http'),
    "empty": ([b""], PROXY, b"for=10.0.0.1;proto=http"),
    "version 6": ([], Peer("2001:db8::1", "https"), b'for="[2001:db8::1]";proto=https'),
    "Unix": ([], Peer(UNIX, "http"), b"for=unknown;proto=http"),
    "gone": ([], Peer(UNKNOWN, "http"), b"for=unknown;proto=http"),
}


@pytest.mark.parametrize(("values", "peer", "value"), FORWARDED.values(), ids=FORWARDED)
def test_forwarded_is_appended_to_if_wanted(values: list[bytes], peer: Peer, value: bytes) -> None:
    claims = [(b"forwarded", given) for given in values]
    assert forwarded(claims, peer, forwarded=True)[0][-1] == b"Forwarded: " + value
    assert not any(line.startswith(b"Forwarded") for line in forwarded(claims, peer)[0])


def test_of_a_long_forwarded_the_end_is_kept() -> None:
    claims = [(b"forwarded", b"for=a, for=b, for=c")]
    assert forwarded(claims, forwarded=True, hops_max=2)[0][-1] == b"Forwarded: for=b, for=c, for=10.0.0.1;proto=http"


@pytest.mark.parametrize(
    "value",
    [
        *(b'for="', b'for="a, for=192.0.2.7', b"for", b"for=", b"=a", b"for=a,", b",for=a", b"for=a,,for=b", b"for=a;"),
        *(b"for=a b", b"for=[::1]", b"for=1.2.3.4:80", b'for="\xff"', b'for="a"b', b"for =a", b'for="a\\'),
        b"for=a" + b",for=a" * 2000 + b'"',
    ],
    ids=lambda value: repr(value[-24:]),
)
def test_a_malformed_forwarded_is_refused_where_it_would_be_handed_on(value: bytes) -> None:
    with pytest.raises(DownstreamError) as refusal:
        forwarded([(b"forwarded", value)], forwarded=True)
    assert refusal.value.status == 400
    assert forwarded([(b"forwarded", value)])[0] == [b"X-Forwarded-For: 10.0.0.1", b"X-Forwarded-Proto: http"]


def test_of_everybody_else_the_connection_tells() -> None:
    rules = Forwarding(ForwardingOptions(forwarded=True))
    assert rules.connection_fields(Peer("192.0.2.1", "https")) == (
        b"X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nForwarded: for=192.0.2.1;proto=https\r\n"
    )
    assert Forwarding(ForwardingOptions()).connection_fields(Peer(UNIX, "http")) == (
        b"X-Forwarded-For: unknown\r\nX-Forwarded-Proto: http\r\n"
    )


HOSTS = {
    "trusted": ("10.0.0.1", "http", "10.0.0.1", b"10.0.0.1", True),
    "4 in 6": ("::ffff:10.0.0.1", "https", "10.0.0.1", b"10.0.0.1", True),
    "a zone": ("fe80::1%eth0", "http", "fe80::1", b"fe80::1", False),
    "not trusted": ("192.0.2.1", "https", "192.0.2.1", b"192.0.2.1", False),
    "Unix": (UNIX, "http", UNIX, b"unknown", True),
    "already gone": (UNKNOWN, "http", UNKNOWN, b"unknown", False),
}


@pytest.mark.parametrize(("host", "scheme", "address", "named", "trusted"), HOSTS.values(), ids=HOSTS)
def test_what_a_host_means_is_decided_once_for_each_scheme(
    host: str, scheme: str, address: str, named: bytes, trusted: bool
) -> None:
    rules = Forwarding(ForwardingOptions(trusted=TRUSTED))
    other = rules.trust_of(host, "http" if scheme == "https" else "https")
    fields = b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\n" % (named, scheme.encode())
    first = rules.trust_of(host, scheme)
    assert first == PeerTrust(Peer(address, scheme), fields, trusted)
    assert rules.trust_of("".join(host), scheme) is first
    assert other.peer.scheme != scheme


def test_the_host_remembered_longest_is_forgotten_first() -> None:
    rules = Forwarding(ForwardingOptions())
    hosts = [f"10.0.{number >> 8}.{number & 255}" for number in range(PEERS_REMEMBERED_MAX + 1)]
    known = [rules.trust_of(host, "http") for host in hosts]
    assert len(rules._peers) == PEERS_REMEMBERED_MAX
    assert [rules.trust_of(host, "http") is trust for host, trust in list(zip(hosts, known, strict=True))[1:]] == (
        [True] * PEERS_REMEMBERED_MAX
    )
    assert rules.trust_of(hosts[0], "http") is not known[0]


def test_a_peer_with_a_header_is_remembered_for_no_other() -> None:
    rules = Forwarding(ForwardingOptions(trusted=TRUSTED))
    announced = Peer("192.0.2.7", "http", sender="10.0.0.1")
    assert rules.decide(announced).peer is announced
    assert rules.trust_of("192.0.2.7", "http").peer == Peer("192.0.2.7", "http")


def test_claims_are_found_in_the_order_in_which_they_came() -> None:
    raw = (
        b"GET /x-forwarded-for:a HTTP/1.1\r\nHost: t\r\nX-FORWARDED-For:a, b \r\nX-Y: x-forwarded-for: c\r\nforwarded: \tfor=d"
        b"\r\nx-forwarded-for:\r\nX-Forwarded-Server: e\r\nX-Forwarded-Proto: f\r\nX-Real-IP: g\r\n\r\n"
    )
    assert parse_forwarded(raw) == [
        (b"x-forwarded-for", b"a, b"),
        (b"forwarded", b"for=d"),
        (b"x-forwarded-for", b""),
        (b"x-forwarded-proto", b"f"),
    ]


def test_what_was_believed_is_remembered_within_bounds() -> None:
    rules = Forwarding(ForwardingOptions(trusted=TRUSTED))

    def head(client: bytes) -> bytes:
        return b"GET / HTTP/1.1\r\nX-Forwarded-For: %b\r\nX-Forwarded-Host: h\r\n\r\n" % client

    result = rules.trusted_fields(head(b"192.0.2.7"), PROXY)
    assert result[1:] == ("192.0.2.7", True)
    assert rules.trusted_fields(head(b"192.0.2.7"), PROXY) is result
    assert rules.trusted_fields(head(b"192.0.2.7"), Peer("10.0.0.2", "http"))[0] != result[0]
    assert rules.trusted_fields(head(b"192.0.2.7"), Peer("10.0.0.1", "https"))[0] != result[0]
    for number in range(1024):
        rules.trusted_fields(head(b"192.0.2.%d:%d" % (number % 256, number)), PROXY)
    assert rules.trusted_fields(head(b"192.0.2.7"), PROXY) is not result
    long = head(b", ".join([b"192.0.2.7"] * 60))
    assert rules.trusted_fields(long, PROXY) is not rules.trusted_fields(long, PROXY)
