from __future__ import annotations

import json

import pytest

from router.rollout.model.identity import Identity, certificate_names, from_dict, models_in

KNOWN = Identity("GET /v1/models", 2, ("fraud-v7",), ("models.example.com",))


@pytest.mark.parametrize(
    ("text", "models"),
    [
        ('{"id": "cmpl-1", "model": "fraud-v7"}', ("fraud-v7",)),
        ('{"object": "list", "data": [{"id": "b"}, {"id": "a"}]}', ("a", "b")),
        ('{"model_name": "fraud", "outputs": []}', ("fraud",)),
        ('{"name": "fraud", "versions": ["1"], "platform": "onnx"}', ("fraud",)),
        ('{"name": "Ann"}', ()),
        ('{"data": [{"id": "row-1"}]}', ()),
        ('{"model": 7}', ()),
        ("ok", ()),
        ("[" * 100_000, ()),
        ("[1]", ()),
    ],
)
def test_models_of_an_answer(text: str, models: tuple[str, ...]) -> None:
    assert models_in(text) == models


def test_names_of_a_certificate() -> None:
    subject = ((("commonName", "old.example.com"),),)
    assert certificate_names({"subject": subject, "subjectAltName": (("DNS", "b"), ("DNS", "a"))}) == ("a", "b")
    assert certificate_names({"subject": subject}) == ("old.example.com",)
    assert certificate_names({}) == certificate_names(None) == ()


@pytest.mark.parametrize(
    ("now", "differs"),
    [
        (KNOWN, False),
        (Identity("GET /v1/models", 2, ("fraud-v7", "adapter-1"), ("models.example.com", "new.example.com")), False),
        (Identity("GET /health", 4), False),
        (Identity("GET /v1/models", 4, ("fraud-v7",), ("models.example.com",)), True),
        (Identity("GET /v1/models", 2, ("fraud-v8",), ("models.example.com",)), True),
        (Identity("GET /v1/models", 2, (), ("models.example.com",)), True),
        (Identity("GET /v1/models", 2, ("fraud-v7",), ("stranger.example.com",)), True),
    ],
)
def test_another_server_is_recognised(now: Identity, differs: bool) -> None:
    assert (now.difference(KNOWN) is not None) is differs


def test_an_answer_without_names_never_differs_by_them() -> None:
    nameless = Identity("GET /health", 2)
    assert Identity("GET /health", 2, ("fraud",), ("a",)).difference(nameless) is None


def test_the_journal_keeps_it() -> None:
    assert from_dict(json.loads(json.dumps(KNOWN.as_dict()))) == KNOWN
