"""Alerts from outside: the tokens of their senders, and the mapping from alerts to signals."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from router.rollout.alerts.alert import LabelMap
from router.rollout.alerts.label_pattern import bounded
from router.settings.sections.values import NAME, Bytes, Count, FilePath, Seconds, Strict

LabelName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.\-]{0,127}$")]
LabelValue = Annotated[str, Field(max_length=256)]
FieldName = Annotated[str, Field(pattern=r"^[A-Za-z0-9\-]{1,64}$")]


class HookToken(Strict):
    """A bearer token that may send alerts and do nothing else, kept as its SHA-256 (`token new` makes both)."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._@\-]{1,64}$")]
    """Name of the sender."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 of the token in hex."""


class AlertMap(Strict):
    """Which alerts count as which signal. All matchers and patterns have to match; the first map that matches decides."""

    kind: Literal["quality", "business"]
    """The trigger that these alerts feed."""
    matchers: dict[LabelName, LabelValue] = {}
    """Labels and their exact values."""
    patterns: dict[LabelName, str] = {}
    """Labels and regular expressions for the whole value."""
    service: Annotated[str, Field(pattern=f"^(?:{NAME.pattern})$")] | None = None
    """The service of these alerts; unset: the label `service_label` names it."""
    service_label: LabelName = "service"
    """The label that names the service."""
    version_label: LabelName | Literal["none"] = "version"
    """The label that names the version, if an alert has it. "none": alerts name no version."""

    @field_validator("patterns")
    @classmethod
    def _bounded(cls, value: dict[str, str]) -> dict[str, str]:
        return {name: bounded(pattern) for name, pattern in value.items()}

    @model_validator(mode="after")
    def _chosen(self) -> Self:
        if not self.matchers and not self.patterns:
            raise ValueError("without matchers and patterns it would take every alert: name a label")
        return self

    def as_label_map(self) -> LabelMap:
        """Return the map as the value type of `rollout.alerts`."""
        label = None if self.version_label == "none" else self.version_label
        return LabelMap(self.kind, self.matchers, self.patterns, self.service, self.service_label, label)


class AlertSettings(Strict):
    """Alerts from outside: `POST /v1/hooks/alertmanager` (Alertmanager, Grafana) and `POST /v1/hooks/alert` on the
    admin port. Both are closed until a token or a secret is configured. A token of the hooks gives no other right."""

    tokens: Annotated[list[HookToken], Field(max_length=100)] = []
    """Bearer tokens of the senders, kept as their SHA-256 (`token new` makes both)."""
    hmac_secret_file: FilePath | None = None
    """File with the secret (16 bytes or more) of signed requests: HMAC-SHA256 of TIMESTAMP:BODY in hex, as Grafana
    signs."""
    signature_required: bool = False
    """Require a signature: a token alone is not enough."""
    signature_header: FieldName = "X-Grafana-Alerting-Signature"
    """The header field with the signature."""
    timestamp_header: FieldName = "X-Grafana-Alerting-Timestamp"
    """The header field with the time of the signature, in seconds since 1970."""
    signature_age_max_s: Seconds = 300.0
    """An older signature is refused."""
    fresh_s: Seconds = 600.0
    """An alert that is older than this when it first arrives is stale. Alertmanager delays an alert by group_wait +
    group_interval (330 s by default): keep these below it."""
    stands_for_s: Seconds = 86_400.0
    """An alert stands until it is resolved, and at most for this time after it last arrived. Senders that repeat an alert
    rarely or never (Alertmanager: repeat_interval, 4 h by default) need a time above their interval."""
    body_bytes_max: Annotated[Bytes, Field(le=1 << 20)] = 1 << 20
    """Bytes that are read of a request. Of a larger one the alerts up to there are taken, the answer is 413, and an alarm
    goes up."""
    alerts_max: Annotated[Count, Field(le=1000)] = 100
    """New alerts that are taken of one request. If there are more the answer is 503, and a repeated request brings the next
    ones."""
    alerts_per_minute_max: Annotated[Count, Field(le=60_000)] = 300
    """New alerts that are taken in a minute. The answer to more is 503, with the time after which to repeat the request."""
    remembered_max: Annotated[Count, Field(le=100_000)] = 10_000
    """Alerts that are remembered, so that a repeated alert acts once."""
    map: Annotated[list[AlertMap], Field(max_length=100)] = []
    """Which alerts count as which signal. The first map whose matchers and patterns all match decides."""

    @model_validator(mode="after")
    def _verifiable(self) -> Self:
        if self.signature_required and self.hmac_secret_file is None:
            raise ValueError("signature_required needs hmac_secret_file")
        if self.stands_for_s < self.fresh_s:
            raise ValueError(
                f"stands_for_s = {self.stands_for_s:g} is less than fresh_s = {self.fresh_s:g}: choose a larger stands_for_s"
            )
        if self.alerts_per_minute_max < self.alerts_max:
            raise ValueError(
                f"alerts_per_minute_max = {self.alerts_per_minute_max} is less than alerts_max = {self.alerts_max}: "
                "a request of so many would never be taken"
            )
        return self

    @property
    def open(self) -> bool:
        """Whether a sender can authenticate."""
        return bool(self.tokens) or self.hmac_secret_file is not None
