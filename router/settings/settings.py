"""The model of all settings, and the rules that concern more than one section. The name of a quantity ends in its unit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from router.errors import StartError
from router.errors.codes import StartCode
from router.runtime.host import processors
from router.runtime.text.suggestion import known_names
from router.settings.environment import ENV_PREFIX
from router.settings.rule_bounds import out_of_bounds
from router.settings.sections.address import Address, FileMode
from router.settings.sections.admin import Admin
from router.settings.sections.alerts import AlertSettings
from router.settings.sections.forwarding import ForwardingSettings, networks
from router.settings.sections.limits import LimitSettings, Timeouts
from router.settings.sections.mlflow import MlflowSettings
from router.settings.sections.notify import Channel
from router.settings.sections.retention import HistorySettings, IncidentSettings
from router.settings.sections.service import Service
from router.settings.sections.tls import ListenTls
from router.settings.sections.tracing import TracingSettings
from router.settings.sections.values import NAME, Breach, refuse


class Settings(BaseSettings):
    """All settings of the router. `load` reads them; `config show` prints them."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )
    listen: Address = Address(host="127.0.0.1", port=8080)
    """Where clients connect: HOST:PORT with an IPv6 host in brackets, or unix:/PATH."""
    listen_mode: FileMode = "0660"
    """Permissions of `listen` if it is a Unix socket, in octal. Connecting needs the permission to write (unix(7))."""
    admin_listen: Address = Address(host="127.0.0.1", port=8081)
    """Where the admin API listens: HOST:PORT or unix:/PATH. An address other than loopback needs admin.tokens."""
    admin_listen_mode: FileMode = "0600"
    """Permissions of `admin_listen` if it is a Unix socket, in octal."""
    proxy_protocol: Literal["off", "required"] = "off"
    """With "required" every client connection begins with a PROXY header, version 1 or 2. There is no auto-detection,
    because a client could then forge a header. A change concerns new connections."""
    proxy_protocol_from: Annotated[list[str], Field(max_length=256)] = []
    """Networks (CIDR, one address, or "unix") of the balancers that send the PROXY header. Connections from other
    addresses are closed; open ones after the response in flight, if a balancer is removed."""
    workers: Annotated[int, Field(ge=1, le=64)] = Field(default_factory=lambda: min(processors.of().usable, 64))
    """Number of worker processes. Unset: one for each core that this process may use, or as many as the CPU quota of its
    container (cgroup) covers, rounded up."""
    state_dir: Path | None = None
    """Directory of the journal and of all other state. Unset: $STATE_DIRECTORY, else
    ~/.local/state/rollback-router/PORT."""
    ready_path: str | Literal["none"] = "/-/ready"
    """Path of the readiness page on `listen`. The workers answer it themselves. "none" turns it off."""
    log_format: Literal["text", "json"] = "text"
    """Format of the log on stderr: "text", or "json" for one JSON object a line."""
    access_log: bool = False
    """Write a log line for each request."""
    access_log_to: str = "stderr"
    """Where these lines go: "stderr" (with the log), "stdout", or /PATH of a file. A file and stdout get lines of JSON. A file is
    opened again on SIGHUP, and when it was renamed or deleted."""
    via: bool = True
    """Add a Via field that names this proxy to each request and response (RFC 9110, section 7.6.3)."""
    lookalike_fields: Literal["drop", "refuse"] = "drop"
    """What happens to request fields whose names a backend may read as those of fields that the router sets or checks:
    `X_Request_ID` is `X-Request-ID` for CGI and WSGI. "drop" leaves the field out, "refuse" answers 400."""
    fail_point: str = ""
    """For tests: "NAME:N" kills the process when it passes the fail point NAME for the Nth time."""
    observe: bool = False
    """Every rule only observes: no rule rolls anything back. The log has one line a day and service of what would have been
    rolled back. For the first weeks; `run --observe` sets it."""
    tls: ListenTls = ListenTls()
    admin: Admin = Admin()
    alerts: AlertSettings = AlertSettings()
    notify: Annotated[list[Channel], Field(max_length=16)] = []
    """Receivers of notifications, each in a table [[notify]]."""
    forwarding: ForwardingSettings = ForwardingSettings()
    tracing: TracingSettings = TracingSettings()
    limits: LimitSettings = LimitSettings()
    timeouts: Timeouts = Timeouts()
    incidents: IncidentSettings = IncidentSettings()
    history: HistorySettings = HistorySettings()
    mlflow: MlflowSettings = MlflowSettings()
    services: Annotated[dict[str, Service], Field(max_length=64)] = {}
    """One table for each model endpoint that clients call; at most 64. SIGHUP adds and removes them."""

    @field_validator("access_log_to")
    @classmethod
    def _stream_or_path(cls, value: str) -> str:
        if value not in ("stderr", "stdout") and not (value.startswith("/") and value.isprintable()):
            raise ValueError(
                f'access_log_to {value!r}: write "stderr", "stdout" or an absolute path, for example "/var/log/router/access.log"'
            )
        return value

    @field_validator("proxy_protocol_from")
    @classmethod
    def _networks(cls, value: list[str]) -> list[str]:
        return networks(value)

    @model_validator(mode="after")
    def _whole(self) -> Settings:
        rules = (_names, _overlaps, _channels, _balancers, _alert_services, _guards, _judgements)
        refuse("settings", (breach for rule in rules for breach in rule(self)))
        return self

    def resolved_state_dir(self) -> Path:
        """Return the folder of the journal: the setting, $STATE_DIRECTORY, or the user's state folder by listen port or path.

        Raise StartError if none of them is there.
        """
        if self.state_dir is not None:
            return self.state_dir
        if state_directory := os.environ.get("STATE_DIRECTORY"):
            return Path(state_directory.split(":")[0])
        try:
            base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        except RuntimeError:  # a container may have neither HOME nor an entry of its user in /etc/passwd
            detail = f"there is no home directory: HOME is not set, and uid {os.getuid()} is unknown; name one: --state-dir DIR"
            raise StartError(StartCode.STATE_UNWRITABLE, detail) from None
        return Path(base) / "rollback-router" / (self.listen.unix.strip("/").replace("/", "-") or str(self.listen.port))


# -- rules about more than one section
def _names(settings: Settings) -> Iterator[Breach]:
    for name in settings.services:
        if not NAME.fullmatch(name):
            text = f"service name {name!r}: use letters, digits, '.', '_' and '-', at most 63"
            yield Breach(("services", name), text)


def _overlaps(settings: Settings) -> Iterator[Breach]:
    seen: dict[tuple[str, str], str] = {}
    for name, service in settings.services.items():
        for host in service.hosts or ["*"]:
            other = seen.setdefault((host, service.path_prefix), name)
            if other != name:
                text = f"services {other!r} and {name!r} both answer host {host!r}, prefix {service.path_prefix!r}"
                read = (("services", one, member) for one in (other, name) for member in ("hosts", "path_prefix"))
                yield Breach(("services", name), text, tuple(read))
                break


def _channels(settings: Settings) -> Iterator[Breach]:
    names = [channel.name for channel in settings.notify]
    for number, name in enumerate(names):
        if name in names[:number]:
            yield Breach(("notify", number), f"the channel {name!r} is there twice")


def _balancers(settings: Settings) -> Iterator[Breach]:
    if settings.proxy_protocol == "required" and not settings.proxy_protocol_from:
        text = (
            "it is required, and proxy_protocol_from is empty: "
            'name the balancers\' networks, for example ["10.0.0.0/8"]'
        )
        yield Breach(("proxy_protocol",), text, (("proxy_protocol_from",),))


def _alert_services(settings: Settings) -> Iterator[Breach]:
    for number, rule in enumerate(settings.alerts.map):
        if rule.service is not None and rule.service not in settings.services:
            text = f"{rule.service!r}: there is no such service; {known_names(rule.service, settings.services)}"
            yield Breach(("alerts", "map", number, "service"), text, (("services", rule.service),))


def _guards(settings: Settings) -> Iterator[Breach]:
    if settings.admin_listen.unix:  # the mode of the socket restricts access
        return
    if not settings.admin_listen.is_loopback and settings.admin.is_open:
        text = f"{settings.admin_listen} can be reached from outside: set admin.tokens, or listen on 127.0.0.1"
        yield Breach(("admin_listen",), text, (("admin", "tokens"), ("admin", "identity")))


def _judgements(settings: Settings) -> Iterator[Breach]:
    for name, service in settings.services.items():
        yield from out_of_bounds(service.rules, ("services", name, "rules"))
