"""One channel's queue: notices in their order, each until it is delivered, refused for good, or too old."""

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
"""How often a notice is tried that the receiver refuses: its other notices wait behind it."""
FAILURES_TOLD: Final = 2
"""Failures in a row from which on the channel counts as failing."""


def pause_s(attempt: int, jitter: float) -> float:
    """Return how long to wait after failed attempt number `attempt` (from 1); `jitter` is between 0 and 1."""
    doubled = PAUSE_MIN_S * 2.0 ** min(attempt - 1, 30)
    return min(doubled, PAUSE_MAX_S) * (1 - JITTER + 2 * JITTER * jitter)


class Delivery:
    """A channel at work. `on_finished` is told each notice that is delivered or given up."""

    def __init__(
        self,
        channel: Channel,
        sender: Sender,
        links: Callable[[Notification], Mapping[str, str]],
        on_finished: Callable[[str, Notification], None],
    ) -> None:
        self.channel = channel
        self.sender = sender
        self.counts = {"sent": 0, "given_up": 0, "dropped": 0}
        self.failures = 0
        """In a row."""
        self.last_error: str | None = None
        self.last_sent_at: float | None = None
        self._links = links
        self._on_finished = on_finished
        self._queue: deque[Notification] = deque()
        self._work = asyncio.Event()
        self._nudged = asyncio.Event()

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def failing(self) -> bool:
        """Whether people should look at it."""
        return self.failures >= FAILURES_TOLD

    def wants(self, notice: Notification) -> bool:
        """Whether this channel is told of such things."""
        channel = self.channel
        return notice.topic in channel.events and (not channel.services or notice.service in ("", *channel.services))

    def offer(self, notice: Notification) -> None:
        """Have `notice` delivered after those that wait; in a full queue the oldest that is not under way makes room."""
        if len(self._queue) >= self.channel.queue_max:
            place = min(1, len(self._queue) - 1)
            gone = self._queue[place]
            del self._queue[place]
            self._end(gone, "dropped")
        self._queue.append(notice)
        self._work.set()

    def changed(self, channel: Channel, sender: Sender) -> None:
        """Go on by other settings, at once."""
        self.channel, self.sender = channel, sender
        self.failures, self.last_error = 0, None
        self._nudged.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            await self._work.wait()
            if not self._queue:
                self._work.clear()
                continue
            notice = self._queue[0]
            result = await self._deliver(notice)
            if self._queue and self._queue[0] is notice:
                self._queue.popleft()
                self._end(notice, result)

    async def _deliver(self, notice: Notification) -> str:
        attempt = refusals = 0
        while self._queue and self._queue[0] is notice:
            attempt += 1
            self._nudged.clear()
            error = await self._attempt(notice)
            if error is None:
                return "sent"
            refusals += error.refused
            age_s = clock.wall_s() - notice.at
            if attempt >= self.channel.attempts_max or refusals >= REFUSALS_MAX or age_s > self.channel.give_up_after_s:
                log.error("notification %s to %s given up: %s", notice.id, self.channel.name, error.detail)
                return "given_up"
            await self._pause(pause_s(attempt, random.random()))
        return "dropped"

    async def _attempt(self, notice: Notification) -> DeliveryFailedError | None:
        error = (await self.once(notice))[0]
        if error is None:
            self.failures, self.last_error, self.last_sent_at = 0, None, clock.wall_s()
        else:
            self.failures, self.last_error = self.failures + 1, error.detail
        return error

    async def once(self, notice: Notification) -> tuple[DeliveryFailedError | None, str]:
        """Try once, outside the queue; return (what went wrong, what the receiver said)."""
        try:
            async with asyncio.timeout(self.channel.timeout_s):
                return None, await self.sender.send(notice, self._links(notice))
        except TimeoutError:
            return DeliveryFailedError(f"no answer within {self.channel.timeout_s:g} s"), ""
        except DeliveryFailedError as error:
            return error, ""

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._nudged.wait(), seconds)
        except TimeoutError:
            pass

    def _end(self, notice: Notification, result: str) -> None:
        self.counts[result] += 1
        self._on_finished(self.channel.name, notice)

    def described(self) -> dict[str, Any]:
        """Return the channel as people see it, without its address."""
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
