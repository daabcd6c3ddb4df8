from __future__ import annotations

import pytest

from router.control.core.model_resolver import Model, ModelResolver
from router.errors import Refusal
from router.rollout.model.events import Origin, Override
from router.rollout.versions.model_uri import ModelUri


async def finder(
    service: str, uri: ModelUri, endpoints: list[str], override: Override | None
) -> tuple[str, list[str], Origin]:
    return f"{service}-v{uri.number}", endpoints or ["http://found:1/"], Origin("s3://m/3", str(uri))


async def test_a_label_needs_no_registry() -> None:
    models = ModelResolver()
    assert await models.named("svc", "v3", ["http://a:1/"], None) == Model("v3", ("http://a:1",), Origin())
    assert await models.named("svc", "v3", [], "s3://x") == Model("v3", (), Origin("s3://x"))


async def test_a_uri_is_looked_up_and_what_is_named_here_goes_before() -> None:
    models = ModelResolver()
    models.register(finder)
    found = Origin("s3://m/3", "models:/fraud/3")
    assert await models.named("svc", "models:/fraud/3", [], None) == Model("svc-v3", ("http://found:1",), found)
    named = await models.named("svc", "models:/fraud/3", ["http://a:1"], "s3://x")
    assert named == Model("svc-v3", ("http://a:1",), Origin("s3://x", "models:/fraud/3"))


@pytest.mark.parametrize(
    ("version", "endpoints", "code"),
    [
        ("models:/fraud/3", [], "mlflow_not_configured"),
        ("models:/fraud", [], "model_uri_invalid"),
        ("a b", ["http://a:1"], "version_invalid"),
        ("v3", ["ftp://a"], "endpoint_invalid"),
    ],
)
async def test_what_cannot_be_meant(version: str, endpoints: list[str], code: str) -> None:
    with pytest.raises(Refusal) as caught:
        await ModelResolver().named("svc", version, endpoints, None)
    assert caught.value.code == code
