"""How many of its former versions a service wants to keep."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from router.sections.values import Strict


class Retention(Strict):
    """What may be deleted is said (`versions --deletable`), never done."""

    keep_accepted: Annotated[int, Field(ge=0, le=100)] = 3
    """The last so many accepted versions are kept, beside all that have a role, drain or are under analysis."""
