"""The answer of relearning the reference of input drift."""

from __future__ import annotations

from typing_extensions import TypedDict


class RelearnAnswer(TypedDict):
    """The reference is forgotten."""

    service: str
    message: str
