"""One channel's queue: sends notifications in their order, and retries each until it is delivered, refused or too old."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from router.control.notify.senders import DeliveryFailedError, Sender
from router.rollout.notifications.notification import Notification
from router.runtime import clock
from router.settings.sections.notify import Channel

log = logging.getLogger(__name__)
PAUSE_MIN_S: Final = 1.0
PAUSE_MAX_S: Final = 300.0
JITTER: Final = 0.2
REFUSALS_MAX: Final = 3
"""How often a refused notification is tried. The channel's other notifications wait behind it."""
FAILING_AFTER: Final = 2
"""The number of consecutive failures from which a channel counts as failing."""


def pause_s(attempt: int, jitter: float, pause_min_s: float = PAUSE_MIN_S) -> float:
    """Return how long to wait after failed attempt number `attempt` (from 1); `jitter` is between 0 and 1."""
    doubled = pause_min_s * 2.0 ** min(attempt - 1, 30)
    return min(doubled, PAUSE_MAX_S) * (1 - JITTER + 2 * JITTER * jitter)


class Delivery:
    """The queue of a channel. `on_finished` is called with each notification that is delivered, given up or dropped."""

    def __init__(
        self,
        channel: Channel,
        sender: Sender,
        links: Callable[[Notification], Mapping[str, str]],
        on_finished: Callable[[str, Notification], None],
        pause_min_s: float = PAUSE_MIN_S,
    ) -> None:
        self.channel = channel
        self.sender = sender
        self.counts = {"sent": 0, "given_up": 0, "dropped": 0}
        self.failures = 0
        """Consecutive failures."""
        self.last_error: str | None = None
        self.last_sent_at: float | None = None
        self._links = links
        self._on_finished = on_finished
        self._pause_min_s = pause_min_s
        self._queue: deque[Notification] = deque()
        self._queued = asyncio.Event()
        self._reconfigured = asyncio.Event()

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def failing(self) -> bool:
        """Whether the last attempts failed."""
        return self.failures >= FAILING_AFTER

    def accepts(self, notification: Notification) -> bool:
        """Return whether this channel is configured for the topic and the service of a notification."""
        channel = self.channel
        return notification.topic in channel.events and (
            not channel.services or notification.service in ("", *channel.services)
        )

    def enqueue(self, notification: Notification) -> None:
        """Queue a notification. If the queue is full, the oldest one that is not being sent is dropped."""
        if len(self._queue) >= self.channel.queue_max:
            index = min(1, len(self._queue) - 1)
            dropped = self._queue[index]
            del self._queue[index]
            self._end(dropped, "dropped")
        self._queue.append(notification)
        self._queued.set()

    def mark_failing(self, error: str) -> None:
        """Count the channel as failing because of `error`, until a notification is sent or the settings change."""
        self.failures, self.last_error = FAILING_AFTER, error

    def reconfigure(self, channel: Channel, sender: Sender) -> None:
        """Apply changed settings, and retry at once."""
        self.channel, self.sender = channel, sender
        self.failures, self.last_error = 0, None
        self._reconfigured.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            await self._queued.wait()
            if not self._queue:
                self._queued.clear()
                continue
            notification = self._queue[0]
            result = await self._deliver(notification)
            if self._queue and self._queue[0] is notification:
                self._queue.popleft()
                self._end(notification, result)

    async def _deliver(self, notification: Notification) -> str:
        attempt = refusals = 0
        while self._queue and self._queue[0] is notification:
            attempt += 1
            self._reconfigured.clear()
            error = await self._attempt(notification)
            if error is None:
                return "sent"
            refusals += error.refused
            age_s = clock.wall_s() - notification.at
            if attempt >= self.channel.attempts_max or refusals >= REFUSALS_MAX or age_s > self.channel.give_up_after_s:
                log.error("notification %s to %s given up: %s", notification.id, self.channel.name, error.detail)
                return "given_up"
            await self._pause(pause_s(attempt, random.random(), self._pause_min_s))
        return "dropped"

    async def _attempt(self, notification: Notification) -> DeliveryFailedError | None:
        error = (await self.send(notification))[0]
        if error is None:
            self.failures, self.last_error, self.last_sent_at = 0, None, clock.wall_s()
        else:
            self.failures, self.last_error = self.failures + 1, error.detail
        return error

    async def send(self, notification: Notification) -> tuple[DeliveryFailedError | None, str]:
        """Send once, outside of the queue; return (error or None, answer of the receiver)."""
        try:
            async with asyncio.timeout(self.channel.timeout_s):
                return None, await self.sender.send(notification, self._links(notification))
        except TimeoutError:
            return DeliveryFailedError(f"no answer within {self.channel.timeout_s:g} s"), ""
        except DeliveryFailedError as error:
            return error, ""

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._reconfigured.wait(), seconds)
        except TimeoutError:
            pass

    def _end(self, notification: Notification, result: str) -> None:
        self.counts[result] += 1
        self._on_finished(self.channel.name, notification)

    def as_document(self) -> dict[str, Any]:
        """Return the channel as a document, without its address."""
        return {
            "channel": self.channel.name,
            "kind": self.channel.kind,
            "events": list(self.channel.events),
            "services": list(self.channel.services),
            **self.counts,
            "pending": len(self._queue),
            "oldest_pending_at": clock.iso(self._queue[0].at) if self._queue else None,
            "failing": self.failing,
            "failures": self.failures,
            "last_error": self.last_error,
            "last_sent_at": None if self.last_sent_at is None else clock.iso(self.last_sent_at),
        }
