"""What `[services.NAME.inputs]` may hold."""

from __future__ import annotations

from typing import Any

import pytest

from router.errors import StartError
from router.proxy import options
from router.rollout.quality.drift import DriftRules
from router.rollout.quality.reference import field
from router.settings import loader
from router.settings import settings as settings_settings


def loaded(**section: Any) -> settings_settings.Settings:
    return loader.load(None, {"services": {"fraud": {"inputs": section}}})


def test_it_is_off_and_its_defaults_are_those_of_the_judgement() -> None:
    settings = loaded()
    assert settings.services["fraud"].inputs.as_rules() == DriftRules()
    assert not settings.services["fraud"].inputs.enabled
    assert options.from_document(settings.model_dump()).services[0].inputs is None


def test_fields_are_told_to_judge_and_worker() -> None:
    settings = loaded(fields=[{"pointer": "/amount", "kind": "number"}], samples_per_s=5)
    assert settings.services["fraud"].inputs.as_rules().fields == (field("/amount", "number"),)
    assert options.from_document(settings.model_dump()).services[0].inputs == options.InputOptions(5.0, 32 * 1024)


@pytest.mark.parametrize(
    ("section", "says"),
    [
        pytest.param({"fields": [{"pointer": "amount"}]}, "'amount' is no JSON pointer", id="pointer"),
        pytest.param({"fields": [{"pointer": "/a"}, {"pointer": "/a"}]}, "'/a' is there twice", id="twice"),
        pytest.param(
            {"fields": [{"pointer": "/a", "kind": "text"}]}, "'number', 'category', 'any' or 'auto'", id="kind"
        ),
        pytest.param({"action": "panic"}, "'rollback', 'ask' or 'observe'", id="action"),
        pytest.param({"share_min": 0}, "more than 0", id="share"),
        pytest.param({"body_bytes_max": 1 << 20}, "at most 131072", id="bytes"),
    ],
)
def test_what_cannot_be_used_is_named(section: dict[str, Any], says: str) -> None:
    with pytest.raises(StartError, match=rf"services\.fraud\.inputs.*{says}"):
        loaded(**section)
