"""How long history, incident files and versions are kept."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from router.settings.sections.values import Strict


class HistorySettings(Strict):
    """Limits of the stored history, which has one row every ten seconds. At either limit the oldest rows of all services are
    deleted. `advise` and `report` see no older rows.
    """

    keep_days: Annotated[float, Field(ge=0.1, le=366)] = 30.0
    file_bytes_max: Annotated[int, Field(ge=1 << 20, le=1 << 40)] = 2 << 30
    """Size for all services together; a busy service with a standby needs about 110 MB for 30 days."""


class IncidentSettings(Strict):
    """Incident files of all services, with windows and requests. The journal keeps every rollback without these limits."""

    after_s: Annotated[float, Field(ge=1, le=800)] = 120.0
    """Time after a rollback that its record covers; then the record is complete. The finest samples cover 15 min."""
    kept_max: Annotated[int, Field(ge=1, le=10_000)] = 200
    """Incidents with files in STATE_DIR/incidents, each at most about 1 MB; beyond it the oldest files are deleted."""
    failures_max: Annotated[int, Field(ge=0, le=20)] = 20
    """Captured failing requests in a record."""


class Retention(Strict):
    """Which versions may be deleted. The router lists them (`versions --deletable`) and never deletes them."""

    keep_accepted: Annotated[int, Field(ge=0, le=100)] = 3
    """Accepted versions that are kept, the newest first, beside all that have a role, drain or are under analysis."""
