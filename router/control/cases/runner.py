"""Sends cases to a version and judges its answers: within control against endpoints, from the command line against a URL.

The concurrency is limited, and each case and the whole run have a timeout. A version that hangs fails its own cases only.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final

import aiohttp
from yarl import URL

from router import __version__
from router.rollout.cases import redacted_body
from router.rollout.cases.case import Case, unsendable
from router.rollout.cases.comparison import CaseAnswer, ComparisonLimits, Result, judge_answer
from router.rollout.model.endpoint import parse_endpoint
from router.rollout.model.rewrite import AS_IT_IS, SentRewrite
from router.rollout.quality.stream_ends import stream_end
from router.rollout.quality.validators import BODILESS, AnswerRules, answer_complaint
from router.runtime import clock
from router.settings.sections.validation import ValidationSettings
from router.uri.path import is_under

ANSWER_BYTES_MAX: Final = 1 << 20
"""A longer answer is not read to its end. It is judged by its status alone, and its body is not compared."""

INLINE_BYTES_MAX: Final = 2048
"""An answer up to this is judged on the event loop. One of 1 MiB takes a second to compare, so a thread does that."""

RUN_TIMEOUT_S: Final = 900.0
"""For all cases of one run. A case without an answer by then has failed."""

CONNECT_TIMEOUT_S: Final = 5.0

_NOT_SENT: Final = ("x-request-id", "traceparent", "tracestate")


@dataclass(frozen=True, slots=True)
class RunTarget:
    """The addresses of a version: URLs of endpoints, or one base URL whose path precedes the path of a case."""

    urls: tuple[str, ...]
    context: ssl.SSLContext | None = None
    server_name: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    """Sent with every case: fields that a gateway requires and that cases must not contain, such as credentials."""
    rewrite: SentRewrite = AS_IT_IS


@dataclass(frozen=True, slots=True)
class CaseRunOptions:
    """How cases are sent and judged. `replay` is the service's rule; `replay_all`: an operator has requested every
    case.
    """

    limits: ComparisonLimits = field(default_factory=ComparisonLimits)
    concurrency: int = 4
    timeout_s: float = 30.0
    run_timeout_s: float = RUN_TIMEOUT_S
    replay: str = "unsent"
    replay_all: bool = False
    complaint: Callable[[Case, CaseAnswer], str | None] = lambda case, answer: None
    """Returns the complaint of the service's validators about an answer."""


async def run_cases(
    cases: Sequence[Case],
    target: RunTarget,
    options: CaseRunOptions,
    on_result: Callable[[Result], None] = lambda result: None,
) -> list[Result]:
    """Return the result of every case, in their order. `on_result` is called with each result as it comes."""
    results: dict[int, Result] = {}
    waiting = iter(enumerate(cases))
    until_s = clock.now_s() + options.run_timeout_s

    async def send_next(sessions: list[aiohttp.ClientSession]) -> None:
        for number, case in waiting:
            results[number] = await _result(case, sessions[number % len(sessions)], target, number, options, until_s)
            on_result(results[number])

    async with _sessions(target) as sessions:
        await asyncio.gather(*(send_next(sessions) for _ in range(min(options.concurrency, len(cases)))))
    return [results[number] for number in range(len(cases))]


async def _result(
    case: Case, session: aiohttp.ClientSession, target: RunTarget, number: int, options: CaseRunOptions, until_s: float
) -> Result:
    if why := unsendable(case, options.replay, forced=options.replay_all):
        return Result(case.id, "skipped", (why,))
    left_s = min(options.timeout_s, until_s - clock.now_s())
    if left_s <= 0:
        return Result(case.id, "fail", (f"the whole check did not end within {options.run_timeout_s:g} s",))
    url = target.urls[number % len(target.urls)]
    answer = await _send_within(case, session, url, target, left_s)
    if len(answer.body) <= INLINE_BYTES_MAX:
        return _judged(case, answer, options)
    return await asyncio.to_thread(_judged, case, answer, options)


def _judged(case: Case, answer: CaseAnswer, options: CaseRunOptions) -> Result:
    return judge_answer(case, answer, options.limits, options.complaint(case, answer))


async def _send_within(
    case: Case, session: aiohttp.ClientSession, url: str, target: RunTarget, timeout_s: float
) -> CaseAnswer:
    """Send one case. Every failure of the version becomes an answer with an error."""
    begun: list[str] = []
    try:
        async with asyncio.timeout(timeout_s):
            return await _send(case, session, url, target, begun)
    except TimeoutError:
        return CaseAnswer(error=f"no {'whole answer' if begun else 'first byte'} within {timeout_s:g} s")
    except aiohttp.ClientConnectorError as error:
        return CaseAnswer(error=f"no connection to {url}: {error.os_error.strerror or error}")
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return CaseAnswer(error=f"the answer broke off: {str(error) or type(error).__name__}")


async def _send(
    case: Case, session: aiohttp.ClientSession, url: str, target: RunTarget, begun: list[str]
) -> CaseAnswer:
    request = case.request
    started_ns = clock.now_ns()
    async with session.request(
        request.method,
        _url(url, target.rewrite.target(request.target)),
        data=request.content if request.content or request.body is not None else None,
        headers=_headers(case, target),
        skip_auto_headers=("Content-Type", "User-Agent"),
        allow_redirects=False,
        ssl=target.context if target.context is not None else True,
        server_hostname=target.server_name,
    ) as response:
        first_byte_ms = (clock.now_ns() - started_ns) / 1e6
        begun.append(url)
        body, complete = await _body(response)
        coding = response.headers.get("Content-Encoding", "")
        # A check asks for no encoding, but some servers compress all the same.
        plain = redacted_body.uncompressed(body, {"content-encoding": coding}) if body and complete else body
        readable = plain is not None
        answer = CaseAnswer(response.status, first_byte_ms, body if plain is None else plain, complete)
        return replace(answer, content_type=response.content_type, unreadable="" if readable else coding)


def _headers(case: Case, target: RunTarget) -> dict[str, str]:
    recorded = {name: value for name, value in case.request.headers.items() if name.lower() not in _NOT_SENT}
    known = {name.lower() for name in (*recorded, *target.headers)}
    ours = {
        "User-Agent": f"rollback-router-check/{__version__}",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "X-Request-ID": f"check-{case.id}",
    }
    sent = {name: value for name, value in ours.items() if name.lower() not in known} | recorded | target.headers
    return target.rewrite.headers(sent)


def _url(url: str, path: str) -> URL:
    endpoint_free = url if not url.startswith("unix:") else "http://localhost"
    return URL(endpoint_free.rstrip("/") + ("" if path == "*" else path), encoded=True)


async def _body(response: aiohttp.ClientResponse) -> tuple[bytes, bool]:
    body = bytearray()
    async for chunk in response.content.iter_chunked(65536):
        body += chunk
        if len(body) > ANSWER_BYTES_MAX:
            response.close()
            return bytes(body[:ANSWER_BYTES_MAX]), False
    return bytes(body), True


@asynccontextmanager
async def _sessions(target: RunTarget) -> AsyncIterator[list[aiohttp.ClientSession]]:
    """Open a session for each URL: a Unix socket needs a connector of its own."""
    sessions = [
        aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
        )
        for connector in _connectors(target)
    ]
    try:
        yield sessions
    finally:
        for session in sessions:
            await session.close()


def _connectors(target: RunTarget) -> Iterator[aiohttp.BaseConnector]:
    for url in target.urls:
        path = parse_endpoint(url).unix if url.startswith("unix:") else ""
        # One connection per case: an idle connection may be closed as it is reused, which is no fault of the version.
        yield aiohttp.UnixConnector(path, force_close=True) if path else aiohttp.TCPConnector(limit=0, force_close=True)


class AnswerValidator:
    """The service's validators for answers, built from the section `validation`.

    Compiles the schema once; raises ValueError if that fails.
    """

    def __init__(self, section: ValidationSettings) -> None:
        self._methods = frozenset(section.methods)
        self._paths = tuple(path.encode() for path in section.paths)
        self._end = section.stream_end
        self._rules = AnswerRules.compile(
            not_empty=section.response_not_empty,
            json=section.response_json,
            schema=section.response_schema,
            finite=section.response_finite,
            label_in=[(rule.pointer, rule.allowed) for rule in section.response_label_in],
        )

    def complaint(self, case: Case, answer: CaseAnswer) -> str | None:
        """Return the complaint about a complete 2xx answer; None if it is valid, or if `validation` does not apply to it."""
        if answer.error or answer.unreadable or not answer.complete or not self._covers(case, answer):
            return None
        if answer.content_type == "text/event-stream":
            if self._end is None:
                return None
            stream = stream_end(self._end, case.request.target.partition("?")[0])
            if stream is None:
                return None
            stream.feed(answer.body)
            found = stream.complaint()
        else:
            found = answer_complaint(self._rules, answer.body)
        return str(found) if found is not None else None

    def _covers(self, case: Case, answer: CaseAnswer) -> bool:
        if case.request.method not in self._methods or not 200 <= answer.status < 300 or answer.status in BODILESS:
            return False
        path = case.request.target.partition("?")[0].encode()
        return not self._paths or any(is_under(path, prefix) for prefix in self._paths)
