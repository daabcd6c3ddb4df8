"""The MLflow model registry: its address, the router's credentials, and the name of a service's model."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from router.settings.sections.values import FilePath, Seconds, Strict

_URI = re.compile(r"https?://(?:[A-Za-z0-9._\-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?(?:/[A-Za-z0-9._~/\-]*)?")


class MlflowSettings(Strict):
    """An MLflow tracking server; without `tracking_uri` none is used."""

    tracking_uri: Annotated[str, Field(max_length=500)] | None = None
    secret_file: FilePath | None = None
    """File with a bearer token, or with the password of `user` if that is set."""
    user: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^:\x00-\x1f\x7f]+$")] | None = None
    connect_timeout_s: Seconds = 2.0
    timeout_s: Seconds = 5.0
    """Time limit of one call as a whole."""
    retry_max_s: Seconds = 300.0
    """Longest wait between two tries to report a rollback. The first wait is one second, each further one twice as long."""
    give_up_after_s: Seconds = 604_800.0
    """An update that failed for this time is given up, with an entry in the journal."""

    @field_validator("tracking_uri")
    @classmethod
    def _url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not _URI.fullmatch(value):
            raise ValueError(f"{value!r} is no tracking server: write it as http://HOST:PORT, without user, query or #")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _identified(self) -> Self:
        if self.user is not None and self.secret_file is None:
            raise ValueError(f"user {self.user!r} needs secret_file, which holds the password")
        return self


class ModelSettings(Strict):
    """The model of a service in the registry."""

    model: Annotated[str, Field(pattern=r"^[^/:@\x00-\x1f\x7f]{1,100}$")] | None = None
    """Only versions of this registered model may be deployed by their `models:/` URI; unset: versions of any model."""
    alias: Annotated[str, Field(pattern=r"^[\w\-]{1,100}$")] | None = None
    """The alias of the serving version: a rollback moves it back from the version that failed."""
