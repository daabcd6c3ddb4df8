"""The routes of versions: their history, registration, quarantine and release."""

from __future__ import annotations

from typing import Final

from router.control.addon import Document
from router.control.admin import bodies
from router.control.admin.bodies import LiveQuery, ServiceQuery
from router.control.admin.changes import verb
from router.control.admin.operation import Call, Operation
from router.control.versions.addon import VersionsAddon
from router.control.versions.answers import ActivePeriodsList, RegisterAnswer, RetentionList, VersionsList, WholeVersion

_NOT_A_VERB: Final = "(?!.+/(?:quarantine|release)$)"
"""A version with such a name is written with %2F: `/v1/versions/a%2Fquarantine`."""


async def list_all(call: Call) -> Document:
    """All versions."""
    return await call.queries.versions()


OPERATIONS: Final = (
    Operation("GET", "/v1/versions", list_all, "All versions with their history and marks", name="listVersions",
              answer=VersionsList),
    verb("quarantineVersion", "POST", "/v1/versions/{version:.+}/quarantine", bodies.QuarantineBody, "Block a version"),
    verb("releaseVersion", "POST", "/v1/versions/{version:.+}/release", bodies.Release, "Lift the block of a version"),
    verb("registerVersion", "POST", "/v1/versions", bodies.Register,
         "Make a version known without deploying it, or correct its artifact", status=201, answer=RegisterAnswer),
)  # fmt: skip
"""The routes that need no add-on."""


def operations(addon: VersionsAddon) -> tuple[Operation, ...]:
    """Return the routes of versions."""

    async def one(call: Call) -> Document:
        return await addon.version(call.version, call.query_as(ServiceQuery).service)

    async def live(call: Call) -> Document:
        return await addon.live(call.service, call.query_as(LiveQuery).limit)

    async def retention(call: Call) -> Document:
        return addon.retention(call.service)

    return (
        *OPERATIONS,
        Operation("GET", f"/v1/versions/{{version:{_NOT_A_VERB}.+}}", one,
                  "One version with its origin, active periods and incidents", query=ServiceQuery,
                  name="getVersion", answer=WholeVersion),
        Operation("GET", "/v1/services/{service}/live", live, "Active periods, oldest first", query=LiveQuery,
                  name="listActivePeriods", answer=ActivePeriodsList),
        Operation("GET", "/v1/services/{service}/retention", retention, "Which versions and artifacts may be deleted",
                  name="getRetention", answer=RetentionList),
    )  # fmt: skip
