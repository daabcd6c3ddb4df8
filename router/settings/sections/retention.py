"""How long it is kept what each version did, ten seconds a row."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from router.settings.sections.values import Strict


class HistorySettings(Strict):
    """Whatever is reached first: the oldest rows go, of whichever service. `advise` and `report` see no further back."""

    keep_days: Annotated[float, Field(ge=0.1, le=366)] = 30.0
    file_bytes_max: Annotated[int, Field(ge=1 << 20, le=1 << 40)] = 2 << 30
    """Of all services together; a busy one with a standby takes about 110 MB in 30 days."""


class IncidentSettings(Strict):
    """For all services. The journal keeps every rollback; what is bounded here are the files with windows and requests."""

    after_s: Annotated[float, Field(ge=1, le=800)] = 120.0
    """How long what follows a rollback is watched until its record is complete; the finest samples go back for 15 min."""
    kept_max: Annotated[int, Field(ge=1, le=10_000)] = 200
    """Incidents with files in STATE_DIR/incidents; of more, those that were written longest ago go. At most about 1 MB each."""
    failures_max: Annotated[int, Field(ge=0, le=20)] = 20
    """Failing requests in a record, from those that were captured."""


class Retention(Strict):
    """What may be deleted is said (`versions --deletable`), never done."""

    keep_accepted: Annotated[int, Field(ge=0, le=100)] = 3
    """The last so many accepted versions are kept, beside all that have a role, drain or are under analysis."""
