"""What `[alerts]` may hold."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from router.rollout.alerts.alert import LabelMap
from router.settings.sections.alerts import AlertMap, AlertSettings
from router.settings.settings import Settings

QUALITY = {"kind": "quality", "matchers": {"signal": "quality"}}


def test_a_map_as_the_judgement_knows_it() -> None:
    assert AlertMap.model_validate(QUALITY).as_label_map() == LabelMap("quality", {"signal": "quality"})
    values = QUALITY | {"service": "fraud", "version_label": "none", "patterns": {"team": "ml-.+"}}
    expected = LabelMap("quality", {"signal": "quality"}, {"team": "ml-.+"}, "fraud", "service", None)
    assert AlertMap.model_validate(values).as_label_map() == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param({"map": [{"kind": "quality"}]}, "it would take every alert", id="an empty map"),
        pytest.param({"map": [QUALITY | {"patterns": {"a": "(x+)+"}}]}, "of bounded cost", id="an expensive pattern"),
        pytest.param({"map": [QUALITY | {"kind": "latency"}]}, "'quality' or 'business'", id="another kind"),
        pytest.param({"map": [QUALITY | {"matchers": {"a b": "c"}}]}, "map.0.matchers", id="no label"),
        pytest.param({"signature_required": True}, "needs hmac_secret_file", id="nothing to verify with"),
        pytest.param({"tokens": [{"name": "am", "sha256": "secret"}]}, "tokens.0.sha256", id="a token in plain"),
        pytest.param({"alerts_per_minute_max": 50}, "would never be taken", id="a rate below one request"),
        pytest.param({"body_bytes_max": 2 << 20}, "body_bytes_max", id="bodies as large as control's patience"),
    ],
)
def test_what_it_may_not(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        AlertSettings.model_validate(settings)


def test_a_map_names_one_of_our_services() -> None:
    service = {"active": {"version": "v1", "endpoints": ["http://127.0.0.1:1"]}}
    maps = {"map": [QUALITY | {"service": "fraud"}]}
    assert Settings.model_validate({"services": {"fraud": service}, "alerts": maps}).alerts.map[0].service == "fraud"
    with pytest.raises(
        ValidationError, match=r"alerts\.map\.0\.service\n  'fraud': there is no such service; there are: risk"
    ):
        Settings.model_validate({"services": {"risk": service}, "alerts": maps})
