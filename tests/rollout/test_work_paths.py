"""Names of work buckets, and which of them are inference."""

from __future__ import annotations

import pytest

from router.rollout.work_paths import (
    CHEAP_PATHS,
    PATH_CHARS_MAX,
    InferenceRules,
    bucket_name,
    check_pattern,
    has_known_answers,
    path_template,
)


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/v1/threads/12/runs", "/v1/threads/*/runs"),
        ("/jobs/0b9e8d2e-6a55-4a3e-9a53-2f3c3c1ad9a1", "/jobs/*"),
        ("/jobs/0B9E8D2E6A554A3E", "/jobs/*"),
        ("/jobs/0b9e8d2e6a554a3", "/jobs/0b9e8d2e6a554a3"),  # 15 digits
        ("/v2/models/fraud-8/infer", "/v2/models/fraud-8/infer"),
        ("/", "/"),
        ("*", "*"),
        ("/1//2/", "/*//*/"),
    ],
)
def test_variable_segments_of_a_path_become_one(path: str, template: str) -> None:
    assert path_template(path) == template
    assert bucket_name("POST", path) == f"POST {template}"


@pytest.mark.parametrize(
    "name",
    [
        "POST /v1/chat/completions",
        "POST /v1/completions/",
        "POST /generate",
        "PUT /predict",
        "POST /v2/models/fraud/infer",
        "POST /v1/models/fraud:predict",
        "POST /invocations",
        "POST /health/predict",  # a model of health insurance
        "POST /api/chat",
        "POST /inference.GRPCInferenceService/ModelInfer",
        "POST /tensorflow.serving.PredictionService/Predict",
        "POST /",
    ],
)
def test_inference(name: str) -> None:
    assert InferenceRules().is_inference(name)


@pytest.mark.parametrize(
    "name",
    [
        "GET /v1/models",
        "HEAD /predict",
        "OPTIONS /v1/chat/completions",
        "POST /tokenize",
        "POST /v1/messages/count_tokens",
        "POST /v2/repository/models/fraud/load",
        "POST /v2/repository/index",
        "POST /v1/load_lora_adapter",
        "POST /wake_up",
        "POST /base/path/api/v1.0/feedback",
        "POST /slots/*",
        "POST /grpc.health.v1.Health/Check",
        "POST /inference.GRPCInferenceService/ModelReady",
        "POST /health",
    ],
)
def test_what_needs_no_engine_is_no_inference(name: str) -> None:
    assert not InferenceRules().is_inference(name)


def test_settings_win_over_the_shipped_list_and_exceptions_win_over_both() -> None:
    rules = InferenceRules(paths=["/score/*", "/tokenize", "lookup/**"], not_paths=["/generate/dry-run", "/admin/**"])
    assert [name for name in NAMES if rules.is_inference(name)] == [
        "GET /score/*",
        "GET /score/x",
        "POST /tokenize",
        "GET /a/lookup/x/y",
        "POST /generate",
    ]


NAMES = (
    "GET /score/*", "GET /score/x", "GET /score/x/y", "GET /a/score/x", "POST /tokenize", "GET /a/lookup/x/y",
    "GET /a/lookup", "POST /generate", "POST /generate/dry-run", "POST /admin/x/y",
)  # fmt: skip


def test_a_number_in_a_pattern_means_what_it_means_in_a_path() -> None:
    assert InferenceRules(paths=["/items/5"]).is_inference(bucket_name("GET", "/items/77"))


@pytest.mark.parametrize("pattern", ["", "v1 x", "/a?b=1", "/a/**/b", "/a*", "**", "//", "/ä"])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="is no path pattern"):
        check_pattern(pattern)


def test_the_shipped_patterns_are_patterns() -> None:
    assert [check_pattern(pattern) for pattern in CHEAP_PATHS] == list(CHEAP_PATHS)
    assert [check_pattern(pattern) for pattern in ("/", "/**", "/a/*/b", "a")]


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("POST /v1/chat/completions", True),
        ("POST /api/chat", True),
        ("POST /v2/models/fraud/infer", True),
        ("POST /v1/models/fraud:predict", True),
        ("POST /v1beta/models/g:streamGenerateContent", True),
        ("POST /predict", False),
        ("POST /inferred", False),
    ],
)
def test_which_answers_have_a_known_form(name: str, known: bool) -> None:
    assert has_known_answers(name) is known


def test_only_the_beginning_of_a_long_path_counts() -> None:
    """The client chooses the path, and each pattern searches it."""
    name = bucket_name("POST", "/internal/" + "a/" * 4000 + "health")
    assert name == "POST " + ("/internal/" + "a/" * 4000)[:PATH_CHARS_MAX]
    assert not InferenceRules(not_paths=["/internal/**"]).is_inference(name)
    assert InferenceRules().is_inference(name)
    assert bucket_name("POST", "/" + "x" * 1023) == "POST /" + "x" * 1023
