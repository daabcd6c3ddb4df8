"""The sessions of browsers: begun with a token, valid for `admin.session_lifetime_s`, ended by signing out.

Every change with the cookie of a session needs its CSRF token. Cookies are SameSite=Strict besides.
"""

from __future__ import annotations

import hmac
import logging
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from aiohttp import web

from router.control.admin.sessions.ended_sessions import EndedSessions
from router.control.admin.sessions.signer import Session, SessionSigner
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.runtime import clock, secret_file
from router.settings.sections.admin import Token

log = logging.getLogger(__name__)
SECRET: Final = "sessions.key"
ENDED: Final = "sessions-ended.json"
CSRF_FIELD: Final = "X-CSRF-Token"
HOST_PREFIX: Final = "__Host-"
"""A browser takes a cookie of such a name over TLS only, for this host only: no other host of the domain can set it."""
AHEAD_MAX_S: Final = 300.0
"""A session that was begun so much later than now shows that the clock was wrong: it is over."""


class Sessions:
    """All sessions of this router; none is kept in memory but those that have ended early."""

    def __init__(self, secret: bytes = b"", ended: EndedSessions | None = None) -> None:
        self._signer = SessionSigner(secret or secrets.token_bytes(secret_file.SECRET_BYTES))
        self._ended = EndedSessions(None, 0.0) if ended is None else ended
        self._lifetime_s = 0.0

    def reconfigure(self, lifetime_s: float) -> None:
        """End sessions after `lifetime_s` from now on, also present ones."""
        self._lifetime_s = lifetime_s

    def find(self, request: web.Request, tokens: Sequence[Token]) -> tuple[Session, Token] | None:
        """Return the session of a request and its token, None without a cookie; raise Refusal 401 for a cookie that is not
        valid.
        """
        cookies = self._cookies(request)
        if not cookies:
            return None
        found = self._signer.verify(cookies.pop(), tokens) if len(cookies) == 1 else None
        if found is None:
            raise Refusal(RefusalCode.SESSION_INVALID, "the cookie of this session is not valid here; sign in again")
        session, now_s = found[0], clock.wall_s()
        over = not session.issued_s - AHEAD_MAX_S <= now_s < self.expires_s(session)
        if over or session.id in self._ended or session.issued_s < self._ended.not_before_s:
            raise Refusal(RefusalCode.SESSION_OVER, "this session is over; sign in again")
        return found

    def refuse_forged(self, request: web.Request, session: Session) -> None:
        """Raise Refusal 403 unless a change carries the CSRF token of its session."""
        given = request.headers.getall(CSRF_FIELD, [])
        if len(given) != 1 or not hmac.compare_digest(given[0].encode(errors="replace"), self.csrf(session).encode()):
            detail = f"a change with a session needs the field {CSRF_FIELD}, as GET /v1/session returns it in `csrf`"
            raise Refusal(RefusalCode.CSRF_INVALID, detail)

    def csrf(self, session: Session) -> str:
        """Return the CSRF token of a session."""
        return self._signer.csrf(session)

    def expires_s(self, session: Session) -> float:
        """Return when a session ends by itself (wall seconds)."""
        return session.issued_s + self._lifetime_s

    def begin(self, token: Token) -> tuple[Session, str]:
        """Return a new session and its cookie. The id is new, also if the browser had a session."""
        return self._signer.begin(token, max(clock.wall_s(), self._ended.not_before_s))

    def give(self, request: web.Request, response: web.Response, cookie: str) -> None:
        """Put the cookie of a session into the answer to `request`."""
        secure = is_secure(request)
        response.set_cookie(
            self._name(secure=secure),
            cookie,
            max_age=int(self._lifetime_s),
            path="/",
            httponly=True,
            secure=secure,
            samesite="Strict",
        )

    async def end(self, response: web.Response, session: Session | None) -> None:
        """End a session, if there is one, and remove the cookies of the browser."""
        if session is not None:
            await self._ended.add(session.id, self.expires_s(session), clock.wall_s())
        for secure in (True, False):
            response.del_cookie(self._name(secure=secure), path="/", httponly=True, secure=secure, samesite="Strict")

    def _name(self, *, secure: bool) -> str:
        return (HOST_PREFIX if secure else "") + self._signer.cookie

    def _cookies(self, request: web.Request) -> set[str]:
        """Return the values of this router's cookie. Two of them: another host of the domain may have set one.

        Over the TLS of this port only the name with HOST_PREFIX counts, which no other host can set.
        """
        names = {self._name(secure=True)} if request.secure else {self._name(secure=secure) for secure in (True, False)}
        pairs = (
            part.strip().partition("=") for field in request.headers.getall("Cookie", []) for part in field.split(";")
        )
        return {value for name, _, value in pairs if name in names}


def is_secure(request: web.Request) -> bool:
    """Return whether the browser uses TLS, to this port or to a proxy before it: then `Origin`, which it sets, has https."""
    return request.secure or request.headers.get("Origin", "").startswith("https://")


def opened(state_dir: Path) -> Sessions:
    """Return the sessions of a state directory; create its secret at the first start.

    A secret that cannot be used is replaced, so everyone signs in again. If none can be written, sessions end with control.
    """
    path, now_s = state_dir / SECRET, clock.wall_s()
    try:
        secret = _secret(path)
    except OSError as error:
        log.warning("%s: %s; sessions end with the next start of control", path, error.strerror)
        secret = b""
    return Sessions(secret, EndedSessions(state_dir / ENDED, now_s))


def _secret(path: Path) -> bytes:
    try:
        return secret_file.read(path)
    except FileNotFoundError:
        pass
    except ValueError as error:
        log.warning("%s %s: a new secret is made, and everyone has to sign in again", path, error)
    return secret_file.create(path, "the sessions of browsers")
