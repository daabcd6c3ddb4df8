"""The address of one replica of a target. Endpoints are parsed only here; an error names the right spelling.

`http://HOST:PORT`, `https://HOST:PORT`, or `unix:/PATH` as nginx writes it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.runtime.text.secret_text import masked_urls

_HOST: Final = re.compile(r"[A-Za-z0-9._\-]{1,253}|[0-9A-Fa-f:.]{2,45}")
EXAMPLE: Final = "write it as http://HOST:PORT or https://HOST:PORT, for example http://127.0.0.1:9001"
UNIX: Final = "unix:"
UNIX_EXAMPLE: Final = "write it as unix:/PATH, for example unix:/run/model/http.sock"
UNIX_PATH_BYTES_MAX: Final = 107
"""Size of `sun_path` without its final NUL (unix(7))."""
_UNIX_PATH: Final = re.compile(r"/[!-~]*[!-.0-~]")


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """`host` is a name or an address without brackets; `port` is 1 to 65535; `secure`: TLS. `unix` is the path of a
    Unix socket; host and port are empty then.
    """

    host: str
    port: int
    unix: str = ""
    secure: bool = False

    @property
    def url(self) -> str:
        """The canonical spelling: equal for equal endpoints."""
        if self.unix:
            return f"{UNIX}{self.unix}"
        return f"{'https' if self.secure else 'http'}://{self.authority}"

    @property
    def authority(self) -> str:
        """`host:port` as in a Host field (RFC 9110 §7.2); IPv6 in brackets. For a Unix socket `localhost`, as in nginx."""
        if self.unix:
            return "localhost"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_endpoint(url: str) -> Endpoint:
    """Return the endpoint that `url` names; raise Refusal (`endpoint_invalid`) naming value and remedy."""

    def invalid(why: str) -> Refusal:
        return Refusal(RefusalCode.ENDPOINT_INVALID, f"endpoint {masked_urls(url)!r} {why}; {EXAMPLE}")

    if url.startswith(UNIX):
        if wrong := unix_path_is_wrong(url.removeprefix(UNIX)):
            raise Refusal(RefusalCode.ENDPOINT_INVALID, f"endpoint {url!r} {wrong}")
        return Endpoint("", 0, url.removeprefix(UNIX))
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise invalid(f"is not a URL ({error})") from None
    if parts.scheme not in ("http", "https"):
        raise invalid(f"has the scheme {parts.scheme!r}, and only http and https are supported")
    if not host:
        raise invalid("has no host")
    if not _HOST.fullmatch(host):
        raise invalid(f"has the host {host!r}, which is neither a name nor an address")
    if "@" in parts.netloc:
        raise invalid("has user information, which would end up in logs and the journal")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise invalid("has a path: the client's own path is forwarded")
    if port == 0:
        raise invalid("has the port 0")
    secure = parts.scheme == "https"
    return Endpoint(host.lower(), port or (443 if secure else 80), secure=secure)


def unix_path_is_wrong(path: str) -> str | None:
    """Return why `path` cannot name a Unix socket, with the remedy; None if it can."""
    if len(path) > UNIX_PATH_BYTES_MAX:
        return (
            f"has a path of {len(path)} bytes, and a Unix socket's may have {UNIX_PATH_BYTES_MAX}; choose a shorter one"
        )
    if not _UNIX_PATH.fullmatch(path):
        return f"has no absolute path of visible ASCII characters; {UNIX_EXAMPLE}"
    return None


def parse_endpoints(urls: list[str]) -> tuple[Endpoint, ...]:
    """Return the endpoints of one target, sorted and distinct; raise Refusal for none or for more than 64."""
    found = tuple(sorted({parse_endpoint(url) for url in urls}))
    if not 1 <= len(found) <= 64:
        raise Refusal(RefusalCode.ENDPOINTS_COUNT, f"a version has 1 to 64 endpoints, not {len(found)}; {EXAMPLE}")
    return found
