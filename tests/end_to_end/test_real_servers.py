"""Model servers and clients of others: litserve (nightly with scikit-learn as well), httpx, the official openai client."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import openai
import pytest
import pytest_asyncio

from tests.end_to_end.conftest import StartRouter
from tests.end_to_end.real_router import free_port, service_settings, until

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(120)]

TRAINED = """
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

predict_proba = LogisticRegression(max_iter=500).fit(*load_iris(return_X_y=True)).predict_proba
"""
NEAREST = """
CENTRES = ((5.0, 3.4, 1.5, 0.2), (5.9, 2.8, 4.3, 1.3), (6.6, 3.0, 5.6, 2.0))


def predict_proba(rows):
    distances = [[sum((a - b) ** 2 for a, b in zip(row, centre)) for centre in CENTRES] for row in rows]
    return [[1 / (1 + distance) / sum(1 / (1 + other) for other in row) for distance in row] for row in distances]
"""
LITSERVE = """
import sys
import litserve


class Iris(litserve.LitAPI):
    def setup(self, device):
        pass

    def decode_request(self, request):
        return [request["features"]]

    def predict(self, rows):
        return [float(share) for share in predict_proba(rows)[0]]

    def encode_response(self, output):
        return {"probabilities": output}


if __name__ == "__main__":
    server = litserve.LitServer(Iris(), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, num_api_servers=1)
"""


@pytest_asyncio.fixture(
    params=[
        pytest.param(NEAREST, id="plain Python"),
        pytest.param(TRAINED, id="scikit-learn", marks=pytest.mark.nightly),
    ]
)
async def iris(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """The URL of a litserve process with a model of irises."""
    script, port = tmp_path / "iris.py", free_port()
    script.write_text(request.param + LITSERVE, "utf-8")
    with (tmp_path / "litserve.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(script), str(port), stdout=log, stderr=log, cwd=tmp_path, start_new_session=True
        )
    url = f"http://127.0.0.1:{port}"

    async def healthy() -> bool:
        if process.returncode is not None:
            pytest.fail((tmp_path / "litserve.log").read_text("utf-8"))
        async with httpx.AsyncClient() as client:
            try:
                return (await client.get(url + "/health")).status_code == 200
            except httpx.HTTPError:
                return False

    await until(healthy, 60, "litserve is healthy", every_s=0.2)
    yield url
    os.killpg(process.pid, 15)
    try:
        await asyncio.wait_for(process.wait(), 10)
    except TimeoutError:
        os.killpg(process.pid, 9)
        await process.wait()


async def test_litserve_called_by_httpx(start_router: StartRouter, iris: str) -> None:
    router = await start_router(service_settings(iris))
    async with httpx.AsyncClient(base_url=router.url) as client:
        flowers = {
            "setosa": [5.1, 3.5, 1.4, 0.2],
            "versicolor": [6.0, 2.7, 4.2, 1.3],
            "virginica": [6.3, 3.3, 6.0, 2.5],
        }
        for number, features in enumerate(flowers.values()):
            through = await client.post("/predict", json={"features": features})
            assert (through.status_code, through.headers["x-served-version"]) == (200, "v1")
            probabilities = through.json()["probabilities"]
            assert probabilities.index(max(probabilities)) == number
            direct = await client.post(iris + "/predict", json={"features": features})
            assert through.content == direct.content
        missing = await client.get("/nowhere")
        assert missing.status_code == 404
        assert "x-router-error" not in missing.headers
    ended = (await router.service())["exchanges"]["ended"]
    assert (ended["ok"], ended["client_error"]) == (3, 1)


@pytest_asyncio.fixture
async def chat() -> AsyncIterator[str]:
    """The URL of the demo's model server, whose chat endpoint streams."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "router.demo.model_server", "--until-stdin-ends", "--token-interval-ms", "50"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    yield f"http://127.0.0.1:{json.loads(await process.stdout.readline())['port']}"
    process.terminate()
    await process.wait()


async def test_the_openai_client_streams_through_the_router(start_router: StartRouter, chat: str) -> None:
    router = await start_router(service_settings(chat))
    async with openai.AsyncOpenAI(base_url=router.url + "/v1", api_key="unused", max_retries=0) as client:
        whole = await client.chat.completions.create(
            model="demo-chat", messages=[{"role": "user", "content": "hello"}], max_tokens=20
        )
        stream = await client.chat.completions.create(
            model="demo-chat", messages=[{"role": "user", "content": "hello"}], max_tokens=20, stream=True
        )
        loop, texts, times = asyncio.get_running_loop(), [], []
        async for part in stream:
            texts.append(part.choices[0].delta.content or "")
            times.append(loop.time())
        assert "".join(texts) == whole.choices[0].message.content
        assert len(texts) == 22
        assert times[-1] - times[0] > 0.8, "the stream was held back: tokens are 50 ms apart"
        with pytest.raises(openai.BadRequestError, match="max_tokens"):
            await client.chat.completions.create(
                model="demo-chat", messages=[{"role": "user", "content": "hello"}], max_tokens=0
            )


async def test_the_openai_client_understands_the_routers_own_errors(start_router: StartRouter) -> None:
    router = await start_router(service_settings(f"http://127.0.0.1:{free_port()}"), workers=1)
    async with openai.AsyncOpenAI(base_url=router.url + "/v1", api_key="unused", max_retries=0) as client:
        with pytest.raises(openai.InternalServerError) as raised:
            await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hello"}])
    assert raised.value.status_code == 502
    assert raised.value.code == "connect_failed"
    assert raised.value.response.headers["x-router-error"] == "connect_failed"
