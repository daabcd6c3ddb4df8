"""Signs the cookies of sessions. A cookie holds all of its session, so a session outlives a restart of control.

    ID~ISSUED~NAME~SIGNATURE     NAME is that of the token, in base64url; ISSUED are wall seconds

The signature is an HMAC-SHA256 with the secret of the state directory. It covers the digest of the token, too: a session ends
when its token is removed or replaced. The CSRF token of a session is another HMAC over its id.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from router.settings.sections.admin import Token

_COOKIE: Final = re.compile(r"([A-Za-z0-9_\-]{22})~([0-9]{1,12})~([A-Za-z0-9_\-]{1,88})~([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Session:
    """One session: a random id, when it was begun (wall seconds), and the name of its token."""

    id: str
    issued_s: int
    name: str


class SessionSigner:
    """Makes and verifies cookies and CSRF tokens with one secret."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self.cookie = f"rollback-router-session-{self._mac('cookie name')[:8]}"
        """Name of the cookie. Cookies know no ports: the routers of one host each need a name of their own."""

    def begin(self, token: Token, now_s: float) -> tuple[Session, str]:
        """Return a new session of `token`, and its cookie."""
        session = Session(secrets.token_urlsafe(16), int(now_s), token.name)
        name = base64.urlsafe_b64encode(token.name.encode()).decode().rstrip("=")
        return session, f"{session.id}~{session.issued_s}~{name}~{self._signature(session, token)}"

    def verify(self, cookie: str, tokens: Iterable[Token]) -> tuple[Session, Token] | None:
        """Return the session of a cookie with its token; None if the cookie is not ours, or its token is no more."""
        found = _COOKIE.fullmatch(cookie)
        if found is None or (name := _decoded(found[3])) is None:
            return None
        session = Session(found[1], int(found[2]), name)
        signed = [
            token
            for token in tokens
            if hmac.compare_digest(self._signature(session, token).encode(), found[4].encode())
        ]
        return (session, signed[0]) if signed and signed[0].name == name else None

    def csrf(self, session: Session) -> str:
        """Return the CSRF token of a session."""
        return self._mac(f"csrf\n{session.id}")

    def _signature(self, session: Session, token: Token) -> str:
        return self._mac(f"session 1\n{session.id}\n{session.issued_s}\n{session.name}\n{token.sha256}")

    def _mac(self, text: str) -> str:
        return hmac.new(self._secret, f"rollback-router {text}".encode(), hashlib.sha256).hexdigest()


def _decoded(text: str) -> str | None:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
