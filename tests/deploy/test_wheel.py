"""The files of a release: a pure wheel for every machine, beside compiled ones."""

from __future__ import annotations

import email
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

import pytest
from readme_renderer import markdown

from tests.documents.pages import links

ROOT: Final = Path(__file__).parent.parent.parent
SHARE: Final = "share/doc/rollback-router/"
SCRIPTS: Final = Path(sys.executable).parent


@pytest.fixture(scope="module")
def pure(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the pure wheel as `pip install` does where there is no compiler."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        env=os.environ | {"ROLLBACK_ROUTER_PURE": "1"},
        check=True,
        capture_output=True,
        timeout=60,
    )
    (wheel,) = folder.iterdir()
    return wheel


def shared(wheel: Path) -> dict[str, str]:
    """Return path → text of what the wheel puts into share/doc."""
    with zipfile.ZipFile(wheel) as archive:
        return {
            name.partition(SHARE)[2]: archive.read(name).decode()
            for name in archive.namelist()
            if ".data/data/" in name and SHARE in name
        }


def test_the_pure_wheel_fits_every_machine_and_has_no_library(pure: Path) -> None:
    assert pure.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(pure) as archive:
        names = archive.namelist()
    assert [name for name in names if name.endswith((".so", ".c", ".pyc"))] == []
    assert [name for name in names if name.endswith(".dist-info/licenses/LICENSE")] != []


@pytest.mark.parametrize(
    "name",
    ["docs/operations/runbook.md", "deploy/router.example.toml", "deploy/rollback-router.service", "SECURITY.md"],
)
def test_what_an_operator_needs_at_night_is_in_the_wheel(pure: Path, name: str) -> None:
    assert shared(pure)[name] == (ROOT / name).read_text()


NEED_A_CHECKOUT: Final = ("deploy/chart", "deploy/compose.yaml", "deploy/grafana", "deploy/prometheus")
"""Linked by the pages, which say that these are in a checkout."""


def test_links_of_the_operators_pages_resolve_without_a_checkout(pure: Path) -> None:
    found = shared(pure)
    broken = []
    for page in (name for name in found if name.startswith("docs/operations/")):
        for link in links(found[page]):
            target = os.path.normpath(Path(page).parent / link.partition("#")[0]) if "://" not in link else ""
            if target and not link.startswith("#") and target not in found and not target.startswith(NEED_A_CHECKOUT):
                broken.append(f"{page}: {link}")
    assert broken == []


def test_readme_renders_on_a_package_index_and_its_links_lead_there(pure: Path) -> None:
    with zipfile.ZipFile(pure) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = email.message_from_bytes(archive.read(name))
    assert metadata["Description-Content-Type"] == "text/markdown"
    text = metadata.get_payload()
    assert isinstance(text, str)
    page = markdown.render(text)
    assert page is not None
    assert page.count("<table>") == (ROOT / "README.md").read_text().count("\n|---|")
    leads = re.findall(r'(?:href|src)="([^"]+)"', page)
    assert leads
    assert [lead for lead in leads if not lead.startswith(("https://", "#"))] == []
    home = "https://github.com/rollback-router/rollback-router/blob/main/"
    own = [lead.removeprefix(home).partition("#")[0] for lead in leads if lead.startswith(home)]
    assert [path for path in own if not (ROOT / path).exists()] == []


def test_wheels_are_made_for_every_python_of_the_classifiers() -> None:
    """cibuildwheel reads its configuration, and names the wheels that it would build."""
    done = subprocess.run(
        [str(SCRIPTS / "cibuildwheel"), "--print-build-identifiers", "--platform", "linux", "--archs", "x86_64", "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    classifiers = re.findall(r'Python :: 3\.(\d+)"', (ROOT / "pyproject.toml").read_text())
    assert done.stdout.split() == [f"cp3{minor}-manylinux_x86_64" for minor in classifiers]


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_the_release_is_made_and_its_compiled_wheel_runs(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(checkout)], check=True)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {
        "PYTHON": sys.executable
    }
    subprocess.run(["bash", "deploy/wheels"], cwd=checkout, env=environment, check=True, timeout=2700)
    names = sorted(re.sub(r"-[\d.]+(?=[.-])", "", path.name, count=1) for path in (checkout / "dist").iterdir())
    version = f"cp{sys.version_info.major}{sys.version_info.minor}"
    assert [re.sub(r"manylinux.*", "manylinux", name) for name in names] == [
        f"rollback_router-{version}-{version}-manylinux",
        "rollback_router-py3-none-any.whl",
        "rollback_router.tar.gz",
    ]
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--system-site-packages", str(venv)], check=True)
    (wheel,) = (checkout / "dist").glob("*manylinux*.whl")
    subprocess.run([venv / "bin/python", "-m", "pip", "install", "-q", "--no-deps", str(wheel)], check=True)
    shutil.rmtree(checkout)
    told = subprocess.run(
        [venv / "bin/python", "-P", "-c", "from router.runtime import build; print(build.flavour())"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert told.stdout == "compiled\n"
    assert (venv / SHARE / "docs/operations/runbook.md").is_file()
