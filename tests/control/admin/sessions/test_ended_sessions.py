"""Signed-out sessions stay ended: over restarts, beyond the limit, with a damaged file, while the disk hangs."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from router.control.admin.sessions import ended_sessions
from router.control.admin.sessions.ended_sessions import EndedSessions
from router.runtime import secret_file


async def test_an_ended_session_is_ended_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "ended.json"
    ended = EndedSessions(path, 0.0)
    await ended.add("a", 100.0, 10.0)
    assert "a" in EndedSessions(path, 50.0)
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(EndedSessions(path, 101.0)) == 0  # its cookie is over by itself


async def test_beyond_the_limit_every_session_ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(ended_sessions, "ENDED_MAX", 2)
    ended = EndedSessions(tmp_path / "ended.json", 0.0)
    for name in ("a", "b", "c"):
        await ended.add(name, 100.0, 10.0)
    assert (len(ended), ended.not_before_s, "c" in ended) == (1, 11, True)
    assert EndedSessions(tmp_path / "ended.json", 50.0).not_before_s == 11


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"ended": {"a": 1}}', b'{"not_before_s": 1, "ended": [1]}'])
async def test_with_a_damaged_file_every_session_ends(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "ended.json").write_bytes(content)
    assert EndedSessions(tmp_path / "ended.json", 50.0).not_before_s == 51


async def test_a_hung_disk_keeps_no_one_signed_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    free = threading.Event()
    monkeypatch.setattr(ended_sessions, "WRITE_TIMEOUT_S", 0.05)
    monkeypatch.setattr(secret_file, "replace_file", lambda path, content: free.wait(10))
    ended = EndedSessions(tmp_path / "ended.json", 0.0)
    for name in ("a", "b"):
        await ended.add(name, 100.0, 10.0)
    assert ("a" in ended, "b" in ended) == (True, True)
    free.set()


async def test_a_full_disk_keeps_no_one_signed_in(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ended = EndedSessions(tmp_path / "nowhere" / "ended.json", 0.0)
    await ended.add("a", 100.0, 10.0)
    assert "a" in ended
    assert "is not kept in" in caplog.text


async def test_a_limit_that_a_wrong_clock_wrote_does_not_last(tmp_path: Path) -> None:
    (tmp_path / "ended.json").write_bytes(b'{"not_before_s": 9000, "ended": {}}')
    assert EndedSessions(tmp_path / "ended.json", 50.0).not_before_s == 51
