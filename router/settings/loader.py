"""Loads the settings: flags override the environment, which overrides the TOML file, which overrides the defaults.

Environment: `ROLLBACK_ROUTER_` and the name in capitals, `__` between levels (`ROLLBACK_ROUTER_LIMITS__BODY_BYTES_MAX`).
An unknown member anywhere is an error that names it.
"""

from __future__ import annotations

import os
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, TomlConfigSettingsSource

from router.errors import StartError
from router.errors.codes import StartCode
from router.settings.sections.address import Address
from router.settings.sections.admin import Admin
from router.settings.sections.alerts import AlertSettings
from router.settings.sections.forwarding import ForwardingSettings
from router.settings.sections.limits import LimitSettings, Timeouts
from router.settings.sections.mlflow import MlflowSettings
from router.settings.sections.notify import Channel
from router.settings.sections.retention import HistorySettings, IncidentSettings
from router.settings.sections.service import Service
from router.settings.sections.tls import ListenTls
from router.settings.sections.values import Strict
from router.settings.settings import ENV_PREFIX, Settings


def load(path: Path | None = None, flags: dict[str, Any] | None = None) -> Settings:
    """Return the validated settings; raise StartError (exit code 3) naming every wrong value, its place and the remedy."""
    if path is not None and not path.is_file():
        raise StartError(StartCode.SETTINGS_MISSING, f"settings file {path} does not exist or is not a file")

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
        raise StartError(StartCode.SETTINGS_INVALID, f"{where}: {_explain(error)}") from None
    except (ValueError, OSError) as error:  # tomllib.TOMLDecodeError is a ValueError and names line and column
        raise StartError(StartCode.SETTINGS_INVALID, f"{where}: {error}") from None
    settings = Settings.model_construct(**{name: getattr(loaded, name) for name in Settings.model_fields})
    return observing(settings) if settings.observe else settings


def observing(settings: Settings) -> Settings:
    """Return the settings with every rule of every service set to observe, so that nothing is rolled back automatically."""
    services = {name: _observing(service) for name, service in settings.services.items()}
    return settings.model_copy(update={"services": services})


def _observing(service: Service) -> Service:
    rules = {
        field.name: replace(rule, action="observe")
        for field in fields(service.rules)
        if hasattr(rule := getattr(service.rules, field.name), "action")
    }
    return service.model_copy(
        update={
            "rules": replace(service.rules, **rules),
            "inputs": service.inputs.model_copy(update={"action": "observe"}),
            "proposals": service.proposals.model_copy(update={"at_expiry": "hold"}),
        }
    )


_FORM: Final = re.compile(r"Probe|constrained-\w+|literal\[.*\]")
"""What pydantic adds to the place of a value that may have several forms."""


_HINTS: Final = {
    "extra_forbidden": "there is no such setting",
    "unexpected_keyword_argument": "there is no such setting",
    "model_type": "Input should be a table",
}


def _place(loc: tuple[int | str, ...]) -> str:
    parts = [str(part) for at, part in enumerate(loc) if at < 2 or not _FORM.fullmatch(str(part))]
    return ".".join(parts) or "settings"


def _explain(error: ValidationError) -> str:
    found: dict[str, list[str]] = {}
    for item in error.errors():
        if item["type"] == "literal_error" and isinstance(item["input"], dict):
            continue  # the errors inside the table are listed
        place = _place(item["loc"])
        hint = _HINTS.get(item["type"], item["msg"])
        # A whole table as value would hide the hint, which names the wrong member.
        # The URL of a channel may be a secret.
        hidden = isinstance(item["input"], (dict, BaseModel)) or place.endswith(".url")
        value = "" if hidden else f" = {item['input']!r}"[:200]
        found.setdefault(f"{place}{value}", []).append(hint.removeprefix("Value error, "))
    return "; ".join(f"{where}: {' or '.join(_alternatives(hints))}" for where, hints in found.items())


def _alternatives(hints: list[str]) -> list[str]:
    """Return the hints about one value, the beginning that they share only once."""
    return [hints[0], *(hint.removeprefix("Input should be ") for hint in hints[1:])]


def _refuse_unknown_environment() -> None:
    for name in os.environ:
        if name.startswith(ENV_PREFIX):
            field = name.removeprefix(ENV_PREFIX).lower().split("__")[0]
            if field not in Settings.model_fields and field not in ("admin_url", "token"):
                raise StartError(StartCode.SETTINGS_UNKNOWN, f"environment variable {name}: there is no such setting")


def dump(settings: Settings) -> bytes:
    """Return the settings as JSON, the form in which the supervisor hands them to control."""
    return settings.model_dump_json().encode()


_WORKER_SETTINGS: Final = frozenset(
    (
        "proxy_protocol",
        "proxy_protocol_from",
        "ready_path",
        "access_log",
        "via",
        "lookalike_fields",
        "tls",
        "forwarding",
        "limits",
        "timeouts",
    )
)

_WORKER_SERVICE_SETTINGS: Final = frozenset(
    (
        "hosts",
        "path_prefix",
        "replay",
        "rescue_on",
        "served_version_header",
        "first_byte_timeout_s",
        "idle_timeout_s",
        "rules",
        "backend_tls",
        "cases",
        "validation",
        "inputs",
        "inference",
        "throttled_statuses",
        "throttled_texts",
    )
)


def dump_for_workers(settings: Settings) -> bytes:
    """Return the settings that workers read (proxy/options.py), as JSON. Settings of control alone are left out, because they
    may be secrets: tokens, URLs of notifications, bodies of probes.
    """
    services: Any = {"__all__": set(_WORKER_SERVICE_SETTINGS)}
    included: Any = {**dict.fromkeys(_WORKER_SETTINGS, True), "services": services}
    return settings.model_dump_json(include=included).encode()


def parse(document: bytes) -> Settings:
    """Return the settings that `dump` wrote."""
    return Settings.model_construct(**_Plain.model_validate_json(document).fields())


class _Plain(Strict):
    """The same fields as `Settings`, read from the document only."""

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
    lookalike_fields: Literal["drop", "refuse"]
    fail_point: str
    observe: bool
    tls: ListenTls
    admin: Admin
    alerts: AlertSettings
    notify: list[Channel]
    forwarding: ForwardingSettings
    limits: LimitSettings
    timeouts: Timeouts
    incidents: IncidentSettings
    history: HistorySettings
    mlflow: MlflowSettings
    services: dict[str, Service]

    def fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in type(self).model_fields}


def systemd_environment() -> tuple[str | None, float | None]:
    """Return ($NOTIFY_SOCKET, $WATCHDOG_USEC in seconds) as sd_notify(3) and sd_watchdog_enabled(3) define them."""
    watchdog_us = os.environ.get("WATCHDOG_USEC", "")
    return os.environ.get("NOTIFY_SOCKET"), int(watchdog_us) / 1e6 if watchdog_us.isdigit() else None
