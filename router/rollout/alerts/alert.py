"""Parses an alert from outside and decides its disposition. alert_store.py makes trigger results of it.

Theory. Service, fingerprint and start identify an alert; a repetition with the same three is the same alert. The disposition is
decided once, when the alert first arrives. An alert counts against exactly one version: the active one. It does not count if

    it names another version              version_inactive    the version that it is about is not active any more
    it names none and began earlier       before_promotion    it may be about the version before
    it began longer ago than `fresh_s`    stale               it was delayed, and the present state is unknown
    no version is active                  no_active

`resolved` ends an alert and changes no route. Times are wall times (seconds since the epoch) because the start is from the
sender's clock. No other decision of the router uses wall time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from router.errors.codes import RefusalCode
from router.rollout.alerts.label_pattern import matches
from router.rollout.text import shorten_line

Kind = Literal["quality", "business"]
Status = Literal["firing", "resolved"]
Disposition = Literal["counts", "version_inactive", "before_promotion", "stale", "no_active", "resolved", "duplicate"]

TEXT_CHARS_MAX: Final = 300
VERSION_CHARS_MAX: Final = 128
LABELS_KEPT_MAX: Final = 8
LABEL_CHARS_MAX: Final = 64
_FIRST_LABELS: Final = ("alertname", "severity", "team", "job", "instance")
"""Labels that are kept before others."""


@dataclass(frozen=True, slots=True)
class RawAlert:
    """One alert as received. `kind`, `service` and `version` are None if labels name them.

    `starts_at` is None if the sender gives none; then the fingerprint alone identifies the alert. It is accepted once, unless
    it `renews`: then it begins when it first arrives, and again when it arrives after it was resolved.
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
    """Its name if it has no label `alertname`."""
    renews: bool = False
    cut: tuple[str, ...] = ()
    """The texts that were cut when it was read, by the names that its sender uses."""


@dataclass(frozen=True, slots=True)
class LabelMap:
    """`matchers` are labels with their exact values, `patterns` expressions for the whole value; all must match.

    `service` None: the label `service_label` names the service. `version_label` None: no label names a version.
    """

    kind: Kind
    matchers: Mapping[str, str] = field(default_factory=dict)
    patterns: Mapping[str, str] = field(default_factory=dict)
    service: str | None = None
    service_label: str = "service"
    version_label: str | None = "version"

    def matches_labels(self, labels: Mapping[str, str]) -> bool:
        """Return whether every matcher and pattern holds; a missing label has the empty value, as in Prometheus."""
        exact = all(labels.get(name, "") == value for name, value in self.matchers.items())
        return exact and all(matches(pattern, labels.get(name, "")) for name, pattern in self.patterns.items())


@dataclass(frozen=True, slots=True)
class Alert:
    """A parsed alert. `version` is the version that it names; `labels` are at most LABELS_KEPT_MAX."""

    fingerprint: str
    status: Status
    starts_at: float | None
    kind: Kind
    service: str
    version: str | None
    name: str
    summary: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class InvalidAlert:
    """Why an alert could not be parsed: UNMAPPED (no `alerts.map` matches), or SERVICE_MISSING."""

    code: RefusalCode
    detail: str


@dataclass(frozen=True, slots=True)
class Decision:
    """The disposition of an alert. `about` is the version that it counts against, or None."""

    disposition: Disposition
    detail: str
    about: str | None = None


def parse(raw: RawAlert, maps: Sequence[LabelMap]) -> Alert | InvalidAlert:
    """Return the alert of `raw`: kind and service from its own members, else from the first of `maps` that matches its labels."""
    labels = raw.labels
    matching = None if raw.kind is not None else next((known for known in maps if known.matches_labels(labels)), None)
    if raw.kind is None and matching is None:
        return InvalidAlert(RefusalCode.UNMAPPED, "no alerts.map fits its labels")
    kind, service, version = raw.kind, raw.service, raw.version
    if matching is not None:
        kind = matching.kind
        service = service or matching.service or labels.get(matching.service_label) or None
        if version is None and matching.version_label is not None:
            version = labels.get(matching.version_label) or None
        if service is None:
            return InvalidAlert(
                RefusalCode.SERVICE_MISSING, f"its label {matching.service_label!r} should name a service"
            )
    if kind is None or service is None:
        return InvalidAlert(RefusalCode.SERVICE_MISSING, "it names no service")
    name = shorten_line(labels.get("alertname", "") or raw.name, LABEL_CHARS_MAX) or kind
    summary = shorten_line(raw.summary, TEXT_CHARS_MAX)
    named = None if version is None else shorten_line(version, VERSION_CHARS_MAX)
    kept = short_labels(labels)
    return Alert(raw.fingerprint, raw.status, raw.starts_at, kind, service, named, name, summary, kept)


def decide(alert: Alert, active: str | None, active_since: float, fresh_s: float, now_s: float) -> Decision:
    """Return the disposition of a new alert. `active_since` is when `active` became the active version (wall seconds)."""
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


def cut_labels(labels: Mapping[str, str]) -> list[str]:
    """Return the names of the kept labels whose values are shortened."""
    return [name for name in _kept(labels) if len(labels[name]) > LABEL_CHARS_MAX]


def short_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Return at most LABELS_KEPT_MAX of `labels`, shortened; `_FIRST_LABELS` come first."""
    return {shorten_line(name, LABEL_CHARS_MAX): shorten_line(labels[name], LABEL_CHARS_MAX) for name in _kept(labels)}


def _kept(labels: Mapping[str, str]) -> list[str]:
    ordered = [name for name in _FIRST_LABELS if name in labels] + sorted(set(labels) - set(_FIRST_LABELS))
    return ordered[:LABELS_KEPT_MAX]
