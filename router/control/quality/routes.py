"""The route that forgets the reference of input drift, so that it is learned anew. The status shows the reference."""

from __future__ import annotations

from router.control.admin import bodies
from router.control.admin.operation import Call, Operation
from router.control.quality.addon import QualityAddon
from router.control.quality.answers import RelearnAnswer


class Relearn(bodies.SignedBody):
    """Forget the reference, and learn a new one from the requests from now on."""

    reason: bodies.Text = ""


def operations(addon: QualityAddon) -> tuple[Operation, ...]:
    """Return the route of input drift."""

    async def relearn(call: Call) -> RelearnAnswer:
        reason = call.body_as(Relearn).reason
        return await addon.relearn(service=call.service, actor=call.actor(), reason=reason)

    return (
        Operation(
            "POST",
            "/v1/services/{service}/inputs/relearn",
            relearn,
            "Replace the reference of input drift by a new one",
            "operator",
            Relearn,
            name="relearnInputs",
            answer=RelearnAnswer,
        ),
    )
