"""The compose file, without docker: its schema, its files, and its commands, which are those of this checkout."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from router.demo import model_server, steady_load
from router.settings.loader import load

ROOT: Final = Path(__file__).parent.parent.parent
FILE: Final = ROOT / "deploy" / "compose.yaml"
COMPOSE: Final[dict[str, Any]] = yaml.safe_load(FILE.read_text())
SERVICES: Final[dict[str, Any]] = COMPOSE["services"]
SETUP: Final = ROOT / "deploy" / "compose" / "setup.py"


def test_the_file_is_one_of_compose() -> None:
    program = Path(sys.executable).with_name("check-jsonschema")
    words = (str(program), "--builtin-schema", "vendor.compose-spec", str(FILE))
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout


def test_each_mounted_file_is_in_the_checkout_and_each_volume_is_declared() -> None:
    mounts = [mount.split(":") for service in SERVICES.values() for mount in service.get("volumes", ())]
    files = {source for source, *_ in mounts if source.startswith(".")}
    assert files
    assert [file for file in files if not (FILE.parent / file).exists()] == []
    assert {source for source, *_ in mounts} - files == set(COMPOSE["volumes"])
    assert [mount for mount in mounts if mount[0] in files and mount[-1] != "ro"] == []


def test_ports_are_those_of_loopback_and_containers_have_no_rights() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []
    assert [name for name, service in SERVICES.items() if service["cap_drop"] != ["ALL"]] == []
    assert [name for name, service in SERVICES.items() if service["security_opt"] != ["no-new-privileges:true"]] == []


def test_images_have_a_version() -> None:
    images = {service["image"] for service in SERVICES.values()} - {"rollback-router"}
    assert [image for image in images if not re.search(r":v?\d+\.\d+\.\d+$", image)] == []


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """Run the setup as the compose file does; return the folder that it fills."""
    for _ in range(2):  # a second start keeps the token
        before = (tmp_path / "token").read_text() if (tmp_path / "token").exists() else None
        template = ROOT / "deploy" / "compose" / "router.toml"
        words = (sys.executable, "-I", str(SETUP), str(template), str(tmp_path))
        shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        token = (tmp_path / "token").read_text()
        assert before in (None, token)
        assert shown == f"dashboard: http://localhost:8081   token: {token}\n"
    return tmp_path


def test_the_router_accepts_the_settings_of_the_setup(prepared: Path) -> None:
    settings = load(prepared / "router.toml")
    token = (prepared / "token").read_bytes()
    assert len(token) >= 32
    assert [one.sha256 for one in settings.admin.tokens] == [hashlib.sha256(token).hexdigest()]
    assert "router" in settings.admin.allowed_hosts, "Prometheus calls it by the name of the service"
    (endpoint,) = settings.services["fraud"].active.endpoints
    assert str(endpoint).startswith("http://model-v1:9000")
    grace = int(SERVICES["router"]["stop_grace_period"].removesuffix("s"))
    assert grace >= settings.timeouts.shutdown_delay_s + settings.timeouts.shutdown_timeout_s + 10


def test_other_users_may_read_what_the_setup_writes(prepared: Path) -> None:
    """Prometheus and the router run as other users than the setup."""
    assert {oct(path.stat().st_mode & 0o777) for path in prepared.iterdir()} == {"0o644"}


@pytest.mark.parametrize("name", ["model-v1", "model-v2", "clients"])
def test_the_command_of_each_demo_program_is_understood(name: str) -> None:
    *_, module = SERVICES[name]["entrypoint"]
    parse = {"router.demo.model_server": model_server.parse, "router.demo.steady_load": steady_load.parse}[module]
    words = SERVICES[name]["command"]
    parsed = vars(parse([str(word) for word in words]))
    assert parsed.get("host", "0.0.0.0") == "0.0.0.0", "others have to reach it"
    assert all(word.lstrip("-").replace("-", "_") in parsed for word in words if word.startswith("--"))


def test_prometheus_and_grafana_read_files_that_the_compose_file_mounts() -> None:
    prometheus = yaml.safe_load((ROOT / "deploy/compose/prometheus.yml").read_text())
    (scrape,) = prometheus["scrape_configs"]
    assert scrape["static_configs"] == [{"targets": ["router:8081"]}]
    inside = {mount.split(":")[1]: mount.split(":")[0] for mount in SERVICES["prometheus"]["volumes"]}
    assert scrape["authorization"]["credentials_file"] == "/settings/token"
    assert "/settings" in inside
    for file in prometheus["rule_files"]:
        folder, name = os.path.split(file)
        assert list((FILE.parent / inside[folder]).glob(name)) != [], file
    (provider,) = yaml.safe_load((ROOT / "deploy/compose/grafana/dashboards.yml").read_text())["providers"]
    inside = {mount.split(":")[1]: mount.split(":")[0] for mount in SERVICES["grafana"]["volumes"]}
    assert list((FILE.parent / inside[provider["options"]["path"]]).glob("*.json")) != []


def test_the_fault_of_the_second_version_begins_at_a_signal() -> None:
    """The page tells to send it with `docker compose kill --signal USR1 model-v2`."""
    parsed = model_server.parse(SERVICES["model-v2"]["command"])
    assert (parsed.fault, parsed.fault_after_signal) == ("errors", True)
    page = (ROOT / "docs/operations/containers.md").read_text()
    assert "docker compose -f deploy/compose.yaml kill --signal USR1 model-v2" in page
