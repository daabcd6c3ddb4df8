"""The documents of versions, as the admin API returns them. Times are RFC 3339."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict


class Registration(TypedDict):
    """Who has registered a version, and when."""

    by: str
    at: str


class ReleaseDocument(TypedDict):
    """The temporary release of a quarantined version."""

    actor: str
    reason: str
    at: str
    until: str


class VersionRollback(TypedDict):
    """The rollback of a version."""

    at: str
    incident: str | None
    reason: str


class ActiveSpan(TypedDict):
    """When a version was active. `until` is null while it is."""

    since: str
    until: str | None


class PeriodCause(TypedDict):
    """The change that began or ended a period: an entry of the journal. `verdict` is an actor, too."""

    event: str
    actor: str
    reason: str | None
    incident: str | None


class ActivePeriodDocument(ActiveSpan):
    """A period in which a version was active. `to`: the version that followed."""

    version: str
    generation: int | None
    begun: PeriodCause
    ended: PeriodCause | None
    to: str | None


class VersionDocument(TypedDict):
    """A version without its active periods."""

    service: str
    version: str
    state: str
    slot: int | None
    endpoints: list[str]
    artifact: str | None
    source: Any
    registered: Registration | None
    quarantine: dict[str, Any] | None
    lifted: ReleaseDocument | None
    unreachable: bool
    accepted: bool
    accepted_at: str | None
    rolled_back: VersionRollback | None
    history: list[dict[str, Any]]
    """What happened to the version: entries of the journal in short."""


class ListedVersion(VersionDocument):
    """A version with its last active period."""

    last_live: ActiveSpan | None


class VersionsList(TypedDict):
    """All versions, newest first."""

    versions: list[ListedVersion]


class WholeVersion(VersionDocument):
    """A version with all its active periods and incidents."""

    live: list[ActivePeriodDocument]
    incidents: list[str]


class ActivePeriodsList(TypedDict):
    """What was active when, oldest first. `earlier`: older periods that are kept; `dropped`: those only in the journal."""

    service: str
    live: list[ActivePeriodDocument]
    earlier: int
    dropped: int


class RetainedVersion(TypedDict):
    """A version and the reasons to keep it."""

    version: str
    artifact: str | None
    because: list[str]


class RetentionList(TypedDict):
    """Which versions and artifacts may be deleted."""

    service: str
    keep_accepted: int
    kept: list[RetainedVersion]
    deletable: list[RetainedVersion]
    artifacts_deletable: list[str]


class RegisterAnswer(TypedDict):
    """The answer of register. `source` is the URI of the model registry that the version was named by."""

    service: str
    version: str
    source: str | None
    changed: bool
    journalled: bool
    dry_run: bool
    message: str
