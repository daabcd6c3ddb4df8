"""Access to the admin port: Host allow-list (DNS rebinding), Origin check (CSRF); tokens, sessions and identities with roles.

A caller is known by, in this order: its bearer token, its session (the cookie of a browser that has signed in), the name that
an authenticating proxy gives. A browser sends the latter two by itself, so a change by them must show that a page of this
origin has sent it: a session by its CSRF token, an identity by `Origin` or `Sec-Fetch-Site`.

No change comes from a page of another origin, also where there are no tokens. A page of another port of the same host is one:
the data port serves what a backend sends, and the backend may be the version that failed.

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
from router.control.admin.sessions.identity import IdentityProxy
from router.control.admin.sessions.sessions import Sessions
from router.control.admin.sessions.signer import Session
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.runtime import clock
from router.settings.sections.admin import RANKS, Role, Token
from router.settings.settings import Settings
from router.uri.authority import comparable, host_of, origin_of

How = Literal["open", "token", "session", "identity"]
_SAFE_METHODS: Final = ("GET", "HEAD")
_ONCE: Final = ("Authorization", "Content-Encoding", "Idempotency-Key", "X-CSRF-Token")
"""Fields that may appear only once: of two values, a proxy before this port might use one, and this port the other."""
_UNSPECIFIED: Final = ipaddress.ip_address("0.0.0.0")


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller. `name` is the name of the token, or of the person whom a proxy names. `how` it is known: `open` if every
    caller is an admin; then it is `local`. `session`: with `how` session.
    """

    name: str
    role: Role
    how: How = "token"
    session: Session | None = None

    @property
    def authenticated(self) -> bool:
        """Whether the name was proven."""
        return self.how != "open"

    def actor(self, claimed: str | None) -> str:
        """Return the actor to journal: the proven name, else the `claimed` one."""
        return self.name if self.authenticated or claimed is None else claimed


LOCAL: Final = Principal("local", "admin", how="open")


class AccessPolicy:
    """The rules of access, prepared from the settings for use at each request."""

    def __init__(self, settings: Settings, sessions: Sessions) -> None:
        self.attempts = CredentialAttempts()
        self._sessions = sessions
        self.reconfigure(settings)

    def reconfigure(self, settings: Settings) -> None:
        """Apply other settings (SIGHUP) from the next request on."""
        # A Unix socket has no host; curl and nginx send localhost.
        own = comparable(settings.admin_listen.host) or "localhost"
        self.body_bytes_max = settings.admin.body_bytes_max
        self._open = settings.admin.is_open
        self._tokens = settings.admin.tokens
        self._identity = IdentityProxy(settings.admin.identity)
        self._sessions.reconfigure(settings.admin.session_lifetime_s)
        self._once = (*_ONCE, *self._identity.fields)
        self._hosts = {"localhost", own, *filter(None, map(_host_of, settings.admin.allowed_hosts))}
        self._origins = set(settings.admin.allowed_origins)
        if settings.admin.public_url:
            public = urlsplit(settings.admin.public_url)
            self._hosts.add(_host_of(public.netloc) or own)
            self._origins.add(origin_of(public.scheme, public.netloc))
        self._only_loopback = own == "localhost" or (_address(own) or _UNSPECIFIED).is_loopback

    def check_origin(self, request: web.Request) -> None:
        """Raise Refusal 421 for a foreign Host (RFC 9110 §15.5.20), 403 for a foreign Origin, 400 for a repeated field."""
        hosts = request.headers.getall("Host", [])
        if len(hosts) != 1 or not self._host_allowed(hosts[0]):
            raise Refusal(
                RefusalCode.HOST_NOT_ALLOWED,
                "this Host is not allowed; use the address of the admin port, or add the host to admin.allowed_hosts",
            )
        if repeated := next((name for name in self._once if len(request.headers.getall(name, [])) > 1), None):
            raise Refusal(RefusalCode.FIELD_REPEATED, f"{repeated} is given more than once")
        if not all(self._origin_allowed(origin) for origin in request.headers.getall("Origin", [])):
            raise Refusal(
                RefusalCode.ORIGIN_NOT_ALLOWED,
                "this Origin may not call the admin API; add it to admin.allowed_origins",
            )
        if request.method not in _SAFE_METHODS and self._is_of_another_page(request):
            detail = (
                "a change that a page of another origin requests is refused; add the origin to admin.allowed_origins"
            )
            raise Refusal(RefusalCode.ORIGIN_NOT_ALLOWED, detail)

    def throttle(self, request: web.Request, refusal: Refusal) -> Refusal:
        """Return the refusal to send: a 429 if the credentials were wrong and the address has sent too many wrong ones."""
        return self.attempts.throttle(request.remote, refusal, clock.now_s())

    def authenticate(self, request: web.Request) -> Principal:
        """Return the caller; raise Refusal 401 if callers must be known and this one is not, 403 for a forged change."""
        if self._open:
            return LOCAL
        scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            if not secret or (token := self.token(secret)) is None:
                raise _missing()
            return Principal(token.name, token.role)
        try:
            signed_in = self._sessions.find(request, self._tokens)
        except Refusal:
            if (principal := self._named_by_proxy(request)) is not None:
                return principal  # the cookie of an old session is no hindrance
            raise
        if signed_in is not None:
            session, token = signed_in
            if request.method not in _SAFE_METHODS:
                self._sessions.refuse_forged(request, session)
            return Principal(token.name, token.role, "session", session)
        if (principal := self._named_by_proxy(request)) is None:
            raise _missing()
        return principal

    def token(self, secret: str) -> Token | None:
        """Return the token with this secret, None if every caller is an admin; raise Refusal 401 for a wrong one."""
        if self._open:
            return None
        digest = hashlib.sha256(secret.strip().encode(errors="surrogateescape")).hexdigest()
        # Every token is compared, each in constant time: timing shows neither which token nor how much of it matched.
        matches = [known for known in self._tokens if hmac.compare_digest(known.sha256, digest)]
        if not matches:
            raise Refusal(RefusalCode.TOKEN_INVALID, "this token is not one of admin.tokens")
        return matches[0]

    def _named_by_proxy(self, request: web.Request) -> Principal | None:
        caller = self._identity.caller(request)
        if caller is None:
            return None
        if request.method not in _SAFE_METHODS and not self._is_same_origin(request):
            detail = (
                "a change by a person whom a proxy names needs an Origin of this API, or Sec-Fetch-Site: same-origin"
            )
            raise Refusal(RefusalCode.CSRF_INVALID, detail)
        return Principal(caller.name, caller.role, "identity")

    def _is_of_another_page(self, request: web.Request) -> bool:
        """Return whether a browser sends the request for a page that is neither of this API nor of an allowed origin. `none` is
        a request of the browser's user; a program sends neither field.
        """
        by_a_page = "Origin" in request.headers or request.headers.get("Sec-Fetch-Site", "none") != "none"
        return by_a_page and not self._is_same_origin(request)

    def _is_same_origin(self, request: web.Request) -> bool:
        """Return whether the request shows that a page of this API, or of an allowed origin, has sent it."""
        origin = request.headers.get("Origin")
        if origin in self._origins:
            return True
        if (site := request.headers.get("Sec-Fetch-Site")) is not None:
            return site == "same-origin"
        if origin is None:
            return False
        scheme, _, authority = origin.partition("://")
        return origin_of(scheme, authority) == origin_of(scheme, request.headers["Host"])

    def authorize(self, request: web.Request, role: Role) -> Principal:
        """Return the caller; raise Refusal 401 for one that is not known, 403 if its role is too low, or for a forged change."""
        principal = self.authenticate(request)
        if RANKS[principal.role] < RANKS[role]:
            what = "person" if principal.how == "identity" else "token"
            detail = f"{what} {principal.name!r} has the role {principal.role}; this needs {role}"
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


def _missing() -> Refusal:
    return Refusal(RefusalCode.TOKEN_MISSING, "send Authorization: Bearer TOKEN")


def _host_of(authority: str) -> str | None:
    """Return the host of an authority in the form for comparison; None if it is malformed."""
    host = host_of(authority.encode("utf-8", "surrogateescape"))
    return None if host is None else host.decode()


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
