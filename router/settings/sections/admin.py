"""Access to the admin API: tokens, host names, limits on connections."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from router.settings.sections.tls import CertificateFiles
from router.settings.sections.values import Bytes, Count, Seconds, Strict


class Token(Strict):
    """A bearer token, kept as its SHA-256 (`printf %s TOKEN | sha256sum`)."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._@\-]{1,64}$")]
    role: Literal["viewer", "operator", "admin"]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Admin(Strict):
    """Access to the admin API, and the host names under which it may be called."""

    tokens: list[Token] = []
    allowed_hosts: list[str] = []
    """Further Host names beside the address it listens on and localhost (DNS rebinding)."""
    allowed_origins: list[str] = []
    public_url: str | None = None
    """The URL of this API for its users, if not its own address. Links in notifications begin with it; its host is allowed."""
    body_bytes_max: Bytes = 1 << 20
    connections_max: Count = 256
    """At this limit the connection that has been idle longest is closed; 503 if every connection has a request in flight."""
    header_timeout_s: Seconds = 10.0
    keepalive_idle_s: Seconds = 75.0
    tls: CertificateFiles = CertificateFiles()

    @field_validator("public_url")
    @classmethod
    def _url(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[A-Za-z0-9._\-\[\]:]{1,253}(/[A-Za-z0-9._~/\-]*)?", value):
            raise ValueError(f"{value!r}: write it as https://rollback.example.com, with a path if a proxy adds one")
        return value.rstrip("/") if value else value
