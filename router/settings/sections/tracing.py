"""Spans of sampled requests for OpenTelemetry."""

from __future__ import annotations

import importlib.util
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from router.runtime.text.secret_text import masked_urls
from router.settings.sections.values import Strict

EXTRA: Final = "needs the extra otel: pip install 'rollback-router[otel]'"
EXAMPLE: Final = "http://127.0.0.1:4318/v1/traces"


class TracingSettings(Strict):
    """[tracing]: spans of the requests that a client has sampled, sent by OTLP over HTTP. Needs the extra `otel`."""

    collector: str | None = None
    """URL that receives the spans, with its path. Unset: no spans are made."""
    service_name: Annotated[str, Field(pattern=r"^[!-~]{1,128}$")] = "rollback-router"
    """`service.name` of the spans."""
    queue_max: Annotated[int, Field(ge=1, le=65_536)] = 2048
    """Requests of a worker whose spans wait to be sent. More are dropped and counted."""

    @field_validator("collector")
    @classmethod
    def _receiver(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if "@" in value:
            raise ValueError(f"{masked_urls(value)!r} has user information, which is not supported; leave it out")
        if not _is_url(value):
            raise ValueError(f"{masked_urls(value)!r} is not a URL that receives spans; write it as {EXAMPLE}")
        if not is_installed():
            raise ValueError(EXTRA)
        return value


def _is_url(value: str) -> bool:
    if not value.isascii() or not value.isprintable() or " " in value:
        return False
    try:
        parts = urlsplit(value)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def is_installed() -> bool:
    """Return whether the packages of the extra are there."""
    if importlib.util.find_spec("opentelemetry") is None:
        return False
    wanted = ("opentelemetry.sdk", "opentelemetry.exporter")
    return all(importlib.util.find_spec(name) is not None for name in wanted)
