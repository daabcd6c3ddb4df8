"""The first content of a stream, and its errors, for every split into reads."""

from __future__ import annotations

import random

import pytest

from router.proxy.work import event_stream
from router.proxy.work.event_stream import EventReader, Found, LineReader, error_at_end, moves

ROLE = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
TOKEN = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"
ERROR = b'data: {"error":{"code":500,"message":"engine dead"}}\n\n'

NOTHING = {
    "empty": b"",
    "comments": b": keep-alive\n\n:\n\n: x\n\n" * 50,
    "pings": b'event: ping\ndata: {"type":"ping"}\n\nevent: heartbeat\ndata: 17\n\ndata: {"type": "keepalive"}\n\n'
    * 40,
    "pings as text": b'data: ping\n\ndata: [PING]\n\ndata: {"ping": 1700000000}\n\ndata\n\ndata:\n\n',
    "nothing in data": b'data: {}\n\ndata: ""\n\ndata: null\n\n',
    "retry and identifiers": b"retry: 3000\n\nid: 5\n\n",
    "a byte order mark": b"\xef\xbb\xbf: hello\n\n",
    "only the end": DONE,
    "role": ROLE,
    "no choices": b'data: {"choices":[],"prompt_filter_results":[{}]}\n\n',
    "text completion": b'data: {"choices":[{"text":"","index":0,"finish_reason":null}]}\n\n',
    "responses": b'event: response.created\ndata: {"type":"response.created"}\n\ndata: {"type":"response.in_progress"}\n\n'
    b'data: {"type":"response.output_item.added"}\n\ndata: {"type":"response.output_text.delta","delta":""}\n\n',
    "messages": b'event: message_start\ndata: {"type":"message_start"}\n\ndata: {"type":"content_block_start"}\n\n'
    b'event: ping\ndata: {"type": "ping"}\n\n'
    b'data: {"type":"content_block_delta","delta":{"type":"text_delta","text":""}}\n\n',
    "half an event": TOKEN[:-1],
    "empty parts of an answer, many": b'data: {"choices":[{"delta":{"content":"","role":"assistant"},"finish_reason":null}]}\n\n'
    * 40,
    "Cohere": b'data: {"type":"message-start","delta":{}}\n\ndata: {"type":"content-start","index":0}\n\n',
    "Google": b'data: {"candidates":[{"content":{"parts":[{"text":""}],"role":"model"}}]}\n\n',
    "llama.cpp": b'data: {"content":"","stop":false}\n\n',
}
CONTENT = {
    "token": ROLE + TOKEN,
    "finish without content": ROLE + FINISH,
    "reasoning": b'data: {"choices":[{"delta":{"reasoning_content":"Hm"}}]}\n\n',
    "tool call": b'data: {"choices":[{"delta":{"content":null,"tool_calls":[{"index":0}]}}]}\n\n',
    "text completion": b'data: {"choices":[{"text":"a"}]}\n\n',
    "responses": b'data: {"type":"response.output_text.delta","delta":"a"}\n\n',
    "responses, whole": b'data: {"type":"response.completed","response":{}}\n\n',
    "messages": b'data: {"type":"content_block_delta","delta":{"type":"thinking_delta","thinking":"a"}}\n\n',
    "messages, no content": b'data: {"type":"message_delta","delta":{"stop_reason":"end_turn"}}\n\n',
    "several lines": b"data: {\ndata: }, or\ndata: not\n\n",
    "carriage returns": TOKEN.replace(b"\n", b"\r"),
    "both line ends": b": x\r\n\r\n" + TOKEN.replace(b"\n", b"\r\n"),
    "text": b"data: hello\n\n",
    "a delta that is unknown, many": b'data: {"choices":[{"delta":{"thoughts":"a"}}]}\n\n'
    * event_stream.PREAMBLE_EVENTS_MAX,
    "Google": b'data: {"candidates":[{"content":{"parts":[{"text":"a"}]}}]}\n\n',
    "Google, no content": b'data: {"candidates":[{"content":{},"finishReason":"STOP"}]}\n\n',
    "Cohere": b'data: {"type":"content-delta","delta":{"message":{"content":{"text":"a"}}}}\n\n',
    "llama.cpp": b'data: {"content":"a","stop":false}\n\n',
    "a measured error": b'data: {"error":0.31}\n\n',
    "an object of another form": b'data: {"token":{"text":"a"}}\n\n',
    "much before the first content": b'data: {"choices":[]}\n\n' * event_stream.PREAMBLE_EVENTS_MAX,
    "a large event": b"data: " + b"x" * event_stream.PREAMBLE_BYTES_MAX,
}
ERRORS = {
    "event": b"event: error\ndata: something broke\n\n",
    "first": ERROR,
    "after the role": ROLE + ERROR,
    "between comments": b": x\n\n" + ERROR.replace(b"\n", b"\r\n"),
    "spread over lines": b'data: {"error":\ndata: {"code": 500}}\n\n',
    "llama.cpp": b'error: {"code":500,"message":"slot"}\n\n',
    "finish_reason": b'data: {"choices":[{"delta":{},"finish_reason":"error"}]}\n\n',
    "Cohere": b'data: {"type":"message-end","delta":{"finish_reason":"ERROR"}}\n\n',
    "older vLLM": b'event: error\ndata: {"object":"error","code":500}\n\n',
}


def found(reader: EventReader | LineReader, payload: bytes, cuts: list[int]) -> Found:
    for start, end in zip([0, *cuts], [*cuts, len(payload)], strict=True):
        reader.feed(payload[start:end])
    return reader.found


CASES = [
    *((name, payload, Found.NOTHING) for name, payload in NOTHING.items()),
    *((name, payload, Found.CONTENT) for name, payload in CONTENT.items()),
    *((name, payload, Found.ERROR) for name, payload in ERRORS.items()),
]


@pytest.mark.parametrize(("name", "payload", "result"), CASES, ids=[f"{case[2].value}: {case[0]}" for case in CASES])
def test_the_result_is_the_same_for_every_split(name: str, payload: bytes, result: Found) -> None:
    assert found(EventReader(known=True), payload, []) is result
    chance = random.Random(name)
    for _ in range(60):
        cuts = sorted(chance.choices(range(len(payload) + 1), k=chance.randint(1, 12)))
        assert found(EventReader(known=True), payload, cuts) is result, cuts
    if len(payload) < 2000:
        assert found(EventReader(known=True), payload, list(range(len(payload)))) is result


def test_on_other_routes_every_event_with_data_counts_but_pings_and_what_the_service_names() -> None:
    preamble = frozenset((b'{"state":"queued"}', b"accepted"))

    def read(payload: bytes) -> Found:
        return found(EventReader(known=False, preamble=preamble), payload, [])

    assert read(b'data: {"choices":[]}\n\n') is Found.CONTENT
    assert read(b'data: {"state":"queued"}\n\nevent: accepted\ndata: 5\n\ndata: accepted\n\n') is Found.NOTHING
    assert read(b'data: {"state":"running"}\n\n') is Found.CONTENT
    assert read(ROLE.replace(b"{", b'{"object":"chat.completion.chunk",', 1)) is Found.NOTHING
    assert read(ERROR) is Found.ERROR
    assert read(b'data: {"error":null,"text":"a"}\n\n') is Found.CONTENT


def test_an_event_without_the_empty_line_behind_it_counts_at_the_end() -> None:
    for payload, result in ((TOKEN[:-2], Found.CONTENT), (ROLE[:-1], Found.NOTHING), (ERROR[:-2], Found.ERROR)):
        reader = EventReader(known=True)
        reader.feed(payload)
        assert reader.found is Found.NOTHING
        reader.finish()
        assert reader.found is result


def test_comments_do_not_end_the_preamble_but_are_bounded() -> None:
    reader = EventReader(known=True)
    for _ in range(event_stream.IDLE_BYTES_MAX // 14):
        reader.feed(b": keep-alive\n\n")
    assert reader.found is Found.NOTHING
    for _ in range(event_stream.IDLE_BYTES_MAX // 14):
        reader.feed(b": keep-alive\n\n")
    assert reader.found is Found.CONTENT


@pytest.mark.parametrize(
    ("payload", "result"),
    [
        (b'{"response":"a","done":false}\n', Found.CONTENT),
        (b'{"error":"model runner has stopped"}\n', Found.ERROR),
        (b'\n \r\n{}\n{"response":"a"}\r\n', Found.CONTENT),
        (b"\n\n{}\n", Found.NOTHING),
        (b'{"message":{"role":"assistant","content":""},"done":false}\n' * 40, Found.NOTHING),
        (b'{"response":"","thinking":"a","done":false}\n', Found.CONTENT),
        (b'{"message":{"content":"","tool_calls":[{}]},"done":false}\n', Found.CONTENT),
        (b'{"message":{"content":""},"done":true}\n', Found.CONTENT),
        (b'{"response":"a"', Found.NOTHING),
        (b'{"ping":1}\n{"error":{"code":500}}\n', Found.ERROR),
        (b"x" * (event_stream.PREAMBLE_BYTES_MAX + 1), Found.CONTENT),
    ],
)
def test_json_lines(payload: bytes, result: Found) -> None:
    assert found(LineReader(), payload, []) is result
    if len(payload) < 2000:
        assert found(LineReader(), payload, list(range(len(payload)))) is result


def test_the_last_json_line_needs_no_line_end() -> None:
    for payload, result in ((b'{"a":1}', Found.CONTENT), (b'{"error":"x"}', Found.ERROR), (b" ", Found.NOTHING)):
        reader = LineReader()
        reader.feed(payload)
        reader.finish()
        assert reader.found is result


@pytest.mark.parametrize(
    ("tail", "framed", "lines", "holds"),
    [
        (TOKEN + DONE, False, False, False),
        (ERROR + DONE, False, False, True),
        (ERROR[:-2], False, False, True),
        (b'x": "y"}\n\n' + ERROR, False, False, True),
        (b'or": {"code": 500}}\n\n' + DONE, False, False, False),
        (b"event: error\ndata: dead\n\n", False, False, True),
        (b'data: {"choices":[{"delta":{"content":"\\"error\\": 5"}}]}\n\n', False, False, False),
        (b'data: {"type":"response.failed","response":{"error":{"code":"server_error"}}}\n\n', False, False, True),
        (b'data: {"type":"response.completed","response":{"error":null}}\n\n', False, False, False),
        (b"36\r\n" + ERROR + b"\r\n0\r\n\r\n", True, False, True),
        (b"5\r\ndata:\r\n1c\r\n" + ERROR[5:33] + b"\r\n19\r\n" + ERROR[33:] + b"\r\n0\r\n\r\n", True, False, True),
        (b"38\r\n" + ERROR.replace(b"\n", b"\r\n") + b"\r\ne\r\n" + DONE + b"\r\n0\r\n\r\n", True, False, True),
        (b'{"done":false}\n{"error":"unexpected EOF"}\n', False, True, True),
        (b'{"message":{"content":"an error"},"done":true}\n', False, True, False),
    ],
)
def test_errors_at_the_end(tail: bytes, framed: bool, lines: bool, holds: bool) -> None:
    assert (error_at_end(tail, framed=framed, lines=lines) is not None) is holds


@pytest.mark.parametrize(
    ("read", "framed", "moving"),
    [
        (TOKEN, False, True),
        (b": keep-alive\n\n", False, False),
        (b"event: ping\ndata: 5\n\n", False, False),
        (b'data: {"type":"ping"}\n\n: x\n\n', False, False),
        (b"e\r\n: keep-alive\n\n\r\n", True, False),
        (b"0\r\n\r\n", True, False),
        (b'or": "a"}\n\n', False, True),
        (b"event: ping\ndata: 5\n\n" + TOKEN, False, True),
        (b"", False, False),
    ],
)
def test_what_moves(read: bytes, framed: bool, moving: bool) -> None:
    assert moves(read, framed=framed) is moving
