"""The routes that change a service: deploy, promote, rollback, switch, retire, endpoints, freeze, unfreeze."""

from __future__ import annotations

from typing import Final

from router.control.addon import Document
from router.control.admin import bodies
from router.control.admin.bodies import ChangeQuery
from router.control.admin.operation import Call, Operation
from router.control.core.answers import ChangeAnswer, DeployAnswer
from router.rollout.model.events import Override


async def deploy(call: Call) -> Document:
    """Bring a version in as candidate."""
    body = call.body_as(bodies.Deploy)
    return await call.operations.deploy(
        service=call.service,
        version=body.version,
        endpoints=body.endpoints or [],
        artifact=body.artifact,
        actor=call.actor(),
        replace=body.replace,
        override=signed(call, body.override),
        preconditions=call.preconditions,
        dry_run=call.dry_run,
    )


async def promote(call: Call) -> Document:
    """Make the candidate active."""
    body = call.body_as(bodies.Promote)
    return await call.operations.promote(
        service=call.service,
        version=body.version,
        actor=call.actor(),
        reason=body.reason,
        override=signed(call, body.override),
        preconditions=call.preconditions,
        dry_run=call.dry_run,
    )


async def rollback(call: Call) -> Document:
    """Go back to the standby."""
    body = call.body_as(bodies.RollbackBody)
    return await call.operations.rollback(
        service=call.service,
        reason=body.reason,
        actor=call.actor(),
        preconditions=call.preconditions,
        dry_run=call.dry_run,
    )


async def switch(call: Call) -> Document:
    """Make a named version active."""
    body = call.body_as(bodies.Switch)
    return await call.operations.switch(
        service=call.service,
        to=body.to,
        reason=body.reason,
        actor=call.actor(),
        override=signed(call, body.override),
        preconditions=call.preconditions,
        dry_run=call.dry_run,
    )


async def retire(call: Call) -> Document:
    """Take a version out."""
    body = call.body_as(bodies.Retire)
    return await call.operations.retire(
        service=call.service,
        version=body.version,
        actor=call.actor(),
        cut=body.cut,
        preconditions=call.preconditions,
        dry_run=call.dry_run,
    )


async def move_endpoints(call: Call) -> Document:
    """Move the replicas of a version."""
    body = call.body_as(bodies.MoveEndpoints)
    return await call.operations.set_endpoints(
        service=call.service,
        version=call.version,
        endpoints=body.endpoints,
        actor=call.actor(),
        dry_run=call.dry_run,
    )


async def freeze(call: Call) -> Document:
    """Disable automation."""
    reason = call.body_as(bodies.Automation).reason
    return await call.operations.freeze(service=call.service, actor=call.actor(), reason=reason, dry_run=call.dry_run)


async def unfreeze(call: Call) -> Document:
    """Enable automation."""
    reason = call.body_as(bodies.Automation).reason
    return await call.operations.unfreeze(service=call.service, actor=call.actor(), reason=reason, dry_run=call.dry_run)


def signed(call: Call, override: bodies.OverrideBody | None) -> Override | None:
    """Return the override to journal: its actor, with the name of the token if that differs."""
    if override is None:
        return None
    principal = call.principal
    signed = not principal.by_token or override.actor == principal.name
    actor = override.actor if signed else f"{override.actor} (token {principal.name})"
    return Override(actor, override.reason, override.expires_after_s)


_SERVICE: Final = "/v1/services/{service}"

OPERATIONS: Final = (
    Operation(
        "POST",
        f"{_SERVICE}/deploy",
        deploy,
        "Bring a version in as candidate and verify it",
        "operator",
        bodies.Deploy,
        ChangeQuery,
        202,
        name="deployVersion",
        answer=DeployAnswer,
    ),
    Operation(
        "POST",
        f"{_SERVICE}/promote",
        promote,
        "Make the candidate active",
        "operator",
        bodies.Promote,
        ChangeQuery,
        name="promoteVersion",
        answer=ChangeAnswer,
    ),
    Operation(
        "POST",
        f"{_SERVICE}/rollback",
        rollback,
        "Go back to the standby and quarantine the active version",
        "operator",
        bodies.RollbackBody,
        ChangeQuery,
        name="rollBackService",
        answer=ChangeAnswer,
    ),
    Operation(
        "POST",
        f"{_SERVICE}/switch",
        switch,
        "Make a named version active",
        "operator",
        bodies.Switch,
        ChangeQuery,
        name="switchVersion",
        answer=ChangeAnswer,
    ),
    Operation(
        "POST",
        f"{_SERVICE}/retire",
        retire,
        "Take a version out",
        "operator",
        bodies.Retire,
        ChangeQuery,
        name="retireVersion",
        answer=ChangeAnswer,
    ),
    Operation(
        "PUT",
        f"{_SERVICE}/versions/{{version:.+}}/endpoints",
        move_endpoints,
        "Move the replicas of a version",
        "operator",
        bodies.MoveEndpoints,
        ChangeQuery,
        name="setEndpoints",
        answer=ChangeAnswer,
    ),
    Operation(
        "POST",
        f"{_SERVICE}/freeze",
        freeze,
        "Disable automation",
        "operator",
        bodies.Automation,
        ChangeQuery,
        name="freezeAutomation",
        answer=ChangeAnswer,
    ),
    Operation(
        "POST",
        f"{_SERVICE}/unfreeze",
        unfreeze,
        "Enable automation",
        "operator",
        bodies.Automation,
        ChangeQuery,
        name="unfreezeAutomation",
        answer=ChangeAnswer,
    ),
)
