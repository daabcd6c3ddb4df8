from __future__ import annotations

import pytest

from router.errors import Refusal
from router.rollout.versions import model_uri as mu
from router.rollout.versions.model_uri import ModelUri


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("models:/fraud/3", ModelUri("fraud", "3")),
        ("models:/fraud/003", ModelUri("fraud", "3")),
        ("models:/cat.schema.fraud/12", ModelUri("cat.schema.fraud", "12")),
        ("models:/fraud@champion", ModelUri("fraud", None, "champion")),
    ],
)
def test_what_is_named(text: str, uri: ModelUri) -> None:
    assert mu.parse(text) == uri
    assert mu.parse(str(uri)) == uri


@pytest.mark.parametrize(
    "text",
    ["models:/fraud", "models:/", "models:/fraud/", "models:/fraud/latest", "models:/a/b/3", "models:/fraud@", "models://h/fraud/3",
     "models:/fraud/3@x", "runs:/1/model", "models:/fraud/-1", "models:/fraud/1234567890"],
)  # fmt: skip
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(Refusal, match="models:/NAME/NUMBER") as caught:
        mu.parse(text)
    assert caught.value.code == "model_uri_invalid"


def test_of_a_pedigree_only_a_number_counts() -> None:
    assert mu.numbered("models:/fraud/3") == ModelUri("fraud", "3")
    assert [mu.numbered(source) for source in (None, "", "s3://x", "models:/fraud@champion")] == [None] * 4


def test_the_label_is_the_same_for_the_same_number_and_another_for_another() -> None:
    names = [("fraud", "3"), ("fraud", "31"), ("fraud-v3", "1"), ("fraud", "1")]
    assert [mu.label(ModelUri(*name), {}) for name in names] == ["fraud-v3", "fraud-v31", "fraud-v3-v1", "fraud-v1"]
    assert mu.label(ModelUri("fraud", "3"), {mu.TAG_LABEL: " autumn "}) == "autumn"


@pytest.mark.parametrize("written", ["http://a:1,http://b:2", "http://a:1 http://b:2", " http://a:1 ,\n http://b:2, "])
def test_endpoints(written: str) -> None:
    assert mu.endpoints(ModelUri("fraud", "3"), {mu.TAG_ENDPOINTS: written}) == ["http://a:1", "http://b:2"]


@pytest.mark.parametrize("tags", [{}, {mu.TAG_ENDPOINTS: " , "}])
def test_without_endpoints_the_refusal_names_the_tag(tags: dict[str, str]) -> None:
    with pytest.raises(Refusal, match=r"models:/fraud/3 has no tag rollback_router\.endpoints"):
        mu.endpoints(ModelUri("fraud", "3"), tags)


@pytest.mark.parametrize(
    ("tags", "quarantined"),
    [
        pytest.param({}, None, id="no tags"),
        pytest.param({"rollback.reason": "slow"}, {"reason": "slow", "incident": None}, id="rolled back"),
        pytest.param(
            {"rollback.reason": "slow", "rollback.incident": "svc-1-2", "rollback.quarantined": "true"},
            {"reason": "slow", "incident": "svc-1-2"}, id="rolled back and marked",
        ),
        pytest.param({"rollback.quarantined": "yes"}, {"reason": "no reason given", "incident": None}, id="by hand"),
        pytest.param({"rollback.reason": "slow", "rollback.quarantined": "False"}, None, id="released"),
        pytest.param({"rollback.quarantined": "0"}, None, id="never marked"),
        pytest.param(
            {"rollback.reason": "\x1b]0;owned\x07" + "x" * 9000, "rollback.incident": "\x1b[2J"},
            {"reason": "\\u001b]0;owned\\u0007" + "x" * 479 + "…", "incident": "\\u001b[2J"}, id="what a terminal would obey",
        ),
    ],
)  # fmt: skip
def test_quarantined_there(tags: dict[str, str], quarantined: dict[str, str | None] | None) -> None:
    assert mu.quarantine(tags) == quarantined
