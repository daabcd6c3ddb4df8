"""The demo's model server: `python -m router.demo.model_server --version v1 --name demo-v1`.

It serves the Open Inference Protocol (`/v2/models/demo/infer`) and an OpenAI-style `/v1/chat/completions`, streamed or not,
with two small models that it evaluates itself. It writes events to standard output, one JSON object per line: `listening`
with its port, `fault_begun` with the time. With --until-stdin-ends it ends when its standard input ends, so that it never
outlives the demo.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, Final

import orjson
from aiohttp import web

from router.demo import scorer
from router.demo.fault import KINDS, Fault, write_event
from router.demo.language_model import LanguageModel
from router.errors import DownstreamError
from router.runtime import clock

MODEL: Final = "demo"
CHAT_MODEL: Final = "demo-chat"
ROWS_MAX: Final = 1000
TOKENS_MAX: Final = 4096
TOKENS_DEFAULT: Final = 32
_BODY_BYTES_MAX: Final = 8 << 20
_STREAM_HEADERS: Final = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}


class ModelServer:
    """The routes of one model version."""

    def __init__(self, version: str, name: str, fault: Fault, token_interval_s: float = 0.02) -> None:
        self._name = name
        self._scorer = scorer.load(version)
        self._language_model = LanguageModel(version)
        self._fault = fault
        self._token_interval_s = token_interval_s
        self._answers = 0

    def app(self) -> web.Application:
        """Return the web application."""
        app = web.Application(client_max_size=_BODY_BYTES_MAX)
        app.router.add_get("/v2/health/ready", self._ready)
        app.router.add_get("/v2/health/live", self._ready)
        app.router.add_get(f"/v2/models/{MODEL}", self._metadata)
        app.router.add_get(f"/v2/models/{MODEL}/ready", self._ready)
        app.router.add_post(f"/v2/models/{MODEL}/infer", self._infer)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._chat)
        return app

    async def _ready(self, _: web.Request) -> web.Response:
        return web.json_response({"ready": True})

    async def _metadata(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "name": MODEL,
                "versions": [self._name],
                "platform": "python",
                "inputs": [{"name": "payment", "datatype": "FP64", "shape": [-1, len(scorer.FEATURES)]}],
                "outputs": [{"name": "fraud", "datatype": "FP64", "shape": [-1]}],
            }
        )

    async def _models(self, _: web.Request) -> web.Response:
        model = {"id": CHAT_MODEL, "object": "model", "created": 0, "owned_by": "rollback-router"}
        return web.json_response({"object": "list", "data": [model]})

    async def _infer(self, request: web.Request) -> web.Response:
        body = await request.read()
        if (failed := await self._fault.apply()) is not None:
            return failed
        try:
            parsed = _document(body)
            scores = [self._scorer.score(row) for row in _rows(parsed)]
        except DownstreamError as error:
            return web.json_response({"error": error.detail}, status=error.status)
        output = {"name": "fraud", "datatype": "FP64", "shape": [len(scores)], "data": scores}
        answer = {"model_name": MODEL, "model_version": self._name, "outputs": [output]}
        return web.json_response(answer | ({"id": parsed["id"]} if isinstance(parsed.get("id"), str) else {}))

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if (failed := await self._fault.apply()) is not None:
            return failed
        try:
            parsed = _document(body)
            prompt, tokens_max = _prompt(parsed), _tokens_max(parsed)
        except DownstreamError as error:
            return web.json_response(
                {"error": {"message": error.detail, "type": "invalid_request_error"}}, status=error.status
            )
        self._answers += 1
        head = {"id": f"chatcmpl-{self._name}-{self._answers}", "created": int(clock.wall_s()), "model": CHAT_MODEL}
        if parsed.get("stream") is True:
            return await self._stream(request, head, prompt, tokens_max)
        text = "".join(self._language_model.tokens(prompt, tokens_max))
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "length"}
        prompt_tokens = len(prompt.split())
        usage = {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": tokens_max,
            "total_tokens": prompt_tokens + tokens_max,
        }
        return web.json_response({**head, "object": "chat.completion", "choices": [choice], "usage": usage})

    async def _stream(
        self, request: web.Request, head: dict[str, Any], prompt: str, tokens_max: int
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers=_STREAM_HEADERS)
        await response.prepare(request)
        await response.write(_chunk(head, {"role": "assistant", "content": ""}, None))
        for token in self._language_model.tokens(prompt, tokens_max):
            await asyncio.sleep(self._token_interval_s)
            await response.write(_chunk(head, {"content": token}, None))
        await response.write(_chunk(head, {}, "length") + b"data: [DONE]\n\n")
        await response.write_eof()
        return response


def _invalid(detail: str) -> DownstreamError:
    return DownstreamError(400, "request_invalid", detail)


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _invalid(f"the body is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise _invalid("the body must be a JSON object")
    return document


def _rows(parsed: dict[str, Any]) -> list[list[float]]:
    inputs = parsed.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise _invalid("inputs: exactly one tensor named payment is expected")
    data, wide = inputs[0].get("data"), len(scorer.FEATURES)
    if not isinstance(data, list) or not data:
        raise _invalid("inputs[0].data: a list of numbers is expected")
    rows = data if isinstance(data[0], list) else [data[at : at + wide] for at in range(0, len(data), wide)]
    if len(rows) > ROWS_MAX:
        raise _invalid(f"inputs[0].data: at most {ROWS_MAX} payments in one request")
    for row in rows:
        if not isinstance(row, list) or len(row) != wide or not all(type(value) in (int, float) for value in row):
            raise _invalid(f"inputs[0].data: each payment is {wide} numbers: {', '.join(scorer.FEATURES)}")
    return rows


def _prompt(parsed: dict[str, Any]) -> str:
    messages = parsed.get("messages")
    if not isinstance(messages, list) or not messages or not isinstance(messages[-1], dict):
        raise _invalid("messages: a list that is not empty is expected")
    content = messages[-1].get("content")
    if not isinstance(content, str):
        raise _invalid("messages: the last one has no text content")
    return content


def _tokens_max(parsed: dict[str, Any]) -> int:
    tokens = parsed.get("max_completion_tokens", parsed.get("max_tokens", TOKENS_DEFAULT))
    if type(tokens) is not int or not 1 <= tokens <= TOKENS_MAX:
        raise _invalid(f"max_tokens: a number from 1 to {TOKENS_MAX} is expected")
    return tokens


def _chunk(head: dict[str, Any], delta: dict[str, str], finish_reason: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return b"data: " + orjson.dumps({**head, "object": "chat.completion.chunk", "choices": [choice]}) + b"\n\n"


async def serve(arguments: argparse.Namespace) -> None:
    """Serve until SIGTERM, SIGINT or the end of standard input."""
    fault = Fault(arguments.fault, share=arguments.fault_share, slow_by_s=arguments.slow_by_ms / 1000)
    server = ModelServer(arguments.version, arguments.name, fault, arguments.token_interval_ms / 1000)
    runner = web.AppRunner(server.app(), handle_signals=False, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, arguments.host, arguments.port)
    await site.start()
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, fault.begin)
    if arguments.until_stdin_ends:
        loop.add_reader(sys.stdin.fileno(), _stop_at_end_of, sys.stdin.fileno(), stop)
    write_event("listening", port=runner.addresses[0][1], pid=os.getpid())
    if not arguments.fault_after_signal:
        fault.begin()
    await stop.wait()
    await runner.cleanup()


def _stop_at_end_of(descriptor: int, stop: asyncio.Event) -> None:
    if not os.read(descriptor, 4096):
        asyncio.get_running_loop().remove_reader(descriptor)
        stop.set()


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the command line's values."""
    parser = argparse.ArgumentParser(prog="python -m router.demo.model_server", description=__doc__)
    parser.add_argument("--version", choices=scorer.VERSIONS, default="v1", help="which weights")
    parser.add_argument("--name", default="demo-v1", help="the version in its answers")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--fault", choices=KINDS, default="none")
    parser.add_argument("--fault-share", type=float, default=1.0, help="0 to 1: the share of requests with the fault")
    parser.add_argument("--fault-after-signal", action="store_true", help="begin at SIGUSR1 instead of at once")
    parser.add_argument("--slow-by-ms", type=float, default=400.0)
    parser.add_argument("--token-interval-ms", type=float, default=20.0)
    parser.add_argument("--until-stdin-ends", action="store_true", help="leave when standard input ends")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    asyncio.run(serve(parse()))
