from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from router.settings.sections.mlflow import MlflowSettings, ModelSettings


@pytest.mark.parametrize(
    ("uri", "kept"),
    [("http://127.0.0.1:5000", "http://127.0.0.1:5000"), ("https://mlflow.internal/base/", "https://mlflow.internal/base"),
     ("http://[::1]:5000", "http://[::1]:5000")],
)  # fmt: skip
def test_where_it_is(uri: str, kept: str) -> None:
    assert MlflowSettings(tracking_uri=uri).tracking_uri == kept


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"tracking_uri": "mlflow:5000"}, "no tracking server"),
        ({"tracking_uri": "http://user:word@mlflow:5000"}, "without user"),
        ({"tracking_uri": "http://mlflow:5000?x=1"}, "no tracking server"),
        ({"tracking_uri": "sqlite:///mlflow.db"}, "no tracking server"),
        ({"user": "ann"}, "needs secret_file"),
        ({"user": "a:b", "secret_file": "/x"}, "user"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"token": "abc"}, "token"),
    ],
)
def test_what_is_refused(values: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        MlflowSettings.model_validate(values)


@pytest.mark.parametrize("values", [{"model": "a/b"}, {"model": ""}, {"alias": "the best"}, {"alias": "a@b"}])
def test_a_registered_model_that_cannot_be(values: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        ModelSettings.model_validate(values)
