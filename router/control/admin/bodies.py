"""The bodies and queries of the admin API. Unknown members are refused by name; texts are bounded and printable."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from router.errors import Refusal
from router.rollout.model.endpoint import parse_endpoints
from router.rollout.versions.active_periods import ACTIVE_PERIODS_MAX
from router.runtime.printable import printable
from router.settings.sections.values import NAME, version_label


def _printable(value: str) -> str:
    if printable(value) != value:
        raise ValueError("holds a control character, which would end up in logs and the journal")
    return value


def _canonical(urls: list[str]) -> list[str]:
    try:
        return [endpoint.url for endpoint in parse_endpoints(urls)]
    except Refusal as error:
        raise ValueError(error.detail) from None


Text = Annotated[str, Field(max_length=500), AfterValidator(_printable)]
Actor = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_printable)]
Reason = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_printable)]
Version = Annotated[str, Field(max_length=128), AfterValidator(version_label)]
Url = Annotated[str, Field(max_length=300)]
Endpoints = Annotated[list[Url], Field(min_length=1, max_length=64, fail_fast=True), AfterValidator(_canonical)]
Uri = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_printable)]
Duration = Annotated[float, Field(ge=1, le=86_400 * 366)]
"""Seconds for which a quarantine is lifted."""
ServiceName = Annotated[str, Field(pattern=f"^(?:{NAME.pattern})$")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class OverrideBody(_Body):
    """The audited decision to go against a quarantine or a missing check."""

    actor: Actor
    reason: Reason
    expires_after_s: Duration | None = None
    """Seconds after which a quarantine that it has lifted is in force again."""


class _Change(_Body):
    actor: Actor | None = None
    """The actor of the change. Only used without tokens; else the name of the token counts."""


class _RoutedChange(_Change):
    from_version: Annotated[Version | None, Field(alias="from")] = None
    """The version that must be active; else the answer is 409."""


class Deploy(_RoutedChange):
    """Bring a version in as candidate. `replace`: instead of a candidate that is being verified. Endpoints may be left out
    if the version is known, or if `version` names one in MLflow (`models:/fraud/3`) that has them.
    """

    version: Version
    endpoints: Endpoints | None = None
    artifact: Uri | None = None
    replace: bool = False
    override: OverrideBody | None = None


class Promote(_RoutedChange):
    """Make the candidate active."""

    version: Version
    reason: Text = ""
    override: OverrideBody | None = None


class RollbackBody(_RoutedChange):
    """Go back to the standby and quarantine the active version."""

    reason: Text = ""


class Switch(_RoutedChange):
    """Make `to` active."""

    to: Version
    reason: Text = ""
    override: OverrideBody | None = None


class Retire(_RoutedChange):
    """Take a version out. `cut`: end its requests in flight at once."""

    version: Version
    cut: bool = False


class MoveEndpoints(_Change):
    """The new endpoints of the version."""

    endpoints: Endpoints


class Automation(_Change):
    """Disable or enable automation."""

    reason: Text = ""


class QuarantineBody(_Change):
    """Block a version or lift the block. `service` may be left out where there is only one."""

    service: ServiceName | None = None
    reason: Reason


class Release(QuarantineBody):
    """Lift the block of a version, for good or for a while."""

    expires_after_s: Duration | None = None
    """Seconds after which the quarantine is in force again."""


class Register(_Change):
    """Make a version known without deploying it, or correct its artifact."""

    service: ServiceName | None = None
    version: Version
    endpoints: Endpoints | None = None
    artifact: Uri | None = None


class _Query(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NoQuery(_Query):
    """No query."""


class ChangeQuery(_Query):
    """`dry_run`: check everything, answer with the change that would be made, change nothing."""

    dry_run: bool = False


class ServiceQuery(_Query):
    """`service` may be left out where there is only one."""

    service: ServiceName | None = None


class LiveQuery(_Query):
    """`limit`: the newest so many."""

    limit: Annotated[int, Field(ge=1, le=ACTIVE_PERIODS_MAX)] = 100


class JournalQuery(_Query):
    """`after`: sequence number of the last entry already known; `limit`: entries at most."""

    after: Annotated[int, Field(ge=0, lt=1 << 63)] = 0
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    service: ServiceName | None = None


class ReadyQuery(_Query):
    """`verbose` is accepted and ignored: each check is listed anyway."""

    verbose: str | None = None
