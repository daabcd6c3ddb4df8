"""The formats of a single incoming alert: our own simple form, and CloudEvents. Both become a `RawAlert`.

Our own form refuses unknown members; null is as good as a member that is left out, and a text that is too long is cut. The
webhooks of other systems are read by webhooks.py; their schema stands here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, RootModel, ValidationError

from router.control.admin import json_text, problems
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.rollout.alerts.alert import TEXT_CHARS_MAX, RawAlert
from router.settings.sections.values import NAME

CLOUD_EVENT: Final = "application/cloudevents+json"
LABELS_MAX: Final = 64
_BINARY: Final = "ce-"
_FINGERPRINT: Final = re.compile(r"[!-~]{1,128}")
_LATEST_S: Final = 253_370_764_800.0
"""The beginning of the year 9999."""
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)([Zz]|[+-]\d\d:\d\d)?", re.ASCII)
"""RFC 3339 §5.6, the format of Alertmanager, Grafana and CloudEvents. Seconds may be left out."""


def _parse_time(text: str) -> datetime:
    """Return the time of a text; raise ValueError. A quoted number, a week or a day is not a time."""
    if (found := _TIME.fullmatch(text)) is not None:
        try:
            at = datetime.fromisoformat(text.upper())
        except ValueError:
            pass
        else:
            return at if found[2] else at.replace(tzinfo=UTC)
    raise ValueError(f"{text[:64]!r} is no time: write it as 2026-11-23T04:00:00Z (RFC 3339)")


def with_zone(text: str) -> datetime:
    """Return the time of a text; raise ValueError if it is none, or has no time zone."""
    at = _parse_time(text)
    if text[-1] not in "Zz" and text[-6] not in "+-":
        raise ValueError(f"{text[:64]!r} has no time zone: write it as 2026-11-23T04:00:00Z (RFC 3339)")
    return at


def _zoned(text: str) -> str:
    with_zone(text)
    return text


Labels = Annotated[dict[Annotated[str, Field(max_length=256)], str | None], Field(max_length=LABELS_MAX)]
Status = Literal["firing", "resolved"]
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"}), AfterValidator(_zoned)]


class _Foreign(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class _Own(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class AlertmanagerAlert(_Foreign):
    """One alert of a webhook of Alertmanager or Grafana. An alert without a start begins when it first arrives."""

    status: Status | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    startsAt: Time | None = None
    endsAt: Time | None = None
    fingerprint: str | None = None


class AlertmanagerBody(_Foreign):
    """A webhook of Alertmanager (version 4) or Grafana. Each of its alerts is taken or refused by itself; members that are
    not named here are ignored. A list of alerts, as Prometheus and vmalert send it, is taken as well."""

    alerts: list[AlertmanagerAlert] | None
    status: Status | None = None
    commonLabels: dict[str, str] | None = None
    truncatedAlerts: Annotated[int, Field(ge=0)] | None = None
    groupKey: str | None = None


class PrometheusAlerts(RootModel[list[AlertmanagerAlert]]):
    """The list of alerts that Prometheus and vmalert send to `/api/v2/alerts` of an Alertmanager; `endsAt` ends an alert."""


class SimpleAlert(_Own):
    """One alert. Without `kind` and `service` its labels have to match an alerts.map.

    `id` and `starts_at` identify it. Without `starts_at` an id is accepted once.
    """

    id: Annotated[str, Field(pattern=r"^[!-~]{1,128}$")]
    status: Status | None = None
    starts_at: Time | None = None
    kind: Literal["quality", "business"] | None = None
    service: Annotated[str, Field(pattern=f"^(?:{NAME.pattern})$")] | None = None
    version: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    summary: str | None = None
    labels: Labels | None = None


class _CloudEvent(_Foreign):
    specversion: Literal["1.0"]
    id: Annotated[str, Field(min_length=1, max_length=1024)]
    source: Annotated[str, Field(min_length=1, max_length=2048)]
    type: Annotated[str, Field(min_length=1, max_length=1024)]
    subject: Annotated[str, Field(max_length=1024)] | None = None
    time: Time | None = None
    data: Any = None


def from_alert(raw: bytes, media_type: str, fields: Mapping[str, str]) -> RawAlert:
    """Return the alert of a request: a CloudEvent in structured or binary mode, or our own form.

    Raise Refusal if the body is none of them.
    """
    if media_type == CLOUD_EVENT:
        return _from_event(json_text.parse(raw, _CloudEvent, json_text.HOOK))
    attributes = {
        name.lower()[len(_BINARY) :]: value for name, value in fields.items() if name.lower().startswith(_BINARY)
    }
    if "specversion" in attributes:
        return _from_event(_from_fields({**attributes, "data": json_text.read(raw, json_text.HOOK) if raw else None}))
    own = json_text.parse(raw, SimpleAlert, json_text.HOOK)
    return RawAlert(
        fingerprint=own.id,
        status=own.status or "firing",
        starts_at=_seconds(own.starts_at),
        labels={name: text or "" for name, text in (own.labels or {}).items()},
        summary=own.summary or "",
        cut=_cut(own.summary),
        name=own.id,
        kind=own.kind,
        service=own.service,
        version=own.version,
    )


def is_binary(fields: Mapping[str, str]) -> bool:
    """Return whether the request is a CloudEvent in binary mode: attributes in header fields, data in the body."""
    return any(name.lower() == f"{_BINARY}specversion" for name in fields)


def _from_event(event: _CloudEvent) -> RawAlert:
    """Return the alert of an event. Its data may have our own form; the labels ce_type, ce_source, ce_subject are added."""
    data = event.data if isinstance(event.data, dict) else {}
    labels = data.get("labels")
    known = {name: text for name, text in labels.items() if isinstance(text, str)} if isinstance(labels, dict) else {}
    known |= {"ce_type": event.type, "ce_source": event.source, "ce_subject": event.subject or ""}
    kind = _text(data, "kind")
    if kind not in (None, "quality", "business"):
        raise _invalid(f"data.kind is {kind[:64]!r}: it is quality or business")
    status = _text(data, "status") or "firing"
    if status not in ("firing", "resolved"):
        raise _invalid(f"data.status is {status[:64]!r}: it is firing or resolved")
    alert_id = _text(data, "id")
    return RawAlert(
        # An event that resolves an alert has another id, so its data has to name the alert.
        fingerprint=alert_id if alert_id and _FINGERPRINT.fullmatch(alert_id) else digest(event.source, event.id),
        status=status,  # type: ignore[arg-type]  # compared above
        starts_at=_starts_at(data) if alert_id else _seconds(event.time),
        labels=known,
        summary=_text(data, "summary") or event.type,
        cut=_cut(_text(data, "summary")),
        name=alert_id or "",
        kind=kind,  # type: ignore[arg-type]  # compared above
        service=_text(data, "service"),
        version=_text(data, "version"),
    )


def _starts_at(data: Mapping[str, Any]) -> float | None:
    text = _text(data, "starts_at")
    if text is None:
        return None
    try:
        return _seconds(text)
    except ValueError as error:
        raise _invalid(f"data.starts_at: {error}") from None


def _text(data: Mapping[str, Any], name: str) -> str | None:
    value = data.get(name)
    return value if isinstance(value, str) and value else None


def _cut(summary: str | None) -> tuple[str, ...]:
    """Return the names of the texts that are not kept to their end. Those of labels follow when the alert is taken."""
    return ("summary",) if summary is not None and len(summary) > TEXT_CHARS_MAX else ()


def digest(*parts: str) -> str:
    """Return a fingerprint of texts."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _seconds(text: str | None) -> float | None:
    """Return seconds since 1970, clamped to 1970..9999: a time outside of that is stale anyway."""
    return None if text is None else clamped_seconds(_parse_time(text))


def clamped_seconds(at: datetime) -> float:
    """Return seconds since 1970, clamped to 1970..9999."""
    return min(max(at.timestamp(), 0.0), _LATEST_S)


def _from_fields(attributes: dict[str, Any]) -> _CloudEvent:
    """Return the event whose attributes are header fields. All of them are strings, so validation is not strict."""
    try:
        return _CloudEvent.model_validate(attributes, strict=False)
    except ValidationError as error:
        raise problems.from_validation(error, "body") from None


def _invalid(detail: str) -> Refusal:
    return Refusal(RefusalCode.REQUEST_INVALID, detail)
