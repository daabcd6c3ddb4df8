"""What the steps of one request cost in this process, in µs of CPU time: accounting, translation of heads, chunks, and all of it.

The one benchmark that imports the router: what two counters cost among 20 µs of a request cannot be seen over HTTP. A client
and a backend are transports that drop what is written to them, so no system call is part of a figure.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import count as numbers
from typing import Any, Final

import uvloop

from benchmarks import results
from router.proxy import options
from router.proxy.data_plane import DataPlane
from router.proxy.engine import attempt
from router.proxy.engine.downstream import Downstream
from router.proxy.engine.upstream import Upstream
from router.proxy.http1.chunked import ChunkedBody
from router.proxy.http1.request_head import parse_request
from router.proxy.http1.response_head import parse_response
from router.proxy.tap.tracing import Tracer
from router.rollout.model.route import Route
from router.rollout.outcome import Outcome
from router.rollout.quality import validators
from router.rollout.quality.validators import Schema, StreamEnd
from router.runtime.tasks import Tasks
from router.settings import loader
from router.shm import layout as at
from router.shm import segment
from router.shm.route_cell import RouteCell
from router.shm.slots import SlotRecord, Slots

ROUNDS: Final = 15
BATCH: Final = 4000
COUNTING_MAX_US: Final = 1.5
"""The bar: windows, outcome and histogram together."""

_BODY: Final = b"x" * 140
_HEAD: Final = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: python-httpx/0.28.1\r\nAccept: */*\r\n"
    b"Accept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\nContent-Type: application/json\r\nContent-Length: 140\r\n%b\r\n"
)
_FRESH: Final = b"X-Request-ID: %032x\r\ntraceparent: 00-%032x-%016x-01\r\n"
_RESPONSE: Final = (
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sun, 22 Nov 2026 22:18:04 GMT\r\nContent-Type: application/json\r\n"
    b"Content-Length: 185\r\nConnection: keep-alive\r\n%b\r\n"
)
_FRESH_RESPONSE: Final = b"X-Completion-ID: %032x\r\n"
_ANSWER: Final = b"y" * 185

_FLOATS: Final = ",".join(str(number / 7) for number in range(64)).encode()
_TENSOR: Final = b'{"%bs":[{"name":"x","shape":[1,64],"datatype":"FP32","data":[' + _FLOATS + b"]}]}"
_TENSOR_SCHEMA: Final = """{"type": "object", "required": ["%ss"], "properties": {"%ss": {"type": "array", "items": {
    "type": "object", "required": ["name", "shape", "datatype", "data"], "properties": {
    "shape": {"type": "array", "items": {"type": "integer"}}, "datatype": {"enum": ["FP32", "FP64"]},
    "data": {"type": "array", "items": {"type": "number"}, "minItems": 64, "maxItems": 64}}}}}}"""
"""A body of the Open Inference Protocol with 64 floats, and a schema that checks each of them."""
_INFER: Final = (
    b"POST /v2/models/m/infer HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n"
)
_INFERRED: Final = (
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
)
VALIDATION: Final = {
    "request_schema": _TENSOR_SCHEMA.replace("%s", "input"),
    "response_schema": _TENSOR_SCHEMA.replace("%s", "output"),
    "response_finite": ["/outputs/*/data"],
}

Step = tuple[str, Callable[[], float]]
"""A name, and what measures one batch: µs per step."""


class Nowhere:
    """A transport that takes everything and keeps nothing."""

    def __init__(self, alive: socket.socket) -> None:
        self._alive = alive

    def write(self, data: bytes) -> None: ...

    def set_write_buffer_limits(self, high: int) -> None: ...

    def get_extra_info(self, name: str) -> Any:
        """`socket` is one that never has anything to read: a pooled connection that is alive."""
        return {"peername": ("127.0.0.1", 1), "socket": self._alive}.get(name)

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None: ...

    def close(self) -> None: ...


class AtOnce:
    """A loop whose next turn is now."""

    def call_soon(self, callback: Callable[..., object], *arguments: object) -> None:
        callback(*arguments)


class Bench:
    """One worker's data plane at its default settings, one client connection, one backend connection."""

    def __init__(
        self,
        memory: segment.Segment,
        acks_fd: int,
        alive: socket.socket,
        batch: int,
        validation: dict[str, Any] | None = None,
    ) -> None:
        self._batch = batch
        self._alive = alive
        seed = {"version": "v1", "endpoints": ["http://127.0.0.1:9"]}
        service = {"active": seed, "validation": validation or {}}
        settings = loader.load(flags={"services": {"default": service}})
        self.data_plane = DataPlane(
            0, memory, options.from_document(json.loads(loader.dump(settings))), Tasks(), acks_fd
        )
        Slots(memory, 0).write(0, SlotRecord(1, "v1", ("http://127.0.0.1:9",)))
        RouteCell(memory, 0).publish(Route(1 << 24, 0), 0)
        self.data_plane.refresh()
        target = self.data_plane.services[0].active
        assert target is not None
        self.target = target
        self.upstream: Any = Upstream(self.data_plane.context, target.pools[0])
        self.upstream.connection_made(Nowhere(alive))
        self.upstream.idle_max_s = math.inf
        target.pools[0].release(self.upstream, self.data_plane.context.now_s)
        self.downstream: Any = Downstream(self.data_plane.context, self.data_plane.limiter)
        self.downstream.connection_made(Nowhere(alive))
        self._numbers = numbers(1)

    def requests(self, fresh: bool) -> list[bytes]:
        """New bytes objects, as a socket gives them; no two of the fresh ones are alike."""
        if not fresh:
            return [bytes(bytearray(_HEAD % b"" + _BODY)) for _ in range(self._batch)]
        return [_HEAD % (_FRESH % (n, n, n)) + _BODY for n in self._some()]

    def responses(self, fresh: bool) -> list[bytes]:
        if not fresh:
            return [bytes(bytearray(_RESPONSE % b"" + _ANSWER)) for _ in range(self._batch)]
        return [_RESPONSE % (_FRESH_RESPONSE % n) + _ANSWER for n in self._some()]

    def _some(self) -> Iterator[int]:
        return (next(self._numbers) for _ in range(self._batch))

    def whole(self, *, request: bool, response: bool, traced: bool = False) -> Callable[[], float]:
        """A request and its response, from one read to the other's write. `traced`: it is noted for spans, if it is sampled."""
        receive, answer = self.downstream.data_received, self.upstream.data_received

        def batch() -> float:
            pairs = list(zip(self.requests(request), self.responses(response), strict=True))
            self.data_plane.context.trace(Tracer(lambda note: None) if traced else None)
            began = time.thread_time()
            for request_bytes, response_bytes in pairs:
                receive(request_bytes)
                answer(response_bytes)
            each_us = self._each_us(began)
            self.data_plane.context.trace(None)
            return each_us

        return batch

    def inferred(self) -> Callable[[], float]:
        """An inference and its answer of 64 floats each; what waits for the next turn of the loop is done at once."""
        self.data_plane.context.loop = AtOnce()  # type: ignore[assignment]
        body, answer = _TENSOR.replace(b"%b", b"input"), _TENSOR.replace(b"%b", b"output")
        request_bytes, response_bytes = _INFER % len(body) + body, _INFERRED % len(answer) + answer
        receive, reply = self.downstream.data_received, self.upstream.data_received

        def batch() -> float:
            began = time.thread_time()
            for _ in range(self._batch):
                receive(request_bytes)
                reply(response_bytes)
            return self._each_us(began)

        return batch

    def heads(self, translate: Callable[[bytes], object], heads: Callable[[], list[bytes]]) -> Callable[[], float]:
        def batch() -> float:
            some = [raw[: raw.index(b"\r\n\r\n") + 4] for raw in heads()]
            began = time.thread_time()
            for raw in some:
                translate(raw)
            return self._each_us(began)

        return batch

    def attempts(self) -> float:
        """The whole life of an attempt: claimed, sent, begun, ended; counters, histograms, clocks, sets of what is open."""
        self.downstream.data_received(self.requests(False)[0])
        exchange, target, began = self.downstream.exchange, self.target, time.thread_time()
        exchange.status = 200
        for _ in range(self._batch):
            one = attempt.Attempt(exchange, target, at.ROLE_ACTIVE)
            one.sent(one.claimed_s)
            one.answered(200, one.sent_s)
            one.end(Outcome.OK, 0.0123)
        each_us = self._each_us(began)
        self.upstream.data_received(self.responses(False)[0])
        return each_us

    def connections(self) -> float:
        """A connection that is made and lost, without a request between; the loop's own part is not in it."""
        new, transport, began = self.data_plane.new_connection, Nowhere(self._alive), time.thread_time()
        for _ in range(self._batch):
            connection = new()
            connection.connection_made(transport)  # type: ignore[arg-type]
            connection.connection_lost(None)
        return self._each_us(began)

    def counting(self) -> float:
        """What counts in it, and nothing else: six words and two histograms."""
        words, row, service = self.data_plane.context.segment.words, self.target.row, self.data_plane.services[0].row
        count, began = attempt.count, time.thread_time()
        for _ in range(self._batch):
            words[service + at.LS_ACCEPTED] += 1
            words[row + at.L_CLAIMED] += 1
            words[row + at.L_BEGUN] += 1
            words[row + at.L_LAST_BEGUN_NS] = int(12.3 * 1e9)
            count(words, row + at.L_FIRST_BYTE, 0.0123)
            words[row + at.L_OUTCOMES + Outcome.OK] += 1
            count(words, row + at.L_DURATION, 0.0123)
            words[row + at.L_EXCHANGES + at.ROLE_ACTIVE * at.OUTCOME_COUNT + Outcome.OK] += 1
        return self._each_us(began)

    def _each_us(self, began: float) -> float:
        return (time.thread_time() - began) / self._batch * 1e6

    def steps(self) -> list[Step]:
        context = self.data_plane.context
        return [
            ("request, repeating heads", self.whole(request=False, response=False)),
            ("request, fresh request head", self.whole(request=True, response=False)),
            ("request, fresh heads both ways", self.whole(request=True, response=True)),
            (
                "request, repeating heads, tracing on, not sampled",
                self.whole(request=False, response=False, traced=True),
            ),
            ("request, fresh heads both ways, sampled", self.whole(request=True, response=True, traced=True)),
            ("connection, made and lost", self.connections),
            ("accounting: counters and histograms", self.counting),
            ("accounting: an attempt from claim to end", self.attempts),
            ("request head, known", self.heads(context.request_head, lambda: self.requests(False))),
            ("request head, by a template", self.heads(context.request_head, lambda: self.requests(True))),
            ("request head, carefully", self.heads(lambda raw: parse_request(raw, 100), lambda: self.requests(True))),
            ("response head, known", self.heads(context.response_head, lambda: self.responses(False))),
            ("response head, by a template", self.heads(context.response_head, lambda: self.responses(True))),
            ("response head, carefully", self.heads(parse_response, lambda: self.responses(True))),
            *((f"chunks of {size} bytes, per MB", _chunks(size)) for size in (64, 1024, 65536)),
        ]


def _validators(batch: int) -> list[Step]:
    """What each look at a body or an event costs by itself."""
    body, answer = _TENSOR.replace(b"%b", b"input"), _TENSOR.replace(b"%b", b"output")
    schema = Schema(str(VALIDATION["request_schema"]))
    finite = validators.AnswerRules(finite=(("outputs", "*", "data"),))
    whole = validators.AnswerRules(schema=Schema(str(VALIDATION["response_schema"])), finite=finite.finite)
    end, event = StreamEnd("[DONE]"), b'data: {"choices":[{"delta":{"content":" token"}}]}\n\n'

    def times(look: Callable[[], object]) -> Callable[[], float]:
        def measured() -> float:
            began = time.thread_time()
            for _ in range(batch):
                look()
            return (time.thread_time() - began) / batch * 1e6

        return measured

    return [
        ("request of 64 floats against a schema", times(lambda: validators.request_complaint(schema, body))),
        ("answer of 64 floats: finite", times(lambda: validators.answer_complaint(finite, answer))),
        ("answer of 64 floats: finite, schema", times(lambda: validators.answer_complaint(whole, answer))),
        ("event of a stream, for its end", times(lambda: end.feed(event))),
    ]


def _chunks(size: int) -> Callable[[], float]:
    """A megabyte (10⁶ bytes) of payload in chunks of one size, in reads of 64 KiB."""
    stream = b"%x\r\n%b\r\n" % (size, b"z" * size) * (10**6 // size) + b"0\r\n\r\n"
    reads = [stream[place : place + 65536] for place in range(0, len(stream), 65536)]

    def batch() -> float:
        chunks = ChunkedBody(1 << 30, 16384)
        began = time.thread_time()
        for read in reads:
            chunks.feed(read)
        assert chunks.done
        return (time.thread_time() - began) * 1e6

    return batch


async def measure(rounds: int, batch: int = BATCH) -> dict[str, list[float]]:
    """Return the µs of CPU time of each step in each round; the rounds go through all steps in turns."""
    memory, acks_fd = segment.create(1, 1), os.eventfd(0)
    alive, other = socket.socketpair()
    steps = Bench(memory, acks_fd, alive, batch).steps() + _validators(batch)
    segments = [segment.create(1, 1) for _ in range(2)]
    for name, settings, other_memory in zip(("without", "with"), ({}, VALIDATION), segments, strict=True):
        steps.append(
            (
                f"inference of 64 floats, {name} validators",
                Bench(other_memory, acks_fd, alive, batch, settings).inferred(),
            )
        )
    taken: dict[str, list[float]] = {name: [] for name, _ in steps}
    for number in range(rounds + 1):  # the first round warms up
        for name, step in steps:
            each_us = step()
            if number:
                taken[name].append(each_us)
        await asyncio.sleep(0)
    for end in (alive, other):
        end.close()
    os.close(acks_fd)
    for one in (memory, *segments):
        os.close(one.fd)
    return taken


def run(quick: bool, rounds: int | None = None) -> None:
    """Measure all steps in turns, print the table, write results/micro.json."""
    rounds = rounds or (5 if quick else ROUNDS)
    taken = uvloop.run(measure(rounds))
    figures = {
        name: {"min_us": round(min(some), 3), "median_us": round(statistics.median(some), 3)}
        for name, some in taken.items()
    }
    rows = [[name, f"{figure['min_us']:.2f}", f"{figure['median_us']:.2f}"] for name, figure in figures.items()]
    print(
        results.table(f"Steps in process, {rounds} rounds in turns of {BATCH}", ["step", "min µs", "median µs"], rows)
    )
    counted_us = figures["accounting: counters and histograms"]["median_us"]
    met = "met" if counted_us < COUNTING_MAX_US else "missed"
    print(f"\nCounters and histograms: {counted_us:.2f} µs of {COUNTING_MAX_US} µs a request: {met}.")
    settings = {"rounds": rounds, "batch": BATCH, "compiled": not attempt.__file__.endswith(".py")}
    print(f"Written: {results.write('micro', quick, settings, {'steps': figures, 'counting_max_us': COUNTING_MAX_US})}")
