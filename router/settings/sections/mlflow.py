"""The MLflow model registry: its address, the router's credentials, and the name of a service's model."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from router.rollout.versions.model_uri import alias_name, registered_name
from router.settings.sections.proxy import ENVIRONMENT, Proxy
from router.settings.sections.values import FilePath, Seconds, Strict

_URI = re.compile(r"https?://(?:[A-Za-z0-9._\-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?(?:/[A-Za-z0-9._~/\-]*)?")


class MlflowSettings(Strict):
    """An MLflow tracking server. `deploy models:/fraud/3` reads the version's endpoints from it, and a rollback is
    reported to it. Its certificate is verified by the system's authorities or by SSL_CERT_FILE."""

    tracking_uri: Annotated[str, Field(max_length=500)] | None = None
    """URL of the tracking server. Unset: MLflow is not used."""
    secret_file: FilePath | None = None
    """File with a bearer token, or with the password of `user` if that is set. It is read at each call."""
    user: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^:\x00-\x1f\x7f]+$")] | None = None
    """User name for basic authentication."""
    connect_timeout_s: Seconds = 2.0
    """Time limit of connecting."""
    timeout_s: Seconds = 5.0
    """Time limit of one call as a whole."""
    proxy: Proxy = ENVIRONMENT
    """HTTP proxy: "environment" (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY; never for loopback), "none", or
    `http://USER:PASSWORD@HOST:PORT`."""
    retry_max_s: Seconds = 300.0
    """Longest wait between two attempts to report a rollback. The first wait is 1 s, each further one twice as long."""
    give_up_after_s: Seconds = 604_800.0
    """An update that failed for this time is given up, with an entry in the journal."""

    @field_validator("tracking_uri")
    @classmethod
    def _url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not _URI.fullmatch(value):
            shown = repr(value) if "@" not in value else "it"
            raise ValueError(
                f"{shown} is no tracking server: write it as http://HOST:PORT, without user, query or # "
                "(user and password belong into mlflow.user and mlflow.secret_file)"
            )
        return value.rstrip("/")

    @model_validator(mode="after")
    def _identified(self) -> Self:
        if self.user is not None and self.secret_file is None:
            raise ValueError(f"user {self.user!r} needs secret_file, which holds the password")
        return self


class ModelSettings(Strict):
    """The name of this service's model in MLflow."""

    model: Annotated[str, AfterValidator(registered_name)] | None = None
    """Only versions of this registered model may be deployed by their `models:/` URI. Unset: versions of any model."""
    alias: Annotated[str, AfterValidator(alias_name)] | None = None
    """The alias of the serving version. A rollback moves it from the version that failed to the one that serves."""
