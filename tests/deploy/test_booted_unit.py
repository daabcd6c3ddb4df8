"""The systemd unit under a systemd that has booted: the page's commands, a restart and a stop, inside of its sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.deploy.machine import Machine, with_router
from tests.documents import elsewhere
from tests.waiting import until

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(3600)]
ROOT: Final = Path(__file__).parent.parent.parent
UNIT: Final = ROOT / "deploy" / "rollback-router.service"
SETTINGS: Final = """\
listen = "127.0.0.1:8080"
admin_listen = "unix:/run/rollback-router/admin.sock"

[services.default]
active = { version = "v1", endpoints = ["http://127.0.0.1:9"] }
"""
READY: Final = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8080/-/ready').status)"


def show(machine: Machine, name: str) -> str:
    """Return a property of the unit."""
    return machine.run("systemctl", "show", "--value", "-p", name, UNIT.name)[1].strip()


def journal(machine: Machine) -> str:
    """Return what the unit has logged."""
    return machine.run("journalctl", "--no-pager", "-u", UNIT.name)[1]


async def test_the_router_lives_as_its_unit_says() -> None:
    reread, start, reload, log = [
        words
        for command in elsewhere.shown(ROOT / "docs/operations/install.md")
        if "ctl" in (words := command.split())[0]
    ]
    machine = Machine(with_router())
    (machine.root / "etc/systemd/system" / UNIT.name).write_text(UNIT.read_text())
    (machine.root / "etc/rollback-router").mkdir(exist_ok=True)
    (machine.root / "etc/rollback-router/router.toml").write_text(SETTINGS)
    async with machine:
        assert machine.run("systemd-analyze", "verify", f"/etc/systemd/system/{UNIT.name}") == (0, "")

        # a start returns when READY=1 has come
        assert machine.run(*reread) == (0, "")
        code, said = machine.run(*start)
        assert code == 0, said + journal(machine)
        assert show(machine, "UnitFileState") == "enabled"
        assert machine.run("python3", "-c", READY) == (0, "200\n")
        assert show(machine, "StatusText").startswith("serving default")
        first = show(machine, "MainPID")
        status = Path("proc", first, "status")
        assert machine.run("grep", "-E", "^(CapEff|NoNewPrivs|Seccomp):", f"/{status}")[1].split() == [
            *("CapEff:", "0000000000000000"),
            *("NoNewPrivs:", "1"),
            *("Seccomp:", "2"),
        ]

        # a reload returns when the router has read its settings
        assert machine.run(*reload) == (0, "")
        code, logged = machine.run(*log, "--no-pager")
        assert code == 0
        assert "settings reloaded from /etc/rollback-router/router.toml" in logged
        assert "Operation not permitted" not in logged

        # a killed supervisor is started again, on the same state
        assert machine.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", UNIT.name) == (0, "")
        await until(lambda: show(machine, "MainPID") not in (first, "0") and show(machine, "SubState") == "running", 60)
        assert machine.run("python3", "-c", READY) == (0, "200\n")

        assert machine.run("systemctl", "stop", UNIT.name) == (0, "")
        assert (show(machine, "Result"), show(machine, "ExecMainStatus")) == ("success", "0")
