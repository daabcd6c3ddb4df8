"""Access to the admin API: tokens, host names, limits on connections."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from router.settings.sections.tls import CertificateFiles
from router.settings.sections.values import Bytes, Count, Seconds, Strict
from router.uri.authority import setting_host


class Token(Strict):
    """A bearer token, kept as its SHA-256 (`printf %s TOKEN | sha256sum`)."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._@\-]{1,64}$")]
    """Name of the token's owner. It is the actor in the journal."""
    role: Literal["viewer", "operator", "admin"]
    """A "viewer" reads, an "operator" also changes, an "admin" has every right."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 of the token in hex."""


class Admin(Strict):
    """Access to the admin API: its tokens, the host names under which it may be called, and limits on its connections."""

    tokens: list[Token] = []
    """Bearer tokens, kept as their SHA-256 (`printf %s TOKEN | sha256sum`). Without tokens every caller is an admin."""
    allowed_hosts: list[str] = []
    """Further Host names under which the API may be called, besides its address and localhost. This prevents DNS
    rebinding."""
    allowed_origins: list[str] = []
    """Web origins that may call the API. This prevents CSRF."""
    public_url: str | None = None
    """URL of the API for its users, if it is not its own address. Links in notifications begin with it, and its host is
    allowed."""
    body_bytes_max: Bytes = 1 << 20
    """Largest body of a request to the API; a larger one is answered 413."""
    connections_max: Count = 256
    """Connections to the admin port. At the limit the connection that has been idle longest is closed. If every
    connection has a request in flight, the new one is answered 503."""
    header_timeout_s: Seconds = 10.0
    """A request head must arrive within this time."""
    keepalive_idle_s: Seconds = 75.0
    """An idle connection is closed after this time."""
    tls: CertificateFiles = CertificateFiles()
    """TLS on `admin_listen`. The files are read when control starts. The commands verify the certificate by SSL_CERT_FILE."""

    @field_validator("allowed_hosts")
    @classmethod
    def _hosts(cls, value: list[str]) -> list[str]:
        return list(dict.fromkeys(map(setting_host, value)))

    @field_validator("public_url")
    @classmethod
    def _url(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[A-Za-z0-9._\-\[\]:]{1,253}(/[A-Za-z0-9._~/\-]*)?", value):
            raise ValueError(f"{value!r}: write it as https://rollback.example.com, with a path if a proxy adds one")
        return value.rstrip("/") if value else value
