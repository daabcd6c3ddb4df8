"""How long history, incident files and versions are kept."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from router.settings.sections.values import Strict


class HistorySettings(Strict):
    """The stored history: what each version did, one row every ten seconds, in STATE_DIR/history.sqlite. At either
    limit the oldest rows of all services are deleted. `advise` and `report` see no older rows."""

    keep_days: Annotated[float, Field(ge=0.1, le=366)] = 30.0
    """Age of the oldest row."""
    file_bytes_max: Annotated[int, Field(ge=1 << 20, le=1 << 40)] = 2 << 30
    """Size for all services together; a busy service with a standby needs about 110 MB for 30 days."""


class IncidentSettings(Strict):
    """The record of each rollback, as JSON, Markdown, HTML and a picture in STATE_DIR/incidents. A record has the
    captured failing requests without their contents. The journal keeps every rollback without these limits."""

    after_s: Annotated[float, Field(ge=1, le=800)] = 120.0
    """Time after a rollback that its record covers. Then the record is complete."""
    kept_max: Annotated[int, Field(ge=1, le=10_000)] = 200
    """Incidents with files, each at most about 1 MB. Beyond it the oldest files are deleted."""
    failures_max: Annotated[int, Field(ge=0, le=20)] = 20
    """Captured failing requests in a record."""


class Retention(Strict):
    """Which versions and artifacts may be deleted (`versions --deletable`). The router lists them and never deletes
    them. Versions with a role, draining ones and those under analysis are never listed."""

    keep_accepted: Annotated[int, Field(ge=0, le=100)] = 3
    """Accepted versions that are kept, the newest first."""
