"""Properties of a template: a head that it matches has the same meaning on the slow path; it matches no other head.

The first byte of an input chooses the sample that the template was learned from; the rest is the head to match.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from router.errors import RouterError
from router.proxy.http1 import head_template
from router.proxy.http1.request_head import parse_slow
from router.proxy.http1.response_head import parse_response
from tests.proxy import hostile
from tests.proxy.unusual import UNUSUAL

FIELDS_MAX: Final = 100
VIA: Final = b"Via: 1.1 rollback-router\r\n"
_MORE: Final = (
    b"POST /v2/models/m/infer HTTP/1.1\r\nHost: a:80\r\nUser-Agent: x/1\r\nContent-Length: 140\r\nX-Request-ID: a-1\r\n"
    b"traceparent: 00-a-b-01\r\nConnection: keep-alive\r\nAccept: */*\r\n\r\n",
    b"GET /%41?b=%25 HTTP/1.0\r\nX-A: 1\r\nConnection: x-b\r\nX-B:\t2 \r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\nX-Forwarded-For: 1.1.1.1\r\nContent-Length: 0\r\n\r\n",
)
_RESPONSES: Final = (
    b"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 5\r\nX-Request-ID: a\r\n\r\n",
    b"HTTP/1.1 404 \r\nKeep-Alive: timeout=5\r\nConnection: x-a\r\nX-A: b\r\nContent-Length: 5\r\nServer: a\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nServer: a\r\nETag: b\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: b\r\nForwarded: c\r\n\r\n",
)
_VALUES: Final = (
    *(
        b"",
        b" 7",
        b"\t7 ",
        b" 1234567890123456789",
        b" 123456789012345678",
        b" +7",
        b" 7,7",
        b" \x80",
        b" a\0",
        b" a\x7f",
    ),
    *(b" " + b"i" * 128, b" " + b"i" * 129, b" a b", b" close", b" x-a", b" a\r\n b"),
)
Parse = Callable[[bytes], Any]


def _parse_request(raw: bytes) -> Any:
    return parse_slow(raw, FIELDS_MAX, VIA)


def _parse_response(raw: bytes) -> Any:
    return parse_response(raw, VIA)


def _heads(messages: list[bytes], parse: Parse) -> list[bytes]:
    """Return at most 255 heads that are accepted, each with its empty line."""
    heads = [raw.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" for raw in messages]
    return [raw for raw in dict.fromkeys(heads) if len(raw) < 1000 and not isinstance(_result(parse, raw), str)][:255]


def _result(parse: Parse, raw: bytes) -> Any:
    try:
        return parse(raw)
    except RouterError as error:
        return error.code


REQUESTS: Final = _heads([*_MORE, *(case.raw for case in UNUSUAL)], _parse_request)
RESPONSES: Final = _heads([*_RESPONSES, *(case.raw for case in hostile.EXCESSIVE)], _parse_response)


@lru_cache(maxsize=1024)
def _learned(raw: bytes, parse: Parse) -> Any:
    """Return the widest template of heads like this one."""
    names = head_template.names_of(raw[:-4].split(b"\r\n")[1:])
    return head_template.compile_template(
        raw, [number for number, name in enumerate(names) if head_template.may_differ(name)], parse
    )


def check_requests(data: bytes) -> None:
    """Fail if a template of requests takes a head that the slow path refuses, or understands otherwise."""
    _check(data, REQUESTS, _parse_request)


def check_responses(data: bytes) -> None:
    """The same for responses."""
    _check(data, RESPONSES, _parse_response)


def _check(data: bytes, samples: list[bytes], parse: Parse) -> None:
    sample = samples[data[0] % len(samples)] if data else samples[0]
    learned = _learned(sample, parse)
    raw = data[1:].partition(b"\r\n\r\n")[0].removesuffix(b"\r\n") + b"\r\n\r\n"
    filled = learned.translate(raw) if learned is not None else None
    if filled is not None:
        assert filled == _result(parse, raw), (sample, raw)


def request_seeds() -> list[bytes]:
    """Each sample, shown to its own template: as it is, and with other values in each of its fields."""
    return _seeds(REQUESTS)


def response_seeds() -> list[bytes]:
    """The same for responses."""
    return _seeds(RESPONSES)


def _seeds(samples: list[bytes]) -> list[bytes]:
    return [bytes((number,)) + raw for number, sample in enumerate(samples) for raw in (sample, *_varied(sample))]


def _varied(sample: bytes) -> list[bytes]:
    start, *lines = sample[:-4].split(b"\r\n")
    found = []
    for number, line in enumerate(lines):
        for value in _VALUES:
            varied = [*lines[:number], line.partition(b":")[0] + b":" + value, *lines[number + 1 :]]
            found.append(b"\r\n".join((start, *varied, b"", b"")))
    return found
