"""Runs the validators of one service on its requests and responses, and counts the results in this worker's block.

docs/performance.md has the cost per request of the pure Python build. A service without validators has no `Validation`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal

from router.proxy.tap.body_buffer import chunk_decoder
from router.rollout.quality.stream_ends import KnownStreamEnd, stream_end
from router.rollout.quality.validators import (
    BODILESS,
    AnswerRules,
    Complaint,
    Schema,
    StreamEnd,
    answer_complaint,
    request_complaint,
)
from router.runtime.clock import now_s as monotonic_s
from router.runtime.logs import LogThrottle
from router.shm import layout as at
from router.uri.path import is_under

if TYPE_CHECKING:
    from router.proxy.context import WorkerContext
    from router.proxy.http1.request_head import RequestHead
    from router.proxy.http1.response_head import ResponseHead
    from router.proxy.options import ValidationOptions

log = logging.getLogger(__name__)
_NUMBERS: Final = {pair: number for number, pair in enumerate(at.VALIDATED)}
_TYPE: Final = re.compile(rb"\r\ncontent-type:[ \t]*([^\r\n;]*)", re.IGNORECASE)
_ENCODED: Final = re.compile(rb"\r\ncontent-encoding:(?![ \t]*(?:identity)?[ \t]*\r\n)", re.IGNORECASE)
_JSON: Final = re.compile(rb"application/(?:[^\s]*\+)?json[ \t]*", re.IGNORECASE)
_EVENT_STREAM: Final = re.compile(rb"text/event-stream[ \t]*", re.IGNORECASE)
FULL_SAMPLING_S: Final = 10.0
"""After an invalid response all responses of that version are checked for this long. The judge compares invalid responses with
all requests, so checking only a share would hide most of a failure."""
_LOG_EVERY_S: Final = 10.0

CheckedPart = Literal["response", "stream"]
"""A body that is checked as a whole, or an event stream whose end is checked."""


class StreamCheck:
    """The check of one event stream. It is fed the bytes that go to the client."""

    __slots__ = ("_chunks", "_end")

    def __init__(self, end: StreamEnd | KnownStreamEnd, *, framed: bool) -> None:
        self._end = end
        self._chunks = chunk_decoder() if framed else None

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._end.feed(data if self._chunks is None else self._chunks.feed(data))

    def complaint(self) -> Complaint | None:
        """Return the complaint about the stream, which is whole."""
        return self._end.complaint()


class Validation:
    """The validators of one service in one worker. Raises ValueError if a library is missing or a schema is invalid."""

    def __init__(self, context: WorkerContext, name: str, row: int, options: ValidationOptions) -> None:
        self.options = options
        self.name = name
        self._context = context
        self._counters = row + at.LS_VALIDATED
        self.schema = Schema(options.request_schema) if options.request_schema else None
        self.rules = AnswerRules.compile(
            not_empty=options.response_not_empty,
            json=options.response_json,
            schema=options.response_schema,
            finite=options.response_finite,
            label_in=options.response_label_in,
        )
        self._full_sampling_until_s: dict[int, float] = {}
        self._throttles = {level: LogThrottle(_LOG_EVERY_S) for level in (logging.WARNING, logging.ERROR)}

    @property
    def wanted(self) -> bool:
        """Whether anything is checked."""
        return self.schema is not None or self.rules.any or self.options.stream_end is not None

    def count(self, what: str, result: str) -> None:
        """Count the result of one check; the pair is one of `layout.VALIDATED`."""
        self._context.words[self._counters + _NUMBERS[what, result]] += 1

    def applies_to(self, head: RequestHead) -> bool:
        """Return whether requests with this head, and their responses, are checked."""
        paths, path = self.options.paths, head.path
        return head.method in self.options.methods and (not paths or any(is_under(path, prefix) for prefix in paths))

    # -- requests
    def request_is_checkable(self, head: RequestHead) -> bool:
        """Return whether the body of this request can be checked against the schema; count the reason if not."""
        if self.schema is None or (head.method == b"GET" and head.length == 0):
            return False
        kind = _TYPE.search(head.upstream)
        if kind is not None and not _JSON.fullmatch(kind[1]):
            self.count("request", "unchecked_type")
        elif _ENCODED.search(head.upstream):
            self.count("request", "unchecked_encoded")
        elif head.length > self.options.request_bytes_max:
            self.count("request", "unchecked_large")
        else:
            return True
        return False

    def request(self, body: bytes) -> Complaint | None:
        """Return the complaint about a whole body, and count the result."""
        schema = self.schema
        assert schema is not None
        return self._guarded("request", lambda: request_complaint(schema, body))

    # -- responses
    def checked_part(self, request: RequestHead, head: ResponseHead, row: int) -> CheckedPart | None:
        """Return what is checked of this response by the version with counters at `row`; None if nothing is."""
        if not 200 <= head.status < 300 or head.status in BODILESS or request.method == b"HEAD":
            return None
        if not (self.rules.any or self.options.stream_end is not None) or not self._samples(row):
            return None
        kind = _TYPE.search(head.downstream)
        part: CheckedPart = "stream" if kind is not None and _EVENT_STREAM.fullmatch(kind[1]) else "response"
        if not (self.rules.any if part == "response" else self.options.stream_end is not None):
            return None
        if _ENCODED.search(head.downstream):
            self.count(part, "unchecked_encoded")
            return None
        return part

    def stream_check(self, path: bytes, *, framed: bool) -> StreamCheck | None:
        """Return the check of an event stream; None if its protocol is unknown. `framed`: its bytes have chunk framing."""
        assert self.options.stream_end is not None
        end = stream_end(self.options.stream_end, path.decode("latin-1"))
        return StreamCheck(end, framed=framed) if end is not None else None

    def _samples(self, row: int) -> bool:
        share = self.options.response_share
        if share >= 1.0 or self._context.random.random() < share:
            return True
        return monotonic_s() < self._full_sampling_until_s.get(row, 0.0)

    def body_complaint(self, body: bytes | None, row: int, version: str) -> Complaint | None:
        """Return the complaint about a whole body, and count the result; `body` is None if it was too large to keep."""
        if body is None:
            self.count("response", "unchecked_large")
            return None
        return self._response_complaint("response", lambda: answer_complaint(self.rules, body), row, version)

    def stream_complaint(self, stream: StreamCheck, row: int, version: str) -> Complaint | None:
        """Return the complaint about a whole event stream, and count the result."""
        return self._response_complaint("stream", stream.complaint, row, version)

    def _response_complaint(
        self, part: CheckedPart, check: Callable[[], Complaint | None], row: int, version: str
    ) -> Complaint | None:
        found = self._guarded(part, check)
        if found is not None:
            self._full_sampling_until_s[row] = monotonic_s() + FULL_SAMPLING_S
            self._log(logging.WARNING, f"service={self.name} version={version}: an invalid {part}: {found}")
        return found

    def _guarded(self, what: str, check: Callable[[], Complaint | None]) -> Complaint | None:
        """Run a check and count its result. A bug in a validator costs a count and an alarm, never a request."""
        try:
            found = check()
        except Exception as error:  # noqa: BLE001  (a guard: one bug must not cost every request)
            self._log(logging.ERROR, f"a validator of service={self.name} broke: {type(error).__name__}: {error}")
            self.count(what, "fault")
            return None
        self.count(what, "ok" if found is None else found.result)
        return found

    def _log(self, level: int, text: str) -> None:
        """Log at most once in _LOG_EVERY_S; the counters have all results."""
        if self._throttles[level].due(monotonic_s()):
            log.log(level, "%s", text)
