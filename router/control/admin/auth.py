"""Access to the admin port: Host allow-list (DNS rebinding), Origin check (CSRF), bearer tokens with roles.

Allowed hosts are localhost, the listening address and `admin.allowed_hosts`, with any port (a port-forward changes it). If
the port listens on more than loopback, every literal address is allowed, too: a rebound name is never a literal address, and
scrapers call pods by address.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

from aiohttp import web

from router.control.admin.attempts import CredentialAttempts
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.runtime import clock
from router.settings.settings import Settings
from router.uri.authority import comparable, host_of

Role = Literal["viewer", "operator", "admin"]
RANKS: Final[dict[Role, int]] = {"viewer": 0, "operator": 1, "admin": 2}
_SAFE_METHODS: Final = ("GET", "HEAD")
_ONCE: Final = ("Authorization", "Content-Encoding", "Idempotency-Key")
"""Fields that may appear only once: of two values, a proxy before this port might use one, and this port the other."""
_UNSPECIFIED: Final = ipaddress.ip_address("0.0.0.0")


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller. `name` is the name of the token. Without tokens every caller is `local` and has the role admin."""

    name: str
    role: Role
    by_token: bool

    def actor(self, claimed: str | None) -> str:
        """Return the actor to journal: the token's name, or without a token the `claimed` one."""
        return self.name if self.by_token or claimed is None else claimed


LOCAL: Final = Principal("local", "admin", by_token=False)


class AccessPolicy:
    """The rules of access, prepared from the settings for use at each request."""

    def __init__(self, settings: Settings) -> None:
        self.attempts = CredentialAttempts()
        self.reconfigure(settings)

    def reconfigure(self, settings: Settings) -> None:
        """Apply other settings (SIGHUP) from the next request on."""
        # A Unix socket has no host; curl and nginx send localhost.
        own = comparable(settings.admin_listen.host) or "localhost"
        self.body_bytes_max = settings.admin.body_bytes_max
        self._tokens = settings.admin.tokens
        self._hosts = {"localhost", own, *filter(None, map(_host_of, settings.admin.allowed_hosts))}
        if settings.admin.public_url:
            self._hosts.add(_host_of(urlsplit(settings.admin.public_url).netloc) or own)
        self._origins = set(settings.admin.allowed_origins)
        self._only_loopback = own == "localhost" or (_address(own) or _UNSPECIFIED).is_loopback

    def check_origin(self, request: web.Request) -> None:
        """Raise Refusal 421 for a foreign Host (RFC 9110 §15.5.20), 403 for a foreign Origin, 400 for a repeated field."""
        hosts = request.headers.getall("Host", [])
        if len(hosts) != 1 or not self._host_allowed(hosts[0]):
            raise Refusal(
                RefusalCode.HOST_NOT_ALLOWED,
                "this Host is not allowed; use the address of the admin port, or add the host to admin.allowed_hosts",
            )
        if repeated := next((name for name in _ONCE if len(request.headers.getall(name, [])) > 1), None):
            raise Refusal(RefusalCode.FIELD_REPEATED, f"{repeated} is given more than once")
        if not all(self._origin_allowed(origin) for origin in request.headers.getall("Origin", [])):
            raise Refusal(
                RefusalCode.ORIGIN_NOT_ALLOWED,
                "this Origin may not call the admin API; add it to admin.allowed_origins",
            )
        if request.method not in _SAFE_METHODS and request.headers.get("Sec-Fetch-Site") == "cross-site":
            if "Origin" not in request.headers:
                raise Refusal(RefusalCode.ORIGIN_NOT_ALLOWED, "a change requested by another site's page is refused")

    def throttle(self, request: web.Request, refusal: Refusal) -> Refusal:
        """Return the refusal to send: a 429 if the credentials were wrong and the address has sent too many wrong ones."""
        return self.attempts.throttle(request.remote, refusal, clock.now_s())

    def authenticate(self, request: web.Request) -> Principal:
        """Return the caller; raise Refusal 401 if tokens are configured and the request has no valid one."""
        if not self._tokens:
            return LOCAL
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Refusal(RefusalCode.TOKEN_MISSING, "send Authorization: Bearer TOKEN")
        digest = hashlib.sha256(token.strip().encode(errors="surrogateescape")).hexdigest()
        # Every token is compared, each in constant time: timing shows neither which token nor how much of it matched.
        matches = [known for known in self._tokens if hmac.compare_digest(known.sha256, digest)]
        if not matches:
            raise Refusal(RefusalCode.TOKEN_INVALID, "this token is not one of admin.tokens")
        return Principal(matches[0].name, matches[0].role, by_token=True)

    def authorize(self, request: web.Request, role: Role) -> Principal:
        """Return the caller; raise Refusal 401 without a valid token, 403 if the role of the token is too low."""
        principal = self.authenticate(request)
        if RANKS[principal.role] < RANKS[role]:
            detail = f"token {principal.name!r} has the role {principal.role}; this needs {role}"
            raise Refusal(RefusalCode.ROLE_INSUFFICIENT, detail)
        return principal

    def _host_allowed(self, host: str) -> bool:
        name = _host_of(host)
        if name is None:
            return False
        if name in self._hosts:
            return True
        address = _address(name)
        return address is not None and (address.is_loopback or not self._only_loopback)

    def _origin_allowed(self, origin: str) -> bool:
        if origin in self._origins:
            return True
        scheme, separator, host = origin.partition("://")
        return scheme in ("http", "https") and bool(separator) and self._host_allowed(host)


def _host_of(authority: str) -> str | None:
    """Return the host of an authority in the form for comparison; None if it is malformed."""
    host = host_of(authority.encode("utf-8", "surrogateescape"))
    return None if host is None else host.decode()


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
