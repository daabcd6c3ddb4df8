from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

from router.cli.options import NamedServiceOptions, OverrideOptions, RouterOptions, seconds, with_shared
from router.errors import CommandError
from router.runtime.exit_codes import exit_code


@pytest.mark.parametrize(
    ("text", "expected"), [("90", 90.0), ("90s", 90.0), ("1.5m", 90.0), ("2h", 7200.0), (" 7d ", 604_800.0)]
)
def test_lengths_of_time(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "h", "-1h", "2 hours", "1e9", "2w", "9999999999"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(CommandError, match="write 90s, 15m, 2h or 7d") as caught:
        seconds(text)
    assert exit_code(caught.value) == 2


SHARED = "override override_for from_version if_generation dry_run as_json service admin token token_file".split()  # noqa: SIM905


@pytest.mark.parametrize(
    ("group", "names"),
    [
        pytest.param(RouterOptions, SHARED[-3:], id="router"),
        pytest.param(NamedServiceOptions, SHARED[-4:], id="service"),
        pytest.param(OverrideOptions, SHARED, id="override"),
    ],
)
def test_a_command_has_the_options_of_its_group_after_its_own(group: type[RouterOptions], names: list[str]) -> None:
    def command(shared: Any, version: str, reason: str = "") -> None: ...

    command.__annotations__["shared"] = group
    signature = inspect.signature(with_shared(command))
    assert list(signature.parameters) == ["version", "reason", *names, "context"]
    assert {name: signature.parameters[name].default for name in names} == {
        name: getattr(group(), name) for name in names
    }


def test_a_command_gets_the_options_of_its_group_as_one_object() -> None:
    got: list[Any] = []

    @with_shared
    def command(service: NamedServiceOptions, version: str) -> None:
        got.extend((service, version))

    command(version="green", service="a/b", admin="http://h:1", token="t", token_file="", context=None)
    assert got == [NamedServiceOptions(token="t", admin="http://h:1", service="a/b"), "green"]
    assert (got[0].client.url, got[0].path) == ("http://h:1", "/v1/services/a%2Fb")


SECRET = "tok3n-of-ann"


@pytest.mark.parametrize("around", ["", "\n", "\r\n", " ", "\t\n", "\n\n", "\ufeff"])
@pytest.mark.parametrize("source", ["environment", "flag", "file"])
def test_white_space_around_a_token_is_removed(
    source: str, around: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = around + SECRET + around
    (tmp_path / "token").write_text(text)
    if source == "environment":
        monkeypatch.setenv("ROLLBACK_ROUTER_TOKEN", text)
    given = {"environment": {"token": text}, "flag": {"token": text}, "file": {"token_file": str(tmp_path / "token")}}
    assert RouterOptions(**given[source]).bearer() == SECRET


@pytest.mark.parametrize("bad", ["a\nb", "a\rb", "a\0b", "a\x1bb", "a\x7fb", "tökén", "a\u2028b", "a\udcffb"])
@pytest.mark.parametrize("source", ["ROLLBACK_ROUTER_TOKEN", "--token", "file"])
def test_a_token_that_no_header_can_carry_names_its_source_and_is_not_repeated(
    source: str, bad: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = SECRET + bad
    file = tmp_path / "token"
    file.write_bytes(text.encode(errors="surrogateescape"))
    options = RouterOptions(token_file=str(file)) if source == "file" else RouterOptions(token=text)
    if source == "ROLLBACK_ROUTER_TOKEN" and "\0" not in text:
        monkeypatch.setenv(source, text)
    with pytest.raises(CommandError) as caught:
        _ = options.client
    named = str(file) if source == "file" else "--token" if "\0" in text else source
    assert (exit_code(caught.value), caught.value.code, named in caught.value.detail) == (2, "token_unusable", True)
    assert SECRET not in caught.value.detail


@pytest.mark.parametrize(
    ("flag", "file", "environment", "taken"),
    [
        ("f", "", {}, "f"),
        ("", "file", {}, "of-file"),
        ("f", "file", {}, "f"),
        ("e", "file", {"TOKEN": "e"}, "of-file"),
        ("e", "file", {"TOKEN": "e", "TOKEN_FILE": "file"}, "e"),
        ("f", "file", {"TOKEN_FILE": "file"}, "f"),
        (" ", "", {"TOKEN": " "}, ""),
        ("", "", {}, ""),
    ],
)
def test_a_flag_wins_over_the_environment_and_a_token_over_its_file(
    flag: str, file: str, environment: dict[str, str], taken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("of-file\n")
    for name, value in environment.items():
        monkeypatch.setenv(f"ROLLBACK_ROUTER_{name}", value)
    assert RouterOptions(token=flag, token_file=file).bearer() == taken


def test_a_missing_token_file_is_named() -> None:
    with pytest.raises(CommandError, match="--token-file /nothing: No such file"):
        RouterOptions(token_file="/nothing").bearer()
