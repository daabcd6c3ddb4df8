"""Decisions that wait for a person."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from router.sections.values import Seconds, Strict


class Proposals(Strict):
    """How long they wait, and what is done if nobody decides."""

    expire_after_s: Seconds = 1800.0
    """Of a rollback."""
    at_expiry: Literal["hold", "rollback"] = "hold"
    """Of a rollback: do nothing, or go back as automation does (its gate, a freeze, at most once per promotion)."""
    repeat_after_s: Annotated[float, Field(ge=0, le=86_400 * 31)] = 3600.0
    """After a denial, or an expiry that did nothing, the same cause does not ask again for so long."""
    promotion_expire_after_s: Seconds = 86_400.0
