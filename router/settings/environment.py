"""Which environment variables are settings, which are the program's own, and which an orchestrator has put there.

Kubernetes gives every container variables about every Service of its namespace, and docker about every linked container. A
Service with the name `rollback-router…` gives variables with the prefix of the settings. They are recognised by the form of
name and value, never by the name alone, and are passed over: `config check` and the log of the start list them. Every other
name that is no setting is an error, because it is likely a typing error.

    NAME_SERVICE_HOST=10.0.0.11                 NAME_PORT=tcp://10.0.0.11:8080
    NAME_SERVICE_PORT=8080                      NAME_PORT_8080_TCP=tcp://10.0.0.11:8080
    NAME_SERVICE_PORT_HTTP=8080                 NAME_PORT_8080_TCP_PROTO=tcp, …_PORT=8080, …_ADDR=10.0.0.11

Source: https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables; docker's legacy links add
NAME_NAME, NAME_ENV_… and forms for ranges of ports.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

_NAMES_MAX: Final = 20
ENV_PREFIX: Final = "ROLLBACK_ROUTER_"
ADMIN_URL: Final = f"{ENV_PREFIX}ADMIN_URL"
TOKEN: Final = f"{ENV_PREFIX}TOKEN"
TOKEN_FILE: Final = f"{ENV_PREFIX}TOKEN_FILE"
OWN: Final[Mapping[str, str]] = {
    ADMIN_URL: "Commands: URL of the admin API, as `--admin`.",
    TOKEN: "Commands: bearer token for the admin API, as `--token`.",
    TOKEN_FILE: "Commands: file with the bearer token, as `--token-file`.",
    f"{ENV_PREFIX}PURE": "Installation: `1` installs the pure build.",
    f"{ENV_PREFIX}COMPILED": "Installation: `1` makes an installation without a compiler fail.",
}
"""The program's own variables, which are no settings, with their meaning. `run` ignores them."""

_URL: Final = re.compile(r"(?:tcp|udp|sctp)://(\[[0-9A-Fa-f:.]+\]|[0-9.]+):([0-9]{1,5})")


def _is_address(value: str) -> bool:
    try:
        return bool(ip_address(value))
    except ValueError:
        return False


def _is_port(value: str) -> bool:
    return value.isascii() and value.isdigit() and 0 < int(value) <= 65535 and len(value) <= 5


def _is_url(value: str) -> bool:
    found = _URL.fullmatch(value)
    return found is not None and _is_address(found[1].strip("[]")) and _is_port(found[2])


def _is_protocol(value: str) -> bool:
    return value in ("tcp", "udp", "sctp")


def _is_container(value: str) -> bool:
    return re.fullmatch(r"/[\w.\-]+/[\w.\-]+", value) is not None


_NUMBERED: Final = r"PORT_[0-9]{1,5}_(?:TCP|UDP|SCTP)"
_FORMS: Final[tuple[tuple[re.Pattern[str], Callable[[str], bool]], ...]] = (
    (re.compile(r".*[A-Z0-9]_SERVICE_HOST"), _is_address),
    (re.compile(r".*[A-Z0-9]_SERVICE_PORT(?:_[A-Z0-9][A-Z0-9_]*)?"), _is_port),
    (re.compile(rf".*[A-Z0-9]_(?:PORT|{_NUMBERED}(?:_START|_END)?)"), _is_url),
    (re.compile(rf".*[A-Z0-9]_{_NUMBERED}_PROTO"), _is_protocol),
    (re.compile(rf".*[A-Z0-9]_{_NUMBERED}_PORT(?:_START|_END)?"), _is_port),
    (re.compile(rf".*[A-Z0-9]_{_NUMBERED}_ADDR"), _is_address),
    (re.compile(r"(?!.*__).*[A-Z0-9]_NAME"), _is_container),
)
_LINKED: Final = re.compile(r"(.*?[A-Z0-9])_ENV_.+")
"""docker copies the environment of a linked container. This form says nothing about the value: NAME_NAME has to be there, too."""


@dataclass(frozen=True, slots=True)
class Environment:
    """The variables with the prefix of the settings: `settings` by name, and the names of those that are `passed_over`."""

    settings: Mapping[str, str]
    passed_over: tuple[str, ...]

    @property
    def notice(self) -> str:
        """One line about the variables that are passed over; empty if there are none."""
        if not self.passed_over:
            return ""
        names = ", ".join(self.passed_over[:_NAMES_MAX])
        more = f" and {len(self.passed_over) - _NAMES_MAX} more" if len(self.passed_over) > _NAMES_MAX else ""
        return (
            f"passed over {names}{more}: they have the form of variables that Kubernetes and docker set for a Service or "
            "container whose name begins with rollback-router"
        )


def own(name: str) -> str | None:
    """Return the value of one of the program's own variables; None if it is not set."""
    return os.environ.get(name)


def read(environ: Mapping[str, str] | None = None) -> Environment:
    """Return what concerns the settings. Names are compared without regard to case. None: the environment of the process."""
    environ = os.environ if environ is None else environ
    found = {name: value for name, value in environ.items() if name.upper().startswith(ENV_PREFIX)}
    foreign = tuple(sorted(name for name, value in found.items() if _is_foreign(name, value, environ)))
    settings = {name: value for name, value in found.items() if name not in foreign and name.upper() not in OWN}
    return Environment(settings, foreign)


def _is_foreign(name: str, value: str, environ: Mapping[str, str]) -> bool:
    """Return whether Kubernetes or docker gives a variable of this name and value."""
    value = value.strip()
    if any(form.fullmatch(name) and fits(value) for form, fits in _FORMS):
        return True
    linked = _LINKED.fullmatch(name)
    if linked is None:
        return False
    container = f"{linked[1]}_NAME"
    return container in environ and _is_foreign(container, environ[container], {})
