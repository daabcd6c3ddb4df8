"""The routes of sessions: sign in with a token, see who one is, sign out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from aiohttp import web
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from router.control.admin import json_text
from router.control.admin.auth import Principal
from router.control.admin.operation import Call, Operation, document_answer, read_body
from router.control.admin.sessions.sessions import Sessions
from router.runtime import clock
from router.runtime.printable import printable
from router.settings.sections.admin import Role


def _one_line(value: str) -> str:
    if printable(value.strip()) != value.strip():
        raise ValueError("holds a control character")
    return value.strip()


class SignIn(BaseModel):
    """The token to sign in with."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    token: Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_one_line)]


class SessionDocument(TypedDict):
    """The caller."""

    name: str
    """Name of the token, or of the person whom the proxy names; `local` without tokens."""
    role: Role
    how: Literal["open", "token", "session", "identity"]
    """`open`: there are no tokens, and every caller is an admin; `session`: signed in; `identity`: named by a proxy."""
    csrf: str | None
    """With `session`: the value of the field `X-CSRF-Token`, which every change needs."""
    expires_at: str | None
    """When the session ends by itself."""


class SignedOut(TypedDict):
    """The answer to signing out."""

    signed_out: bool
    """Whether there was a session."""


def operations(sessions: Sessions) -> Iterable[Operation]:
    """Return the routes of these sessions."""

    def document(principal: Principal) -> SessionDocument:
        session = principal.session
        return {
            "name": principal.name,
            "role": principal.role,
            "how": principal.how,
            "csrf": sessions.csrf(session) if session is not None else None,
            "expires_at": clock.iso(sessions.expires_s(session)) if session is not None else None,
        }

    async def sign_in(call: Call) -> web.Response:
        raw = await read_body(call.request, call.access_policy.body_bytes_max)
        token = call.access_policy.token(json_text.parse(raw, SignIn).token)
        if token is None:
            return document_answer(document(call.principal))
        session, cookie = sessions.begin(token)
        response = document_answer(document(Principal(token.name, token.role, how="session", session=session)))
        sessions.give(call.request, response, cookie)
        return response

    async def who(call: Call) -> SessionDocument:
        return document(call.principal)

    async def sign_out(call: Call) -> web.Response:
        session = call.principal.session
        done: SignedOut = {"signed_out": session is not None}
        response = document_answer(done)
        await sessions.end(response, session)
        return response

    path = "/v1/session"
    return (
        Operation(
            "GET", path, who, "The caller: name, role, and how it is known", name="getSession", answer=SessionDocument
        ),
        Operation(
            "POST",
            path,
            sign_in,
            "Sign in with a token: the answer sets the cookie of a session",
            role=None,
            takes=SignIn,
            name="beginSession",
            answer=SessionDocument,
        ),
        Operation("DELETE", path, sign_out, "Sign out: end the session", name="endSession", answer=SignedOut),
    )
