"""The routes of drills: start one, stop it, list them, show one."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from router.control.addon import Document
from router.control.admin.bodies import Actor, ChangeQuery, ServiceName, Text
from router.control.admin.operation import Call, Operation
from router.control.drills.addon import DrillsAddon
from router.control.drills.answers import DrillDocument, DrillDryRun, DrillsList
from router.settings.sections.drill import Hold


class DrillBody(BaseModel):
    """Start a drill. `shadow`: everything but the swap; `force`: ignore the refusals that may be ignored."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    shadow: bool = False
    hold_s: Hold | None = None
    force: bool = False
    reason: Text = ""
    actor: Actor | None = None


class Stop(BaseModel):
    """Swap back now."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    actor: Actor | None = None


class DrillsQuery(BaseModel):
    """`service`: only its drills."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    service: ServiceName | None = None


def operations(addon: DrillsAddon) -> tuple[Operation, ...]:
    """Return the routes of drills."""

    async def begin(call: Call) -> Document:
        """Start a drill. The answer is sent once the standby serves, for a shadow drill once it is over."""
        body = call.body_as(DrillBody)
        return await addon.drill(
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
        return addon.stop(call.service, call.actor())

    async def listing(call: Call) -> Document:
        """All drills."""
        return addon.listing(call.query_as(DrillsQuery).service)

    async def show(call: Call) -> Document:
        """One drill."""
        return addon.show(call.request.match_info["drill"])

    return (
        Operation("POST", "/v1/services/{service}/drill", begin, "Rehearse the rollback to the standby and back",
                  "operator", DrillBody, ChangeQuery, 202, name="startDrill", answer=DrillDocument | DrillDryRun),
        Operation("POST", "/v1/services/{service}/drill/stop", stop, "End the drill in progress and swap back", "operator",
                  Stop, name="stopDrill", answer=DrillDocument),
        Operation("GET", "/v1/drills", listing, "All drills, newest first", query=DrillsQuery, name="listDrills",
                  answer=DrillsList),
        Operation("GET", "/v1/drills/{drill}", show, "One drill, with what was measured", name="getDrill",
                  answer=DrillDocument),
    )  # fmt: skip
