"""The settings of spans: what is refused, and without which extra."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from router.settings.sections import tracing
from router.settings.sections.tracing import TracingSettings


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        pytest.param("127.0.0.1:4318", "not a URL that receives spans; write it as http", id="no scheme"),
        pytest.param("ftp://h/v1/traces", "not a URL that receives spans", id="another scheme"),
        pytest.param("http:///v1/traces", "not a URL that receives spans", id="no host"),
        pytest.param("http://h:x/", "not a URL that receives spans", id="a port that is none"),
        pytest.param("http://h/ v1", "not a URL that receives spans", id="a space"),
        pytest.param("http://user:word@h/v1/traces", "user information", id="user information"),
    ],
)
def test_an_endpoint_that_is_refused(endpoint: str, words: str) -> None:
    with pytest.raises(ValidationError) as error:
        TracingSettings(collector=endpoint)
    assert words in str(error.value)
    assert "user:word" not in error.value.errors()[0]["msg"]


def test_it_needs_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    assert TracingSettings(collector="http://h:4318/v1/traces").queue_max == 2048
    monkeypatch.setattr(tracing.importlib.util, "find_spec", lambda name: None)
    assert TracingSettings().collector is None
    with pytest.raises(ValidationError, match=r"rollback-router\[otel\]"):
        TracingSettings(collector="http://h:4318/v1/traces")
