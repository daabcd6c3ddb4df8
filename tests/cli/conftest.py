from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from router.cli.app import main
from tests.cli.fake_admin import FakeAdmin, status

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def admin() -> Iterator[FakeAdmin]:
    """A router with one service, `default`."""
    with FakeAdmin().answer("GET", "/v1/status", status()) as fake:
        yield fake


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command; return exit code, stdout and stderr. The environment names the same router, so hints need no --admin."""
    for name in ("ADMIN_URL", "TOKEN"):
        monkeypatch.delenv(f"ROLLBACK_ROUTER_{name}", raising=False)

    def run(*words: str) -> tuple[int, str, str]:
        if "--admin" in words:
            monkeypatch.setenv("ROLLBACK_ROUTER_ADMIN_URL", words[words.index("--admin") + 1])
        code = main(words)
        out, err = capsys.readouterr()
        assert not re.search("[ \t]$", out, re.MULTILINE), out
        return code, out, err

    return run
