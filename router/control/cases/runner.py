"""Sends cases to a version and judges its answers: within control against endpoints, from the command line against a URL.

So many at a time and no more; each has its time, and so has the whole. A version that hangs costs its cases, nobody else.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import aiohttp
from yarl import URL

from router import __version__
from router.rollout import json_pointer
from router.rollout.cases.case import Case, unsendable
from router.rollout.cases.comparison import CaseAnswer, ComparisonLimits, Result, judged
from router.rollout.model.endpoint import parse_endpoint
from router.rollout.quality.validators import AnswerRules, Schema, StreamEnd, answer_complaint, labels
from router.runtime import clock
from router.settings.sections.validation import Validation

ANSWER_BYTES_MAX: Final = 1 << 20
"""Of an answer longer than this the rest is not waited for; it is good by its status, and compared with nothing."""

AT_ONCE_BYTES_MAX: Final = 2048
"""An answer up to this is judged where it came. One of 1 MiB takes a second to compare: on a thread, for control has to tick."""

RUN_TIMEOUT_S: Final = 900.0
"""For all cases of one run: what is not answered by then has failed."""

CONNECT_TIMEOUT_S: Final = 5.0

_NOT_SENT: Final = ("x-request-id", "traceparent", "tracestate")


@dataclass(frozen=True, slots=True)
class RunTarget:
    """Where a version is: URLs of endpoints, or one base URL (its path then precedes that of a case)."""

    urls: tuple[str, ...]
    context: ssl.SSLContext | None = None
    server_name: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    """Sent with every case: what an entrance wants that no case may hold."""


@dataclass(frozen=True, slots=True)
class CaseRunOptions:
    """How cases are sent and judged. `replay` is the service's rule, `asked`: a person wants every one sent."""

    limits: ComparisonLimits = field(default_factory=ComparisonLimits)
    concurrency: int = 4
    timeout_s: float = 30.0
    run_timeout_s: float = RUN_TIMEOUT_S
    replay: str = "unsent"
    asked: bool = False
    complaint: Callable[[Case, CaseAnswer], str | None] = lambda case, answer: None
    """What the service's validators say of an answer."""


async def replayed(
    cases: Sequence[Case],
    place: RunTarget,
    way: CaseRunOptions,
    on_result: Callable[[Result], None] = lambda result: None,
) -> list[Result]:
    """Return the result of every case, in their order; `on_result` is told each as it comes."""
    results: dict[int, Result] = {}
    waiting = iter(enumerate(cases))
    until_s = clock.now_s() + way.run_timeout_s

    async def lane(sessions: list[aiohttp.ClientSession]) -> None:
        for number, case in waiting:
            results[number] = await _result(case, sessions[number % len(sessions)], place, number, way, until_s)
            on_result(results[number])

    async with _sessions(place) as sessions:
        await asyncio.gather(*(lane(sessions) for _ in range(min(way.concurrency, len(cases)))))
    return [results[number] for number in range(len(cases))]


async def _result(
    case: Case, session: aiohttp.ClientSession, place: RunTarget, number: int, way: CaseRunOptions, until_s: float
) -> Result:
    if why := unsendable(case, way.replay, asked=way.asked):
        return Result(case.id, "skipped", (why,))
    left_s = min(way.timeout_s, until_s - clock.now_s())
    if left_s <= 0:
        return Result(case.id, "fail", (f"the whole check did not end within {way.run_timeout_s:g} s",))
    url = place.urls[number % len(place.urls)]
    answer = await _answer(case, session, url, place, left_s)
    if len(answer.body) <= AT_ONCE_BYTES_MAX:
        return _judged(case, answer, way)
    return await asyncio.to_thread(_judged, case, answer, way)


def _judged(case: Case, answer: CaseAnswer, way: CaseRunOptions) -> Result:
    return judged(case, answer, way.limits, way.complaint(case, answer))


async def _answer(
    case: Case, session: aiohttp.ClientSession, url: str, place: RunTarget, timeout_s: float
) -> CaseAnswer:
    """Send one case; every way in which the other side can fail becomes an answer with an error."""
    begun: list[str] = []
    try:
        async with asyncio.timeout(timeout_s):
            return await _asked(case, session, url, place, begun)
    except TimeoutError:
        return CaseAnswer(error=f"no {'whole answer' if begun else 'first byte'} within {timeout_s:g} s")
    except aiohttp.ClientConnectorError as error:
        return CaseAnswer(error=f"no connection to {url}: {error.os_error.strerror or error}")
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return CaseAnswer(error=f"the answer broke off: {str(error) or type(error).__name__}")


async def _asked(
    case: Case, session: aiohttp.ClientSession, url: str, place: RunTarget, begun: list[str]
) -> CaseAnswer:
    request = case.request
    started_ns = clock.now_ns()
    async with session.request(
        request.method,
        _url(url, request.target),
        data=request.content if request.content or request.body is not None else None,
        headers=_headers(case, place),
        skip_auto_headers=("Content-Type", "User-Agent"),
        allow_redirects=False,
        ssl=place.context if place.context is not None else True,
        server_hostname=place.server_name,
    ) as response:
        first_byte_ms = (clock.now_ns() - started_ns) / 1e6
        begun.append(url)
        body, complete = await _body(response)
        return CaseAnswer(response.status, first_byte_ms, body, complete, content_type=response.content_type)


def _headers(case: Case, place: RunTarget) -> dict[str, str]:
    kept = {name: value for name, value in case.request.headers.items() if name.lower() not in _NOT_SENT}
    known = {name.lower() for name in (*kept, *place.headers)}
    ours = {
        "User-Agent": f"rollback-router-check/{__version__}",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "X-Request-ID": f"check-{case.id}",
    }
    return {name: value for name, value in ours.items() if name.lower() not in known} | kept | place.headers


def _url(url: str, path: str) -> URL:
    endpoint_free = url if not url.startswith("unix:") else "http://localhost"
    return URL(endpoint_free.rstrip("/") + ("" if path == "*" else path), encoded=True)


async def _body(response: aiohttp.ClientResponse) -> tuple[bytes, bool]:
    kept = bytearray()
    async for chunk in response.content.iter_chunked(65536):
        kept += chunk
        if len(kept) > ANSWER_BYTES_MAX:
            response.close()
            return bytes(kept[:ANSWER_BYTES_MAX]), False
    return bytes(kept), True


@asynccontextmanager
async def _sessions(place: RunTarget) -> AsyncIterator[list[aiohttp.ClientSession]]:
    """A session for each URL: those of Unix sockets have connectors of their own."""
    sessions = [
        aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
        )
        for connector in _connectors(place)
    ]
    try:
        yield sessions
    finally:
        for session in sessions:
            await session.close()


def _connectors(place: RunTarget) -> Iterator[aiohttp.BaseConnector]:
    for url in place.urls:
        path = parse_endpoint(url).unix if url.startswith("unix:") else ""
        # A connection a case: one that is reused may be closed just then, which would be no fault of the version.
        yield aiohttp.UnixConnector(path, force_close=True) if path else aiohttp.TCPConnector(limit=0, force_close=True)


_BODILESS = (204, 205, 206)


class Validity:
    """Made of the section `validation`; a schema is compiled here, once. Raises ValueError if it cannot be."""

    def __init__(self, section: Validation) -> None:
        self._methods = frozenset(section.methods)
        self._paths = tuple(path.rstrip("/") for path in section.paths)
        self._end = section.stream_end
        self._rules = AnswerRules(
            section.response_not_empty,
            section.response_json,
            Schema(section.response_schema) if section.response_schema else None,
            tuple(map(json_pointer.parse, section.response_finite)),
            tuple(labels(rule.pointer, list(rule.allowed)) for rule in section.response_label_in),
        )

    def complaint(self, case: Case, answer: CaseAnswer) -> str | None:
        """Return what is wrong with a complete 2xx; None if nothing is, or if nobody looks at such answers."""
        if answer.error or not answer.complete or not self._covers(case, answer):
            return None
        if answer.content_type == "text/event-stream":
            if self._end is None:
                return None
            stream = StreamEnd(self._end)
            stream.feed(answer.body)
            found = stream.complaint()
        else:
            found = answer_complaint(self._rules, answer.body)
        return str(found) if found is not None else None

    def _covers(self, case: Case, answer: CaseAnswer) -> bool:
        if case.request.method not in self._methods or not 200 <= answer.status < 300 or answer.status in _BODILESS:
            return False
        path = case.request.target.partition("?")[0]
        return not self._paths or any(path == prefix or path.startswith(f"{prefix}/") for prefix in self._paths)
