"""The lock files of deploy/: whole, with hashes, as pyproject.toml asks, and every licence known and compatible."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from deploy import licenses

ROOT: Final = Path(__file__).parent.parent
DEPLOY: Final = ROOT / "deploy"
FILES: Final = ("requirements.lock", "requirements-extras.lock", "requirements-build.lock")
ENTRY: Final = re.compile(
    r"^([a-z0-9\-]+)==([^ ;\\]+)(?: ; ([^\\\n]+?))? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE
)
COMPATIBLE: Final = {
    *("Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "PSF-2.0"),
    "MPL-2.0",  # of a package that is used as it is; its own files stay under it (MPL 2.0 §3.3)
}
"""What software under the Apache License 2.0 may depend on."""


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def entries(file: str) -> dict[str, str]:
    """Return name → version of what is locked with hashes."""
    return {found[1]: found[2] for found in ENTRY.finditer((DEPLOY / file).read_text())}


def wanted(file: str) -> list[str]:
    """Return what pyproject.toml asks of a lock file."""
    document = project()
    if file == "requirements-build.lock":
        return list(document["build-system"]["requires"])
    extras = document["project"]["optional-dependencies"]
    more = [*extras["schema"], *extras["apprise"], *extras["otel"]] if file == "requirements-extras.lock" else []
    return [*document["project"]["dependencies"], *more]


@pytest.mark.parametrize("file", FILES)
def test_every_line_is_an_exact_version_with_hashes(file: str) -> None:
    text = (DEPLOY / file).read_text()
    left = [line for line in ENTRY.sub("", text).splitlines() if line and not line.lstrip().startswith("#")]
    assert left == [], "neither an entry with hashes nor a comment"
    assert entries(file)


@pytest.mark.parametrize("file", FILES)
def test_a_lock_satisfies_pyproject(file: str) -> None:
    locked = entries(file)
    for text in wanted(file):
        requirement = Requirement(text)
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        assert name in locked, f"{text}: bash deploy/lock"
        assert Version(locked[name]) in requirement.specifier, f"{text} and {locked[name]}: bash deploy/lock"


def test_the_extras_have_the_same_versions() -> None:
    more = entries("requirements-extras.lock")
    assert entries("requirements.lock").items() <= more.items()


def listed() -> dict[tuple[str, str], str]:
    """Return (name, version) → licence of LICENSES.md."""
    rows = re.findall(
        r"^\| (\S+) \| (\S+) \| ([^|]+) \| [\w\-]+ \|$", (DEPLOY / "LICENSES.md").read_text(), re.MULTILINE
    )
    return {(name, version): license_ for name, version, license_ in rows}


def test_each_locked_package_is_listed_with_its_licence_and_nothing_else() -> None:
    locked = {item for file in FILES for item in entries(file).items()}
    assert set(listed()) == locked == licenses.locked()


def is_compatible(expression: str) -> bool:
    """Return whether an SPDX expression of names, AND, OR and brackets leaves a choice of compatible licences."""
    words = re.findall(r"[()]|[A-Za-z0-9.\-]+", expression)
    turned = [
        word.lower() if word in ("AND", "OR") else word if word in "()" else str(word in COMPATIBLE) for word in words
    ]
    assert all(word in ("(", ")", "and", "or", "True", "False") for word in turned)
    return bool(eval(" ".join(turned)))


@pytest.mark.parametrize(
    ("expression", "compatible"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("GPL-3.0-only OR MIT", True),
        ("GPL-3.0-only AND MIT", False),
        ("MPL-2.0 AND (Apache-2.0 OR AGPL-3.0-only)", True),
        ("?", False),
    ],
)
def test_what_compatible_means(expression: str, compatible: bool) -> None:
    assert is_compatible(expression.replace("?", "unknown")) == compatible


def test_every_licence_is_compatible_with_ours() -> None:
    assert {place: license_ for place, license_ in listed().items() if not is_compatible(license_)} == {}
