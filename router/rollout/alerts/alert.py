"""What an alert from outside says, what it is taken for, and what becomes of it. Nothing here acts: see alert_book.py.

Theory. An alert is known by its service, its fingerprint and its start; what comes again under these is the same one. It is
judged once, when it first comes, and it counts against exactly one version: the one that is active then. It does not count if

    it names another version than that        version_inactive    a late word about a version that is gone moves nothing
    it names none and began before that       before_promotion    it may be about the version before
    it began longer ago than `fresh_s`        stale               something held it up, and nobody knows what is now
    nothing is active                         no_active

`resolved` ends an alert. It never makes anything active. Times are wall times (seconds since the epoch): the sender's clock
is another machine's, so these are the only decisions of the router that do not use the monotonic one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from router.rollout.alerts.label_pattern import matches
from router.rollout.text import shorten_line

Kind = Literal["quality", "business"]
Status = Literal["firing", "resolved"]
Fate = Literal["counts", "version_inactive", "before_promotion", "stale", "no_active", "resolved", "duplicate"]

TEXT_CHARS_MAX: Final = 300
VERSION_CHARS_MAX: Final = 128
LABELS_KEPT_MAX: Final = 8
LABEL_CHARS_MAX: Final = 64
_TOLD_FIRST: Final = ("alertname", "severity", "team", "job", "instance")
"""Labels that are kept before others: what people look for first."""


@dataclass(frozen=True, slots=True)
class RawAlert:
    """One alert as it came in. `kind`, `service` and `version` are None where labels have to say them.

    `starts_at` is None if the sender does not say; then the fingerprint alone is what it is known by.
    """

    fingerprint: str
    status: Status
    starts_at: float | None
    labels: Mapping[str, str] = field(default_factory=dict)
    summary: str = ""
    kind: Kind | None = None
    service: str | None = None
    version: str | None = None
    name: str = ""
    """What it is called where no label `alertname` says it."""


@dataclass(frozen=True, slots=True)
class LabelMap:
    """`matchers` are labels with their exact values, `patterns` expressions for the whole value; all have to match.

    `service` None: the label `service_label` names it. `version_label` None: no label names a version.
    """

    kind: Kind
    matchers: Mapping[str, str] = field(default_factory=dict)
    patterns: Mapping[str, str] = field(default_factory=dict)
    service: str | None = None
    service_label: str = "service"
    version_label: str | None = "version"

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Return whether every matcher and pattern holds; a missing label has the empty value, as in Prometheus."""
        exact = all(labels.get(name, "") == value for name, value in self.matchers.items())
        return exact and all(matches(pattern, labels.get(name, "")) for name, pattern in self.patterns.items())


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert of which kind and service are known. `version` is the one it names; `labels` are few and short."""

    fingerprint: str
    status: Status
    starts_at: float | None
    kind: Kind
    service: str
    version: str | None
    name: str
    summary: str
    labels: Mapping[str, str]

    def as_dict(self) -> dict[str, Any]:
        """Return what the journal keeps beside the fate; the service is the entry's own."""
        return {
            "fingerprint": self.fingerprint,
            "status": self.status,
            "starts_at": self.starts_at,
            "kind": self.kind,
            "version": self.version,
            "name": self.name,
            "summary": self.summary,
            "labels": dict(self.labels),
        }


@dataclass(frozen=True, slots=True)
class InvalidAlert:
    """Why no alert could be made of a report: `unmapped` (nobody asked for it) or a mistake in settings or sender."""

    code: Literal["unmapped", "service_missing"]
    detail: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of an alert. `about` is the version it counts against, None if against none."""

    disposition: Fate
    detail: str
    about: str | None = None


def parse(report: RawAlert, maps: Sequence[LabelMap]) -> Alert | InvalidAlert:
    """Return what `report` is taken for: by its own members, else by the first of `maps` that fits its labels."""
    labels = report.labels
    fitting = None if report.kind is not None else next((known for known in maps if known.fits(labels)), None)
    if report.kind is None and fitting is None:
        return InvalidAlert("unmapped", "no alerts.map fits its labels")
    kind, service, version = report.kind, report.service, report.version
    if fitting is not None:
        kind = fitting.kind
        service = service or fitting.service or labels.get(fitting.service_label) or None
        if version is None and fitting.version_label is not None:
            version = labels.get(fitting.version_label) or None
        if service is None:
            return InvalidAlert("service_missing", f"its label {fitting.service_label!r} should name a service")
    if kind is None or service is None:
        return InvalidAlert("service_missing", "it names no service")
    name = shorten_line(labels.get("alertname", "") or report.name, LABEL_CHARS_MAX) or kind
    summary = shorten_line(report.summary, TEXT_CHARS_MAX)
    named = None if version is None else shorten_line(version, VERSION_CHARS_MAX)
    kept = short_labels(labels)
    return Alert(report.fingerprint, report.status, report.starts_at, kind, service, named, name, summary, kept)


def decide(alert: Alert, active: str | None, active_since: float, fresh_s: float, now_s: float) -> Decision:
    """Return what becomes of an alert that comes for the first time. `active_since` is when `active` became that."""
    if alert.status == "resolved":
        return Decision("resolved", "it is over; that changes no route")
    if active is None:
        return Decision("no_active", "no version is active")
    if alert.version is not None and alert.version != active:
        return Decision("version_inactive", f"it is about {alert.version}, and {active} is active")
    age_s = now_s - alert.starts_at if alert.starts_at is not None else 0.0
    if age_s > fresh_s:
        return Decision("stale", f"it began {age_s:.0f} s ago (alerts.fresh_s = {fresh_s:g})")
    if age_s < -fresh_s:
        return Decision(
            "stale", f"it begins in {-age_s:.0f} s: the clocks differ by more than alerts.fresh_s = {fresh_s:g}"
        )
    if alert.version is None and alert.starts_at is not None and alert.starts_at < active_since:
        return Decision("before_promotion", f"it names no version and began before {active} was active")
    return Decision("counts", f"it counts against {active}", active)


def short_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Return at most LABELS_KEPT_MAX of `labels`, short, the telling ones first."""
    ordered = [name for name in _TOLD_FIRST if name in labels] + sorted(set(labels) - set(_TOLD_FIRST))
    kept = ordered[:LABELS_KEPT_MAX]
    return {shorten_line(name, LABEL_CHARS_MAX): shorten_line(labels[name], LABEL_CHARS_MAX) for name in kept}
