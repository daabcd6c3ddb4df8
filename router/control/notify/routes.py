"""The routes of notification channels: list them, and send a test message through them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from router.control.addon import Document
from router.control.admin.bodies import Actor
from router.control.admin.operation import Call, Operation
from router.control.notify.addon import NotifyAddon
from router.control.notify.answers import ChannelsList, ChannelTests


class NotifyTest(BaseModel):
    """Send a test message through `channel`, or through all channels."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    actor: Actor | None = None
    channel: Annotated[str, Field(min_length=1, max_length=63)] | None = None


def operations(addon: NotifyAddon) -> tuple[Operation, ...]:
    """Return the routes of notifications."""

    async def listing(call: Call) -> Document:
        return addon.listing()

    async def test(call: Call) -> ChannelTests:
        return await addon.test(call.body_as(NotifyTest).channel, call.actor())

    return (
        Operation(
            "GET",
            "/v1/notify",
            listing,
            "Notification channels with their counts and last error",
            name="listChannels",
            answer=ChannelsList,
        ),
        Operation(
            "POST",
            "/v1/notify/test",
            test,
            "Send a test message through each channel",
            "operator",
            NotifyTest,
            name="testChannels",
            answer=ChannelTests,
        ),
    )
