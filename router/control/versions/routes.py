"""The routes of versions: their history, registration, quarantine and release."""

from __future__ import annotations

from typing import Final

from router.control.addon import Document
from router.control.admin import bodies
from router.control.admin.bodies import ChangeQuery, LiveQuery, ServiceQuery
from router.control.admin.operation import Call, Operation
from router.control.core.answers import ChangeAnswer
from router.control.versions.addon import VersionsAddon
from router.control.versions.answers import ActivePeriodsList, RegisterAnswer, RetentionList, VersionsList, WholeVersion
from router.errors import Refusal
from router.errors.codes import RefusalCode

_NOT_A_VERB: Final = "(?!.+/(?:quarantine|release)$)"
"""A version with such a name is written with %2F: `/v1/versions/a%2Fquarantine`."""


async def list_all(call: Call) -> Document:
    """All versions."""
    return await call.queries.versions()


async def quarantine(call: Call) -> Document:
    """Block a version."""
    reason = call.body_as(bodies.QuarantineBody).reason
    return await call.operations.quarantine(
        service=_service(call), version=call.version, actor=call.actor(), reason=reason, dry_run=call.dry_run
    )


async def release(call: Call) -> Document:
    """Lift the block of a version."""
    body = call.body_as(bodies.Release)
    return await call.operations.release(
        service=_service(call),
        version=call.version,
        actor=call.actor(),
        reason=body.reason,
        expires_after_s=body.expires_after_s,
        dry_run=call.dry_run,
    )


def _service(call: Call) -> str:
    named: str | None = getattr(call.body, "service", None)
    if named is not None:
        return named
    services = sorted(call.queries.status()["services"])
    if len(services) == 1:
        return str(services[0])
    detail = f"body.service: name the service, one of {', '.join(services)}"
    raise Refusal(RefusalCode.REQUEST_INVALID, detail)


OPERATIONS: Final = (
    Operation(
        "GET",
        "/v1/versions",
        list_all,
        "All versions with their history and marks",
        name="listVersions",
        answer=VersionsList,
    ),
    Operation(
        "POST",
        "/v1/versions/{version:.+}/quarantine",
        quarantine,
        "Block a version",
        "operator",
        bodies.QuarantineBody,
        ChangeQuery,
        name="quarantineVersion",
        answer=ChangeAnswer,
    ),
    Operation(
        "POST",
        "/v1/versions/{version:.+}/release",
        release,
        "Lift the block of a version",
        "operator",
        bodies.Release,
        ChangeQuery,
        name="releaseVersion",
        answer=ChangeAnswer,
    ),
)
"""The routes that need no add-on."""


def operations(addon: VersionsAddon) -> tuple[Operation, ...]:
    """Return the routes of versions."""

    async def one(call: Call) -> Document:
        return await addon.version(call.version, call.query_as(ServiceQuery).service)

    async def live(call: Call) -> Document:
        return await addon.live(call.service, call.query_as(LiveQuery).limit)

    async def retention(call: Call) -> Document:
        return addon.retention(call.service)

    async def register(call: Call) -> Document:
        body = call.body_as(bodies.Register)
        return await addon.register(
            service=_service(call),
            version=body.version,
            endpoints=body.endpoints or [],
            artifact=body.artifact,
            actor=call.actor(),
            dry_run=call.dry_run,
        )

    return (
        *OPERATIONS,
        Operation("POST", "/v1/versions", register,
                  "Make a version known without deploying it, or correct its artifact", "operator", bodies.Register,
                  ChangeQuery, 201, name="registerVersion", answer=RegisterAnswer),
        Operation("GET", f"/v1/versions/{{version:{_NOT_A_VERB}.+}}", one,
                  "One version: where it comes from, when it was live, how it fared", query=ServiceQuery,
                  name="getVersion", answer=WholeVersion),
        Operation("GET", "/v1/services/{service}/live", live, "What was live when, oldest first", query=LiveQuery,
                  name="listActivePeriods", answer=ActivePeriodsList),
        Operation("GET", "/v1/services/{service}/retention", retention, "Which versions and artifacts may be deleted",
                  name="getRetention", answer=RetentionList),
    )  # fmt: skip
