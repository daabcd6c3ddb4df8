"""How long it is kept what each version did, ten seconds a row."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from router.sections.values import Strict


class HistoryKept(Strict):
    """Whatever is reached first: the oldest rows go, of whichever service. `advise` and `report` see no further back."""

    keep_days: Annotated[float, Field(ge=0.1, le=366)] = 30.0
    file_bytes_max: Annotated[int, Field(ge=1 << 20, le=1 << 40)] = 2 << 30
    """Of all services together; a busy one with a standby takes about 110 MB in 30 days."""
