"""Real docker on a machine of its own: the page's commands, from `docker compose up` to an incident.

The machine has no network but its own. So the image is built before (test_image.py) and loaded, and Prometheus and Grafana,
which come from a registry, are left out.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from tests.deploy import debian, image
from tests.deploy.machine import SYSTEMD, Machine
from tests.documents import elsewhere
from tests.waiting import until

ROOT: Final = Path(__file__).parent.parent.parent
PAGE: Final = ROOT / "docs/operations/containers.md"
CHECKOUT: Final = "/checkout"
DOCKER: Final = ("docker.io", "docker-cli", "docker-compose", "iptables", "ca-certificates")
OURS: Final = ("setup", "model-v1", "model-v2", "router", "clients")
"""The services whose image is the router's."""
SIGN_IN: Final = """
import json, sys, urllib.request as u
page, token = sys.argv[1:]
assert b"<title>" in u.urlopen(page).read()
body = json.dumps({"token": token}).encode()
fields = {"Content-Type": "application/json", "Origin": page, "Sec-Fetch-Site": "same-origin"}
found = json.load(u.urlopen(u.Request(f"{page}/v1/session", body, fields)))
print(found["name"], found["role"])
"""
"""Opens the dashboard through the published port, and signs in as its browser does."""
pytestmark = [pytest.mark.nightly, pytest.mark.timeout(3600)]


def prepared() -> Path:
    """Return the root of a machine with docker, this checkout and the image."""
    root = debian.with_packages("docker", *SYSTEMD, *DOCKER)
    folder = root / CHECKOUT.lstrip("/")
    debian.run("rm", "-rf", "--one-file-system", folder, root / "var/lib/docker", root / "var/lib/containerd")
    debian.run("git", "clone", "-q", ROOT, folder)
    image.save(root / "image.tar")
    return root


@pytest_asyncio.fixture
async def machine() -> AsyncIterator[Machine]:
    async with Machine(prepared()) as made:
        await until(lambda: made.run("systemctl", "start", "docker")[0] == 0, 120)
        code, said = made.run("docker", "load", "--input", "/image.tar", timeout_s=300)
        assert code == 0, said
        loaded, *_ = re.findall(r"Loaded image(?: ID)?: (\S+)", said)  # it may have several names
        assert made.run("docker", "tag", loaded, "rollback-router")[0] == 0
        yield made


def on(machine: Machine, command: str, timeout_s: float = 300.0) -> tuple[int, str]:
    """Run a command in the checkout on the machine."""
    return machine.run("sh", "-c", f"cd {CHECKOUT} && {command}", timeout_s=timeout_s)


async def test_the_page_leads_from_compose_up_to_an_incident(machine: Machine) -> None:
    up, logs, deploy, promote, fault, status, incidents, down = [
        command for command in elsewhere.shown(PAGE) if command.startswith("docker compose")
    ]
    assert up.endswith(" up --build --detach")
    code, said = on(machine, f"{up.replace(' --build', '')} {shlex.join(OURS)}")
    assert code == 0, said
    code, said = on(machine, logs)
    assert code == 0, said
    ((page, token),) = re.findall(r"dashboard: (\S+) +token: (\S+)", said)
    await until(lambda: on(machine, status)[0] == 0, 120)
    assert machine.run("python3", "-c", SIGN_IN, page, token) == (0, "compose admin\n")
    for command in (deploy, promote):
        code, said = on(machine, command)
        assert code == 0, said
    await until(lambda: '"fraud-v2"' in on(machine, "docker compose -f deploy/compose.yaml logs clients")[1], 120)
    assert on(machine, fault)[0] == 0
    await until(lambda: "fraud-v2" in on(machine, incidents)[1], 120)
    code, said = on(machine, status)
    assert (code, "fraud-v1" in said) == (0, True), said
    shown = machine.run("docker", "inspect", "--format", "{{.State.Health.Status}}", "rollback-router-router-1")[1]
    assert shown == "healthy\n"
    code, said = on(machine, down)
    assert code == 0, said
    assert machine.run("docker", "volume", "ls", "--quiet") == (0, "")


async def test_the_page_starts_a_container(machine: Machine) -> None:
    """The `docker run` of the page, with settings where it mounts them."""
    (run,) = [command for command in elsewhere.shown(PAGE) if command.startswith("docker run")]
    settings = machine.root / "etc/rollback-router"
    settings.mkdir(exist_ok=True)
    (settings / "router.toml").write_text(
        'listen = "0.0.0.0:8080"\n[services.fraud]\nactive = { version = "v1", endpoints = ["http://127.0.0.1:9"] }\n'
    )
    code, container = on(machine, run.replace("docker run", "docker run --detach"))
    assert code == 0, container
    shown = ("docker", "inspect", "--format", "{{.State.Health.Status}}", container.strip())
    await until(lambda: machine.run(*shown)[1] == "healthy\n", 90)
    assert machine.run("docker", "stop", container.strip())[0] == 0
    assert machine.run("docker", "inspect", "--format", "{{.State.ExitCode}}", container.strip()) == (0, "0\n")
    logged = machine.run("docker", "logs", container.strip())[1]
    assert "serving fraud" in logged
    assert "Traceback" not in logged
