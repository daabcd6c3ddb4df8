"""The HTTP proxy on the way out, of a notification channel or of MLflow. The data path and probes never use one."""

from __future__ import annotations

import re
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

ENVIRONMENT: Final = "environment"
NONE: Final = "none"
FORM: Final = f'"{ENVIRONMENT}", "{NONE}" or http://HOST:PORT, with USER:PASSWORD and @ before HOST'
DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def valid_proxy(value: str) -> str:
    """Return `value` if it is a valid setting; raise ValueError that does not repeat it, since it may hold a password."""
    if value.lower() in (ENVIRONMENT, NONE):
        return value.lower()
    if (error := url_error(value)) is not None:
        raise ValueError(f"this is no proxy: {error}; write {FORM}")
    return value


def url_error(url: str) -> str | None:
    """Return why `url` is no URL of a proxy, without repeating it; None if it is one."""
    if not url.isprintable() or re.search(r"\s", url):
        return "it has a blank or an unprintable character"
    scheme, separator, _ = url.partition("://")
    if not separator:
        return "it has no http:// or https://"
    if scheme.lower() not in DEFAULT_PORTS:
        return "only http:// and https:// are supported, not SOCKS or another protocol"
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return "its host or port is invalid (a special character of a user or password is written as %40)"
    if not parts.hostname:
        return "it has no host"
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        return "nothing follows the port (a special character of a user or password is written as %2F)"
    return None


def masked_proxy(value: str) -> str:
    """Return the setting without user and password."""
    scheme, separator, rest = value.partition("://")
    return f"{scheme}://(hidden)@{rest.rpartition('@')[2]}" if separator and "@" in rest else value


Proxy = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(valid_proxy)]
