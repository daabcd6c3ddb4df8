"""Cookies of sessions: signed, bound to their token, and nothing else is accepted."""

from __future__ import annotations

import pytest

from router.control.admin.sessions.signer import SessionSigner
from tests.control.conftest import token

SIGNER = SessionSigner(b"k" * 32)
OPS, OTHER = token("ops@example.com", "operator"), token("eve", "viewer")
SESSION, COOKIE = SIGNER.begin(OPS, 1_000.9)


def test_a_cookie_holds_its_session() -> None:
    assert SIGNER.verify(COOKIE, [OTHER, OPS]) == (SESSION, OPS)
    assert (SESSION.issued_s, SESSION.name) == (1000, "ops@example.com")


def test_no_two_sessions_are_alike() -> None:
    sessions = [SIGNER.begin(OPS, 1_000.0)[0] for _ in range(3)]
    assert len({session.id for session in sessions}) == len({SIGNER.csrf(session) for session in sessions}) == 3


@pytest.mark.parametrize(
    "cookie",
    [
        "",
        COOKIE[:-1],
        COOKIE[:-1] + ("0" if COOKIE[-1] != "0" else "1"),
        COOKIE.replace("~1000~", "~9000~"),
        COOKIE.replace(SESSION.id, "A" * 22),
        "~".join([*COOKIE.split("~")[:2], "ZXZl", COOKIE.split("~")[3]]),
        "~".join([*COOKIE.split("~")[:2], "____", COOKIE.split("~")[3]]),
        COOKIE + "~x",
        COOKIE.upper(),
        "é" * 100,
        "x" * 8000,
    ],
    ids=[
        "none",
        "cut",
        "altered",
        "later",
        "another id",
        "another name",
        "no name",
        "longer",
        "upper case",
        "no ASCII",
        "long",
    ],
)
def test_another_cookie_is_not_ours(cookie: str) -> None:
    assert SIGNER.verify(cookie, [OTHER, OPS]) is None


def test_a_session_ends_with_its_token() -> None:
    replaced = OPS.model_copy(update={"sha256": "0" * 64})
    assert SIGNER.verify(COOKIE, [OTHER]) is None
    assert SIGNER.verify(COOKIE, [replaced]) is None
    promoted = OPS.model_copy(update={"role": "admin"})
    assert SIGNER.verify(COOKIE, [promoted]) == (SESSION, promoted)


def test_another_router_has_another_cookie() -> None:
    other = SessionSigner(b"x" * 32)
    assert other.verify(COOKIE, [OPS]) is None
    assert other.cookie != SIGNER.cookie
