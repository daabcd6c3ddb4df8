"""What a service has promised its clients: the measure of how much a rollback has cost."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from router.sections.values import Strict


class Objective(Strict):
    """Its error budget is (1 - availability) of the requests of `window_days`; without `availability` there is none."""

    availability: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of requests that must succeed, for example 0.999."""
    window_days: Annotated[float, Field(gt=0, le=366)] = 30.0
