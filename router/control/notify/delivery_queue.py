"""The notifications of one channel that wait, and which one is tried when. Pure: the time is an argument.

A failed attempt delays its notification and the channel, each by a pause that doubles. The first one that waits is tried
again first, so an outage keeps the order. Two rules keep one notification from holding up the others:

1. A refusal that is about the notification (400, 413) delays the channel only after it was the third failure in a row.
2. After each third failure in a row another notification is tried at once, of another service if one waits. If it is delivered,
   the receiver works. The first one was tried before it, so the end of an outage keeps the order.

When the receiver works again after an outage, everything is due at once. A notification never ends here: the delivery decides
when it is no longer of use.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from router.rollout.notifications.notification import Notification, is_lasting

PAUSE_MIN_S: Final = 1.0
PAUSE_MAX_S: Final = 300.0
JITTER: Final = 0.2
OUTAGE_FROM: Final = 3
"""So many failures in a row are an outage of the receiver."""


def pause_s(attempt: int, jitter: float, pause_min_s: float = PAUSE_MIN_S) -> float:
    """Return how long to wait after failed attempt number `attempt` (from 1); `jitter` is between 0 and 1."""
    doubled = pause_min_s * 2.0 ** min(attempt - 1, 30)
    return min(doubled, PAUSE_MAX_S) * (1 - JITTER + 2 * JITTER * jitter)


@dataclass(slots=True, eq=False)
class WaitingNotification:
    """A notification, its failed attempts, and from when it may be tried (monotonic seconds)."""

    notification: Notification
    failures: int = 0
    due_s: float = 0.0


class DeliveryQueue:
    """Times are monotonic seconds. `failures` counts the failed attempts since the last delivery."""

    def __init__(self, pause_min_s: float = PAUSE_MIN_S) -> None:
        self.failures = 0
        self._pause_min_s = pause_min_s
        self._due_s = 0.0
        self._service_tried: str | None = None
        """The service whose notification has just failed, while another notification is tried."""
        self._waiting: list[WaitingNotification] = []
        self._sending: WaitingNotification | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def first(self) -> Notification | None:
        """The notification that waits longest."""
        return self._waiting[0].notification if self._waiting else None

    def add(self, notification: Notification) -> None:
        """Append a notification."""
        self._waiting.append(WaitingNotification(notification))

    def least_useful(self) -> Notification | None:
        """Remove and return the oldest that is of use for an hour, else the oldest, but not what is being sent."""
        found = [waiting for waiting in self._waiting if waiting is not self._sending]
        routine = [waiting for waiting in found if not is_lasting(waiting.notification)]
        for waiting in routine or found:
            self._waiting.remove(waiting)
            return waiting.notification
        return None

    def next(self, now_s: float) -> WaitingNotification | None:
        """Return the notification to try now, if one is due. It is being sent until `delivered` or `failed`."""
        due = [waiting for waiting in self._waiting if waiting.due_s <= now_s] if now_s >= self._due_s else []
        if not due:
            return None
        self._sending = due[0]
        if (tried := self._service_tried) is not None:
            self._sending = min(due, key=lambda other: (other.failures, other.notification.service == tried))
        return self._sending

    def wait_s(self, now_s: float) -> float | None:
        """Return the time until a notification is due; None if none waits."""
        if not self._waiting:
            return None
        return max(0.0, self._due_s - now_s, min(waiting.due_s for waiting in self._waiting) - now_s)

    def delivered(self, waiting: WaitingNotification, now_s: float) -> None:
        """Remove a delivered notification. After an outage the others are due now."""
        self._sending = None
        self._waiting.remove(waiting)
        if self.failures >= OUTAGE_FROM:
            self.hurry(now_s)
        self.failures, self._due_s, self._service_tried = 0, now_s, None

    def failed(
        self, waiting: WaitingNotification, now_s: float, jitter: float, *, refused: bool, retry_after_s: float | None
    ) -> None:
        """Postpone a notification. `refused`: the failure is about this notification and not about the receiver."""
        self._sending = None
        waiting.failures += 1
        self.failures += 1
        waiting.due_s = now_s + pause_s(waiting.failures, jitter, self._pause_min_s)
        other_next = self._service_tried is None and self.failures % OUTAGE_FROM == 0 and retry_after_s is None
        self._service_tried = waiting.notification.service if other_next else None
        if not other_next and (not refused or self.failures >= OUTAGE_FROM):
            self._due_s = now_s + pause_s(self.failures, jitter, self._pause_min_s)
        if retry_after_s is not None:
            self._due_s = max(self._due_s, now_s + retry_after_s)

    def count_failures(self, failures: int) -> None:
        """Begin to count from `failures`: after a change of the settings, or a failure without an attempt."""
        self.failures = failures

    def remove(self, found: Callable[[WaitingNotification], bool]) -> list[Notification]:
        """Remove the notifications for which `found` is true; return them, oldest first."""
        removed = [waiting for waiting in self._waiting if found(waiting)]
        self._waiting = [waiting for waiting in self._waiting if waiting not in removed]
        return [waiting.notification for waiting in removed]

    def hurry(self, now_s: float) -> None:
        """Make everything due now."""
        self._due_s = now_s
        for waiting in self._waiting:
            waiting.due_s = min(waiting.due_s, now_s)
