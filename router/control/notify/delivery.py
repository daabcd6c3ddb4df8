"""One channel: sends its notifications, and tries each again for as long as it is of use.

No answer of a receiver ends a notification. 401, 403, 404 and 410 are what a receiver says while its secret, its rights or its
address are being changed, and 400 or 413 what a proxy in front of it says; a wrong guess would lose a rollback, a further
attempt costs one request in five minutes. What ends a notification is its age (`useful_s`), `attempts_max`, or a full queue.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from typing import Any, Final

from router.control.notify.delivery_queue import PAUSE_MIN_S, DeliveryQueue, WaitingNotification
from router.control.notify.receiver_answer import DeliveryFailedError
from router.control.notify.senders import Sender
from router.rollout.notifications.notification import Notification, is_lasting
from router.runtime import clock
from router.settings.sections.notify import Channel

log = logging.getLogger(__name__)
FAILING_AFTER: Final = 2
"""The number of consecutive failures from which a channel counts as failing."""
LONG_WAIT_S: Final = 60.0
"""A channel whose receiver asks for a longer wait fails at once: a rollback may wait there, and others get the alarm."""
ABOUT_CHANNELS: Final = ("notification_failing", "notification_given_up")
"""Alarms about notifications: that they were lost is no news."""


class Delivery:
    """The queue of a channel. `on_finished` is called with each notification that is delivered, given up or dropped."""

    def __init__(
        self,
        channel: Channel,
        sender: Sender,
        links: Callable[[Notification], Mapping[str, str]],
        on_finished: Callable[[str, Notification], None],
        pause_min_s: float = PAUSE_MIN_S,
        now_s: Callable[[], float] = clock.now_s,
    ) -> None:
        self.channel = channel
        self.sender = sender
        self.counts = {"sent": 0, "given_up": 0, "dropped": 0}
        self.last_error: str | None = None
        self.last_sent_at: float | None = None
        self.last_lost: str | None = None
        """The last notification that was given up or dropped, and why."""
        self.last_lost_at: float | None = None
        self._links = links
        self._on_finished = on_finished
        self._now_s = now_s
        self._queue = DeliveryQueue(pause_min_s)
        self._woken = asyncio.Event()
        self._waits_long = False

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def failing(self) -> bool:
        """Whether the last attempts failed, or the receiver asks for a long wait."""
        return self._waits_long or self._queue.failures >= FAILING_AFTER

    def accepts(self, notification: Notification) -> bool:
        """Return whether this channel is configured for the topic and the service of a notification."""
        channel = self.channel
        return notification.topic in channel.events and (
            not channel.services or notification.service in ("", *channel.services)
        )

    def useful_s(self, notification: Notification) -> float:
        """Return the age in seconds up to which a notification is tried."""
        channel = self.channel
        if is_lasting(notification):
            return channel.give_up_after_s
        return min(channel.give_up_after_s, channel.give_up_others_after_s)

    def enqueue(self, notification: Notification) -> None:
        """Queue a notification. If the queue is full, the least useful one that is not being sent is dropped."""
        if len(self._queue) >= self.channel.queue_max and (dropped := self._queue.least_useful()) is not None:
            self._lost(dropped, "dropped", f"more than {self.channel.queue_max} notifications wait (queue_max)")
        self._queue.add(notification)
        self._woken.set()

    def mark_failing(self, error: str) -> None:
        """Count the channel as failing because of `error`, until a notification is sent or the settings change."""
        self._queue.count_failures(FAILING_AFTER)
        self.last_error = error

    def reconfigure(self, channel: Channel, sender: Sender) -> None:
        """Apply changed settings, and retry at once."""
        self.channel, self.sender = channel, sender
        self._queue.count_failures(0)
        self.last_error, self._waits_long = None, False
        self.retry_now()

    def retry_now(self) -> None:
        """Try everything that waits at once."""
        self._queue.hurry(self._now_s())
        self._woken.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            self._woken.clear()
            if (waiting := self._queue.next(self._now_s())) is not None:
                await self._attempt(waiting)
            else:
                await self._pause(self._queue.wait_s(self._now_s()))

    async def _attempt(self, waiting: WaitingNotification) -> None:
        error = (await self.send(waiting.notification))[0]
        self._waits_long = error is not None and (error.retry_after_s or 0.0) > LONG_WAIT_S
        if error is None:
            self.last_error, self.last_sent_at = None, clock.wall_s()
            self._queue.delivered(waiting, self._now_s())
            self._end(waiting.notification, "sent")
            return
        self.last_error = error.detail
        self._queue.failed(
            waiting, self._now_s(), random.random(), refused=error.refused, retry_after_s=error.retry_after_s
        )
        now_s = clock.wall_s()
        for lost in self._queue.remove(lambda found: self._is_useless(found, now_s)):
            self._lost(lost, "given_up", error.detail)

    def _is_useless(self, waiting: WaitingNotification, now_s: float) -> bool:
        notification = waiting.notification
        return waiting.failures >= self.channel.attempts_max or now_s - notification.at > self.useful_s(notification)

    async def send(self, notification: Notification) -> tuple[DeliveryFailedError | None, str]:
        """Send once, outside of the queue; return (error or None, answer of the receiver)."""
        try:
            async with asyncio.timeout(self.channel.timeout_s):
                return None, await self.sender.send(notification, self._links(notification))
        except TimeoutError:
            detail = f"no answer within {self.channel.timeout_s:g} s{self.sender.route}"
            return DeliveryFailedError(detail), ""
        except DeliveryFailedError as error:
            return error, ""

    async def _pause(self, seconds: float | None) -> None:
        """Wait until the time is over (None: without end), or until there is something to do."""
        try:
            await asyncio.wait_for(self._woken.wait(), seconds)
        except TimeoutError:
            pass

    def _lost(self, notification: Notification, result: str, why: str) -> None:
        verb = "given up" if result == "given_up" else result
        log.error("notification %s to %s %s: %s", notification.id, self.channel.name, verb, why)
        if notification.data.get("code") not in ABOUT_CHANNELS:
            self.last_lost = f"{notification.title} (id {notification.id}) {verb}: {why}"
            self.last_lost_at = clock.wall_s()
        self._end(notification, result)

    def _end(self, notification: Notification, result: str) -> None:
        self.counts[result] += 1
        self._on_finished(self.channel.name, notification)

    def as_document(self) -> dict[str, Any]:
        """Return the channel as a document, without its address."""
        first, wait_s = self._queue.first, self._queue.wait_s(self._now_s())
        waits = wait_s is not None and self._queue.failures > 0
        return {
            "channel": self.channel.name,
            "kind": self.channel.kind,
            "events": list(self.channel.events),
            "services": list(self.channel.services),
            **self.counts,
            "pending": len(self._queue),
            "oldest_pending_at": clock.iso(first.at) if first is not None else None,
            "failing": self.failing,
            "failures": self._queue.failures,
            "last_error": self.last_error,
            "next_attempt_at": clock.iso(clock.wall_s() + (wait_s or 0.0)) if waits else None,
            "last_sent_at": _iso(self.last_sent_at),
            "last_lost": self.last_lost,
            "last_lost_at": _iso(self.last_lost_at),
        }


def _iso(at: float | None) -> str | None:
    return None if at is None else clock.iso(at)
