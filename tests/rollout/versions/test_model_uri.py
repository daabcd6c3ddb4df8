from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import Refusal
from router.rollout.versions import model_uri as mu
from router.rollout.versions.model_uri import ModelUri
from router.settings.sections.values import version_label

NAMES = [
    "tab\tname", "new\nline", "\x1b[2J",
    "fraud", "Fraud Model", " lead", "trail ", "cat.schema.fraud", "ünï", "e\u0301", "欺诈模型",
    "🚀 rocket", "👨\u200d👩\u200d👧", "50%off", "a%20b", "a#b", "a?b", "a&b=c+d", "q\"uo'te",
    "back\\slash", "a@b", "a,b;c", "x..", ".x", "-dash", "_u", "x" * 256, "a|b", "<b>", "{j}",
    "m-1234", "Fraud\u00a0Model", "latest", "Production", "3", "!", "-", "Fraud-Model",
    "fraud model", "Fraud  Model", "fraud_model",
]  # fmt: skip
"""Names that a real MLflow takes (tried with 3.1 and later)."""


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("suffix", "members"),
    [
        ("/3", {"number": "3"}),
        ("/003", {"number": "3"}),
        ("@champion", {"alias": "champion"}),
        ("@größe-1", {"alias": "größe-1"}),
        ("/latest", {"stage": "latest"}),
        ("/production", {"stage": "Production"}),
        ("/None", {"stage": "None"}),
    ],
)
def test_every_name_in_every_form(name: str, suffix: str, members: dict[str, str]) -> None:
    uri = ModelUri(name, **members)
    assert mu.parse(f"models:/{name}{suffix}") == uri
    assert mu.parse(str(uri)) == uri
    assert mu.is_uri(str(uri))


def test_a_logged_model() -> None:
    uri = ModelUri("", model_id="m-1c2d3e")
    assert (mu.parse("models:/m-1c2d3e"), mu.parse("MODELS:/m-1c2d3e"), str(uri)) == (uri, uri, "models:/m-1c2d3e")
    assert mu.label(uri, {}) == "m-1c2d3e"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("models:/fraud", "a number, an alias or a stage is missing"),
        ("models:/", "a number, an alias or a stage is missing"),
        ("models:fraud/3", "does not begin with models:/"),
        ("models:/fraud/", "a number is missing"),
        ("models:/ /3", "the name is empty"),
        ("models:/@x", "the name is empty"),
        ("models:/a/b/3", "nothing follows the number"),
        ("models:/fraud/3/files", "nothing follows the number"),
        ("models:/a:b/3", "MLflow takes no : in a name"),
        ("models:/fraud@", "is no alias"),
        ("models:/fraud@the best", "is no alias"),
        ("models:/fraud@latest", "latest is no alias"),
        ("models:/fraud@v3", "reserves the alias v3"),
        ("models://host/fraud/3", "another registry"),
        ("models:/fraud/3@x", "is no number"),
        ("models:/fraud/-1", "is no number"),
        ("models:/fraud/1234567890", "up to 9 digits"),
        ("models:/fraud/Prod", "no stage (Production"),
        ("models:/../3", "a path"),
        ("models:/./3", "a path"),
        ("models:/" + "x" * 257 + "/3", "has 257 characters"),
        ("models:/a\0b/3", "character U+0000"),
        ("models:/a\ud800b/3", "character U+D800"),
        ("models:/a\x1b[2Jb/x\x1b[2J", "is no number"),
    ],
)
def test_what_is_no_name(text: str, why: str) -> None:
    with pytest.raises(Refusal, match="models:/NAME/NUMBER") as caught:
        mu.parse(text)
    assert caught.value.code == "model_uri_invalid"
    assert why in caught.value.detail
    assert caught.value.detail.isprintable()


def test_of_a_pedigree_only_what_cannot_change_counts() -> None:
    assert mu.exact("models:/Fraud Model/3") == ModelUri("Fraud Model", "3")
    assert mu.exact("models:/m-12") == ModelUri("", model_id="m-12")
    sources = (None, "", "s3://x", "models:/fraud@champion", "models:/fraud/latest", "models:/fraud", "models:fraud/3")
    assert [mu.exact(source) for source in sources] == [None] * len(sources)


def test_the_label_is_the_same_for_the_same_number_and_another_for_another() -> None:
    names = [("fraud", "3"), ("fraud", "31"), ("fraud-v3", "1"), ("fraud", "1")]
    assert [mu.label(ModelUri(*name), {}) for name in names] == ["fraud-v3", "fraud-v31", "fraud-v3-v1", "fraud-v1"]
    assert mu.label(ModelUri("fraud", "3"), {mu.TAG_LABEL: " autumn "}) == "autumn"


def test_every_name_has_a_label_of_its_own() -> None:
    labels = [mu.label(ModelUri(name, number), {}) for name in NAMES for number in ("3", "999999999")]
    assert len(set(labels)) == len(labels)
    assert [version_label(label) for label in labels] == labels
    assert mu.label(ModelUri("Fraud Model", "3"), {}) == "Fraud-Model-v3+0bf0209d1b"
    assert mu.label(ModelUri("🚀", "3"), {}).startswith("model-v3+")


@given(st.text(min_size=1, max_size=256), st.integers(0, 999_999_999))
def test_what_is_a_name_has_a_label_and_reads_back(name: str, number: int) -> None:
    try:
        uri = ModelUri(mu.registered_name(name), str(number))
    except ValueError:
        return
    assert mu.exact(str(uri)) == uri
    assert version_label(mu.label(uri, {}))


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
