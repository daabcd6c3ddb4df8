from __future__ import annotations

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
    """Run a command; return exit code, stdout and stderr."""
    for name in ("ADMIN_URL", "TOKEN"):
        monkeypatch.delenv(f"ROLLBACK_ROUTER_{name}", raising=False)

    def run(*words: str) -> tuple[int, str, str]:
        code = main(words)
        out, err = capsys.readouterr()
        return code, "".join(line.rstrip() + "\n" for line in out.splitlines()), err

    return run
