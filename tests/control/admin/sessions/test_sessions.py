"""The files of sessions: a restart ends none, and a secret that cannot be used is replaced."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

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
