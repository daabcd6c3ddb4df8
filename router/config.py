"""The only place that validates settings: flags over environment over TOML file over defaults. A unit ends every name.

Environment: `ROLLBACK_ROUTER_` and the name in capitals, `__` between levels (`ROLLBACK_ROUTER_LIMITS__BODY_BYTES_MAX`).
An unknown member anywhere is an error that names it; nothing is guessed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from router.errors import StartError
from router.sections.address import Address, FileMode
from router.sections.admin import Admin
from router.sections.alerts import Alerts
from router.sections.forwarding import Forwarding, networks
from router.sections.history import HistoryKept
from router.sections.incidents import Incidents
from router.sections.limits import Limits, Timeouts
from router.sections.mlflow import MlflowServer
from router.sections.notify import Channel
from router.sections.service import Service
from router.sections.tls import ListenTls
from router.sections.values import NAME, Strict

EXIT_SETTINGS: Final = 3
ENV_PREFIX: Final = "ROLLBACK_ROUTER_"


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
    listen_mode: FileMode = "0660"
    """Who may connect to a Unix socket: writing to it is what connecting asks for (unix(7))."""
    admin_listen: Address = Address(host="127.0.0.1", port=8081)
    admin_listen_mode: FileMode = "0600"
    proxy_protocol: Literal["off", "required"] = "off"
    """Whether every connection begins with a PROXY header. Never guessed: a client could write one, too."""
    proxy_protocol_from: Annotated[list[str], Field(max_length=256)] = []
    """Networks, or "unix", of the balancers that write it; from everybody else nothing is taken."""
    workers: Annotated[int, Field(ge=1, le=64)] = Field(default_factory=lambda: min(len(os.sched_getaffinity(0)), 64))
    state_dir: Path | None = None
    ready_path: str | Literal["none"] = "/-/ready"
    access_log: bool = False
    via: bool = True
    fail_point: str = ""
    tls: ListenTls = ListenTls()
    admin: Admin = Admin()
    alerts: Alerts = Alerts()
    notify: Annotated[list[Channel], Field(max_length=16)] = []
    forwarding: Forwarding = Forwarding()
    limits: Limits = Limits()
    timeouts: Timeouts = Timeouts()
    incidents: Incidents = Incidents()
    history: HistoryKept = HistoryKept()
    mlflow: MlflowServer = MlflowServer()
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

    @field_validator("proxy_protocol_from")
    @classmethod
    def _networks(cls, value: list[str]) -> list[str]:
        return networks(value)

    @model_validator(mode="after")
    def _somebody_announces(self) -> Settings:
        if self.proxy_protocol == "required" and not self.proxy_protocol_from:
            raise ValueError(
                "proxy_protocol is required, and proxy_protocol_from names nobody who may send it: "
                'name the balancers\' networks, for example ["10.0.0.0/8"]'
            )
        return self

    @field_validator("notify")
    @classmethod
    def _channels(cls, value: list[Channel]) -> list[Channel]:
        names = [channel.name for channel in value]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"the channel {twice[0]!r} is there twice")
        return value

    @model_validator(mode="after")
    def _alerts_are_about_us(self) -> Settings:
        for number, known in enumerate(self.alerts.map):
            if known.service is not None and known.service not in self.services:
                names = ", ".join(sorted(self.services)) or "none"
                raise ValueError(
                    f"alerts.map.{number}.service {known.service!r}: there is no such service; there are: {names}"
                )
        return self

    @model_validator(mode="after")
    def _admin_is_guarded(self) -> Settings:
        if self.admin_listen.unix:  # its mode says who may connect
            return self
        if self.admin_listen.host not in ("127.0.0.1", "::1", "localhost") and not self.admin.tokens:
            raise ValueError(
                f"admin_listen {self.admin_listen} can be reached from outside: set admin.tokens or listen on 127.0.0.1"
            )
        return self

    def resolved_state_dir(self) -> Path:
        """Return where the journal lives: the setting, $STATE_DIRECTORY, or the user's state folder by listen port or path."""
        if self.state_dir is not None:
            return self.state_dir
        if given := os.environ.get("STATE_DIRECTORY"):
            return Path(given.split(":")[0])
        base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        return Path(base) / "rollback-router" / (self.listen.unix.strip("/").replace("/", "-") or str(self.listen.port))


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
        # The address of a channel may be a secret.
        hidden = isinstance(item["input"], (dict, BaseModel)) or place.endswith(".url")
        value = "" if hidden else f" = {item['input']!r}"[:200]
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


_OF_A_WORKER: Final = frozenset(
    (
        *("proxy_protocol", "proxy_protocol_from", "ready_path", "access_log", "via"),
        *("tls", "forwarding", "limits", "timeouts"),
    )
)
_OF_A_SERVICE: Final = frozenset(
    (
        *("hosts", "path_prefix", "replay", "served_version_header", "first_byte_timeout_s", "idle_timeout_s"),
        *("rules", "backend_tls", "cases", "validation", "inputs"),
    )
)


def dump_for_workers(settings: Settings) -> bytes:
    """Return what workers read of the settings (proxy/options.py), as JSON. What control alone needs may be a secret: tokens,
    addresses of notifications, what probes send.
    """
    services: Any = {"__all__": set(_OF_A_SERVICE)}
    wanted: Any = {**dict.fromkeys(_OF_A_WORKER, True), "services": services}
    return settings.model_dump_json(include=wanted).encode()


def parse(document: bytes) -> Settings:
    """Return the settings that `dump` wrote."""
    return Settings.model_construct(**_Plain.model_validate_json(document).fields())


class _Plain(Strict):
    """The same fields without any source but the document itself."""

    listen: Address
    listen_mode: str
    admin_listen: Address
    admin_listen_mode: str
    proxy_protocol: Literal["off", "required"]
    proxy_protocol_from: list[str]
    workers: int
    state_dir: Path | None
    ready_path: str
    access_log: bool
    via: bool
    fail_point: str
    tls: ListenTls
    admin: Admin
    alerts: Alerts
    notify: list[Channel]
    forwarding: Forwarding
    limits: Limits
    timeouts: Timeouts
    incidents: Incidents
    history: HistoryKept
    mlflow: MlflowServer
    services: dict[str, Service]

    def fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in type(self).model_fields}


def systemd_environment() -> tuple[str | None, float | None]:
    """Return ($NOTIFY_SOCKET, $WATCHDOG_USEC in seconds) as sd_notify(3) and sd_watchdog_enabled(3) define them."""
    watchdog_us = os.environ.get("WATCHDOG_USEC", "")
    return os.environ.get("NOTIFY_SOCKET"), int(watchdog_us) / 1e6 if watchdog_us.isdigit() else None
