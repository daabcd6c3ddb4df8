"""The image: built by docker where a daemon answers, else by buildah on a base image that debootstrap makes."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from tests.deploy import debian

ROOT: Final = Path(__file__).parent.parent.parent
NAME: Final = "rollback-router-test"
BASE: Final = f"docker.io/library/debian:{debian.RELEASE}-slim"


@dataclass(frozen=True)
class Image:
    """The files of the image in a folder, and its configuration as docker has it (`Env`, `User`, `Entrypoint`, …)."""

    root: Path
    config: dict[str, Any]

    def bytes(self) -> int:
        """Return the size of all files: what `docker image ls` shows."""
        return sum(path.lstat().st_size for path in self.root.rglob("*") if path.is_file() and not path.is_symlink())


@cache
def has_docker() -> bool:
    """Return whether a docker daemon answers."""
    program = shutil.which("docker")
    return program is not None and subprocess.run([program, "info"], capture_output=True, check=False).returncode == 0


def build() -> Image:
    """Return the image of this checkout; built if it is not there."""
    with debian.once("image") as folder:
        stamp = folder.with_suffix(".stamp")
        if not stamp.exists() or stamp.read_text() != _sources():
            if folder.exists():
                debian.run("rm", "-rf", "--one-file-system", folder)
            folder.mkdir()
            config = _with_docker(folder) if has_docker() else _with_buildah(folder)
            folder.with_suffix(".json").write_text(json.dumps(config))
            stamp.write_text(_sources())
        return Image(folder, json.loads(folder.with_suffix(".json").read_text()))


def save(file: Path) -> None:
    """Write the image of this checkout, in the form that `docker load` reads; built if it is not there."""
    build()
    file.unlink(missing_ok=True)
    if has_docker():
        debian.run("docker", "save", "--output", file, NAME)
    else:
        debian.run(*_buildah(), "push", NAME, f"docker-archive:{file}:{NAME}:latest")


def _sources() -> str:
    listed = debian.run("git", "ls-files", "router", "deploy", "docs", "pyproject.toml", "*.md", cwd=ROOT).splitlines()
    found = hashlib.sha256()
    for name in listed:
        if (ROOT / name).is_file():
            found.update(f"{name} {hashlib.sha256((ROOT / name).read_bytes()).hexdigest()}\n".encode())
    return found.hexdigest()


def _with_docker(folder: Path) -> dict[str, Any]:
    debian.run("docker", "build", "-t", NAME, "-f", "deploy/Dockerfile", ".", cwd=ROOT)
    container = debian.run("docker", "create", NAME).split()[-1]
    debian.run("docker", "export", "-o", f"{folder}.tar", container)
    debian.run("docker", "rm", container)
    debian.run("tar", "-xf", f"{folder}.tar", "-C", folder)
    Path(f"{folder}.tar").unlink()
    (shown,) = json.loads(debian.run("docker", "image", "inspect", NAME))
    return dict(shown["Config"])


def _buildah() -> tuple[str | Path, ...]:
    storage, run = debian.MADE / "storage", debian.MADE / "run"
    return ("buildah", "--root", storage, "--runroot", run, "--storage-driver", "vfs")


def _with_buildah(folder: Path) -> dict[str, Any]:
    buildah = _buildah()
    base = debian.base()
    if subprocess.run([*map(str, buildah), "inspect", BASE], capture_output=True, check=False).returncode != 0:
        container = debian.run(*buildah, "from", "scratch").split()[-1]
        debian.run(*buildah, "add", container, base, "/")
        debian.run(*buildah, "commit", "--rm", container, BASE)
    options = ("--isolation", "chroot", "--pull-never", "--layers", "--network", "host", "--format", "docker")
    debian.run(*buildah, "bud", *options, "-t", NAME, "-f", "deploy/Dockerfile", ".", cwd=ROOT)
    container = debian.run(*buildah, "from", "--pull-never", NAME).split()[-1]
    mounted = debian.run(*buildah, "mount", container).split()[-1]
    debian.run("cp", "-a", f"{mounted}/.", folder)
    debian.run(*buildah, "rm", container)
    shown = json.loads(debian.run(*buildah, "inspect", "--type", "image", NAME))
    return dict(shown["Docker"]["config"])
