from __future__ import annotations

import inspect
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


SHARED = "override override_for from_version if_generation dry_run as_json service admin token".split()  # noqa: SIM905


@pytest.mark.parametrize(
    ("group", "names"),
    [
        pytest.param(RouterOptions, SHARED[-2:], id="router"),
        pytest.param(NamedServiceOptions, SHARED[-3:], id="service"),
        pytest.param(OverrideOptions, SHARED, id="override"),
    ],
)
def test_a_command_has_the_options_of_its_group_after_its_own(group: type[RouterOptions], names: list[str]) -> None:
    def command(shared: Any, version: str, reason: str = "") -> None: ...

    command.__annotations__["shared"] = group
    signature = inspect.signature(with_shared(command))
    assert list(signature.parameters) == ["version", "reason", *names]
    assert {name: signature.parameters[name].default for name in names} == {
        name: getattr(group(), name) for name in names
    }


def test_a_command_gets_the_options_of_its_group_as_one_object() -> None:
    got: list[Any] = []

    @with_shared
    def command(service: NamedServiceOptions, version: str) -> None:
        got.extend((service, version))

    command(version="green", service="a/b", admin="http://h:1", token="t")
    assert got == [NamedServiceOptions(token="t", admin="http://h:1", service="a/b"), "green"]
    assert (got[0].client.url, got[0].path) == ("http://h:1", "/v1/services/a%2Fb")
