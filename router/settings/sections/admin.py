"""Access to the admin API: tokens, host names, limits on connections."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import Field, field_validator, model_validator

from router.settings.sections.forwarding import networks
from router.settings.sections.tls import CertificateFiles
from router.settings.sections.values import Bytes, Count, Seconds, Strict
from router.uri.authority import setting_host, setting_origin

Role = Literal["viewer", "operator", "admin"]
RANKS: Final[dict[Role, int]] = {"viewer": 0, "operator": 1, "admin": 2}
"""A higher role has every right of a lower one."""
OFF: Final = "none"
FieldName = Annotated[str, Field(pattern=r"^[A-Za-z0-9\-]{1,64}$")]


class Token(Strict):
    """A bearer token, kept as its SHA-256 (`token new` makes both)."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._@\-]{1,64}$")]
    """Name of the token's owner. It is the actor in the journal."""
    role: Role
    """A "viewer" reads, an "operator" also changes, an "admin" has every right."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 of the token in hex."""


class PersonIdentity(Strict):
    """People whom an authenticating proxy in front of the admin port names in a header field. The proxy must remove the fields
    below from what its clients send.
    """

    header: FieldName = OFF
    """Field with the name of the person, for example "X-Forwarded-User"."""
    trusted: Annotated[list[str], Field(max_length=256)] = []
    """Networks (CIDR, one address, or "unix") of the proxy. The field is refused from every other address."""
    secret_header: FieldName | None = None
    """Field in which the proxy sends its secret. Use it if others can connect from a trusted address, too."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """SHA-256 of that secret in hex."""
    role: Literal["none", "viewer", "operator", "admin"] = "viewer"
    """Role of every person. With "none" a person needs a group that `roles` names."""
    groups_header: FieldName | None = None
    """Field with the groups of the person, separated by commas, for example "X-Forwarded-Groups"."""
    roles: Annotated[dict[str, Role], Field(max_length=256)] = {}
    """Role by group. The highest one counts."""

    @property
    def is_on(self) -> bool:
        """Whether a field is named."""
        return self.header != OFF

    @field_validator("trusted")
    @classmethod
    def _networks(cls, value: list[str]) -> list[str]:
        return networks(value)

    @model_validator(mode="after")
    def _is_complete(self) -> PersonIdentity:
        if self.is_on and not self.trusted:
            raise ValueError(f"trusted is empty: name the address of the proxy that sets {self.header}")
        if (self.secret_header is None) != (self.sha256 is None):
            raise ValueError("secret_header and sha256 belong together: set both or none")
        if self.roles and self.groups_header is None:
            raise ValueError("roles needs groups_header: the field that names the groups of a person")
        return self


class Admin(Strict):
    """Access to the admin API: its tokens, the host names under which it may be called, and limits on its connections."""

    tokens: list[Token] = []
    """Bearer tokens, kept as their SHA-256 (`token new` makes both). Without tokens every caller is an admin."""
    identity: PersonIdentity = PersonIdentity()
    """People whom an authenticating proxy names. They need no token."""
    session_lifetime_s: Seconds = 43_200.0
    """A browser that has signed in with a token is signed out after this time."""
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

    @property
    def is_open(self) -> bool:
        """Whether every caller is an admin: there are neither tokens nor a proxy that names people."""
        return not self.tokens and not self.identity.is_on

    @field_validator("allowed_hosts")
    @classmethod
    def _hosts(cls, value: list[str]) -> list[str]:
        return list(dict.fromkeys(map(setting_host, value)))

    @field_validator("allowed_origins")
    @classmethod
    def _origins(cls, value: list[str]) -> list[str]:
        return list(dict.fromkeys(map(setting_origin, value)))

    @field_validator("public_url")
    @classmethod
    def _url(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[A-Za-z0-9._\-\[\]:]{1,253}(/[A-Za-z0-9._~/\-]*)?", value):
            raise ValueError(f"{value!r}: write it as https://rollback.example.com, with a path if a proxy adds one")
        return value.rstrip("/") if value else value
