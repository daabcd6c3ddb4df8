"""A service: its hosts, versions, probe and rules, its objective and its proposals."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Final, Literal

from pydantic import Field, field_validator, model_validator

from router.errors import Refusal
from router.rollout.judge.criteria import Acceptance
from router.rollout.judge.rules import Rules
from router.rollout.model.endpoint import parse_endpoints
from router.rollout.model.rewrite import Rewrite, valid_host, valid_prefix
from router.settings.sections.acceptance import refuse_impossible
from router.settings.sections.cases import Cases
from router.settings.sections.drill import DrillSettings
from router.settings.sections.inference import InferenceSettings
from router.settings.sections.inputs import InputSettings
from router.settings.sections.mlflow import ModelSettings
from router.settings.sections.retention import Retention
from router.settings.sections.tls import BackendTlsSettings
from router.settings.sections.validation import ValidationSettings
from router.settings.sections.values import Breach, Count, FilePath, Seconds, Strict, refuse, version_label
from router.uri.authority import setting_host

INFERENCE_EVERY_S: Final = 10.0
LIVENESS_EVERY_S: Final = 1.0


class Objective(Strict):
    """The service level objective. Its error budget, (1 − availability) of the requests in `window_days`, measures the
    cost of a rollback."""

    availability: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of requests that must succeed. Unset: no error budget."""
    window_days: Annotated[float, Field(gt=0, le=366)] = 30.0
    """Period of the objective."""


class Probe(Strict):
    """The health probe of each endpoint. An inference probe runs the model; a liveness page answers while the engine behind
    it is dead. probe = "none" turns probes off."""

    path: str = "/"
    """Path of the probe."""
    method: Literal["GET", "HEAD", "POST"] = "GET"
    """Method of the probe."""
    body: str | None = None
    """Body of a POST."""
    content_type: str = "application/json"
    """Content-Type of the body."""
    expect_status_below: Annotated[int, Field(ge=100, le=600)] = 500
    """The response's status must be below this."""
    expect_text: str | None = None
    """The response's body must contain this text."""
    infers: bool | None = None
    """Whether this probe runs the model, which makes it evidence. Unset: a POST does."""
    every_s: Seconds | None = None
    """Interval of probes. Unset: 10 for an inference probe, else 1. While a version is verified or recovers, and from a
    failure until a probe passes, the interval is at most 1. An endpoint that gave a useful answer within it is not
    probed with an inference."""
    probe_timeout_s: Seconds = 2.0
    """Time limit of one probe."""
    warmup_probes: Count = 5
    """Good probes in a row before a new version is ready."""
    recover_probes: Count = 30
    """Good probes in a row before an unreachable version may be standby again."""

    @field_validator("path")
    @classmethod
    def _origin_form(cls, value: str) -> str:
        if not re.fullmatch(r"/[!-~]*", value):
            raise ValueError(f'{value!r} is not a path: write it as /health (or probe = "none")')
        return value

    @property
    def inference(self) -> bool:
        """Whether this probe runs the model."""
        return self.method == "POST" if self.infers is None else self.infers

    @property
    def interval_s(self) -> float:
        """Seconds between two probes of an endpoint that is well."""
        if self.every_s is not None:
            return self.every_s
        return INFERENCE_EVERY_S if self.inference else LIVENESS_EVERY_S


class ProposalSettings(Strict):
    """Decisions that wait for an operator: a trigger with the action "ask" has failed, or a promotion needs approval."""

    expire_after_s: Seconds = 1800.0
    """The proposal of a rollback expires after this time."""
    at_expiry: Literal["hold", "rollback"] = "hold"
    """Action when the proposal of a rollback expires: "hold" nothing, or "rollback" under the rules of automation (its
    gate, a freeze, at most once per promotion)."""
    repeat_after_s: Annotated[float, Field(ge=0, le=86_400 * 31)] = 3600.0
    """After a denial, or an expiry without action, the same cause makes no new proposal for this time."""
    promotion_expire_after_s: Seconds = 86_400.0
    """The proposal of a promotion expires after this time."""


class TargetSeed(Strict):
    """A version and the endpoints of its replicas. Host, path prefix and header fields tell versions on one server apart: they
    replace the client's in requests, probes and cases."""

    version: str
    """Label of the version."""
    endpoints: Annotated[list[str], Field(min_length=1, max_length=64)]
    """URLs of the replicas."""
    host: str | None = None
    """Host of requests to this version. Unset: the client's."""
    path_prefix: str | None = None
    """Path prefix of requests to this version. It replaces the service's. Unset: the client's path."""
    headers_file: FilePath | None = None
    """File with header fields, `Name: value` a line. They replace the client's. Read again at SIGHUP."""

    @property
    def rewrite(self) -> Rewrite:
        """How requests to this version differ from the client's."""
        return Rewrite(self.host, self.path_prefix, self.headers_file)

    @field_validator("host")
    @classmethod
    def _host(cls, value: str | None) -> str | None:
        return value if value is None else valid_host(value)

    @field_validator("path_prefix")
    @classmethod
    def _prefix(cls, value: str | None) -> str | None:
        return value if value is None else valid_prefix(value)

    @field_validator("version")
    @classmethod
    def _label(cls, value: str) -> str:
        return version_label(value)

    @field_validator("endpoints")
    @classmethod
    def _urls(cls, value: list[str]) -> list[str]:
        try:
            return [endpoint.url for endpoint in parse_endpoints(value)]
        except Refusal as error:
            raise ValueError(error.detail) from None


class Service(Strict):
    """One model endpoint that clients call."""

    hosts: list[str] = []
    """Host names, without port, that this service answers, on any port. Capitals and a final dot make no difference.
    Empty: any."""
    path_prefix: str = "/"
    """Path prefix that this service answers. The longest prefix that matches a request wins."""
    active: TargetSeed | None = None
    """The active version of an empty journal. Afterwards the journal wins."""
    standby: TargetSeed | None = None
    """The standby of an empty journal. Afterwards the journal wins."""
    probe: Probe | Literal["none"] = Probe()
    rules: Rules = Rules()
    replay: Literal["never", "unsent", "idempotent", "always"] = "unsent"
    """Whether a request that failed before its first response byte is sent again: "never", "unsent" (only if nothing
    was sent), "idempotent" (GET, HEAD, PUT, DELETE …), "always" (usual for model inference)."""
    rescue_on: list[Literal["connect", "timeout", "broken", "5xx"]] = ["connect", "timeout", "broken", "5xx"]
    """After which failures a request goes to the standby, if `replay` lets it be sent again: "connect" (no connection),
    "timeout" (no answer in time), "broken" (the backend closed, or broke HTTP), "5xx" (an answer with a status from 500
    on, or an event stream that begins with an error; neither if it means that the version is busy)."""
    served_version_header: bool = True
    """Name the version that answered in the response field X-Served-Version."""
    first_byte_timeout_s: Seconds | None = None
    """Overrides timeouts.first_byte_timeout_s for this service."""
    idle_timeout_s: Seconds | None = None
    """Overrides timeouts.idle_timeout_s for this service."""
    throttled_statuses: Annotated[list[Annotated[int, Field(ge=400, le=599)]], Field(max_length=20)] = [429, 529]
    """Statuses that say only that the version is busy: neither a fault nor a useful answer. A 503 with Retry-After is one,
    too."""
    throttled_texts: Annotated[list[Annotated[str, Field(min_length=1, max_length=100)]], Field(max_length=20)] = [
        "queue",
        "overloaded",
        "capacity",
    ]
    """A 503 that holds one of these in its first 256 bytes, in capitals or not, says only that the version is busy."""
    inference: InferenceSettings = InferenceSettings()
    backend_tls: BackendTlsSettings = BackendTlsSettings()
    validation: ValidationSettings = ValidationSettings()
    inputs: InputSettings = InputSettings()
    promote_needs: Literal["nothing", "approval"] = "nothing"
    """With "approval" a promotion needs two operators: one proposes, another one approves. With "nothing" one is enough.
    """
    proposals: ProposalSettings = ProposalSettings()
    objective: Objective = Objective()
    standby_cost_per_hour: Annotated[float, Field(ge=0, le=1e9)] | None = None
    """Cost of one warm standby for an hour. `report` adds it up. Unset: `report` gives hours only."""
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
        return list(dict.fromkeys(map(setting_host, value)))

    @model_validator(mode="after")
    def _whole(self) -> Service:
        refuse("service", (*_impossible(self), *_same_version(self)))
        return self


def _impossible(service: Service) -> Iterator[Breach]:
    try:
        refuse_impossible(service.acceptance, service.rules.latency)
    except ValueError as error:
        yield Breach(("acceptance",), str(error), (("rules", "latency", "slo_ms"),))


def _same_version(service: Service) -> Iterator[Breach]:
    if service.active and service.standby and service.active.version == service.standby.version:
        text = f"active and standby are both version {service.active.version!r}: the standby must be another version"
        yield Breach(("standby",), text)
