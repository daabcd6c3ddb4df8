"""What an answer means: a table of the answers of MLflow, of proxies, login pages and other servers."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from router.control.versions.mlflow_answer import ANSWER_BYTES_MAX, Answer, MlflowRefused, parse
from router.errors import Refusal
from router.settings.sections.mlflow import MlflowSettings
from tests.texts import golden

PAGE = (
    b"<!DOCTYPE html><html><head><style>b{x}</style><title>Sign in</title></head><body><h1>Corp\x1b[2J SSO</h1></body>"
)
JSON, HTML, TEXT = "application/json", "text/html; charset=utf-8", "text/plain"


def server(**more: Any) -> MlflowSettings:
    return MlflowSettings.model_validate({"tracking_uri": "http://mlflow:5000", **more})


def refusal(status: int, kind: str, raw: bytes, settings: MlflowSettings | None = None, challenge: str = "") -> Refusal:
    with pytest.raises(Refusal) as caught:
        parse(Answer("http://mlflow:5000/api", status, kind, raw, challenge), settings or server())
    assert caught.value.detail.isprintable()
    return caught.value


def coded(code: str, message: str = "no such thing") -> bytes:
    return orjson.dumps({"error_code": code, "message": message})


@pytest.mark.parametrize(
    ("status", "kind", "raw", "code"),
    [
        pytest.param(404, JSON, coded("RESOURCE_DOES_NOT_EXIST"), "model_unknown", id="no such model"),
        pytest.param(400, JSON, coded("INVALID_PARAMETER_VALUE"), "model_unknown", id="a name that cannot be"),
        pytest.param(409, JSON, coded("RESOURCE_CONFLICT"), "mlflow_refused", id="another refusal"),
        pytest.param(401, JSON, coded("UNAUTHENTICATED"), "mlflow_denied", id="401 in JSON"),
        pytest.param(401, TEXT, b"You are not authenticated.", "mlflow_denied", id="401 in text"),
        pytest.param(401, HTML, PAGE, "mlflow_denied", id="401 in HTML"),
        pytest.param(403, "", b"", "mlflow_denied", id="403 without a body"),
        pytest.param(403, TEXT, b"Permission denied", "mlflow_denied", id="403 in text"),
        pytest.param(403, JSON, b"[]", "mlflow_denied", id="403 in other JSON"),
        pytest.param(404, HTML, PAGE, "not_mlflow", id="no MLflow at this path, in HTML"),
        pytest.param(404, JSON, b'{"detail":"Not Found"}', "not_mlflow", id="no MLflow at this path, in JSON"),
        pytest.param(404, TEXT, b"404 page not found", "not_mlflow", id="no MLflow at this path, in text"),
        pytest.param(404, "", b"", "not_mlflow", id="no MLflow at this path, empty"),
        pytest.param(404, JSON, coded("ENDPOINT_NOT_FOUND"), "not_mlflow", id="an old MLflow"),
        pytest.param(400, TEXT, b"The plain HTTP request was sent to HTTPS port", "not_mlflow", id="another 400"),
        pytest.param(405, TEXT, b"Method Not Allowed", "not_mlflow", id="another 405"),
        pytest.param(407, HTML, PAGE, "not_mlflow", id="407 of a proxy"),
        pytest.param(200, HTML, PAGE, "not_mlflow", id="login page or captive portal"),
        pytest.param(200, "", PAGE, "not_mlflow", id="page without a type"),
        pytest.param(200, JSON, b"[1]", "not_mlflow", id="JSON, but no object"),
        pytest.param(200, JSON, b'{"model_ver', "not_mlflow", id="JSON that is cut"),
        pytest.param(200, JSON, b"", "not_mlflow", id="nothing"),
        pytest.param(204, "", b"", "not_mlflow", id="204"),
        pytest.param(302, "", b"", "not_mlflow", id="redirect without Location"),
        pytest.param(502, HTML, PAGE, "not_mlflow", id="502 page of a proxy"),
        pytest.param(503, HTML, PAGE, "not_mlflow", id="503 page of a proxy"),
        pytest.param(502, TEXT, b"upstream connect error", "mlflow_unreachable", id="502 in text"),
        pytest.param(503, JSON, coded("TEMPORARILY_UNAVAILABLE"), "mlflow_unreachable", id="503"),
        pytest.param(500, JSON, coded("INTERNAL_ERROR"), "mlflow_unreachable", id="500"),
        pytest.param(429, JSON, coded("REQUEST_LIMIT_EXCEEDED"), "mlflow_unreachable", id="429"),
        pytest.param(429, TEXT, b"slow down", "mlflow_unreachable", id="429 in text"),
        pytest.param(408, "", b"", "mlflow_unreachable", id="408"),
        pytest.param(200, JSON, b" " * (ANSWER_BYTES_MAX + 1), "mlflow_unreachable", id="too large"),
    ],
)
def test_what_an_answer_means(status: int, kind: str, raw: bytes, code: str) -> None:
    assert refusal(status, kind, raw).code == code


def test_a_document() -> None:
    assert parse(Answer("http://mlflow:5000/api", 200, TEXT, b'\n{"a": 1}'), server()) == {"a": 1}


def test_a_page_is_named_with_host_status_type_and_first_words() -> None:
    detail = refusal(200, HTML, PAGE).detail
    assert detail.startswith(golden("mlflow.page"))


@pytest.mark.parametrize(
    ("settings", "challenge", "words"),
    [
        ({}, "Basic", ("no credentials", "set mlflow.secret_file")),
        ({"secret_file": "/s"}, "Bearer", ("a token", "check the token in /s")),
        ({"secret_file": "/s"}, "Basic", ("a token", "set mlflow.user")),
        ({"secret_file": "/s", "user": "ann"}, "Basic", ("user ann", "the password in /s")),
    ],
)
def test_who_is_denied_and_what_to_set(settings: dict[str, str], challenge: str, words: tuple[str, ...]) -> None:
    denied = refusal(401, TEXT, b"not authenticated", server(**settings), challenge)
    assert all(word in denied.detail for word in ("401 not authenticated", *words)), denied.detail


@pytest.mark.parametrize(
    ("status", "raw", "final"),
    [(404, coded("RESOURCE_DOES_NOT_EXIST"), True), (409, coded("X"), True), (401, b"", False), (403, b"", False)],
)
def test_only_a_refusal_of_mlflow_itself_is_final(status: int, raw: bytes, final: bool) -> None:
    refused = refusal(status, JSON, raw)
    assert isinstance(refused, MlflowRefused)
    assert refused.final is final
