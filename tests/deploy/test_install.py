"""The installations that the pages show, in a fresh checkout and in fresh environments."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.documents import elsewhere

ROOT: Final = Path(__file__).parent.parent.parent
INSTALL: Final = ROOT / "docs/operations/install.md"
SECURITY: Final = ROOT / "docs/operations/security.md"
pytestmark = [pytest.mark.nightly, pytest.mark.timeout(3600)]
STEP_S: Final = 1800


class Fresh:
    """A checkout, and an environment whose `pip` and programs come first."""

    def __init__(self, folder: Path) -> None:
        self._checkout = folder / "checkout"
        self._programs = folder / "venv" / "bin"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(self._checkout)], check=True, timeout=120)
        subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True, timeout=120)

    def run(self, command: str, **variables: str) -> str:
        """Return what a command prints, which has to end with 0."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("ROLLBACK_ROUTER_", "PYTHON"))
        }
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self._checkout,
            env=kept | {"PATH": f"{self._programs}:{os.environ['PATH']}"} | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=STEP_S,
        )
        assert done.returncode == 0, f"{command}: {done.stdout[-3000:]}"
        return done.stdout


@pytest.fixture
def fresh(tmp_path: Path) -> Fresh:
    return Fresh(tmp_path)


IMPORTED: Final = {"[schema]": "jsonschema_rs", "[apprise]": "apprise", "[otel]": "opentelemetry.sdk"}


def test_pip_installs_the_router(fresh: Fresh) -> None:
    plain, *extras = [
        command for command in elsewhere.shown(INSTALL) if command.startswith(("pip install .", 'pip install ".'))
    ]
    fresh.run(plain, ROLLBACK_ROUTER_COMPILED="1")
    assert "rollback-router" in fresh.run("rollback-router --version")
    flavour = 'python -P -c "from router.runtime import build; print(build.flavour())"'
    assert fresh.run(flavour) == "compiled\n"
    assert [command.partition("[")[2] for command in extras] == [f'{name[1:]}"' for name in IMPORTED]
    for command, module in zip(extras, IMPORTED.values(), strict=True):
        fresh.run(command, ROLLBACK_ROUTER_PURE="1")
        fresh.run(f'python -P -c "import {module}"')
    assert fresh.run(flavour) == "pure Python\n"


def test_pip_installs_the_locked_versions(fresh: Fresh) -> None:
    commands = [command for command in elsewhere.shown(INSTALL) if command.startswith("pip install --")]
    assert len(commands) == 2
    for command in commands:
        fresh.run(command, ROLLBACK_ROUTER_PURE="1")  # the compiled build takes minutes, and is that of the test above
    assert "rollback-router" in fresh.run("rollback-router --version")
    assert fresh.run("pip check") == "No broken requirements found.\n"


def test_pip_audit_reads_the_locks(fresh: Fresh) -> None:
    """It reads each line of the locks, and would ask for it: the databases of vulnerabilities are on the network."""
    install, audit = [command for command in elsewhere.shown(SECURITY) if "pip-audit" in command]
    fresh.run(install)
    assert "would have audited" in fresh.run(f"{audit} --dry-run")
