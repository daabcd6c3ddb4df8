"""Looks for the first content, and for errors, in event streams (WHATWG HTML §9.2) and in streams of JSON lines.

An event stream is not useful because it has begun: comments, pings and the events that come before the first token are sent by
servers whose engine is dead. On the routes of OpenAI and Anthropic the events are read; elsewhere every event with data counts,
except pings and what `stream_preamble` names. A reader stops at the first content or the first error, or after
PREAMBLE_BYTES_MAX or PREAMBLE_EVENTS_MAX: then the stream counts as useful. Comments and pings do not count towards these limits,
because they may go on for long, but towards IDLE_BYTES_MAX. So does an event of a known form that is empty in every part: it
says nothing, however often it comes.

The result depends on the bytes alone, not on how reads split them.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Any, Final

import orjson

from router.rollout import answer_error

PREAMBLE_BYTES_MAX: Final = 16 * 1024
PREAMBLE_EVENTS_MAX: Final = 32
IDLE_BYTES_MAX: Final = 1 << 20
_BOM: Final = b"\xef\xbb\xbf"
_PING_NAMES: Final = frozenset(
    (b"ping", b"pong", b"heartbeat", b"heart-beat", b"keepalive", b"keep-alive", b"keep_alive", b"noop")
)
_EMPTY: Final = frozenset((b"", b"{}", b"[]", b'""', b"null"))
_PING_OBJECT: Final = re.compile(
    rb'\s*\{\s*"(?:type|event|object|kind|op|status)"\s*:\s*"(?:ping|pong|heart-?beat|keep[-_]?alive|noop)"'
    rb'|\s*\{\s*"(?:ping|heartbeat|keep[-_]?alive)"\s*:',
    re.IGNORECASE,
)
_DONE: Final = b"[DONE]"
_PREAMBLE_TYPES: Final = frozenset((
    "response.created", "response.queued", "response.in_progress", "response.output_item.added",
    "response.content_part.added", "message_start", "content_block_start", "content_block_stop", "message_stop",
    "message-start", "content-start", "content-end", "stream-start",
))  # fmt: skip
_CHUNK: Final = "chat.completion.chunk"
_DELTA_KEYS: Final = (
    "content", "reasoning", "reasoning_content", "reasoning_details", "thinking", "refusal", "tool_calls", "function_call",
    "audio", "images", "text",
)  # fmt: skip
_LABEL_KEYS: Final = frozenset(("role", "type", "id", "index", "name"))
"""Of a delta: they say what the content will be, and are none."""
_OPEN_LINE: Final = re.compile(rb'"(?:done|stop)"\s*:\s*false')
_CHUNK_BORDER: Final = re.compile(rb"(?:\A|\r\n)[0-9A-Fa-f]{1,15}(?:[ \t]*;[^\r\n]*)?\r\n")
_FIELDS: Final = (b":", b"event:", b"id:", b"retry:")


class Found(Enum):
    """What a reader has found so far."""

    NOTHING = "nothing"
    CONTENT = "content"
    ERROR = "error"


class _Event(Enum):
    PING = "ping"
    PREAMBLE = "preamble"
    CONTENT = "content"


class EventReader:
    """Reads an event stream. `known`: the route has the protocol of OpenAI or Anthropic. `error` is the error object."""

    def __init__(self, *, known: bool, preamble: frozenset[bytes] = frozenset()) -> None:
        self.found = Found.NOTHING
        self.error: Any = None
        self._known = known
        self._preamble = preamble
        self._rest = b""
        self._after_cr = False
        self._first = True
        self._name = b""
        self._data: list[bytes] = []
        self._event_bytes = 0
        self._counted_bytes = 0
        self._idle_bytes = 0
        self._events = 0

    def feed(self, payload: bytes) -> None:
        """Take the next bytes of the body, without its framing."""
        if self._done() or not payload:
            return
        if self._after_cr and payload.startswith(b"\n"):
            payload = payload[1:]
        self._after_cr = payload.endswith(b"\r") if payload else False
        lines = (self._rest + payload).splitlines(keepends=True)
        self._rest = lines.pop() if lines and not lines[-1].endswith((b"\r", b"\n")) else b""
        for line in lines:
            self._line(line.rstrip(b"\r\n"))
            if self._done():
                return
        if self._rest.startswith(b":"):
            if len(self._rest) > PREAMBLE_BYTES_MAX:
                self._idle(len(self._rest))
                self._rest = b":"
        elif self._counted_bytes + self._event_bytes + len(self._rest) > PREAMBLE_BYTES_MAX:
            self.found = Found.CONTENT

    def finish(self) -> None:
        """Take the end of the body. An event without the empty line behind it counts."""
        if not self._done():
            self._line(self._rest)
        if not self._done():
            self._line(b"")

    def _done(self) -> bool:
        return self.found is not Found.NOTHING

    def _line(self, line: bytes) -> None:
        if self._first:
            self._first = False
            line = line.removeprefix(_BOM)
        if not line:
            self._dispatch()
            return
        if line.startswith(b":"):
            self._idle(len(line) + 1)
            return
        self._event_bytes += len(line) + 1
        if self._counted_bytes + self._event_bytes > PREAMBLE_BYTES_MAX:
            self.found = Found.CONTENT
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._name = value
        elif name == b"error":  # llama.cpp
            self._name = name
            self._data.append(value)

    def _idle(self, size: int) -> None:
        self._idle_bytes += size
        if self._idle_bytes > IDLE_BYTES_MAX:
            self.found = Found.CONTENT

    def _dispatch(self) -> None:
        """Take a whole event: the line after it is empty."""
        name, data, size = self._name, b"\n".join(self._data), self._event_bytes
        self._name, self._data, self._event_bytes = b"", [], 0
        if not size:
            return
        error = _error_of(name, data, known=self._known)
        if error is not None:
            self.found, self.error = Found.ERROR, error
            return
        kind = _kind_of(name, data, self._preamble, known=self._known)
        if kind is _Event.CONTENT:
            self.found = Found.CONTENT
        elif kind is _Event.PING:
            self._idle(size)
        else:
            self._counted_bytes += size
            self._events += 1
            if self._events >= PREAMBLE_EVENTS_MAX:
                self.found = Found.CONTENT


class LineReader:
    """Reads a stream of JSON lines (application/x-ndjson): useful at the first line that is no error and not empty."""

    def __init__(self) -> None:
        self.found = Found.NOTHING
        self.error: Any = None
        self._rest = b""
        self._idle_bytes = 0

    def feed(self, payload: bytes) -> None:
        """Take the next bytes of the body, without its framing."""
        if self._done():
            return
        *lines, self._rest = (self._rest + payload).split(b"\n")
        for line in lines:
            self._line(line.strip())
            if self._done():
                return
        if len(self._rest) > PREAMBLE_BYTES_MAX:
            self.found = Found.CONTENT

    def finish(self) -> None:
        """Take the end of the body."""
        if not self._done():
            self._line(self._rest.strip())

    def _done(self) -> bool:
        return self.found is not Found.NOTHING

    def _line(self, line: bytes) -> None:
        if is_ping(line):
            return
        document = _json(line) if len(line) <= PREAMBLE_BYTES_MAX else None
        if (error := answer_error.find(document)) is not None:
            self.found, self.error = Found.ERROR, error
        elif _is_empty(document):
            self._idle_bytes += len(line)
            if self._idle_bytes > IDLE_BYTES_MAX:
                self.found = Found.CONTENT
        else:
            self.found = Found.CONTENT


def error_at_end(tail: bytes, *, framed: bool, lines: bool) -> Any:
    """Return the error in the last reads of a stream; None if they hold none. `framed`: with chunk framing; `lines`: JSON lines.

    The reads may begin within an event, so what does not begin like one is passed over.
    """
    if b"rror" not in tail and b'"ERROR"' not in tail and b"response.failed" not in tail:
        return None
    if framed:
        tail = _CHUNK_BORDER.sub(b"", tail)
    name, data = b"", list[bytes]()
    for line in (*tail.splitlines(), b""):
        if lines:
            error = answer_error.find(_json(line))
        elif line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
            continue
        elif line.startswith(b"error:"):
            name, data = b"error", [line[6:].strip()]
            continue
        elif line.startswith(b"event:"):
            name = line[6:].strip()
            continue
        elif not line:
            error = _error_of(name, b"\n".join(data), known=True) if name or data else None
            name, data = b"", []
        else:
            continue
        if error is not None:
            return error
    return None


def moves(read: bytes, *, framed: bool) -> bool:
    """Return whether a read of a body holds more than white space, comments and pings."""
    if framed:
        read = _CHUNK_BORDER.sub(b"", read)
    named_ping = False
    for line in read.splitlines():
        if line.startswith(b"data:"):
            if not named_ping and not is_ping(line[5:].strip()):
                return True
        elif line.startswith(b"event:"):
            named_ping = line[6:].strip().lower() in _PING_NAMES
        elif not line:
            named_ping = False
        elif line.strip() and not line.startswith(_FIELDS) and line != b"0":
            return True  # a part of an event
    return False


def is_ping(data: bytes) -> bool:
    """Return whether the data of an event only keeps the connection open."""
    if data in _EMPTY or data.strip(b'[]" ').lower() in _PING_NAMES:
        return True
    return len(data) <= 256 and _PING_OBJECT.match(data) is not None


def _error_of(name: bytes, data: bytes, *, known: bool) -> Any:
    if name == b"error":
        return answer_error.find(document := _json(data)) or document or data.decode(errors="replace") or "error"
    if data.lstrip().startswith(b"{") and (
        b'"error"' in data or (known and (b'"response.failed"' in data or b'"ERROR"' in data))
    ):
        return answer_error.find(_json(data))
    return None


def _kind_of(name: bytes, data: bytes, preamble: frozenset[bytes], *, known: bool) -> _Event:
    if name.lower() in _PING_NAMES or is_ping(data.strip()):
        return _Event.PING
    if data.strip() == _DONE or data in preamble or name in preamble:
        return _Event.PREAMBLE
    known = known or b'"chat.completion.chunk"' in data
    if known or _OPEN_LINE.search(data) is not None:
        document = _json(data)
        if _is_empty(document):
            return _Event.PING
        if known and _is_preamble(document):
            return _Event.PREAMBLE
    return _Event.CONTENT


def _is_empty(document: Any) -> bool:
    """Return whether a part of an answer, of a known form, is empty: OpenAI, Google, Ollama, llama.cpp."""
    if not isinstance(document, dict):
        return False
    choices = document.get("choices") or document.get("candidates")
    if isinstance(choices, list):
        return all(_is_empty_choice(choice) for choice in choices)
    if document.get("done") is False:
        message = document.get("message") or {}
        return not document.get("response") and not document.get("thinking") and _is_empty_part(message)
    return document.get("stop") is False and document.get("content") == "" and not document.get("tokens")


def _is_empty_choice(choice: Any) -> bool:
    if not isinstance(choice, dict) or choice.get("finish_reason") or choice.get("finishReason") or choice.get("text"):
        return False
    return any(key in choice for key in ("delta", "content", "text")) and all(
        _is_empty_part(choice.get(key) or {}) for key in ("delta", "content", "message")
    )


def _is_empty_part(part: Any) -> bool:
    """Return whether a delta, a message or one of its parts has no member with a value, but for its labels."""
    if not isinstance(part, dict):
        return False
    parts = part.get("parts")
    if isinstance(parts, list):
        return all(_is_empty_part(one) for one in parts)
    return not any(value for key, value in part.items() if key not in _LABEL_KEYS)


def _is_preamble(document: Any) -> bool:
    """Return whether an event of OpenAI or Anthropic comes before the first content."""
    if not isinstance(document, dict):
        return False
    choices = document.get("choices")
    if isinstance(choices, list):
        return not any(_has_content(choice) for choice in choices)
    kind = document.get("type") or document.get("event_type")
    if kind in _PREAMBLE_TYPES:
        return True
    delta = document.get("delta")
    if kind == "content_block_delta" and isinstance(delta, dict):
        return not any(value for key, value in delta.items() if key != "type")
    if isinstance(kind, str) and kind.endswith(".delta"):
        return delta == ""
    return document.get("object") == _CHUNK


def _has_content(choice: Any) -> bool:
    if not isinstance(choice, dict) or choice.get("finish_reason") or choice.get("text"):
        return True
    delta = choice.get("delta") or choice.get("message")
    if delta is not None and not isinstance(delta, dict):
        return True
    return any(delta.get(key) for key in _DELTA_KEYS) if delta else False


def _json(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
