"""A real bash completes words by the script that it is given."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.cli.test_candidates import known

_ASK = """
eval "$(rollback-router completion bash)"
COMP_LINE="$1"
COMP_POINT=${#COMP_LINE}
complete -p rollback-router >/dev/null && _rollback_router rollback-router
printf '%s\\n' "${COMPREPLY[@]}"
"""


def bash(line: str, admin: str, folder: Path) -> list[str]:
    """Return what bash proposes for a line."""
    (folder / "rollback-router").write_text(f'#!/bin/sh\nexec {sys.executable} -m router "$@"\n')
    (folder / "rollback-router").chmod(0o755)
    environment = {"PATH": f"{folder}:/usr/bin:/bin", "ROLLBACK_ROUTER_ADMIN_URL": admin}
    done = subprocess.run(
        ["bash", "--norc", "-c", _ASK, "bash", line],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout.split("\n")[:-1]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("rollback-router promote ", ["a:v8"]),
        ("rollback-router promote a:", ["v8"]),  # bash replaces what stands behind the colon
        ("rollback-router status --service=", ["a", "b"]),
        ("rollback-router endpoints --service b ", ["'b v1'"]),
        ("rollback-router deploy ", [""]),
    ],
)
def test_bash_completes(line: str, words: list[str], tmp_path: Path) -> None:
    with known() as admin:
        assert bash(line, admin.url, tmp_path) == words


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_is_silent_without_a_router(tmp_path: Path) -> None:
    assert bash("rollback-router promote ", "http://127.0.0.1:1", tmp_path) == [""]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_is_valid(command: Command, shell: str, tmp_path: Path) -> None:
    code, out, _ = command("completion", shell)
    assert (code, "rollback-router complete" in out or '" complete' in out) == (0, True)
    if shutil.which(shell):
        (tmp_path / "script").write_text(out)
        assert subprocess.run([shell, "-n", str(tmp_path / "script")], check=False).returncode == 0


def test_paths_are_told_by_the_exit_code(command: Command) -> None:
    assert command("complete", "bash", "rollback-router config check --config ") == (3, "", "")
