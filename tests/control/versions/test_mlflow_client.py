"""The registry's REST API, and every way in which a server may be of no use."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import threading
from pathlib import Path

import orjson
import pytest

from router.control.versions.mlflow_client import ANSWER_BYTES_MAX, Mlflow, MlflowRefused, ModelVersion
from router.errors import Refusal
from router.rollout.versions.model_uri import ModelUri
from router.settings.sections.mlflow import MlflowSettings
from tests.control.scripted_server import answer, scripted

FRAUD_3 = ModelUri("fraud", "3")
THREE = {
    "model_version": {
        "name": "fraud", "version": "3", "source": "s3://m/3", "status": "READY",
        "tags": [{"key": "rollback_router.endpoints", "value": "http://a:1"}, {"key": "empty"}],
    }
}  # fmt: skip


def document(body: object, status: int = 200) -> bytes:
    return answer(status, orjson.dumps(body))


def server(url: str, **more: object) -> Mlflow:
    return Mlflow(MlflowSettings.model_validate({"tracking_uri": url, "timeout_s": 5.0, **more}))


async def test_a_version_by_number_and_by_alias() -> None:
    async with scripted(document(THREE)) as script:
        found = await server(f"{script.url}/base/").version(ModelUri("a b", "3"))
        assert found == ModelVersion(
            FRAUD_3, "s3://m/3", "READY", {"rollback_router.endpoints": "http://a:1", "empty": ""}
        )
        assert await server(script.url).aliased("fraud", "champion") == "3"
    asked = [request.split(b" HTTP/1.1")[0] for request in script.requests]
    assert asked == [
        b"GET /base/api/2.0/mlflow/model-versions/get?name=a%20b&version=3",
        b"GET /api/2.0/mlflow/registered-models/alias?name=fraud&alias=champion",
    ]


async def test_what_is_written() -> None:
    async with scripted(document({})) as script:
        await server(script.url).set_tag(FRAUD_3, "rollback.reason", "ünfit")
        await server(script.url).set_alias("fraud", "champion", "2")
    heads = [request.partition(b"\r\n")[0] for request in script.requests]
    assert heads == [
        b"POST /api/2.0/mlflow/model-versions/set-tag HTTP/1.1",
        b"POST /api/2.0/mlflow/registered-models/alias HTTP/1.1",
    ]
    bodies = [orjson.loads(request.partition(b"\r\n\r\n")[2]) for request in script.requests]
    assert bodies == [
        {"name": "fraud", "version": "3", "key": "rollback.reason", "value": "ünfit"},
        {"name": "fraud", "alias": "champion", "version": "2"},
    ]


async def test_who_we_are_is_read_anew_at_each_call(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("one\n")
    async with scripted(document(THREE)) as script:
        bearer = server(script.url, secret_file=str(secret))
        await bearer.version(FRAUD_3)
        secret.write_text("two")
        await bearer.version(FRAUD_3)
        await server(script.url, secret_file=str(secret), user="ann").version(FRAUD_3)
        await server(script.url).version(FRAUD_3)
    fields = [
        [line for line in request.split(b"\r\n") if line.startswith(b"Authorization")] for request in script.requests
    ]
    basic = b"Authorization: Basic " + base64.b64encode(b"ann:two")
    assert fields == [[b"Authorization: Bearer one"], [b"Authorization: Bearer two"], [basic], []]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        ("two\nlines", "line break"),
        ("\x00", "NUL"),
        ("pass\x07word", "control"),
        ("t\u00f6ken", "ASCII"),
    ],
)
async def test_a_secret_that_is_none_is_not_sent(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "secret").write_text(text)
    async with scripted(document(THREE)) as script:
        with pytest.raises(Refusal, match=reason):
            await server(script.url, secret_file=str(tmp_path / "secret")).version(FRAUD_3)
        with pytest.raises(Refusal, match="No such file"):
            await server(script.url, secret_file=str(tmp_path / "none")).version(FRAUD_3)
    assert script.requests == []


USELESS = [
    pytest.param(b"", "Server disconnected", id="hangs up"),
    pytest.param(b"SSH-2.0-x\r\n\r\n", "Bad status line|Expected HTTP", id="another protocol"),
    pytest.param(answer(200, b"<html>"), "answered 200, but not as MLflow", id="no JSON"),
    pytest.param(answer(200, b"[1]"), "answered 200, but not as MLflow", id="no object"),
    pytest.param(document({}), "not with a model version", id="no version"),
    pytest.param(document({"model_version": {"name": "x", "version": "latest"}}), "not with a model version", id="no number"),
    pytest.param(document({"model_version": {"name": "x", "version": "1", "tags": "x"}}), "not with a model", id="no tags"),
    pytest.param(document({"message": "down"}, 503), "answered 503", id="down"),
    pytest.param(answer(302, b"{}", b"Location: http://127.0.0.1:1/"), "answered 302", id="a redirect is not followed"),
    pytest.param(b"HTTP/1.1 200 X\r\nContent-Length: 99\r\n\r\n{}", "Response payload|no answer within", id="cut short"),
]  # fmt: skip


@pytest.mark.parametrize(("bytes_answered", "why"), USELESS)
async def test_a_server_of_no_use(bytes_answered: bytes, why: str) -> None:
    async with scripted(bytes_answered, b"") as script:
        with pytest.raises(Refusal, match=why) as caught:
            await server(script.url, timeout_s=0.1).version(FRAUD_3)
    assert caught.value.code == "mlflow_unreachable"
    assert caught.value.detail.startswith(f"MLflow at {script.url} cannot be used now: ")
    assert caught.value.detail.isprintable()


async def test_a_server_that_hangs_is_waited_for_as_long_as_it_says() -> None:
    async with scripted(None) as script:
        with pytest.raises(Refusal, match=r"no answer within 0\.05 s"):
            await server(script.url, timeout_s=0.05).version(FRAUD_3)


async def test_nobody_listens() -> None:
    with pytest.raises(Refusal, match="cannot be used now") as caught:
        await server("http://127.0.0.1:1").version(FRAUD_3)
    assert caught.value.code == "mlflow_unreachable"


async def test_an_answer_without_end_is_not_read_to_it() -> None:
    async with scripted(answer(200, b" " * (2 * ANSWER_BYTES_MAX))) as script:
        with pytest.raises(Refusal, match=f"longer than {ANSWER_BYTES_MAX} bytes"):
            await server(script.url).version(FRAUD_3)


@pytest.mark.parametrize(
    ("status", "code", "final"),
    [(404, "model_unknown", True), (400, "model_unknown", True), (401, "mlflow_denied", False),
     (403, "mlflow_denied", False), (429, "mlflow_refused", False)],
)  # fmt: skip
async def test_a_server_that_says_no(status: int, code: str, final: bool) -> None:
    async with scripted(document({"error_code": "X", "message": "Model Version not found"}, status)) as script:
        with pytest.raises(MlflowRefused, match="Model Version not found") as caught:
            await server(script.url).version(FRAUD_3)
    assert (caught.value.code, caught.value.final) == (code, final)


async def test_an_alias_that_is_not_there() -> None:
    async with scripted(document({"message": "alias nope not found"}, 400), document({}, 403)) as script:
        assert await server(script.url).aliased("fraud", "nope") is None
        with pytest.raises(MlflowRefused):
            await server(script.url).aliased("fraud", "nope")


async def test_one_thread_waits_for_a_secret_on_a_disk_that_hangs(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    async with scripted(document(THREE)) as script:
        hanging = server(script.url, secret_file=str(fifo), timeout_s=0.05)
        for _ in range(3):
            with pytest.raises(Refusal, match=r"no answer within 0\.05 s"):
                await hanging.version(FRAUD_3)
        with fifo.open("w") as writer:  # opens only because a reader waits; a second reader would wait for ever
            writer.write("token")
        assert await asyncio.wait_for(asyncio.shield(hanging._credentials_read or asyncio.Future()), 5) == {
            "Authorization": "Bearer token"
        }


async def test_its_name_is_resolved_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The threads of the loop resolve names for the gate."""
    seen: list[str] = []

    def hangs(*_: object) -> list[object]:
        seen.append(threading.current_thread().name)
        raise OSError(None, "nobody knows it")

    monkeypatch.setattr(socket, "getaddrinfo", hangs)
    with pytest.raises(Refusal, match="mlflow_unreachable"):
        await server("http://models.example").version(FRAUD_3)
    assert set(seen) == {"mlflow"}
