"""The bodies and queries of the admin API. Unknown members are refused by name; texts are bounded and printable.

The body of a verb makes the event for the machine: the parameters of a verb stand here and nowhere else.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from router.control.admin.auth import Principal
from router.errors import Refusal
from router.rollout.facts.switches import Promoted, Switched
from router.rollout.model import events as ev
from router.rollout.model.endpoint import parse_endpoints
from router.rollout.model.rewrite import Rewrite, valid_host, valid_prefix
from router.rollout.versions.active_periods import ACTIVE_PERIODS_MAX
from router.rollout.versions.model_uri import is_uri
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


def _version_or_uri(value: str) -> str:
    return value if is_uri(value) else version_label(value)


Text = Annotated[str, Field(max_length=500), AfterValidator(_printable)]
Actor = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_printable)]
Reason = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_printable)]
Version = Annotated[str, Field(max_length=128), AfterValidator(version_label)]
VersionOrUri = Annotated[str, Field(max_length=1000), AfterValidator(_version_or_uri)]
"""A label, or a URI of a model registry (`models:/Fraud Model/3`), which is parsed when it is resolved."""
Url = Annotated[str, Field(max_length=300)]
Endpoints = Annotated[list[Url], Field(min_length=1, max_length=64, fail_fast=True), AfterValidator(_canonical)]
Host = Annotated[str, Field(max_length=300), AfterValidator(valid_host)]
PathPrefix = Annotated[str, Field(max_length=1024), AfterValidator(valid_prefix)]
HeadersPath = Annotated[str, Field(min_length=1, max_length=1024, pattern="^/"), AfterValidator(_printable)]
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


class SignedBody(_Body):
    """A body with an actor."""

    actor: Actor | None = None
    """The actor of the change. Only used without tokens; else the name of the token counts."""


class ChangeBody(SignedBody):
    """The body of a verb."""

    @abstractmethod
    def event(self, by: Principal, version: str) -> ev.Event:
        """Return the event that `by` requests. `version` is the version that the path names; empty if it names none."""


class _RoutedChange(ChangeBody):
    from_version: Annotated[Version | None, Field(alias="from")] = None
    """The version that must be active; else the answer is 409."""


class _RewriteMembers(BaseModel):
    """How requests to the version differ from the client's; members that are left out: the registered ones."""

    host: Host | None = None
    path_prefix: PathPrefix | None = None
    headers_file: HeadersPath | None = None
    """Path of a file on the router's machine, with header fields: `Name: value` a line."""

    @property
    def rewrite(self) -> Rewrite | None:
        """Return the rewrite; None if no member is given."""
        return Rewrite(self.host, self.path_prefix, self.headers_file) if self._given() else None

    def _given(self) -> bool:
        return not self.model_fields_set.isdisjoint(("host", "path_prefix", "headers_file"))


class Deploy(_RoutedChange, _RewriteMembers):
    """Bring a version in as candidate. `replace`: instead of a candidate that is being verified. Endpoints may be left out
    if the version is known, or if `version` names one in MLflow (`models:/fraud/3`) that has them.
    """

    version: VersionOrUri
    endpoints: Endpoints | None = None
    artifact: Uri | None = None
    replace: bool = False
    override: OverrideBody | None = None

    def event(self, by: Principal, version: str) -> ev.Event:
        """Return the event. The version may be a URI, which is resolved later."""
        endpoints, origin = tuple(self.endpoints or ()), ev.Origin(self.artifact)
        return ev.DeployAsked(
            self.version,
            endpoints,
            by.actor(self.actor),
            self.replace,
            signed(self.override, by),
            origin,
            self.rewrite,
        )


class Promote(_RoutedChange):
    """Make the candidate active."""

    version: Version
    reason: Text = ""
    override: OverrideBody | None = None

    def event(self, by: Principal, version: str) -> ev.Event:
        """Return the event."""
        reason, override = self.reason or "promoted", signed(self.override, by)
        return ev.SwitchAsked(self.version, by.actor(self.actor), reason, Promoted.TYPE, override)


class RollbackBody(_RoutedChange):
    """Go back to the standby and quarantine the active version."""

    reason: Text = ""

    def event(self, by: Principal, version: str) -> ev.Event:
        """Return the event."""
        return ev.RollbackAsked(self.reason or "rolled back by an operator", by.actor(self.actor))


class Switch(_RoutedChange):
    """Make `to` active."""

    to: Version
    reason: Text = ""
    override: OverrideBody | None = None

    def event(self, by: Principal, version: str) -> ev.Event:
        """Return the event."""
        reason, override = self.reason or "switched", signed(self.override, by)
        return ev.SwitchAsked(self.to, by.actor(self.actor), reason, Switched.TYPE, override)


class Retire(_RoutedChange):
    """Take a version out. `cut`: end its requests in flight at once."""

    version: Version
    cut: bool = False

    def event(self, by: Principal, version: str) -> ev.Event:
        """Return the event."""
        return ev.RetireAsked(self.version, by.actor(self.actor), self.cut)


class MoveEndpoints(ChangeBody, _RewriteMembers):
    """The new endpoints of the version. Of host, path prefix and headers file those that are null end."""

    endpoints: Endpoints

    def event(self, by: Principal, version: str) -> ev.Event:
        """Return the event."""
        return ev.EndpointsAsked(version, tuple(self.endpoints), by.actor(self.actor), self.rewrite)


class Freeze(ChangeBody):
    """Disable automation."""

    reason: Text = ""

    def event(self, by: Principal, version: str) -> ev.Event:
        """Return the event."""
        return ev.FreezeAsked(by.actor(self.actor), self.reason)


class Unfreeze(ChangeBody):
    """Enable automation."""

    reason: Text = ""

    def event(self, by: Principal, version: str) -> ev.Event:
        """Return the event."""
        return ev.UnfreezeAsked(by.actor(self.actor), self.reason)


class QuarantineBody(ChangeBody):
    """Block a version. `service` may be left out where there is only one."""

    service: ServiceName | None = None
    reason: Reason

    def event(self, by: Principal, version: str) -> ev.Event:
        """Return the event."""
        return ev.QuarantineAsked(version, by.actor(self.actor), self.reason)


class Release(ChangeBody):
    """Lift the block of a version, for good or for a while. `service` may be left out where there is only one."""

    service: ServiceName | None = None
    reason: Reason
    expires_after_s: Duration | None = None
    """Seconds after which the quarantine is in force again."""

    def event(self, by: Principal, version: str) -> ev.Event:
        """Return the event."""
        return ev.ReleaseAsked(version, by.actor(self.actor), self.reason, self.expires_after_s)


class Register(ChangeBody, _RewriteMembers):
    """Make a version known without deploying it, or correct its artifact."""

    service: ServiceName | None = None
    version: VersionOrUri
    endpoints: Endpoints | None = None
    artifact: Uri | None = None

    def event(self, by: Principal, version: str) -> ev.Event:
        """Return the event. The version may be a URI, which is resolved later."""
        endpoints, origin = tuple(self.endpoints or ()), ev.Origin(self.artifact)
        return ev.RegisterAsked(self.version, endpoints, by.actor(self.actor), origin, self.rewrite)


def signed(override: OverrideBody | None, by: Principal) -> ev.Override | None:
    """Return the override to journal: its actor, with the name of the token if that differs."""
    if override is None:
        return None
    other = by.authenticated and override.actor != by.name
    known = "person" if by.how == "identity" else "token"
    actor = f"{override.actor} ({known} {by.name})" if other else override.actor
    return ev.Override(actor, override.reason, override.expires_after_s)


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
    """`after`: sequence number of the last entry already known; `limit`: entries at most. With `before` the newest entries come
    first: those with a lower number, or for 0 all.
    """

    after: Annotated[int, Field(ge=0, lt=1 << 63)] = 0
    before: Annotated[int, Field(ge=0, lt=1 << 63)] | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    service: ServiceName | None = None


class ReadyQuery(_Query):
    """`verbose` is accepted and ignored: each check is listed anyway."""

    verbose: str | None = None
