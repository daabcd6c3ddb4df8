"""Every fenced block of a page is of a language that a test reads, or of one that says why none can."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Final

import pytest
import yaml

from router.settings.loader import load
from tests.documents.pages import Block, blocks, commands, name_of, pages

READ: Final = {"console", "toml", "json", "yaml", "sh"}
NOT_READ: Final = {
    "text": "drawings, and outputs without their command",
    "mermaid": "diagrams",
    "ini": "systemd units",
    "nginx": "parts of another program's settings",
    "haproxy": "parts of another program's settings",
}
SERVICE: Final = '[services.fraud]\nactive = { version = "v1", endpoints = ["http://127.0.0.1:9001"] }\n'

BLOCKS: Final = [(page, block) for page in pages() for block in blocks(page.read_text("utf-8"))]


def of(*languages: str) -> list[object]:
    """Return the blocks of these languages as parameters of a test."""
    return [
        pytest.param(page, block, id=f"{name_of(page)}:{block.line}")
        for page, block in BLOCKS
        if block.language in languages
    ]


def test_every_block_has_a_language_that_is_known() -> None:
    known = READ | NOT_READ.keys()
    assert [f"{name_of(page)}:{block.line}" for page, block in BLOCKS if block.language not in known] == []
    assert [language for language in NOT_READ if all(block.language != language for _, block in BLOCKS)] == []


@pytest.mark.parametrize(("page", "block"), of("toml"))
def test_settings_are_accepted(page: Path, block: Block, tmp_path: Path) -> None:
    text = block.text
    if "active =" not in text:
        text = f"{text}\n{SERVICE}" if "[services.fraud]" not in text else text.replace("[services.fraud]", SERVICE)
    tomllib.loads(text)
    file = tmp_path / "router.toml"
    file.write_text(text, "utf-8")
    load(file)


@pytest.mark.parametrize(("page", "block"), of("json"))
def test_json_is_json(page: Path, block: Block) -> None:
    assert json.loads(block.text) is not None


@pytest.mark.parametrize(("page", "block"), of("yaml"))
def test_yaml_is_yaml(page: Path, block: Block) -> None:
    assert list(yaml.safe_load_all(block.text)) != [None]


@pytest.mark.parametrize(("page", "block"), of("console"))
def test_a_console_block_has_commands(page: Path, block: Block) -> None:
    assert commands(block)
