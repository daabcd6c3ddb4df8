"""The systemd unit, without a running systemd: its lines, its sandbox, and what the router sends to a manager."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from prometheus_client.process_collector import ProcessCollector

from router.settings.sections.limits import Timeouts
from tests.end_to_end.real_router import Router

UNIT: Final = Path(__file__).parent.parent.parent / "deploy" / "rollback-router.service"
EXPOSURE_MAX: Final = 1.5
"""`systemd-analyze security` counts from 0 (safe) to 10; below 2 it prints OK. Lower it, never raise it."""
NOTIFY_RELOAD_SINCE: Final = 253


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    assert program is not None, "systemd-analyze (Debian package systemd) is needed"
    return subprocess.run([program, "--no-pager", *words], capture_output=True, text=True, check=False, timeout=60)


def here(tmp_path: Path) -> Path:
    """Write the unit for this machine: with this installation, and in the form for a systemd before 253, if it is one."""
    text = UNIT.read_text().replace(
        "/usr/local/bin/rollback-router", str(Path(sys.executable).parent / "rollback-router")
    )
    (version,) = re.findall(r"systemd (\d+)", analyze("--version").stdout)
    if int(version) < NOTIFY_RELOAD_SINCE:
        (remedy,) = re.findall(r"Before that \(Debian 12\): (Type=\w+) and (ExecReload=.+)\.$", text, re.MULTILINE)
        text = text.replace("\nType=notify-reload\n", "\n" + "\n".join(remedy) + "\n")
    (file := tmp_path / UNIT.name).write_text(text)
    return file


def test_systemd_understands_every_line(tmp_path: Path) -> None:
    found = analyze("verify", str(here(tmp_path)))
    assert (found.returncode, found.stdout + found.stderr) == (0, "")


def test_the_sandbox_is_closed(tmp_path: Path) -> None:
    found = analyze("security", "--offline=true", f"--threshold={round(EXPOSURE_MAX * 10)}", str(here(tmp_path)))
    assert found.returncode == 0, found.stdout


def test_the_sandbox_leaves_what_the_metrics_of_processes_are_read_from(tmp_path: Path) -> None:
    # ProcSubset=pid hides /proc/stat (systemd.exec(5)), and prometheus_client reads nothing about any process without it.
    (tmp_path / "self").symlink_to("/proc/self")
    assert list(ProcessCollector(proc=str(tmp_path), registry=None).collect()) == []
    assert not re.search(r"^ProcSubset=pid$", UNIT.read_text(), re.MULTILINE)


def test_the_stop_waits_for_the_drain() -> None:
    (wait_s,) = re.findall(r"^TimeoutStopSec=(\d+)$", UNIT.read_text(), re.MULTILINE)
    assert int(wait_s) >= Timeouts().shutdown_delay_s + Timeouts().shutdown_timeout_s + 10


class Manager:
    """The socket of a service manager."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify"
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.sock.bind(str(self.path))

    async def receive(self, wanted: str) -> dict[str, str]:
        """Return the fields of the next message that has the field `wanted`."""
        while True:
            message = (await asyncio.get_running_loop().sock_recv(self.sock, 4096)).decode()
            fields = dict(line.split("=", 1) for line in message.splitlines())
            if wanted in fields:
                return fields


@pytest.mark.end_to_end
@pytest.mark.timeout(180)
async def test_a_manager_hears_of_start_watchdog_reload_and_stop(tmp_path: Path) -> None:
    manager = Manager(tmp_path)
    router = Router(
        tmp_path, '[services.default]\nactive = { version = "v1", endpoints = ["http://127.0.0.1:9"] }\n', 1
    )
    process = await asyncio.create_subprocess_exec(
        *router.command(),
        env=os.environ | {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "1000000"},
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert (await manager.receive("READY"))["STATUS"].startswith("serving default")
        await manager.receive("WATCHDOG")
        process.send_signal(signal.SIGHUP)
        # notify-reload waits for both fields, and then for READY=1 (sd_notify(3))
        assert int((await manager.receive("RELOADING"))["MONOTONIC_USEC"]) > 0
        await manager.receive("READY")
        process.send_signal(signal.SIGTERM)
        await manager.receive("STOPPING")
        assert await process.wait() == 0
    finally:
        manager.sock.close()
        if process.returncode is None:
            process.kill()
            await process.wait()
