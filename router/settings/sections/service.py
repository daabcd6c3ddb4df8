"""A service: its hosts, versions, probe and rules, its objective and its proposals."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from router.errors import OperatorError
from router.rollout.judge.criteria import Acceptance
from router.rollout.judge.rules import Rules
from router.rollout.model.endpoint import parse_endpoints
from router.settings.sections.acceptance import refuse_impossible, refuse_moved
from router.settings.sections.cases import Cases
from router.settings.sections.drill import DrillSettings
from router.settings.sections.inputs import InputSettings
from router.settings.sections.mlflow import ModelSettings
from router.settings.sections.retention import Retention
from router.settings.sections.tls import BackendTlsSettings
from router.settings.sections.validation import Validation
from router.settings.sections.values import Count, Seconds, Strict, version_label


class Objective(Strict):
    """The service level objective. The error budget is (1 - availability) of the requests in `window_days`; without
    `availability` there is none. It measures the cost of a rollback.
    """

    availability: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of requests that must succeed, for example 0.999."""
    window_days: Annotated[float, Field(gt=0, le=366)] = 30.0


class Probe(Strict):
    """The health probe of a target. With a `body` it is an inference, which proves more than a liveness page."""

    path: str = "/"
    method: Literal["GET", "HEAD", "POST"] = "GET"
    body: str | None = None
    content_type: str = "application/json"
    expect_status_below: Annotated[int, Field(ge=100, le=600)] = 500
    expect_text: str | None = None
    every_s: Seconds = 1.0
    probe_timeout_s: Seconds = 2.0
    warmup_probes: Count = 5
    recover_probes: Count = 30

    @field_validator("path")
    @classmethod
    def _origin_form(cls, value: str) -> str:
        if not re.fullmatch(r"/[!-~]*", value):
            raise ValueError(f'{value!r} is not a path: write it as /health (or probe = "none")')
        return value

    @property
    def inference(self) -> bool:
        """Whether this probe runs the model."""
        return self.method == "POST"


class ProposalSettings(Strict):
    """How long a proposal waits for a decision, and the action if there is none."""

    expire_after_s: Seconds = 1800.0
    """For the proposal of a rollback."""
    at_expiry: Literal["hold", "rollback"] = "hold"
    """For the proposal of a rollback: do nothing, or roll back under the rules of automation (its gate, a freeze, at most once
    per promotion)."""
    repeat_after_s: Annotated[float, Field(ge=0, le=86_400 * 31)] = 3600.0
    """After a denial, or an expiry without action, the same cause makes no new proposal for this time."""
    promotion_expire_after_s: Seconds = 86_400.0


class TargetSeed(Strict):
    """A version and the endpoints of its replicas."""

    version: str
    endpoints: Annotated[list[str], Field(min_length=1, max_length=64)]

    @field_validator("version")
    @classmethod
    def _label(cls, value: str) -> str:
        return version_label(value)

    @field_validator("endpoints")
    @classmethod
    def _urls(cls, value: list[str]) -> list[str]:
        try:
            return [endpoint.url for endpoint in parse_endpoints(value)]
        except OperatorError as error:
            raise ValueError(error.detail) from None


class Service(Strict):
    """One model endpoint that clients call, matched by host and longest path prefix."""

    hosts: list[str] = []
    """Host names, without port, that this service answers; empty: any."""
    path_prefix: str = "/"
    active: TargetSeed | None = None
    """Seeds an empty journal; afterwards the journal wins."""
    standby: TargetSeed | None = None
    probe: Probe | Literal["none"] = Probe()
    rules: Rules = Rules()
    replay: Literal["never", "unsent", "idempotent", "always"] = "unsent"
    served_version_header: bool = True
    first_byte_timeout_s: Seconds | None = None
    """Overrides timeouts.first_byte_timeout_s for this service."""
    idle_timeout_s: Seconds | None = None
    backend_tls: BackendTlsSettings = BackendTlsSettings()
    validation: Validation = Validation()
    inputs: InputSettings = InputSettings()
    promote_needs: Literal["nothing", "approval"] = "nothing"
    """`approval`: a promotion needs two people, one to propose and one to approve it."""
    proposals: ProposalSettings = ProposalSettings()
    objective: Objective = Objective()
    standby_cost_per_hour: Annotated[float, Field(ge=0, le=1e9)] | None = None
    """Cost of one warm standby for an hour; without it `report` gives hours and no costs."""
    standby_cost_currency: Annotated[str, Field(pattern=r"^[A-Za-z$€£¥]{0,8}$")] = ""
    """Currency of the costs in the report, for example EUR."""
    cases: Cases = Cases()
    retention: Retention = Retention()
    mlflow: ModelSettings = ModelSettings()
    drill: DrillSettings = DrillSettings()
    acceptance: Acceptance = Acceptance()

    @field_validator("path_prefix")
    @classmethod
    def _prefix(cls, value: str) -> str:
        if not re.fullmatch(r"/[!-~]*", value):
            raise ValueError(f"{value!r} must begin with / and hold visible ASCII only")
        return value

    @field_validator("hosts")
    @classmethod
    def _hosts(cls, value: list[str]) -> list[str]:
        for host in value:
            if not re.fullmatch(r"[A-Za-z0-9._\-]+|\[[0-9A-Fa-f:.]+\]", host):
                raise ValueError(f"{host!r} is not a host name (write it without port)")
        return [host.lower() for host in value]

    @model_validator(mode="before")
    @classmethod
    def _moved(cls, value: Any) -> Any:
        refuse_moved(value.get("rules") if isinstance(value, dict) else None)
        return value

    @model_validator(mode="after")
    def _acceptable(self) -> Service:
        refuse_impossible(self.acceptance, self.rules.latency)
        return self

    @model_validator(mode="after")
    def _distinct(self) -> Service:
        if self.active and self.standby and self.active.version == self.standby.version:
            raise ValueError(
                f"active and standby are both version {self.active.version!r}: a way back needs another one"
            )
        return self
