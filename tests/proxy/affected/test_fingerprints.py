"""What makes two requests equal, and that this cannot be found out without the key."""

from __future__ import annotations

import pytest

from router.proxy.affected.fingerprints import (
    CLIENTS_KEPT,
    REFERENCE_BYTES_MAX,
    SAMPLE_BYTES,
    Fingerprints,
    extend_first,
    extend_last,
)
from router.shm import segment

REQUEST = (b"POST", b"/v1/completions?a=1", 5, b"hello", b"hello")


@pytest.fixture
def fingerprints() -> Fingerprints:
    return Fingerprints(segment.create(1, 1).words)


def test_equal_requests_have_one_fingerprint(fingerprints: Fingerprints) -> None:
    assert fingerprints.request(*REQUEST, whole=True) == fingerprints.request(*REQUEST, whole=True)
    assert fingerprints.client("10.0.0.1") == fingerprints.client("10.0.0.1")


@pytest.mark.parametrize(
    "other",
    [
        (b"PUT", *REQUEST[1:]),
        (b"POST", b"/v1/completions?a=2", *REQUEST[2:]),
        (*REQUEST[:2], 6, *REQUEST[3:]),
        (*REQUEST[:3], b"jello", b"hello"),
        (*REQUEST[:3], b"hello", b"hallo"),
    ],
    ids=["method", "query", "length", "first bytes", "last bytes"],
)
def test_a_difference_is_seen(fingerprints: Fingerprints, other: tuple[bytes, bytes, int, bytes, bytes]) -> None:
    assert fingerprints.request(*other, whole=True) != fingerprints.request(*REQUEST, whole=True)


def test_what_moves_from_one_part_to_the_next_is_a_difference(fingerprints: Fingerprints) -> None:
    one = fingerprints.request(b"POST", b"/a", 2, b"ab", b"ab", whole=True)
    assert one != fingerprints.request(b"POST", b"/a", 2, b"aba", b"b", whole=True)
    assert fingerprints.client("a") != fingerprints.request(b"a", b"", 0, b"", b"", whole=True)


def test_another_router_has_other_fingerprints() -> None:
    one, other = (Fingerprints(segment.create(1, 1).words) for _ in range(2))
    assert one.client("10.0.0.1") != other.client("10.0.0.1")


def test_the_end_of_a_body_that_is_not_whole_makes_no_difference(fingerprints: Fingerprints) -> None:
    start = b"s" * SAMPLE_BYTES
    failed = [fingerprints.request(b"POST", b"/a", 1 << 20, start, last, whole=False) for last in (b"x", b"yyy")]
    assert failed[0] == failed[1]
    assert failed[0] != fingerprints.request(b"POST", b"/a", 1 << 20, start, b"x", whole=True)


@pytest.mark.parametrize("size", [0, 1, 1023, 1024, 1025, 4096, 4097, 9000])
@pytest.mark.parametrize("cut", [1, 7, 1000, 1024, 5000])
def test_how_a_body_was_read_makes_no_difference(fingerprints: Fingerprints, size: int, cut: int) -> None:
    body = bytes(number % 251 for number in range(size))
    first, last = body[:cut], body[:cut]
    for start in range(cut, size, cut):
        first, last = extend_first(first, body[start : start + cut]), extend_last(last, body[start : start + cut])
    assert first[:SAMPLE_BYTES] == body[:SAMPLE_BYTES]
    assert last[-SAMPLE_BYTES:] == body[-SAMPLE_BYTES:]
    assert len(first) <= max(cut, SAMPLE_BYTES)
    assert len(last) <= max(cut, SAMPLE_BYTES)


def test_what_is_kept_is_bounded(fingerprints: Fingerprints) -> None:
    for number in range(CLIENTS_KEPT + 10):
        fingerprints.client(f"10.0.{number // 256}.{number % 256}")
    assert len(fingerprints._clients) <= CLIENTS_KEPT
    assert REFERENCE_BYTES_MAX >= SAMPLE_BYTES
