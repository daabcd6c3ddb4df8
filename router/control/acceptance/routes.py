"""The routes of acceptance criteria: show them, set a limit, remove one."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from router.control.acceptance.addon import AcceptanceAddon
from router.control.acceptance.answers import AcceptanceDocument, CriterionAnswer
from router.control.addon import Document
from router.control.admin.bodies import Actor, ChangeQuery, Reason
from router.control.admin.operation import Call, Operation

Metric = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,64}$")]


class Removal(BaseModel):
    """Remove an added criterion."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    reason: Reason
    actor: Actor | None = None


class CriterionBody(Removal):
    """The next versions are accepted only if `metric` is at most `limit`."""

    metric: Metric
    limit: Annotated[float, Field(allow_inf_nan=False)]


def operations(addon: AcceptanceAddon) -> tuple[Operation, ...]:
    """Return the routes of acceptance."""

    async def show(call: Call) -> Document:
        """The criteria, with the values of the active version."""
        return addon.show(call.service)

    async def put(call: Call) -> Document:
        """Set a limit."""
        body, actor = call.body_as(CriterionBody), call.actor()
        return await addon.set(
            service=call.service,
            metric=body.metric,
            limit=body.limit,
            actor=actor,
            reason=body.reason,
            dry_run=call.dry_run,
        )

    async def remove(call: Call) -> Document:
        """Remove a criterion."""
        metric, reason = call.request.match_info["metric"], call.body_as(Removal).reason
        return await addon.remove(
            service=call.service, metric=metric[:64], actor=call.actor(), reason=reason, dry_run=call.dry_run
        )

    path = "/v1/services/{service}/acceptance"
    return (
        Operation(
            "GET",
            path,
            show,
            "Acceptance criteria, evaluated for the active version",
            name="getAcceptance",
            answer=AcceptanceDocument,
        ),
        Operation(
            "PUT",
            path,
            put,
            "Add an acceptance criterion, or change its limit",
            "operator",
            CriterionBody,
            ChangeQuery,
            name="setCriterion",
            answer=CriterionAnswer,
        ),
        Operation(
            "DELETE",
            f"{path}/{{metric}}",
            remove,
            "Remove an added criterion",
            "operator",
            Removal,
            ChangeQuery,
            name="removeCriterion",
            answer=CriterionAnswer,
        ),
    )
