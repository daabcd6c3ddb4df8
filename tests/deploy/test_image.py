"""The image is built and started. With docker as a container; without it in a folder, with the rights of a container."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Final

import pytest

from tests.deploy import confined, debian, image
from tests.end_to_end.real_router import free_port
from tests.waiting import until

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(3600)]
BYTES_MAX: Final = 150_000_000


@pytest.fixture(scope="module")
def built() -> image.Image:
    return image.build()


def test_it_is_small_and_has_no_shell_and_no_package_manager(built: image.Image) -> None:
    assert built.bytes() < BYTES_MAX
    folders = (built.root / name for name in ("bin", "usr/bin", "usr/sbin", "usr/local/bin"))
    programs = {path.name for folder in folders for path in folder.glob("*")}
    assert programs & {"sh", "bash", "dash", "apt", "apt-get", "dpkg", "pip", "pip3", "perl", "gcc"} == set()
    packages = {path.name for path in (built.root / "var/lib/dpkg/status.d").iterdir()}
    assert {"libc6", "python3-minimal", "ca-certificates"} <= packages


def test_nothing_of_the_build_is_left(built: image.Image) -> None:
    found = [path for path in built.root.rglob("*") if path.name in ("machine-ca.crt", "pip.conf", "router.toml")]
    assert found == []
    setuid = [path for path in built.root.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o6000]
    assert setuid == []


def environment(built: image.Image) -> dict[str, str]:
    return os.environ | {"IMAGE_ENV": "\n".join(built.config["Env"])}


def words(built: image.Image, state: Path, *command: str) -> list[str]:
    inside = [sys.executable, confined.__file__, str(built.root), str(state), *command]
    return ["unshare", "--mount", "--fork", "--kill-child", *inside]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Return a folder that belongs to the user of the image, where other users reach it."""
    (folder := tmp_path / "state").mkdir()
    os.chown(folder, confined.USER, confined.USER)
    return folder


def test_every_module_is_imported_without_its_source_folder(built: image.Image, state: Path) -> None:
    """A missing library of Debian, or one that `strip` broke, shows here."""
    text = (
        "import importlib, pkgutil, router, sqlite3, ssl, ctypes, zoneinfo, lzma, bz2, apprise, jsonschema_rs\n"
        "names = [found.name for found in pkgutil.walk_packages(router.__path__, 'router.')]\n"
        "[importlib.import_module(name) for name in names if not name.endswith('__main__')]\n"
        "from router.runtime import build\n"
        "zoneinfo.ZoneInfo('Europe/Berlin')\n"
        "print(len(names) > 300, build.flavour())"
    )
    done = subprocess.run(
        words(built, state, "python", "-I", "-c", text),
        env=environment(built),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.stdout, done.stderr) == ("True compiled\n", "")


def start(built: image.Image, state: Path, log: Path, *command: str) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(words(built, state, *command), env=environment(built), stdout=output, stderr=output)


def health_check(built: image.Image, state: Path, port: int) -> None:
    """Run the health check of the image against another port."""
    kind, *check = built.config["Healthcheck"]["Test"]
    assert kind == "CMD"
    command = [word.replace("8080", str(port)) for word in check]
    subprocess.run(words(built, state, *command), env=environment(built), check=True, timeout=30)


def answer(port: int, path: str) -> int:
    """Return the status of a GET; 0 if there is none."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
            return int(response.status)
    except OSError as error:
        return int(getattr(error, "code", 0))


async def test_it_serves_with_the_rights_of_a_restricted_container(
    built: image.Image, state: Path, tmp_path: Path
) -> None:
    data, admin, backend = free_port(), free_port(), free_port()
    flags = ("--listen", f"127.0.0.1:{data}", "--admin", f"127.0.0.1:{admin}", "--blue", f"http://127.0.0.1:{backend}")
    model = ("python", "-P", "-m", "router.demo.model_server", "--port", str(backend))
    assert built.config["User"] == f"{confined.USER}:{confined.USER}"
    log = tmp_path / "router.log"
    processes = [
        start(built, state, tmp_path / "model.log", *model),
        start(built, state, log, *built.config["Entrypoint"], "run", *flags, "--workers", "1"),
    ]
    router = processes[1]
    try:
        await until(lambda: answer(data, "/v2/health/ready") == 200, 120)
        health_check(built, state, data)
        uids = {re.findall(r"^Uid:\s+(\d+)", status, re.MULTILINE)[0] for status in statuses(router.pid)}
        assert uids == {"0", str(confined.USER)}, "unshare itself is root"
        assert (state / "journal.sqlite").exists()
        for child in children(router.pid):
            os.kill(child, signal.SIGTERM)
        await until(lambda: router.poll() is not None, 60)
        assert router.returncode == 0, log.read_text()
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert "Traceback" not in log.read_text()


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def statuses(pid: int) -> list[str]:
    """Return /proc/PID/status of a process and of all below it."""
    return [Path(f"/proc/{pid}/status").read_text(), *(text for child in children(pid) for text in statuses(child))]


async def test_docker_starts_it() -> None:
    """Elsewhere the test above has started the same files, and the report names what was not run."""
    if not image.has_docker():
        pytest.skip("`docker info` fails: the image was built by buildah, and started without a container engine")
    image.build()
    hardening = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
    flags = ("run", "--listen", "0.0.0.0:8080", "--blue", "http://127.0.0.1:9")
    container = debian.run("docker", "run", "--detach", *hardening, image.NAME, *flags).split()[-1]
    try:
        shown = ("docker", "inspect", "--format", "{{.State.Health.Status}}", container)
        await until(lambda: debian.run(*shown).strip() == "healthy", 90)
        debian.run("docker", "stop", "--timeout", "45", container)
        assert debian.run("docker", "inspect", "--format", "{{.State.ExitCode}}", container).strip() == "0"
    finally:
        debian.run("docker", "rm", "--force", container)
