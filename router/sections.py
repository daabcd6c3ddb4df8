"""What the settings consist of: each section with its members, their defaults, and what a value may be. A unit ends every name.

`config.py` reads them from the file, the environment and the flags.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from router.errors import OperatorError
from router.rollout.endpoint import UNIX, parse_endpoints, unix_path_is_wrong
from router.rollout.rules import Rules

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-]{0,62}")
VERSION_LABEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+\-]{0,127}")

Seconds = Annotated[float, Field(gt=0, le=86_400 * 31)]
Delay = Annotated[float, Field(ge=0, le=3600)]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
Bytes = Annotated[int, Field(ge=1, le=1 << 50)]
FilePath = Annotated[str, Field(min_length=1, max_length=4096)]


class Strict(BaseModel):
    """An unknown member is an error, and nothing changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Address(Strict):
    """HOST:PORT, an IPv6 host in brackets; or unix:/PATH, then `host` is empty and `port` 0."""

    host: str
    port: Annotated[int, Field(ge=0, le=65535)]
    unix: str = ""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value.startswith(UNIX):
            path = value.removeprefix(UNIX)
            if wrong := unix_path_is_wrong(path):
                raise ValueError(f"{value!r} {wrong}")
            return {"host": "", "port": 0, "unix": path}
        host, colon, port = value.rpartition(":")
        if not colon or not port.isdigit():
            raise ValueError(f"{value!r} is not HOST:PORT, for example 127.0.0.1:8080, nor unix:/PATH")
        return {"host": host.strip("[]") or "0.0.0.0", "port": int(port)}

    def url(self, secure: bool) -> str:
        """How a client is told of it; `secure`: TLS is spoken there."""
        return str(self) if self.unix else f"{'https' if secure else 'http'}://{self}"

    def __str__(self) -> str:
        if self.unix:
            return f"{UNIX}{self.unix}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


FileMode = Annotated[str, Field(pattern=r"^0?[0-7]{3}$")]
"""The permissions of a Unix socket, in octal."""


class Limits(Strict):
    """What one client or one backend may take of us."""

    head_bytes_max: Bytes = 32 * 1024
    fields_max: Count = 100
    passes_max: Count = 8
    """How often a request may have passed through routers of our name (Via) before it is taken for one in a loop: 508."""
    body_bytes_max: Bytes = 1 << 30
    trailer_bytes_max: Bytes = 16 * 1024
    connections_max: Count = 10_000
    """Downstream connections per worker; the next one is answered 503 and closed."""
    connections_per_client_max: Count | Literal["none"] = "none"
    """Of one client address, per worker; the next one is answered 429. Behind a load balancer all have one address."""
    requests_per_connection_max: Count | Literal["none"] = "none"
    """Then `Connection: close`. A connection of ours grows by nothing with its requests, so there is no need of it."""
    requests_max: Count = 4096
    """Requests under way per worker, of all versions together; the next one is `overloaded` (503)."""
    in_flight_max: Count = 1024
    """Attempts in flight per target and worker; the next one is `saturated` (503)."""
    connect_waits_max: Count = 1024
    """Requests per endpoint and worker that wait for a new backend connection."""
    buffer_bytes: Bytes = 64 * 1024
    """Write buffer of one connection above which the other side is paused."""
    replay_bytes_max: Bytes = 1 << 20
    interim_responses_max: Count = 32
    body_rate_min_bytes_per_s: Count | Literal[0, "none"] = 240
    """What a client has to send of a body on average over timeouts.body_rate_grace_s; else 408. Kestrel's rate."""
    write_rate_min_bytes_per_s: Count | Literal[0, "none"] = 240
    """What it has to take while a response waits for it, on average over timeouts.write_rate_grace_s; else it is cut."""
    proxy_header_bytes_max: Annotated[int, Field(ge=16, le=65551)] = 4096
    """A PROXY header of version 2, its vectors included; version 1 ends at 107 bytes."""


class Timeouts(Strict):
    """Every wait has an end."""

    header_timeout_s: Seconds = 10.0
    body_timeout_s: Seconds = 30.0
    """Silence of a client in the middle of its body."""
    write_timeout_s: Seconds = 60.0
    """A client that takes nothing of its response for so long is cut."""
    body_rate_grace_s: Seconds = 30.0
    """As long as a client may be silent: no connection that stalls for a while is cut for its rate before."""
    write_rate_grace_s: Seconds = 30.0
    keepalive_idle_s: Seconds = 75.0
    connection_age_max_s: Seconds | Literal["none"] = "none"
    """An older connection ends after the answer under way: clients spread anew, after a router was added, say."""
    half_close_grace_s: Seconds = 2.0
    """A client that closed its side before the response began is taken for gone after so long: a FIN alone does not
    tell a half-close from a departure, and a departed client should not keep a model busy."""
    tunnel_idle_s: Seconds | Literal["none"] = "none"
    """A WebSocket on which neither side says anything for so long is ended; that is nobody's fault."""
    tls_handshake_timeout_s: Seconds = 10.0
    """Of a client; that with a backend is part of connect_timeout_s."""
    certificates_every_s: Seconds = 5.0
    """How often certificate files are looked at for changes."""
    connect_timeout_s: Seconds = 2.0
    first_byte_timeout_s: Seconds = 120.0
    idle_timeout_s: Seconds = 60.0
    """Silence of a backend in the middle of its response, or while it does not take the request."""
    upstream_idle_s: Seconds = 4.0
    confirm_timeout_s: Seconds = 1.0
    rollback_drain_timeout_s: Seconds | Literal["none"] = 300.0
    shutdown_delay_s: Delay = 0.0
    """Told to stop, the router says that it is not ready, and serves on for so long: until load balancers have seen it."""
    shutdown_idle_s: Delay = 1.0
    """What clients on idle connections get to send one more request before these are closed at a stop."""
    shutdown_timeout_s: Seconds = 30.0
    verify_timeout_s: Seconds = 900.0
    resolve_every_s: Seconds = 10.0
    worker_silent_s: Seconds = 10.0
    control_silent_s: Seconds = 5.0


class Probe(Strict):
    """How a target is asked whether it works. With a `body` it is an inference: it proves more than a liveness page."""

    path: str = "/"
    method: Literal["GET", "HEAD", "POST"] = "GET"
    body: str | None = None
    content_type: str = "application/json"
    expect_status_below: Annotated[int, Field(ge=100, le=600)] = 500
    expect_text: str | None = None
    every_s: Seconds = 1.0
    probe_timeout_s: Seconds = 2.0
    warmup_probes: Count = 5
    recover_probes: Count = 30

    @field_validator("path")
    @classmethod
    def _origin_form(cls, value: str) -> str:
        if not re.fullmatch(r"/[!-~]*", value):
            raise ValueError(f'{value!r} is not a path: write it as /health (or probe = "none")')
        return value

    @property
    def inference(self) -> bool:
        """Whether this probe makes the model work."""
        return self.method == "POST"


class Certificate(Strict):
    """PEM files: a certificate followed by its chain, and its key; without `key` that is in the same file."""

    certificate: FilePath | None = None
    key: FilePath | None = None
    minimum_version: Literal["TLSv1.2", "TLSv1.3"] = "TLSv1.2"

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.key is not None and self.certificate is None:
            raise ValueError(f"key {self.key!r} needs its certificate")
        return self


class NamedCertificate(Strict):
    """A further certificate, for clients that ask for one of these names (SNI); `*.example.com` is one label deep."""

    server_names: Annotated[list[str], Field(min_length=1, max_length=100)]
    certificate: FilePath
    key: FilePath | None = None

    @field_validator("server_names")
    @classmethod
    def _names(cls, value: list[str]) -> list[str]:
        for name in value:
            if not re.fullmatch(r"(\*\.)?[A-Za-z0-9._\-]{1,253}", name):
                raise ValueError(f"{name!r} is not a host name; write it as a.example.com or *.example.com")
        return [name.lower() for name in value]


class ListenTls(Certificate):
    """TLS on `listen`, as soon as there is a certificate."""

    certificates: Annotated[list[NamedCertificate], Field(max_length=100)] = []
    client_ca: FilePath | None = None
    """Clients have to show a certificate that it has signed."""
    client_auth: Literal["required", "optional"] = "required"

    @model_validator(mode="after")
    def _needs_one(self) -> Self:
        if self.certificate is None and (self.certificates or self.client_ca is not None):
            raise ValueError("certificates and client_ca need a certificate: the one for clients without SNI")
        return self


class BackendTls(Certificate):
    """How https endpoints are verified; certificate and key are shown to backends that ask for one."""

    ca: FilePath | None = None
    """Trusted instead of the system's authorities."""
    server_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:\-]{1,253}$")] | None = None
    """Asked for, and looked for in the certificate, instead of the endpoint's host."""
    verify: bool = True

    @model_validator(mode="after")
    def _verified(self) -> Self:
        if self.ca is not None and not self.verify:
            raise ValueError("ca says whom to trust and verify = false trusts everybody: leave one of them out")
        return self


class TargetSeed(Strict):
    """A version and where its replicas listen."""

    version: str
    endpoints: Annotated[list[str], Field(min_length=1, max_length=64)]

    @field_validator("version")
    @classmethod
    def _label(cls, value: str) -> str:
        return version_label(value)

    @field_validator("endpoints")
    @classmethod
    def _urls(cls, value: list[str]) -> list[str]:
        try:
            return [endpoint.url for endpoint in parse_endpoints(value)]
        except OperatorError as error:
            raise ValueError(error.detail) from None


class Service(Strict):
    """One model endpoint that clients call, matched by host and longest path prefix."""

    hosts: list[str] = []
    """Host names, without port, that this service answers; empty: any."""
    path_prefix: str = "/"
    active: TargetSeed | None = None
    """Seeds an empty journal; afterwards the journal wins."""
    standby: TargetSeed | None = None
    probe: Probe | Literal["none"] = Probe()
    rules: Rules = Rules()
    replay: Literal["never", "unsent", "idempotent", "always"] = "unsent"
    served_version_header: bool = True
    first_byte_timeout_s: Seconds | None = None
    """Overrides timeouts.first_byte_timeout_s for this service."""
    idle_timeout_s: Seconds | None = None
    backend_tls: BackendTls = BackendTls()

    @field_validator("path_prefix")
    @classmethod
    def _prefix(cls, value: str) -> str:
        if not re.fullmatch(r"/[!-~]*", value):
            raise ValueError(f"{value!r} must begin with / and hold visible ASCII only")
        return value

    @field_validator("hosts")
    @classmethod
    def _hosts(cls, value: list[str]) -> list[str]:
        for host in value:
            if not re.fullmatch(r"[A-Za-z0-9._\-]+|\[[0-9A-Fa-f:.]+\]", host):
                raise ValueError(f"{host!r} is not a host name (write it without port)")
        return [host.lower() for host in value]

    @model_validator(mode="after")
    def _distinct(self) -> Service:
        if self.active and self.standby and self.active.version == self.standby.version:
            raise ValueError(
                f"active and standby are both version {self.active.version!r}: a way back needs another one"
            )
        return self


class Forwarding(Strict):
    """Whose word counts for who the client is, and what backends are told of it."""

    trusted: Annotated[list[str], Field(max_length=256)] = []
    """Networks, or "unix", whose X-Forwarded-* are believed; from everybody else they are dropped and set anew."""
    keep: list[Literal["for", "proto", "host", "port"]] = ["for", "proto", "host", "port"]
    """Which X-Forwarded-* of a trusted proxy are believed: leave out those that it neither sets nor removes."""
    forwarded: Literal["off", "append"] = "off"
    """Whether backends get the Forwarded field, too (RFC 7239)."""
    hops_max: Annotated[int, Field(ge=1, le=1000)] = 32
    """The last so many members of a list are kept."""

    @field_validator("trusted")
    @classmethod
    def _networks(cls, value: list[str]) -> list[str]:
        return networks(value)


class Token(Strict):
    """A bearer token, kept as its SHA-256 (`printf %s TOKEN | sha256sum`)."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._@\-]{1,64}$")]
    role: Literal["viewer", "operator", "admin"]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Admin(Strict):
    """Who may use the admin API, and under which names it may be called."""

    tokens: list[Token] = []
    allowed_hosts: list[str] = []
    """Further Host names beside the address it listens on and localhost (DNS rebinding)."""
    allowed_origins: list[str] = []
    body_bytes_max: Bytes = 1 << 20
    connections_max: Count = 256
    """When reached, whoever has been idle longest makes room; 503 if every one has a request under way."""
    header_timeout_s: Seconds = 10.0
    keepalive_idle_s: Seconds = 75.0
    tls: Certificate = Certificate()


def version_label(value: str) -> str:
    """Return `value` if it is a usable version label; raise ValueError that says what one looks like."""
    if not VERSION_LABEL.fullmatch(value):
        raise ValueError(f"version {value!r}: use letters, digits and . _ : / @ + -, at most 128, for example fraud-v7")
    return value


def networks(value: list[str]) -> list[str]:
    """Return `value` if every member is a network or "unix"; raise ValueError that says how to write one."""
    for member in value:
        if member == "unix":
            continue
        try:
            network = ipaddress.ip_network(member, strict=False)
        except ValueError:
            raise ValueError(
                f'{member!r} is no network: write 10.0.0.0/8, 2001:db8::/32, one address, or "unix"'
            ) from None
        if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped is not None:
            raise ValueError(f"{member!r} is IPv4 within IPv6: write the IPv4 network, which covers both")
        if ipaddress.ip_address(member.partition("/")[0]) != network.network_address:
            raise ValueError(f"{member!r} has bits outside its prefix: write {network}")
    return value
