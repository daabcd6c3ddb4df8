"""The only place that validates settings: flags over environment over TOML file over defaults. A unit ends every name.

Environment: `ROLLBACK_ROUTER_` and the name in capitals, `__` between levels (`ROLLBACK_ROUTER_LIMITS__BODY_BYTES_MAX`).
An unknown member anywhere is an error that names it; nothing is guessed.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from router.errors import OperatorError, StartError
from router.rollout.endpoint import parse_endpoints
from router.rollout.rules import Rules

EXIT_SETTINGS: Final = 3
ENV_PREFIX: Final = "ROLLBACK_ROUTER_"
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-]{0,62}")
VERSION_LABEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+\-]{0,127}")

Seconds = Annotated[float, Field(gt=0, le=86_400 * 31)]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
Bytes = Annotated[int, Field(ge=1, le=1 << 50)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Address(_Strict):
    """HOST:PORT; an IPv6 host in brackets."""

    host: str
    port: Annotated[int, Field(ge=0, le=65535)]

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        host, colon, port = value.rpartition(":")
        if not colon or not port.isdigit():
            raise ValueError(f"{value!r} is not HOST:PORT, for example 127.0.0.1:8080")
        return {"host": host.strip("[]") or "0.0.0.0", "port": int(port)}

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Limits(_Strict):
    """What one client or one backend may take of us."""

    head_bytes_max: Bytes = 32 * 1024
    fields_max: Count = 100
    body_bytes_max: Bytes = 1 << 30
    trailer_bytes_max: Bytes = 16 * 1024
    connections_max: Count = 10_000
    """Downstream connections per worker; the next one is answered 503 and closed."""
    in_flight_max: Count = 1024
    """Attempts in flight per target and worker; the next one is `saturated` (503)."""
    connect_waits_max: Count = 1024
    """Requests per endpoint and worker that wait for a new backend connection."""
    buffer_bytes: Bytes = 64 * 1024
    """Write buffer of one connection above which the other side is paused."""
    replay_bytes_max: Bytes = 1 << 20
    interim_responses_max: Count = 32


class Timeouts(_Strict):
    """Every wait has an end."""

    header_timeout_s: Seconds = 10.0
    body_timeout_s: Seconds = 30.0
    """Silence of a client in the middle of its body."""
    write_timeout_s: Seconds = 60.0
    """A client that takes nothing of its response for so long is cut."""
    keepalive_idle_s: Seconds = 75.0
    half_close_grace_s: Seconds = 2.0
    """A client that closed its side before the response began is taken for gone after so long: a FIN alone does not
    tell a half-close from a departure, and a departed client should not keep a model busy."""
    tunnel_idle_s: Seconds | Literal["none"] = "none"
    """A WebSocket on which neither side says anything for so long is ended; that is nobody's fault."""
    connect_timeout_s: Seconds = 2.0
    first_byte_timeout_s: Seconds = 120.0
    idle_timeout_s: Seconds = 60.0
    """Silence of a backend in the middle of its response, or while it does not take the request."""
    upstream_idle_s: Seconds = 4.0
    confirm_timeout_s: Seconds = 1.0
    rollback_drain_timeout_s: Seconds | Literal["none"] = 300.0
    shutdown_timeout_s: Seconds = 30.0
    verify_timeout_s: Seconds = 900.0
    resolve_every_s: Seconds = 10.0
    worker_silent_s: Seconds = 10.0
    control_silent_s: Seconds = 5.0


class Probe(_Strict):
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


class TargetSeed(_Strict):
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


class Service(_Strict):
    """One model endpoint that clients call, matched by host and longest path prefix."""

    hosts: list[str] = []
    """Host names, without port, that this service answers; empty: any."""
    path_prefix: str = "/"
    active: TargetSeed | None = None
    """Seeds an empty journal; afterwards the journal wins (behaviour §5)."""
    standby: TargetSeed | None = None
    probe: Probe | Literal["none"] = Probe()
    rules: Rules = Rules()
    replay: Literal["never", "unsent", "idempotent", "always"] = "unsent"
    served_version_header: bool = True
    first_byte_timeout_s: Seconds | None = None
    """Overrides timeouts.first_byte_timeout_s for this service."""
    idle_timeout_s: Seconds | None = None

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


class Token(_Strict):
    """A bearer token, kept as its SHA-256 (`printf %s TOKEN | sha256sum`)."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._@\-]{1,64}$")]
    role: Literal["viewer", "operator", "admin"]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Admin(_Strict):
    """Who may use the admin API, and under which names it may be called."""

    tokens: list[Token] = []
    allowed_hosts: list[str] = []
    """Further Host names beside the address it listens on and localhost (DNS rebinding)."""
    allowed_origins: list[str] = []
    body_bytes_max: Bytes = 1 << 20


class Settings(BaseSettings):
    """Everything the router is told. `load` reads it; `config show` prints it."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )
    listen: Address = Address(host="127.0.0.1", port=8080)
    admin_listen: Address = Address(host="127.0.0.1", port=8081)
    workers: Annotated[int, Field(ge=1, le=64)] = Field(default_factory=lambda: min(len(os.sched_getaffinity(0)), 64))
    state_dir: Path | None = None
    ready_path: str | Literal["none"] = "/-/ready"
    access_log: bool = False
    via: bool = True
    fail_point: str = ""
    admin: Admin = Admin()
    limits: Limits = Limits()
    timeouts: Timeouts = Timeouts()
    services: Annotated[dict[str, Service], Field(max_length=16)] = {}

    @field_validator("services")
    @classmethod
    def _names(cls, value: dict[str, Service]) -> dict[str, Service]:
        seen: dict[tuple[str, str], str] = {}
        for name, service in value.items():
            if not NAME.fullmatch(name):
                raise ValueError(f"service name {name!r}: use letters, digits, '.', '_' and '-', at most 63")
            for host in service.hosts or ["*"]:
                other = seen.setdefault((host, service.path_prefix), name)
                if other != name:
                    raise ValueError(
                        f"services {other!r} and {name!r} both answer host {host!r}, prefix {service.path_prefix!r}"
                    )
        return value

    @model_validator(mode="after")
    def _admin_is_guarded(self) -> Settings:
        if self.admin_listen.host not in ("127.0.0.1", "::1", "localhost") and not self.admin.tokens:
            raise ValueError(
                f"admin_listen {self.admin_listen} can be reached from outside: set admin.tokens or listen on 127.0.0.1"
            )
        return self

    def resolved_state_dir(self) -> Path:
        """Return where the journal lives: the setting, $STATE_DIRECTORY, or the user's state folder by listen port."""
        if self.state_dir is not None:
            return self.state_dir
        if given := os.environ.get("STATE_DIRECTORY"):
            return Path(given.split(":")[0])
        base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        return Path(base) / "rollback-router" / str(self.listen.port)


def version_label(value: str) -> str:
    """Return `value` if it is a usable version label; raise ValueError that says what one looks like."""
    if not VERSION_LABEL.fullmatch(value):
        raise ValueError(f"version {value!r}: use letters, digits and . _ : / @ + -, at most 128, for example fraud-v7")
    return value


def load(path: Path | None = None, flags: dict[str, Any] | None = None) -> Settings:
    """Return the validated settings; raise StartError (exit code 3) naming every wrong value, its place and the remedy."""
    if path is not None and not path.is_file():
        raise StartError("settings_missing", f"settings file {path} does not exist or is not a file", EXIT_SETTINGS)

    class Loaded(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            file = (TomlConfigSettingsSource(settings_cls, toml_file=path),) if path else ()
            return (init_settings, env_settings, *file)

    _refuse_unknown_environment()
    where = str(path) if path else "the flags and the environment"
    try:
        loaded = Loaded(**(flags or {}))
    except ValidationError as error:
        raise StartError("settings_invalid", f"{where}: {_explain(error)}", EXIT_SETTINGS) from None
    except (ValueError, OSError) as error:  # tomllib.TOMLDecodeError is a ValueError and names line and column
        raise StartError("settings_invalid", f"{where}: {error}", EXIT_SETTINGS) from None
    return Settings.model_construct(**{name: getattr(loaded, name) for name in Settings.model_fields})


def _explain(error: ValidationError) -> str:
    lines = []
    for item in error.errors():
        place = ".".join(str(part) for part in item["loc"]) or "settings"
        hint = (
            "there is no such setting"
            if item["type"] in ("extra_forbidden", "unexpected_keyword_argument")
            else item["msg"]
        )
        # A whole table as value would bury the hint, which names what is wrong in it.
        value = "" if isinstance(item["input"], (dict, BaseModel)) else f" = {item['input']!r}"[:200]
        lines.append(f"{place}{value}: {hint.removeprefix('Value error, ')}")
    return "; ".join(lines)


def _refuse_unknown_environment() -> None:
    for name in os.environ:
        if name.startswith(ENV_PREFIX):
            field = name.removeprefix(ENV_PREFIX).lower().split("__")[0]
            if field not in Settings.model_fields and field not in ("admin_url", "token"):
                raise StartError(
                    "settings_unknown", f"environment variable {name}: there is no such setting", EXIT_SETTINGS
                )


def dump(settings: Settings) -> bytes:
    """Return the settings as JSON, as the supervisor hands them to its children."""
    return settings.model_dump_json().encode()


def parse(document: bytes) -> Settings:
    """Return the settings that `dump` wrote."""
    return Settings.model_construct(**_Plain.model_validate_json(document).fields())


class _Plain(_Strict):
    """The same fields without any source but the document itself."""

    listen: Address
    admin_listen: Address
    workers: int
    state_dir: Path | None
    ready_path: str
    access_log: bool
    via: bool
    fail_point: str
    admin: Admin
    limits: Limits
    timeouts: Timeouts
    services: dict[str, Service]

    def fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in type(self).model_fields}


def client_environment() -> tuple[str | None, str | None]:
    """Return (admin URL, token) that the command line was given by environment."""
    return os.environ.get(ENV_PREFIX + "ADMIN_URL"), os.environ.get(ENV_PREFIX + "TOKEN")


def systemd_environment() -> tuple[str | None, float | None]:
    """Return ($NOTIFY_SOCKET, $WATCHDOG_USEC in seconds) as sd_notify(3) and sd_watchdog_enabled(3) define them."""
    watchdog_us = os.environ.get("WATCHDOG_USEC", "")
    return os.environ.get("NOTIFY_SOCKET"), int(watchdog_us) / 1e6 if watchdog_us.isdigit() else None
