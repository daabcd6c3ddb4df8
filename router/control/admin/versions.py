"""Versions: their history, and the marks that humans set and lift."""

from __future__ import annotations

from typing import Final

from router.control.admin import bodies
from router.control.admin.bodies import ChangeQuery
from router.control.admin.operation import Call, Operation
from router.control.verbs import Document
from router.errors import OperatorError


async def list_all(call: Call) -> Document:
    """All versions."""
    return call.verbs.view.versions()


async def quarantine(call: Call) -> Document:
    """Block a version."""
    reason = call.asked(bodies.Mark).reason
    return await call.verbs.quarantine(
        service=_service(call), version=call.version, actor=call.actor(), reason=reason, dry_run=call.dry_run
    )


async def release(call: Call) -> Document:
    """Lift the block of a version."""
    reason = call.asked(bodies.Mark).reason
    return await call.verbs.release(
        service=_service(call), version=call.version, actor=call.actor(), reason=reason, dry_run=call.dry_run
    )


def _service(call: Call) -> str:
    named = call.asked(bodies.Mark).service
    if named is not None:
        return named
    services = sorted(call.verbs.view.status()["services"])
    if len(services) == 1:
        return str(services[0])
    detail = f"body.service: name the service, one of {', '.join(services)}"
    raise OperatorError(400, "request_invalid", detail, exit_code=2)


OPERATIONS: Final = (
    Operation("GET", "/v1/versions", list_all, "All versions with their history and marks"),
    Operation("POST", "/v1/versions/{version:.+}/quarantine", quarantine, "Block a version",
              "operator", bodies.Mark, ChangeQuery),
    Operation("POST", "/v1/versions/{version:.+}/release", release, "Lift the block of a version",
              "operator", bodies.Mark, ChangeQuery),
)  # fmt: skip
