"""The records of rollbacks: how long they are watched, and how many are kept as files."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from router.sections.values import Strict


class Incidents(Strict):
    """For all services. The journal keeps every rollback; what is bounded here are the files with windows and requests."""

    after_s: Annotated[float, Field(ge=1, le=800)] = 120.0
    """How long what follows a rollback is watched until its record is complete; the finest samples go back for 15 min."""
    kept_max: Annotated[int, Field(ge=1, le=10_000)] = 200
    """Incidents with files in STATE_DIR/incidents; of more, those that were written longest ago go. At most about 1 MB each."""
    failures_max: Annotated[int, Field(ge=0, le=20)] = 20
    """Failing requests in a record, from those that were captured."""
