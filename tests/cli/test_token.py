from __future__ import annotations

import hashlib
import json
import stat
import tomllib
from pathlib import Path

import pytest

from router.settings.loader import load
from tests.cli.conftest import Command


def test_the_table_goes_into_the_settings_and_the_token_to_the_operator(command: Command, tmp_path: Path) -> None:
    code, out, err = command("token", "new", "ann", "--role", "viewer")
    token = err.strip().rpartition(": ")[2]
    assert (code, len(token) >= 43, token in out) == (0, True, False)
    file = tmp_path / "router.toml"
    file.write_text(out)
    [entry] = load(file).admin.tokens
    assert (entry.name, entry.role, entry.sha256) == ("ann", "viewer", hashlib.sha256(token.encode()).hexdigest())
    assert command("token", "new", "ann")[1] != command("token", "new", "ann")[1], "each token is another one"


def test_a_token_in_a_file_is_shown_nowhere(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "ci.token"
    code, out, err = command("token", "new", "ci", "--out", str(file))
    token = file.read_text().removesuffix("\n")
    assert (code, stat.S_IMODE(file.stat().st_mode), token in out + err) == (0, 0o600, False)
    digest = tomllib.loads(out)["admin"]["tokens"][0]["sha256"]
    assert digest == hashlib.sha256(token.encode()).hexdigest()
    code, out, err = command("token", "new", "ci", "--out", str(file))
    assert (code, out, err.splitlines()[0]) == (2, "", f"rollback-router: {file}: File exists")
    assert file.read_text() == f"{token}\n"


def test_a_link_in_the_place_of_the_file_is_not_followed(command: Command, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    assert command("token", "new", "ci", "--out", str(tmp_path / "link"))[0] == 2
    assert not (tmp_path / "elsewhere").exists()


def test_a_token_of_the_hooks(command: Command, tmp_path: Path) -> None:
    code, out, _ = command("token", "new", "alertmanager", "--role", "alerts", "--json")
    document = json.loads(out)
    assert (code, document["sha256"]) == (0, hashlib.sha256(document["token"].encode()).hexdigest())
    file = tmp_path / "router.toml"
    file.write_text(command("token", "new", "alertmanager", "--role", "alerts")[1])
    assert [token.name for token in load(file).alerts.tokens] == ["alertmanager"]


@pytest.mark.parametrize("name", ["a b", "", "x" * 65, 'a"\nb'])
def test_a_name_that_the_settings_refuse_makes_no_token(command: Command, name: str) -> None:
    code, out, err = command("token", "new", name)
    assert (code, out, "for example ci" in err) == (2, "", True)
