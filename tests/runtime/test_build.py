"""Which build runs."""

from __future__ import annotations

from importlib.machinery import ModuleSpec

import pytest

from router.runtime import build


def test_an_editable_installation_is_pure() -> None:
    """A library beside an edited source would be imported instead of it."""
    assert build.flavour() == build.PURE


@pytest.mark.parametrize(
    ("origin", "flavour"),
    [("/x/exchange.py", build.PURE), ("/x/exchange.cpython-311-x86_64-linux-gnu.so", build.COMPILED)],
    ids=["source", "library"],
)
def test_what_is_found_first_is_what_runs(monkeypatch: pytest.MonkeyPatch, origin: str, flavour: str) -> None:
    monkeypatch.setattr(build, "find_spec", lambda name: ModuleSpec(name, None, origin=origin))
    assert build.flavour() == flavour
