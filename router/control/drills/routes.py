"""Drills: begin one, end it, see what they came to."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from router.control.addon import Document
from router.control.admin.bodies import Actor, ChangeQuery, ServiceName, Text
from router.control.admin.operation import Call, Operation
from router.control.drills.addon import DrillsAddon
from router.settings.sections.drill import Hold


class DrillBody(BaseModel):
    """Rehearse the way back. `shadow`: everything but the swap; `force`: go against what may be gone against."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    shadow: bool = False
    hold_s: Hold | None = None
    force: bool = False
    reason: Text = ""
    actor: Actor | None = None


class Stop(BaseModel):
    """Go home now."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    actor: Actor | None = None


class DrillsQuery(BaseModel):
    """`service`: only its drills."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    service: ServiceName | None = None


def operations(drills: DrillsAddon) -> tuple[Operation, ...]:
    """Return the routes of these drills."""

    async def begin(call: Call) -> Document:
        """Begin a drill; answered once the standby serves, a shadow once it is over."""
        body = call.asked(DrillBody)
        return await drills.drill(
            service=call.service,
            mode="shadow" if body.shadow else "real",
            hold_s=body.hold_s,
            force=body.force,
            actor=call.actor(),
            reason=body.reason,
            dry_run=call.dry_run,
        )

    async def stop(call: Call) -> Document:
        """End the drill under way."""
        return drills.stop(call.service, call.actor())

    async def listing(call: Call) -> Document:
        """All drills."""
        return drills.listing(call.queried(DrillsQuery).service)

    async def show(call: Call) -> Document:
        """One drill."""
        return drills.show(call.request.match_info["drill"])

    return (
        Operation("POST", "/v1/services/{service}/drill", begin, "Rehearse the rollback to the standby and back",
                  "operator", DrillBody, ChangeQuery, 202),
        Operation("POST", "/v1/services/{service}/drill/stop", stop, "End the drill under way and go home",
                  "operator", Stop),
        Operation("GET", "/v1/drills", listing, "All drills, newest first", query=DrillsQuery),
        Operation("GET", "/v1/drills/{drill}", show, "One drill, with what was measured"),
    )  # fmt: skip
