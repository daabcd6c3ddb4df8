"""Loads the settings: flags override the environment, which overrides the TOML file, which overrides the defaults.

Environment: `ROLLBACK_ROUTER_` and the name in capitals, `__` between levels (`ROLLBACK_ROUTER_LIMITS__BODY_BYTES_MAX`).
An unknown member anywhere is an error that names it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, Literal, Self

from router.settings import environment, toml_file
from router.settings.checking import all_mistakes, toml_positions
from router.settings.checking.explanation import Place
from router.settings.mistakes import Mistake, SettingsError
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
from router.settings.sections.tracing import TracingSettings
from router.settings.sections.values import Strict
from router.settings.settings import Settings
from router.settings.variables import Variables


@dataclass(frozen=True, slots=True)
class SettingsSources:
    """Where the settings come from: the file's and the flags' documents, and the environment's with its variables' names.

    `text` is that of the file.
    """

    path: Path | None
    flags: Mapping[str, Any]
    file: Mapping[str, Any]
    text: str
    variables: Variables

    @classmethod
    def read(cls, path: Path | None = None, flags: Mapping[str, Any] | None = None) -> Self:
        """Read all; raise StartError (exit code 3) if the file is no TOML. `variables` has the mistakes of the environment."""
        file, text = toml_file.read_with_text(path) if path is not None else ({}, "")
        found = environment.read()
        services = [name for source in (file, flags or {}) for name in _services(source)]
        return cls(path, flags or {}, file, text, Variables(found.settings, services))

    @property
    def document(self) -> dict[str, Any]:
        """The document in which flags override the environment, which overrides the file."""
        return _merged(_merged(self.file, self.variables.document), self.flags)

    def mistakes(self, found: Mapping[Place, str]) -> list[Mistake]:
        """Return the mistakes of the environment, and each of `found` at its line or variable: in the order of the file."""
        lines = toml_positions.positions(self.text) if found and self.path is not None else {}
        located = [self._located(place, text, lines) for place, text in found.items()]
        return [*self.variables.mistakes, *sorted(located, key=lambda mistake: (mistake.line, mistake.column))]

    def _located(self, place: Place, text: str, lines: Mapping[Place, tuple[int, int]]) -> Mistake:
        setting = ".".join(map(str, place))
        named = tuple(map(str, place))
        if _is_set(self.flags, named):
            return Mistake(setting, text, origin="the flags")
        for end in range(len(place), 0, -1):
            if variable := self.variables.names.get(named[:end]):
                return Mistake(setting, text, variable=variable)
            if at := lines.get(place[:end]):
                return Mistake(setting, text, str(self.path), *at)
        return Mistake(setting, text, str(self.path or ""))

    @property
    def texts(self) -> frozenset[Place]:
        """The places that variables have set, whose values are texts."""
        return frozenset(self.variables.names)


def _services(document: Mapping[str, Any]) -> list[str]:
    services = document.get("services")
    return list(services) if isinstance(services, dict) else []


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return both documents as one: tables are merged, any other value of `above` replaces that of `below`."""
    merged = dict(below)
    for name, value in above.items():
        known = merged.get(name)
        merged[name] = _merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return merged


def _is_set(document: Any, place: tuple[str, ...]) -> bool:
    for part in place:
        if not isinstance(document, Mapping):
            return True
        if part not in document:
            return False
        document = document[part]
    return True


def load(path: Path | None = None, flags: dict[str, Any] | None = None) -> Settings:
    """Return the validated settings; raise StartError (exit code 3) naming every wrong value, its place and the remedy."""
    sources = SettingsSources.read(path, flags)
    document = sources.document
    found = all_mistakes.mistakes(document, _validated, sources.texts)
    if mistakes := sources.mistakes(found):
        raise SettingsError(mistakes)
    settings = _validated(document)
    return observing(settings) if settings.observe else settings


def _validated(document: dict[str, Any]) -> Settings:
    """Return the settings of a document alone, without the sources of pydantic-settings; raise ValidationError."""
    loaded = Settings.__new__(Settings)
    Settings.__pydantic_validator__.validate_python(document, self_instance=loaded)
    return Settings.model_construct(**{name: getattr(loaded, name) for name in Settings.model_fields})


def passed_over() -> str:
    """Return one line about environment variables that have the prefix of the settings and are none; empty if there are none."""
    return environment.read().notice


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


def dump(settings: Settings) -> bytes:
    """Return the settings as JSON, the form in which the supervisor hands them to control."""
    return settings.model_dump_json().encode()


_WORKER_SETTINGS: Final = frozenset(
    (
        "proxy_protocol",
        "proxy_protocol_from",
        "ready_path",
        "log_format",
        "access_log",
        "access_log_to",
        "via",
        "lookalike_fields",
        "tls",
        "forwarding",
        "tracing",
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
    log_format: Literal["text", "json"]
    access_log: bool
    access_log_to: str
    via: bool
    lookalike_fields: Literal["drop", "refuse"]
    fail_point: str
    observe: bool
    tls: ListenTls
    admin: Admin
    alerts: AlertSettings
    notify: list[Channel]
    forwarding: ForwardingSettings
    tracing: TracingSettings
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
