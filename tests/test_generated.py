"""The generated files are those that the code makes now, and they are true."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Final

import jsonschema_rs
import pytest

from docs.generate import __main__ as command
from docs.generate.examples import EXAMPLES
from docs.generate.pages import PAGES
from docs.generate.settings_schema import document

ROOT: Final = Path(__file__).parent.parent
EXAMPLE: Final = ROOT / "deploy" / "router.example.toml"


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_file_is_current(name: str) -> None:
    assert (ROOT / name).read_text() == PAGES[name](), "run python -m docs.generate"


def test_check_names_a_stale_file_and_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "ROOT", tmp_path)
    monkeypatch.setattr(command, "pages", lambda: {"page.md": "new\n"})
    (tmp_path / "page.md").write_text("old\n")
    assert command.main(["--check"]) == 1
    assert "page.md" in capsys.readouterr().out
    assert (tmp_path / "page.md").read_text() == "old\n"
    assert command.main([]) == 0
    assert command.main(["--check"]) == 0


def test_every_setting_has_a_meaning() -> None:
    definitions = {"Settings": document(), **document()["$defs"]}
    silent = [
        f"{name}.{field}"
        for name, node in definitions.items()
        for field, schema in node["properties"].items()
        if not schema.get("description") and "$ref" not in str(schema)
    ]
    assert silent == []


def test_every_example_belongs_to_a_setting() -> None:
    definitions = {"Settings": document(), **document()["$defs"]}
    known = {f"{name}.{field}" for name, node in definitions.items() for field in node["properties"]}
    assert sorted(set(EXAMPLES) - known) == []


def test_the_schema_accepts_the_example_and_names_a_misspelt_setting() -> None:
    schema = jsonschema_rs.validator_for(json.loads(PAGES["deploy/router.schema.json"]()))
    settings = tomllib.loads(EXAMPLE.read_text())
    assert schema.is_valid(settings)
    assert not schema.is_valid({**settings, "limits": {"head_bytes_maximum": 1}})
    assert not schema.is_valid({**settings, "listen": 8080})
