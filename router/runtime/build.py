"""Which build of the request path runs: compiled where the wheel was built with a C compiler, else pure Python."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

COMPILED: Final = "compiled"
PURE: Final = "pure Python"


def flavour() -> str:
    """Return COMPILED or PURE: what Python finds first under the name of the exchange."""
    spec = find_spec("router.proxy.engine.exchange")
    return PURE if spec is None or spec.origin is None or spec.origin.endswith(".py") else COMPILED
