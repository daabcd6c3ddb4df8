"""One model endpoint that clients call."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from router.errors import OperatorError
from router.rollout.acceptance.acceptance import Acceptance
from router.rollout.endpoint import parse_endpoints
from router.rollout.rules import Rules
from router.sections.acceptance import refuse_impossible, refuse_moved
from router.sections.cases import Cases
from router.sections.drill import Drilling
from router.sections.inputs import Inputs
from router.sections.mlflow import RegisteredModel
from router.sections.objective import Objective
from router.sections.probe import Probe
from router.sections.proposals import Proposals
from router.sections.retention import Retention
from router.sections.tls import BackendTls
from router.sections.validation import Validation
from router.sections.values import Seconds, Strict, version_label


class TargetSeed(Strict):
    """A version and where its replicas listen."""

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
    backend_tls: BackendTls = BackendTls()
    validation: Validation = Validation()
    inputs: Inputs = Inputs()
    promote_needs: Literal["nothing", "approval"] = "nothing"
    """`approval`: a candidate becomes active by two people, one who asks and one who approves."""
    proposals: Proposals = Proposals()
    objective: Objective = Objective()
    standby_cost_per_hour: Annotated[float, Field(ge=0, le=1e9)] | None = None
    """What it costs to keep one standby warm for an hour; without it `report` says hours and no money."""
    standby_cost_currency: Annotated[str, Field(pattern=r"^[A-Za-z$€£¥]{0,8}$")] = ""
    """How the report calls that money, for example EUR."""
    cases: Cases = Cases()
    retention: Retention = Retention()
    mlflow: RegisteredModel = RegisteredModel()
    drill: Drilling = Drilling()
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
