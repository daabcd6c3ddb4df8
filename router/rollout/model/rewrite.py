"""How requests to a version differ from the client's: another Host, another path prefix, further header fields.

Two versions may live on one server, which tells them apart by one of these (Triton, KServe, adapters). The same holds for
probes and cases. The fields stand in a file, because they may be credentials: only its path is journalled and shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from router.uri.path import with_prefix

FIELDS_BYTES_MAX: Final = 4096
"""Size of a headers file. The fields share the memory of a slot with the endpoints."""
FIELDS_MAX: Final = 32
_HOST: Final = re.compile(r"(?:[A-Za-z0-9._\-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::([1-9][0-9]{0,4}))?")
_PREFIX: Final = re.compile(r"/(?:[A-Za-z0-9._~!$&'()*+,;=:@/\-]|%[0-9A-Fa-f]{2})*")
_DOTS: Final = re.compile(r"/(?:\.|%2[Ee]){1,2}(?=/|\Z)")
_FIELD: Final = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}):[ \t]+([!-~](?:[ -~]*[!-~])?)[ \t]*")
REFUSED_FIELDS: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "http2-settings",
        "host",
        "content-length",
        "content-type",
        "content-encoding",
        "expect",
        "via",
        "max-forwards",
        "x-request-id",
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-real-ip",
        "x-served-version",
        "x-router-error",
    }
)
"""Fields of one hop, of the message's framing and body, and those that the router sets itself."""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """`host`: the Host of the requests; `path_prefix`: replaces the service's; `headers_file`: path of a file with further
    fields, which replace the client's. None: the client's.
    """

    host: str | None = None
    path_prefix: str | None = None
    headers_file: str | None = None

    @property
    def distinguishes(self) -> bool:
        """Whether a server can tell this version from another one by its requests."""
        return self != NO_REWRITE

    def as_dict(self) -> dict[str, str]:
        """Return the members that are set."""
        members = {"host": self.host, "path_prefix": self.path_prefix, "headers_file": self.headers_file}
        return {name: value for name, value in members.items() if value is not None}


NO_REWRITE: Final = Rewrite()


def from_dict(data: Mapping[str, Any]) -> Rewrite:
    """Return the rewrite in `data`; the inverse of `Rewrite.as_dict`."""
    return Rewrite(data.get("host"), data.get("path_prefix"), data.get("headers_file"))


@dataclass(frozen=True, slots=True)
class SentRewrite:
    """A rewrite with all that a request needs: `prefix` is the service's path prefix, `fields` those of the headers file."""

    prefix: str = "/"
    rewrite: Rewrite = NO_REWRITE
    fields: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def target(self, target: str) -> str:
        """Return the request target (path and query) to send."""
        new = self.rewrite.path_prefix
        return target if new is None else with_prefix(target.encode(), self.prefix.encode(), new.encode()).decode()

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Return the header fields to send."""
        own = [*self.fields, *([("Host", self.rewrite.host)] if self.rewrite.host is not None else [])]
        replaced = {name.lower().replace("_", "-") for name, _ in own}
        kept = {name: value for name, value in headers.items() if name.lower().replace("_", "-") not in replaced}
        return kept | dict(own)


AS_IT_IS: Final = SentRewrite()


def valid_host(value: str) -> str:
    """Return `value` if it can be a Host; raise ValueError with the right spelling."""
    found = _HOST.fullmatch(value)
    if found is None or int(found[1] or 1) > 65535:
        raise ValueError(
            f"{value!r} is no Host: write a name or an address, perhaps with a port, for example model-v8:80"
        )
    return value


def valid_prefix(value: str) -> str:
    """Return `value` if it can replace a path prefix; raise ValueError with the right spelling."""
    if not _PREFIX.fullmatch(value) or _DOTS.search(value) or "//" in value or len(value) > 1024:
        raise ValueError(
            f"{value!r} is no path prefix: write it as /v2/models/fraud-v8, without a query, empty segments, . and .."
        )
    return value


def parse_fields(text: str) -> tuple[tuple[str, str], ...]:
    """Return the (name, value) pairs of a headers file: a line each; empty lines and lines that begin with # are skipped.

    Raise ValueError that names the line, and never its value: it may be a secret.
    """
    if len(text.encode(errors="replace")) > FIELDS_BYTES_MAX:
        raise ValueError(f"it has more than {FIELDS_BYTES_MAX} bytes")
    found: list[tuple[str, str]] = []
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        field = _FIELD.fullmatch(line)
        if field is None:
            raise ValueError(f"line {number} is no header field: write it as Name: value, in visible ASCII on one line")
        name = field[1].lower()
        if name.replace("_", "-") in REFUSED_FIELDS:
            raise ValueError(f"line {number} sets {field[1]}, which belongs to the router or to one hop: remove it")
        if any(name == known.lower() for known, _ in found):
            raise ValueError(f"line {number} sets {field[1]} a second time: keep one")
        found.append((field[1], field[2]))
    if len(found) > FIELDS_MAX:
        raise ValueError(f"it has {len(found)} fields, and {FIELDS_MAX} are allowed")
    return tuple(found)
