"""The Dockerfile, without building it: its instructions, its files, and what it says of the router."""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final

import pytest

from router.settings.settings import Settings

ROOT: Final = Path(__file__).parent.parent.parent
DOCKERFILE: Final = ROOT / "deploy" / "Dockerfile"
INSTRUCTION: Final = re.compile(r"^([A-Z]+) ((?:.*\\\n)*.*)$", re.MULTILINE)


def instructions() -> list[tuple[str, str]]:
    """Return (instruction, its text) without comments, top to bottom."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)
    return [(found[1], found[2]) for found in INSTRUCTION.finditer(text)]


def image() -> dict[str, str]:
    """Return the instructions of the last stage, which is the image; of several, the last one."""
    listed = instructions()
    begins = max(index for index, (name, _) in enumerate(listed) if name == "FROM")
    return dict(listed[begins:])


@pytest.mark.skipif(platform.machine() != "x86_64", reason="hadolint has a package for x86-64 only")
def test_hadolint_has_no_complaint() -> None:
    program = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([str(program), str(DOCKERFILE)], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_image_begins_empty_and_runs_as_an_unprivileged_user() -> None:
    found = image()
    assert found["FROM"] == "scratch"
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", found["USER"]), "by number: Kubernetes checks runAsNonRoot by it"
    assert json.loads(found["ENTRYPOINT"]) == ["rollback-router"], "not through a shell, which would keep SIGTERM"
    assert found["STOPSIGNAL"] == "SIGTERM"


def test_the_health_check_asks_for_the_page_that_the_router_has() -> None:
    settings = Settings()
    assert f"http://127.0.0.1:{settings.listen.port}{settings.ready_path}" in image()["HEALTHCHECK"]
    assert image()["EXPOSE"].split() == [str(settings.listen.port), str(settings.admin_listen.port)]


def test_what_the_build_needs_is_not_ignored() -> None:
    """Docker's rule: the last line of .dockerignore that matches decides."""
    lines = (ROOT / ".dockerignore").read_text().split()

    def sent(path: str) -> bool:
        kept = True
        for line in lines:
            pattern = line.lstrip("!").removeprefix("**/")
            parts = Path(path).parts
            if any(
                fnmatch("/".join(parts[: end + 1]), pattern) or fnmatch(parts[end], pattern)
                for end in range(len(parts))
            ):
                kept = line.startswith("!")
        return kept

    document: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [
        *document["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"],
        *document["project"]["license-files"],
        *("pyproject.toml", "README.md", "router/__init__.py", "deploy/compile.py", "deploy/requirements-build.lock"),
        "deploy/requirements-extras.lock",
    ]
    assert [path for path in wanted if not sent(path)] == []
    assert [
        path for path in (".git/HEAD", ".venv/bin/python", "tests/steps.py", "router/__pycache__/a.pyc") if sent(path)
    ] == []


def test_each_package_is_installed_by_its_hash() -> None:
    run = [command for name, text in instructions() if name == "RUN" for command in text.split("&&")]
    from_index = [command for command in run if re.search(r"pip\b.* install ", command) and "/wheel/" not in command]
    assert len(from_index) == 2
    assert [command for command in from_index if "--require-hashes" not in command] == []
