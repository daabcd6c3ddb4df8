"""Reads a response whose head does not tell what it comes to: event streams, JSON lines, JSON errors with a 200, and 503s.

Once the first content was found, a read of a stream costs the exchange of references: the last two reads are looked at once, at
the end, for an error that comes after the first content.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from router.proxy.http1.chunked import ChunkedBody
from router.proxy.http1.fields import CHUNKED, ENCODED_STREAM, EVENT_STREAM, JSON, JSON_LINES, PLAIN
from router.proxy.http1.request_head import RequestHead
from router.proxy.http1.response_head import ResponseHead
from router.proxy.work import error_object, work_ends
from router.proxy.work.error_object import ErrorObject
from router.proxy.work.event_stream import EventReader, Found, LineReader, error_at_end, moves
from router.rollout import answer_error
from router.rollout.outcome import Outcome
from router.rollout.work import WorkEnd

if TYPE_CHECKING:
    from router.proxy.options import ServiceOptions
    from router.proxy.work.work_path import WorkPath

_UNBOUNDED: Final = 1 << 62
"""The framing and its limits are checked where the body arrives (engine/upstream.py)."""
_MERGED_BYTES: Final = 256
"""Smaller reads are kept as one, because an error is often followed by reads of a few bytes: an end event, the last chunk."""
_JSON_BYTES_MAX: Final = 16 * 1024
"""A JSON answer that is larger is no error object."""
_ERROR: Final = b'"error"'
"""In an error object as a name or as a value. Within a text its quotes are escaped."""
_SERVICE_UNAVAILABLE: Final = 503


def watch(
    request: RequestHead, work: WorkPath, head: ResponseHead, data: bytes, complete: bool, options: ServiceOptions
) -> AnswerWatch | None:
    """Return what has to read the response with this head; None if it is what its head says. `data` is the body that is there,
    all of it if `complete`; the watch has not read it.
    """
    if request.method == b"HEAD":
        return None
    if head.status >= 300:
        return AnswerWatch(request, work, head, options) if head.status == _SERVICE_UNAVAILABLE else None
    if head.kind == JSON and (not work.protocol or (complete and data and not _may_be_error(data))):
        return None
    if head.kind == PLAIN and (not work.protocol or head.status != 200 or head.length != 0):
        return None
    return AnswerWatch(request, work, head, options)


def _may_be_error(data: bytes) -> bool:
    return len(data) <= _JSON_BYTES_MAX and _ERROR in data


class AnswerWatch:
    """The reading of one response. `events`: a stream of events or lines; `content`: useful. `outcome` and `end` (-1: unknown)
    are known once `ended` was called, or an error was found. `complaint` is the text of the error that was found.
    """

    def __init__(self, request: RequestHead, work: WorkPath, head: ResponseHead, options: ServiceOptions) -> None:
        self.events = head.kind in (EVENT_STREAM, ENCODED_STREAM, JSON_LINES) and head.status < 300
        self.outcome: int = Outcome.OK
        self.end: int = -1
        self.complaint: str | None = None
        self._previous = b""
        self._last = b""
        self._newest = b""
        self._settled = False
        self.content = False
        self._kept: list[bytes] = []
        self._kept_bytes = 0
        self._kind = head.kind if head.status < 300 else JSON
        self._status = head.status
        self._retry_after = head.retry_after
        self._options = options
        self._framed = head.length == CHUNKED and request.http11
        self._chunks = ChunkedBody(_UNBOUNDED, _UNBOUNDED, decode=True) if self._framed else None
        self._reader: EventReader | LineReader | None = None
        if self._kind == EVENT_STREAM:
            self._reader = EventReader(known=work.protocol, preamble=options.inference.stream_preamble)
            if work.streams:  # a GET: its subscriber waits for events that may not come for long
                self._settle(True)
        elif self._kind == JSON_LINES:
            self._reader = LineReader()

    def add(self, data: bytes) -> bool:
        """Take the next bytes as they go to the client; return whether they make the response useful."""
        last = self._last
        if len(last) < _MERGED_BYTES and len(data) < _MERGED_BYTES:
            self._last = last + data
        else:
            self._previous = last
            self._last = data
        self._newest = data
        return False if self._settled else self._read(data)

    def _read(self, data: bytes) -> bool:
        payload = data if self._chunks is None else self._chunks.feed(data)
        reader = self._reader
        if reader is not None:
            reader.feed(payload)
            if reader.found is Found.CONTENT:
                self._settle(True)
            elif reader.found is Found.ERROR:
                self._fail(reader.error)
        elif self._kind == ENCODED_STREAM:
            if payload:
                self._settle(True)
        else:
            self._keep(payload)
        return self.content

    def _keep(self, payload: bytes) -> None:
        """Keep the beginning of a JSON answer or of a 503."""
        if not self._kept and self._status != _SERVICE_UNAVAILABLE:
            payload = payload.lstrip()  # white space keeps a connection open
        if not payload:
            return
        self._kept.append(payload)
        self._kept_bytes += len(payload)
        if self._status == _SERVICE_UNAVAILABLE:
            if self._kept_bytes >= work_ends.BUSY_BYTES_MAX:
                self._settle(False)
        elif self._kept_bytes > _JSON_BYTES_MAX:
            self._kept = []
            self._settle(False)

    def _settle(self, content: bool) -> None:
        self._settled = True
        self.content = content
        self._chunks = self._reader = None

    def _fail(self, error: Any) -> None:
        self._settle(False)
        options = self._options
        found: ErrorObject = error_object.judged(error, options.throttled_statuses, options.throttled_texts)
        self.outcome, self.end, self.complaint = found.outcome, found.end, found.text

    def ended(self, outcome: int) -> int:
        """Take the end of a whole response that would have this outcome by its status; return the outcome."""
        if self._status == _SERVICE_UNAVAILABLE:
            options, begin = self._options, b"".join(self._kept)
            if work_ends.is_busy(503, self._retry_after, begin, options.throttled_statuses, options.throttled_texts):
                outcome = Outcome.THROTTLED
            return outcome
        reader = self._reader
        if reader is not None and not self._settled:
            reader.finish()
            if reader.found is Found.ERROR:
                self._fail(reader.error)
            else:
                self._settle(reader.found is Found.CONTENT)
                self.end = WorkEnd.USEFUL if self.content else WorkEnd.EMPTY
        elif self._kind == ENCODED_STREAM and not self._settled:
            self.end = WorkEnd.EMPTY
        elif self._kind in (JSON, PLAIN) and not self._settled:
            if self._kept:
                self._check_json()
            else:
                self.end = WorkEnd.EMPTY
        self.check_tail()
        return self.outcome

    def check_tail(self) -> bool:
        """Look for an error in the last two reads of a stream; return whether the response holds one."""
        if self.outcome == Outcome.OK and self._settled and self._kind in (EVENT_STREAM, JSON_LINES):
            tail = self._previous + self._last
            error = error_at_end(tail, framed=self._framed, lines=self._kind == JSON_LINES)
            if error is not None:
                self._fail(error)
        return self.outcome != Outcome.OK

    def _check_json(self) -> None:
        data = b"".join(self._kept)
        if not _may_be_error(data):
            return
        try:
            document = orjson.loads(data)
        except orjson.JSONDecodeError:
            return
        error = answer_error.find(document)
        if error is not None and answer_error.is_alone(document):
            self._fail(error)

    def moves(self) -> bool:
        """Return whether the last read of an event stream brought more than comments and pings."""
        return self.content and moves(self._newest, framed=self._framed)
