"""The build of the request path: compiled if the wheel was built with a C compiler, else pure Python."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

COMPILED: Final = "compiled"
PURE: Final = "pure Python"


def flavour() -> str:
    """Return COMPILED or PURE, by the file that Python finds for the module of `Exchange`."""
    spec = find_spec("router.proxy.engine.exchange")
    return PURE if spec is None or spec.origin is None or spec.origin.endswith(".py") else COMPILED
