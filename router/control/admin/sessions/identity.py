"""Callers whom an authenticating proxy names in a header field (`[admin.identity]`).

The field counts only from the addresses of `trusted` and, if a secret is configured, with that secret. From anywhere else it is
refused, not ignored: a proxy that is missing in the settings shows itself by an error that names it.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.settings.sections.admin import RANKS, PersonIdentity, Role

_NAME: Final = re.compile(r"[A-Za-z0-9._@+\-]{1,64}")
UNIX: Final = "unix"


@dataclass(frozen=True, slots=True)
class Caller:
    """The person whom the proxy names."""

    name: str
    role: Role


class IdentityProxy:
    """The settings of the proxy, prepared for use at each request."""

    def __init__(self, settings: PersonIdentity) -> None:
        self._settings = settings
        self._networks = [ipaddress.ip_network(member) for member in settings.trusted if member != UNIX]

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the fields; each may appear only once."""
        settings = self._settings
        named = (settings.header, settings.groups_header, settings.secret_header)
        return tuple(filter(None, named)) if settings.is_on else ()

    def caller(self, request: web.Request) -> Caller | None:
        """Return the person that a request names, None if it names none; raise Refusal if it may not."""
        settings = self._settings
        if not settings.is_on or (name := request.headers.get(settings.header)) is None:
            return None
        self._refuse_untrusted(request, settings.header)
        if not _NAME.fullmatch(name.strip()):
            detail = f"{settings.header} holds no name: 1 to 64 letters, digits and . _ @ + -"
            raise Refusal(RefusalCode.IDENTITY_INVALID, detail)
        return Caller(name.strip(), self._role(request, name.strip()))

    def _refuse_untrusted(self, request: web.Request, header: str) -> None:
        if not self._is_trusted(request):
            detail = f"{header} came from {request.remote or 'a Unix socket'}, which is not in admin.identity.trusted"
            raise Refusal(RefusalCode.IDENTITY_UNTRUSTED, detail)
        settings = self._settings
        if settings.sha256 is None or settings.secret_header is None:
            return
        given = request.headers.get(settings.secret_header, "").encode(errors="surrogateescape")
        if not hmac.compare_digest(hashlib.sha256(given).hexdigest(), settings.sha256):
            detail = f"{header} came without the secret of the proxy in {settings.secret_header}"
            raise Refusal(RefusalCode.IDENTITY_UNTRUSTED, detail)

    def _is_trusted(self, request: web.Request) -> bool:
        """Return whether the peer of the connection is the proxy. Forwarded fields say nothing about it."""
        peer = request.transport.get_extra_info("peername") if request.transport is not None else None
        if not isinstance(peer, tuple):
            return peer is not None and UNIX in self._settings.trusted
        address = ipaddress.ip_address(str(peer[0]).partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self._networks)

    def _role(self, request: web.Request, name: str) -> Role:
        """Return the highest role of the caller's groups, at least `role`; raise Refusal 403 if there is none."""
        settings = self._settings
        given = request.headers.get(settings.groups_header, "") if settings.groups_header else ""
        groups = {group.strip() for group in given.split(",")}
        roles = [role for group, role in settings.roles.items() if group in groups]
        if settings.role != "none":
            roles.append(settings.role)
        if not roles:
            raise Refusal(RefusalCode.ROLE_INSUFFICIENT, f"{name} is in no group of admin.identity.roles")
        return max(roles, key=RANKS.__getitem__)
