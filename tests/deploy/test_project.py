"""What a package index shows of the project: licence, addresses, README."""

from __future__ import annotations

import hashlib
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent.parent
PROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())
APACHE_2_0: Final = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
"""SHA-256 of https://www.apache.org/licenses/LICENSE-2.0.txt."""


def test_the_licence_is_the_whole_text_with_our_name() -> None:
    text = (ROOT / "LICENSE").read_text()
    template = "\n" + text.replace("2026 The rollback-router authors", "[yyyy] [name of copyright owner]")
    assert template != f"\n{text}"
    assert hashlib.sha256(template.encode()).hexdigest() == APACHE_2_0


def test_every_address_of_the_project_is_one_of_pyproject() -> None:
    home = PROJECT["project"]["urls"]["Homepage"]
    raw = home.replace("https://github.com", "https://raw.githubusercontent.com")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    found = {
        address
        for name in listed
        if (ROOT / name).is_file() and not name.endswith((".lock", ".png", ".jpg"))
        for address in re.findall(
            r"https://[\w.]*github[\w.]*/rollback[\w/-]*", (ROOT / name).read_text("utf-8", "replace")
        )
    }
    assert {address for address in found if not address.startswith((home, raw))} == set()
    assert {home} <= found


def test_the_addresses_of_pages_name_pages_that_exist() -> None:
    pages = [
        address.partition("/blob/main/")[2] for address in PROJECT["project"]["urls"].values() if "/blob/" in address
    ]
    assert pages
    assert [page for page in pages if not (ROOT / page).is_file()] == []
