"""What the requests are held against: forgetting it, because the world has changed. What is known stands in the status."""

from __future__ import annotations

from router.control.addon import Document
from router.control.admin import bodies
from router.control.admin.operation import Call, Operation
from router.control.quality.addon import QualityAddon


class Relearn(bodies.Automation):
    """Take the requests from now on for good."""


def operations(addon: QualityAddon) -> tuple[Operation, ...]:
    """Return the route to what `office` knows."""

    async def relearn(call: Call) -> Document:
        reason = call.asked(Relearn).reason
        return await addon.relearn(service=call.service, actor=call.actor(), reason=reason)

    return (
        Operation("POST", "/v1/services/{service}/inputs/relearn", relearn,
                  "Forget what good requests were like, and learn it anew", "operator", Relearn),
    )  # fmt: skip
