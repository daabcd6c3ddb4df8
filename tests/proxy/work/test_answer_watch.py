"""What responses come to whose head does not tell: streams, JSON errors with a 200, and 503s."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from router.rollout.work import WORK_BUCKETS, WorkEnd
from router.shm import layout as at
from tests import backends
from tests.backends import Backend
from tests.proxy.leak_check import targets
from tests.proxy.rig import Rig, until

CHAT = b"POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\n{}"
OTHER = CHAT.replace(b"/v1/chat/completions", b"/predict")
ROLE = b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n'
TOKEN = b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n'
DONE = b"data: [DONE]\n\n"
ERROR = b'data: {"error":{"code":500,"message":"engine dead"}}\n\n'
BUSY = ERROR.replace(b"500", b"429")
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"


def work(rig: Rig, slot: int = 0) -> dict[str, int]:
    """Return the ends of attempts of all buckets, without the zeroes."""
    found: dict[str, int] = {}
    for bucket in range(WORK_BUCKETS):
        row = rig.segment.layout.worker_slot(0, 0, slot) + at.L_WORK + bucket * at.WORK_WORDS
        for end in WorkEnd:
            if number := rig.segment.words[row + at.B_ENDS + end]:
                found[end.label] = found.get(end.label, 0) + number
        if late := rig.segment.words[row + at.B_LATE_FAULTS]:
            found["late"] = found.get("late", 0) + late
    return found


def exchange(rig: Rig) -> Any:
    """Return the exchange in flight."""
    (found,) = [one for target in targets(rig.data_plane) for one in target.in_flight]
    return found


def stream(*reads: bytes, head: bytes = STREAM) -> bytes:
    return head + b"".join(backends.chunk(read) for read in reads) + backends.LAST_CHUNK


def answer(status: str, kind: str, body: bytes, *fields: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *fields, "", ""]
    return "\r\n".join(lines).encode() + body


INFER = CHAT.replace(b"/v1/chat/completions", b"/v2/models/m/infer")
JSON_STREAM = STREAM.replace(b"text/event-stream; charset=utf-8", b"application/json")
EVENTS, LINES, JSON = "text/event-stream", "application/x-ndjson", "application/json"
GZIP = "Content-Encoding: gzip"


@pytest.mark.parametrize(
    ("request_raw", "raw", "outcome", "ends"),
    [
        (CHAT, stream(ROLE, TOKEN, DONE), "ok", {"useful": 1}),
        (CHAT, answer("200 OK", EVENTS, ROLE + TOKEN + DONE), "ok", {"useful": 1}),
        (CHAT, stream(ROLE + TOKEN[:20], TOKEN[20:] + DONE), "ok", {"useful": 1}),
        (CHAT, stream(ROLE, DONE), "ok", {"empty": 1}),
        (CHAT, stream(b": keep-alive\n\n", b": keep-alive\n\n"), "ok", {"empty": 1}),
        (CHAT, stream(TOKEN.rstrip()), "ok", {"useful": 1}),
        (CHAT, stream(ERROR, DONE), "invalid", {"fault": 1}),
        (CHAT, answer("200 OK", EVENTS, ERROR + DONE), "invalid", {"fault": 1}),
        (CHAT, stream(BUSY, DONE), "throttled", {"throttled": 1}),
        (CHAT, stream(ERROR.replace(b"500", b"422"), DONE), "client_error", {"client_error": 1}),
        (CHAT, stream(ERROR.replace(b"500", b"401"), DONE), "client_error", {"unauthorised": 1}),
        (CHAT, stream(ROLE, TOKEN, ERROR, DONE), "invalid", {"useful": 1, "late": 1}),
        (CHAT, stream(ROLE + TOKEN + ERROR), "invalid", {"useful": 1, "late": 1}),
        (CHAT, stream(TOKEN, TOKEN + ERROR[:15], ERROR[15:]), "invalid", {"useful": 1, "late": 1}),
        (OTHER, stream(ROLE), "ok", {"useful": 1}),
        (OTHER, stream(b"data: {}\n\n"), "ok", {"empty": 1}),
        (OTHER, stream(ERROR), "invalid", {"fault": 1}),
        (OTHER, stream(b"\x1f\x8b", head=STREAM[:-2] + b"Content-Encoding: gzip\r\n\r\n"), "ok", {"useful": 1}),
        (OTHER, stream(head=STREAM[:-2] + b"Content-Encoding: gzip\r\n\r\n"), "ok", {"empty": 1}),
        (OTHER, answer("200 OK", LINES, b'{"response":"a"}\n'), "ok", {"useful": 1}),
        (OTHER, answer("200 OK", LINES, b'{"error":"dead"}\n'), "invalid", {"fault": 1}),
        (OTHER, answer("200 OK", LINES, b'{"response":"a"}\n{"error":"dead"}\n'), "invalid", {"useful": 1, "late": 1}),
        (OTHER, answer("200 OK", LINES, b"\n\n"), "ok", {"empty": 1}),
        (CHAT, answer("200 OK", JSON, b'{"error":{"message":"dead"}}'), "invalid", {"fault": 1}),
        (CHAT, answer("200 OK", JSON, b'{"error":null,"choices":[{}]}'), "ok", {"useful": 1}),
        (CHAT, answer("200 OK", JSON, b'{"choices":[{}],"error":{"code":500}}'), "ok", {"useful": 1}),
        (CHAT, answer("200 OK", JSON, b'{"error":{"code":400}}'), "client_error", {"client_error": 1}),
        (CHAT, answer("200 OK", JSON, b'{"object":"error","message":"dead","code":500}'), "invalid", {"fault": 1}),
        (CHAT, answer("200 OK", JSON, b'{"detail":"x","error":{"message":"dead"}}'), "invalid", {"fault": 1}),
        (CHAT, answer("200 OK", JSON, b'{"type":"error","error":{"type":"api_error"}}'), "invalid", {"fault": 1}),
        (INFER, answer("200 OK", JSON, b'{"error":"in ensemble"}'), "invalid", {"fault": 1}),
        (INFER, answer("200 OK", JSON, b'{"error":null,"outputs":[]}'), "ok", {"useful": 1}),
        (CHAT, answer("200 OK", JSON, b""), "ok", {"empty": 1}),
        (CHAT, answer("200 OK", "text/plain", b""), "ok", {"empty": 1}),
        (OTHER, answer("200 OK", "text/plain", b""), "ok", {"useful": 1}),
        (CHAT, stream(b" \n" * 40, b'{"error":{"message":"dead"}}', head=JSON_STREAM), "invalid", {"fault": 1}),
        (CHAT, stream(b" \n" * 40, b'{"choices":[{}]}', head=JSON_STREAM), "ok", {"useful": 1}),
        (OTHER, answer("200 OK", JSON, b'{"error":{"message":"dead"}}'), "ok", {"useful": 1}),
        (OTHER, answer("503 X", "text/plain", b"dead"), "server_error", {"fault": 1}),
        (OTHER, answer("503 X", "text/plain", b"dead", "Retry-After: 2"), "throttled", {"throttled": 1}),
        (OTHER, answer("503 X", JSON, b'{"detail":"Queue is full"}'), "throttled", {"throttled": 1}),
        (OTHER, answer("503 X", JSON, b" " * 256 + b"queue"), "server_error", {"fault": 1}),
        (OTHER, answer("500 X", JSON, b"queue"), "server_error", {"fault": 1}),
        (OTHER, answer("529 X", JSON, b""), "throttled", {"throttled": 1}),
        (OTHER, answer("429 X", JSON, b""), "throttled", {"throttled": 1}),
        (OTHER, answer("202 Accepted", JSON, b"{}"), "ok", {"useful": 1}),
        (OTHER, answer("307 X", "text/plain", b"", "Location: /predict/"), "ok", {"empty": 1}),
    ],
)
async def test_responses(request_raw: bytes, raw: bytes, outcome: str, ends: dict[str, int]) -> None:
    async with Backend(backends.drip(raw, 0.0)) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(request_raw)
        assert await client.head()
        await until(lambda: rig.attempts() != {})
        assert (rig.attempts(), work(rig)) == ({outcome: 1}, ends)


@pytest.mark.parametrize("chunked", [True, False])
async def test_a_json_error_that_arrives_in_parts(chunked: bool) -> None:
    body = b'{"error":{"message":"engine is dead"}}'
    parts = [body[:5], body[5:20], body[20:]]
    head = answer("200 OK", JSON, body).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    raw = stream(*parts, head=STREAM.replace(b"text/event-stream", b"application/json")) if chunked else head + body
    async with Backend(backends.drip(raw, 0.0)) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(CHAT)
        await until(lambda: rig.attempts() != {})
        assert (rig.attempts(), work(rig)) == ({"invalid": 1}, {"fault": 1})


async def test_a_subscription_is_useful_at_its_head() -> None:
    async with Backend(backends.stall_after(STREAM, len(STREAM))) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(b"GET /events HTTP/1.1\r\nHost: t\r\n\r\n")
        await client.head()
        assert work(rig) == {"useful": 1}


async def test_a_stream_is_useful_at_its_first_content_and_the_time_is_that_of_the_content() -> None:
    async def answer(connection: backends.Connection, _: backends.RawRequest) -> None:
        await connection.send(STREAM + backends.chunk(ROLE))
        await asyncio.wait_for(ready.wait(), 5)
        await connection.send(backends.chunk(TOKEN))
        await connection.closed()

    ready = asyncio.Event()
    async with Backend(backends.answering(answer)) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(CHAT)
        await client.head()
        assert work(rig) == {}
        exchange(rig).attempt.sent_s -= 0.2
        ready.set()
        await client.reader.readuntil(b"Hi")
        assert (work(rig), rig.attempts()) == ({"useful": 1}, {})
        row = rig.segment.layout.worker_slot(0, 0, 0)
        start = row + at.L_WORK + 14 * at.WORK_WORDS
        cells = rig.segment.words[start + at.B_TIMES : start + at.WORK_WORDS].tolist()
        assert sum(cells[:5]) == 0  # not before 141 ms
        assert sum(cells) == 1
        client.reset()
        await rig.quiet()
        assert (work(rig), rig.attempts()) == ({"useful": 1}, {"client_gone": 1})


async def test_a_client_that_closes_after_it_has_read_an_error_has_seen_a_fault() -> None:
    async with Backend(backends.stall_after(STREAM + backends.chunk(ERROR), 10_000)) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(CHAT)
        await client.reader.readuntil(b"engine dead")
        client.reset()
        await rig.quiet()
        assert (rig.attempts(), work(rig)) == ({"invalid": 1}, {"fault": 1})


@pytest.mark.parametrize(
    ("raw", "wait_s", "end"),
    [
        (STREAM, 0.0, "gone_early"),
        (STREAM + backends.chunk(b": keep-alive\n\n"), 0.3, "gone_late"),
        (STREAM.replace(b"text/event-stream", b"audio/wav") + backends.chunk(b"RIFF"), 0.0, "neutral"),
        (STREAM.replace(b"text/event-stream", b"audio/wav") + backends.chunk(b"RIFF"), 0.3, "gone_late"),
        (STREAM.replace(b"text/event-stream", b"audio/wav"), 0.3, "gone_late"),
        (b"", 0.0, "gone_early"),
        (b"", 0.3, "gone_late"),
    ],
)
async def test_a_client_that_leaves_had_waited_or_had_been_served(raw: bytes, wait_s: float, end: str) -> None:
    async with Backend(backends.stall_after(raw, len(raw))) as backend, Rig() as rig:
        rig.serve(backend.url)
        client, moves = await rig.client(), raw.endswith(b"RIFF\r\n")
        await client.send(CHAT)
        if raw:
            await client.head()
        else:
            await until(lambda: len(backend.requests) == 1)
        await until(lambda: exchange(rig).moved or not moves)
        exchange(rig).attempt.sent_s -= 10.0 if moves else wait_s
        exchange(rig).last_byte_s -= wait_s
        rig.data_plane.services[0].work_paths.find(b"POST", b"/v1/chat/completions").median_s = 0.25
        client.reset()
        await rig.quiet()
        assert (rig.attempts(), work(rig)) == ({"client_gone": 1}, {end: 1})


async def test_an_upload_that_its_client_aborts_says_nothing() -> None:
    async with Backend(backends.never()) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(CHAT.replace(b"Content-Length: 2", b"Content-Length: 5"))
        await until(lambda: any(target.in_flight for target in rig.data_plane.services[0].targets.values()))
        client.close()
        await rig.quiet()
        assert work(rig) == {"neutral": 1}


@pytest.mark.parametrize(
    ("request_raw", "kind", "kept_alive", "end"),
    [
        (CHAT, b"application/json", b"\n", "gone_late"),
        (OTHER, b"application/json", b" ", "gone_late"),
        (OTHER, b"text/plain", b": keep-alive\n\n", "gone_late"),
        (OTHER, b"application/x-ndjson", b"\n", "gone_late"),
        (OTHER, b"application/x-ndjson", b'{"message":{"content":""},"done":false}\n', "gone_late"),
        (OTHER, b"audio/wav", b"RIFF", "neutral"),
        (CHAT, b"application/json", b'{"choices":', "neutral"),
    ],
)
async def test_white_space_that_keeps_a_connection_open_is_no_work(
    request_raw: bytes, kind: bytes, kept_alive: bytes, end: str
) -> None:
    head = STREAM.replace(b"text/event-stream; charset=utf-8", kind)
    async with Backend(backends.stall_after(head + 3 * backends.chunk(kept_alive), 1 << 16)) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(request_raw)
        await client.head()
        await client.exactly(len(3 * backends.chunk(kept_alive)))
        assert exchange(rig).attempt.waits is (end != "neutral")
        exchange(rig).attempt.sent_s -= 10.0
        client.reset()
        await rig.quiet()
        assert work(rig) == {end: 1}
