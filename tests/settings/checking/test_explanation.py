"""What pydantic found wrong, in one line; no value that may be a secret is repeated."""

from __future__ import annotations

from typing import Any

import pytest

from router.errors import StartError
from router.settings.loader import load

CHANNEL = {"name": "a", "kind": "webhook", "url": "https://h/x"}


@pytest.mark.parametrize(
    "flags",
    [
        {"notify": [{**CHANNEL, "url": "SECRET"}]},
        {"notify": [{**CHANNEL, "url": "https://h/\nSECRET"}]},
        {"notify": [{**CHANNEL, "secret": "SECRET"}]},
        {"notify": "SECRET"},
        {"notify": [{**CHANNEL, "proxy": "ann:SECRET@host"}]},
        {"mlflow": {"proxy": "ann:SECRET@host:1"}},
        {"notify": ["SECRET"]},
        {"admin": {"tokens": [{"name": "a", "role": "viewer", "sha256": "SECRET"}]}},
        {"admin": {"tokens": [{"name": "a", "role": "viewer", "token": "SECRET"}]}},
        {"alerts": {"tokens": ["SECRET"]}},
        {"alerts": {"hmac_secret": "SECRET"}},
        {"mlflow": {"token": ["SECRET"]}},
        {"mlflow": {"tracking_uri": "https://u:SECRET@h"}},
        {"mlflow": {"tracking_uri": "https://h/?key=SECRET"}},
        {"admin": {"public_url": "https://SECRET@h"}},
        {"services": {"a": {"active": {"version": "v", "endpoints": ["http://SECRET@h", "http://h?SECRET"]}}}},
        {"notify": [{**CHANNEL, "timeout_s": "5"}, {**CHANNEL, "url": "SECRET"}]},
        {"admin": {"tokens": [{"name": "a", "role": "root", "sha256": ["SECRET"]}]}, "workers": "2"},
        {"services": [{"probe": {"body": "SECRET"}}]},
        {"mlflow": {"timeout_s": "https://u:SECRET@h"}},
        {"mlflow": {"tracking_uri": "u:SECRET@h"}},
        {"mlflow": {"tracking_uri": "h:5000?key=SECRET"}},
        {"tracing": {"collector": "h:4318/v1/traces?key=SECRET"}},
        {"tracing": {"collector": "u:SECRET@h:4318"}},
        {"admin": {"public_url": "u:SECRET@h"}},
        {"services": {"a": {"active": {"version": "v", "endpoints": ["u:SECRET@h:1"]}}}},
    ],
)
def test_no_secret_is_repeated(flags: dict[str, Any]) -> None:
    with pytest.raises(StartError) as caught:
        load(None, flags)
    assert "SECRET" not in caught.value.detail


def test_an_ordinary_value_is_shown() -> None:
    with pytest.raises(StartError, match="ready_pth = 3: there"):
        load(None, {"ready_pth": 3})
    with pytest.raises(StartError, match=r"path_prefix = 'x\?y'"):
        load(None, {"services": {"a": {"path_prefix": "x?y"}}})
