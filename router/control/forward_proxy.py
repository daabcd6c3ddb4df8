"""The HTTP proxy of a call to the outside: that of the setting, or of the environment as curl, Go and requests read it.

aiohttp's own reading (`trust_env`) would also send the credentials of ~/.netrc, and knows neither ALL_PROXY nor networks and
ports in NO_PROXY. Errors and texts have the host and the port of a proxy, never its user and password.

Only notifications and MLflow call this module. The data path, probes and cases go to their targets directly.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Final
from urllib.parse import unquote, urlsplit

from typing_extensions import TypedDict

from router.runtime import interpreter
from router.settings.sections.proxy import DEFAULT_PORTS, ENVIRONMENT, NONE, url_error

_ALWAYS_DIRECT: Final = ("localhost", "localhost.localdomain")


@dataclass(frozen=True, slots=True)
class ForwardProxy:
    """A proxy. `url` is without user and password; `origin` is the setting or the variable that names it."""

    url: str
    origin: str
    credentials: str | None = field(default=None, repr=False)
    """The value of Proxy-Authorization."""

    def __str__(self) -> str:
        return f"the proxy {urlsplit(self.url).netloc} ({self.origin})"


def proxy_for(url: str, setting: str, origin: str, environment: Mapping[str, str] | None = None) -> ForwardProxy | None:
    """Return the proxy for a request to `url`; None: go there directly. Raise ValueError if the environment has no valid one.

    `origin` names the place of `setting`, for texts. `environment`: that of this process.
    """
    if setting == NONE:
        return None
    if setting != ENVIRONMENT:
        return _proxy(setting, origin)
    if environment is None:
        environment = interpreter.proxy_variables()
    parts = urlsplit(url)
    scheme, host = parts.scheme.lower(), (parts.hostname or "").rstrip(".")
    port = parts.port or DEFAULT_PORTS.get(scheme, 0)
    if _is_loopback(host) or bypassed(host, port, _variable(environment, "no_proxy")[1]):
        return None
    for variable in (f"{scheme}_proxy", "all_proxy"):
        name, value = _variable(environment, variable)
        if value:
            return _proxy(value if "://" in value else f"http://{value}", name)
    return None


class RequestOptions(TypedDict):
    """Arguments of aiohttp's `request`."""

    headers: dict[str, str]
    proxy: str | None
    proxy_headers: dict[str, str] | None


def request_options(proxy: ForwardProxy | None, url: str, headers: dict[str, str]) -> RequestOptions:
    """Return the arguments that send a request for `url` with `headers` through `proxy`, or directly.

    The credentials of the proxy go to the proxy alone: with CONNECT if there is a tunnel, else in the request that it forwards.
    """
    if proxy is None:
        return {"headers": headers, "proxy": None, "proxy_headers": None}
    fields = {} if proxy.credentials is None else {"Proxy-Authorization": proxy.credentials}
    if urlsplit(url).scheme.lower() == "https":
        return {"headers": headers, "proxy": proxy.url, "proxy_headers": fields}
    return {"headers": headers | fields, "proxy": proxy.url, "proxy_headers": None}


def bypassed(host: str, port: int, no_proxy: str) -> bool:
    """Return whether NO_PROXY names a host: `*`, a name with all names below it, an address, a network, each also with a port."""
    return any(_matches(host.lower(), port, entry) for entry in re.split(r"[,\s]+", no_proxy.lower()) if entry)


def _matches(host: str, port: int, entry: str) -> bool:
    if entry == "*":
        return True
    if "/" in entry:
        return _in_network(host, entry)
    name, _, digits = entry.rpartition(":")
    if digits.isdigit() and (":" not in name or name.endswith("]")):
        if int(digits) != port:
            return False
        entry = name
    entry = entry.strip("[]").removeprefix("*").strip(".")
    return bool(entry) and (_same_address(host, entry) or host == entry or host.endswith(f".{entry}"))


def _in_network(host: str, network: str) -> bool:
    try:
        return ip_address(host) in ip_network(network, strict=False)
    except ValueError:
        return False


def _same_address(host: str, other: str) -> bool:
    try:
        return ip_address(host) == ip_address(other)
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    """Return whether `host` is this machine, which a proxy of the environment cannot reach (as in Go)."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() in _ALWAYS_DIRECT or host.lower().endswith(".localhost")


def _variable(environment: Mapping[str, str], name: str) -> tuple[str, str]:
    """Return name and value of a variable in small or in capital letters; the small one comes first, also if it is empty."""
    for spelled in (name, name.upper()):
        if spelled in environment:
            return spelled, environment[spelled].strip()
    return name, ""


def _proxy(url: str, origin: str) -> ForwardProxy:
    if (error := url_error(url)) is not None:
        raise ValueError(f"{origin} names no usable proxy: {error}")
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    port = parts.port or DEFAULT_PORTS[parts.scheme]
    credentials = None
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        credentials = f"Basic {base64.b64encode(login).decode()}"  # RFC 7617 §2
    return ForwardProxy(f"{parts.scheme}://{host}:{port}", origin, credentials)
