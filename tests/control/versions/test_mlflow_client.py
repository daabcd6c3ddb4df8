"""The calls of the model registry: which paths, queries and bodies, and what is read from the answers."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from router.control.versions.mlflow_answer import MlflowRefused
from router.control.versions.mlflow_client import Mlflow, ModelVersion
from router.errors import Refusal
from router.rollout.versions.model_uri import ModelUri, parse
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


@pytest.mark.parametrize(
    ("member", "value"),
    [("tags", None), ("status", None), ("source", None), ("tags", [{"key": "empty", "value": None}])],
)
async def test_null_is_as_good_as_left_out(member: str, value: object) -> None:
    known = {"model_version": {"name": "fraud", "version": "3", "status": "READY", member: value}}
    async with scripted(document(known)) as script:
        found = await server(script.url).version(FRAUD_3)
    assert found == ModelVersion(FRAUD_3, None, "READY", {"empty": ""} if member == "tags" and value else {})


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


async def test_an_alias_that_is_not_there() -> None:
    missing = {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "alias nope not found"}
    async with scripted(document(missing, 404), document({}, 403)) as script:
        assert await server(script.url).aliased("fraud", "nope") is None
        with pytest.raises(MlflowRefused):
            await server(script.url).aliased("fraud", "nope")


@pytest.mark.parametrize(
    "name",
    [
        "Fraud Model",
        " a ",
        "a+b&c=d;e,f",
        "50%off#1?",
        "a%20b",
        "ünï",
        "e\u0301",
        "🚀",
        "欺诈",
        "q\"'\\`",
        "<b>|{}",
        "x" * 256,
    ],
)
async def test_every_name_is_encoded_in_every_call(name: str) -> None:
    async with scripted(document(THREE)) as script:
        await server(script.url).version(ModelUri(name, "3"))
        await server(script.url).aliased(name, "champion")
        await server(script.url).set_tag(ModelUri(name, "3"), "k", "v")
        await server(script.url).set_alias(name, "champion", "3")
    lines = [request.split(b" ")[1].decode() for request in script.requests]
    assert [parse_qs(urlsplit(line).query, keep_blank_values=True)["name"] for line in lines[:2]] == [[name]] * 2
    assert [orjson.loads(request.partition(b"\r\n\r\n")[2])["name"] for request in script.requests[2:]] == [name] * 2


async def test_the_newest_version_of_a_stage_and_of_all() -> None:
    listed = [{"name": "fraud", "version": number} for number in ("9", "31", "4")]
    async with scripted(document({"model_versions": listed}), document({})) as script:
        assert (await server(script.url).version(parse("models:/fraud/latest"))).uri == ModelUri("fraud", "31")
        with pytest.raises(MlflowRefused, match=r"has no models:/fraud/Production") as caught:
            await server(script.url).version(parse("models:/fraud/production"))
    assert caught.value.code == "model_unknown"
    bodies = [orjson.loads(request.partition(b"\r\n\r\n")[2]) for request in script.requests]
    assert bodies == [{"name": "fraud"}, {"name": "fraud", "stages": ["Production"]}]


async def test_a_logged_model() -> None:
    info = {
        "model_id": "m-1a2b",
        "name": "net",
        "artifact_uri": "s3://m/1",
        "status": "LOGGED_MODEL_READY",
        "tags": [{"key": "a", "value": "b"}],
    }
    async with scripted(document({"model": {"info": info}}), document({})) as script:
        found = await server(script.url).version(parse("models:/m-1a2b"))
        assert found == ModelVersion(ModelUri("", model_id="m-1a2b"), "s3://m/1", "READY", {"a": "b"})
        await server(script.url).set_tag(found.uri, "rollback.reason", "slow")
    assert [request.partition(b" HTTP")[0] for request in script.requests] == [
        b"GET /api/2.0/mlflow/logged-models/m-1a2b",
        b"PATCH /api/2.0/mlflow/logged-models/m-1a2b/tags",
    ]
    sent = orjson.loads(script.requests[1].partition(b"\r\n\r\n")[2])
    assert sent == {"tags": [{"key": "rollback.reason", "value": "slow"}]}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"model_version": {"name": "x", "version": "latest"}},
        {"model_version": {"name": "x", "version": "1", "tags": "x"}},
        {"model_version": {"name": "a/b", "version": "1"}},
        {"model_version": []},
        {"model_versions": "x"},
    ],
)
async def test_json_that_is_no_model_version(body: object) -> None:
    async with scripted(document(body)) as script:
        for uri in ("models:/fraud/3", "models:/fraud@champion", "models:/m-1"):
            with pytest.raises(Refusal, match="no model version of MLflow") as caught:
                await server(script.url).version(parse(uri))
            assert caught.value.code == "not_mlflow"
