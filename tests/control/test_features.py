"""A feature of control is one package with two modules that always have the same names: the add-on and its routes."""

from __future__ import annotations

import importlib
from typing import Final

import pytest

from router.control.addon import Addon

FEATURES: Final = (
    "acceptance",
    "alerts",
    "cases",
    "drills",
    "history",
    "incidents",
    "notify",
    "proposals",
    "quality",
    "versions",
)


@pytest.mark.parametrize("feature", FEATURES)
def test_a_feature_has_its_addon_and_its_routes(feature: str) -> None:
    package = importlib.import_module(f"router.control.{feature}")
    addon = importlib.import_module(f"router.control.{feature}.addon")
    routes = importlib.import_module(f"router.control.{feature}.routes")

    assert package.__doc__
    assert issubclass(getattr(addon, f"{feature.capitalize()}Addon"), Addon)
    assert callable(routes.operations)
