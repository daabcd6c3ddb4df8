"""The files of sessions: a restart ends none, and a secret that cannot be used is replaced."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import pytest
from aiohttp.test_utils import make_mocked_request

from router.control.admin.sessions.sessions import ENDED, SECRET, Sessions, opened
from router.settings.sections.admin import Admin
from tests.control.conftest import token
from tests.texts import golden

TOKENS = Admin(tokens=[token("eve", "viewer"), token("ops", "operator")])


def test_a_session_outlives_control_by_its_secret(tmp_path: Path) -> None:
    first, second = opened(tmp_path), opened(tmp_path)
    session, cookie = first._signer.begin(TOKENS.tokens[0], 1.0)
    assert second._signer.verify(cookie, TOKENS.tokens) == (session, TOKENS.tokens[0])
    assert (tmp_path / SECRET).stat().st_mode & 0o777 == 0o600


def test_a_damaged_secret_is_replaced(tmp_path: Path) -> None:
    (tmp_path / SECRET).write_bytes(b"short")
    _, cookie = opened(tmp_path)._signer.begin(TOKENS.tokens[0], 1.0)
    assert len((tmp_path / SECRET).read_bytes()) == 32
    assert opened(tmp_path)._signer.verify(cookie, TOKENS.tokens) is not None


def test_a_secret_in_another_place_is_not_followed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "elsewhere").write_bytes(b"k" * 32)
    os.symlink(tmp_path / "elsewhere", tmp_path / SECRET)
    _, cookie = opened(tmp_path)._signer.begin(TOKENS.tokens[0], 1.0)
    assert opened(tmp_path)._signer.verify(cookie, TOKENS.tokens) is None
    assert golden("sessions.not_kept") in caplog.text


def test_the_names_of_the_files(tmp_path: Path) -> None:
    opened(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [SECRET]
    assert ENDED == "sessions-ended.json"
    assert Sessions()._signer.cookie != Sessions()._signer.cookie


def test_a_session_begun_in_the_second_of_the_limit_is_valid(tmp_path: Path) -> None:
    """A damaged file ends the sessions of before, not the first one after."""
    (tmp_path / ENDED).write_bytes(b"damaged")
    sessions = opened(tmp_path)
    sessions.reconfigure(100.0)
    session, cookie = sessions.begin(TOKENS.tokens[0])
    fields = {"Cookie": f"{sessions._signer.cookie}={cookie}"}
    assert sessions.find(make_mocked_request("GET", "/", fields), TOKENS.tokens) == (session, TOKENS.tokens[0])


def test_over_tls_a_cookie_that_another_host_can_set_does_not_count() -> None:
    sessions = Sessions()
    sessions.reconfigure(100.0)
    _, planted = sessions.begin(TOKENS.tokens[0])
    session, own = sessions.begin(TOKENS.tokens[1])
    name = sessions._signer.cookie

    def find(cookies: str) -> object:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return sessions.find(make_mocked_request("GET", "/", {"Cookie": cookies}, sslcontext=tls), TOKENS.tokens)

    assert find(f"{name}={planted}") is None
    assert find(f"{name}={planted}; __Host-{name}={own}") == (session, TOKENS.tokens[1])
