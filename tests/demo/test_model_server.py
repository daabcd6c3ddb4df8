"""The demo's model server speaks the Open Inference Protocol and OpenAI's chat completions."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient, TestServer

from router.demo import scorer
from router.demo.fault import Fault
from router.demo.model_server import ModelServer

ROW = [0.5, -0.5, 0.1, 0.2]


@pytest_asyncio.fixture
async def client() -> AsyncIterator[TestClient[Any, Any]]:
    server = ModelServer("v2", "demo-v2", Fault("none"), token_interval_s=0)
    async with TestClient(TestServer(server.app())) as opened:
        yield opened


@pytest.mark.parametrize(
    ("data", "rows"),
    [(ROW, 1), ([ROW], 1), (ROW + ROW, 2), ([ROW, ROW], 2)],
    ids=["flat", "nested", "two", "two nested"],
)
async def test_infer_evaluates_the_model(client: TestClient[Any, Any], data: list[Any], rows: int) -> None:
    tensor = {"name": "payment", "datatype": "FP64", "shape": [rows, 4], "data": data}
    answer = await client.post("/v2/models/demo/infer", json={"id": "7", "inputs": [tensor]})
    scores = [scorer.load("v2").score(ROW)] * rows
    assert (answer.status, await answer.json()) == (
        200,
        {
            "model_name": "demo",
            "model_version": "demo-v2",
            "id": "7",
            "outputs": [{"name": "fraud", "datatype": "FP64", "shape": [rows], "data": scores}],
        },
    )


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"[]", "the body must be a JSON object"),
        (b"{}", "inputs: exactly one tensor named payment is expected"),
        (b'{"inputs":[{"data":[]}]}', "inputs[0].data: a list of numbers is expected"),
        (
            b'{"inputs":[{"data":[1,2,3]}]}',
            "inputs[0].data: each payment is 4 numbers: amount, hour, distance, account_age",
        ),
        (
            b'{"inputs":[{"data":[1,2,3,true]}]}',
            "inputs[0].data: each payment is 4 numbers: amount, hour, distance, account_age",
        ),
    ],
    ids=["a list", "no inputs", "no data", "three numbers", "a truth value"],
)
async def test_a_bad_inference_request_is_answered_400(client: TestClient[Any, Any], body: bytes, error: str) -> None:
    answer = await client.post("/v2/models/demo/infer", data=body)
    assert (answer.status, await answer.json()) == (400, {"error": error})


async def test_a_streamed_chat_says_what_a_whole_one_says(client: TestClient[Any, Any]) -> None:
    asked = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 6}
    whole = await (await client.post("/v1/chat/completions", json=asked)).json()
    streamed = await client.post("/v1/chat/completions", json={**asked, "stream": True})
    assert streamed.content_type == "text/event-stream"
    events = [event.removeprefix("data: ") for event in (await streamed.text()).split("\n\n")]
    assert events[-2:] == ["[DONE]", ""]
    chunks = [json.loads(event)["choices"][0] for event in events[:-2]]
    assert "".join(chunk["delta"].get("content", "") for chunk in chunks) == whole["choices"][0]["message"]["content"]
    assert [chunk["finish_reason"] for chunk in chunks] == [None] * 7 + ["length"]
    assert whole["usage"] == {"prompt_tokens": 1, "completion_tokens": 6, "total_tokens": 7}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, "messages: a list that is not empty is expected"),
        ({"messages": [{}]}, "messages: the last one has no text content"),
        (
            {"messages": [{"content": "x"}], "max_tokens": 0},
            "max_tokens: a number from 1 to 4096 is expected",
        ),
    ],
    ids=["no messages", "no content", "no tokens"],
)
async def test_a_bad_chat_request_is_answered_400(client: TestClient[Any, Any], body: Any, error: str) -> None:
    answer = await client.post("/v1/chat/completions", json=body)
    assert (answer.status, await answer.json()) == (
        400,
        {"error": {"message": error, "type": "invalid_request_error"}},
    )


async def test_health_and_metadata(client: TestClient[Any, Any]) -> None:
    assert (await client.get("/v2/health/ready")).status == 200
    metadata = await (await client.get("/v2/models/demo")).json()
    assert (metadata["name"], metadata["versions"]) == ("demo", ["demo-v2"])


async def test_the_health_page_does_not_see_the_fault() -> None:
    fault = Fault("errors")
    fault.begin()
    async with TestClient(TestServer(ModelServer("v1", "demo-v1", fault).app())) as client:
        assert (await client.post("/v2/models/demo/infer", json={})).status == 500
        assert (await client.get("/v2/health/ready")).status == 200
