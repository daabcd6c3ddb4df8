"""The documents of notification channels, as the admin API returns them. Times are RFC 3339."""

from __future__ import annotations

from typing_extensions import TypedDict


class ChannelStatus(TypedDict):
    """A channel with its counts, without its address."""

    channel: str
    kind: str
    events: list[str]
    services: list[str]
    sent: int
    given_up: int
    dropped: int
    pending: int
    oldest_pending_at: str | None
    failing: bool
    failures: int
    last_error: str | None
    next_attempt_at: str | None
    """When what waits is tried again, after a failure."""
    last_sent_at: str | None
    last_lost: str | None
    """The last notification that was given up or dropped, and why."""
    last_lost_at: str | None


class ChannelsList(TypedDict):
    """All channels."""

    channels: list[ChannelStatus]


class ChannelTest(TypedDict):
    """What came back for a test message."""

    channel: str
    kind: str
    ok: bool
    detail: str
    ms: float


class ChannelTests(TypedDict):
    """What came back from each channel."""

    channels: list[ChannelTest]
