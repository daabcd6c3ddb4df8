from __future__ import annotations

from typing import Any


def written_case(number: int = 1, **expect: Any) -> dict[str, Any]:
    """A case as a person writes it."""
    document: dict[str, Any] = {"request": {"method": "POST", "target": "/score", "body": f'{{"x": {number}}}'}}
    return document | ({"expect": expect} if expect else {})
