"""Sends notifications: journal entries become notifications, each channel has a queue, and the outbox survives a restart.

An entry arrives after its swap was stored, and is only put into queues: a receiver that hangs delays its own channel only.
Every notification is also in the outbox until it is delivered or given up. After a restart the entries of the last day are
searched for notifications that were never queued.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from prometheus_client.metrics_core import Metric

from router.control.addon import Addon, Document
from router.control.core.loop import ControlLoop
from router.control.notify.answers import ChannelTest, ChannelTests
from router.control.notify.delivery import ABOUT_CHANNELS, Delivery
from router.control.notify.delivery_queue import PAUSE_MIN_S
from router.control.notify.senders import MakeSender, missing_extra, sender_of
from router.control.proposals.links import base_url
from router.control.store import outbox
from router.control.store.outbox import Outbox, Stock
from router.control.views.metric_table import counter, gauge
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.rollout.facts.entry import Entry
from router.rollout.facts.router_itself import Abandoned
from router.rollout.notifications.feed import NotificationFeed
from router.rollout.notifications.notification import Notification, from_dict, record_completed
from router.runtime import clock
from router.runtime.tasks import Tasks
from router.settings.sections.notify import Channel
from router.settings.settings import Settings

log = logging.getLogger(__name__)
CATCH_UP_S: Final = 86_400.0
"""After a restart, entries up to this age are announced if they were not announced before."""
KNOWN_MAX: Final = 50_000
PRUNE_EVERY_S: Final = 3600.0
FAILING: Final = "notification_failing"
GIVEN_UP: Final = "notification_given_up"
GIVEN_UP_SHOWN_S: Final = 3600.0
"""How long the alarm about a lost notification stands."""
Links = Callable[[Notification], Mapping[str, str]]


class NotifyAddon(Addon):
    """All channels. `decision_links` are added to a notification when it is sent, so the outbox has no signed links."""

    def __init__(
        self,
        control_loop: ControlLoop,
        settings: Settings,
        state_dir: Path,
        entries: Sequence[Entry],
        decision_links: Links = lambda notification: {},
        make_sender: MakeSender = sender_of,
        pause_min_s: float = PAUSE_MIN_S,
    ) -> None:
        self._decision_links = decision_links
        self._control_loop = control_loop
        self._settings = settings
        self._state_dir = state_dir
        self._make_sender = make_sender
        self._pause_min_s = pause_min_s
        self._tasks = Tasks()
        self._feed = NotificationFeed()
        self._outbox, stock = self._opened()
        self._known = OrderedDict.fromkeys(stock.known)
        self._since = stock.since
        self._pruned_s = clock.now_s()
        self._running: dict[str, asyncio.Task[None]] = {}
        self.deliveries: dict[str, Delivery] = {}
        for channel in settings.notify:
            self._begin(channel)
        self._restore(stock.pending)
        self._catch_up(entries)

    def _opened(self) -> tuple[Outbox | None, Stock]:
        if not self._settings.notify:
            return None, Stock()
        try:
            database, stock = outbox.opened(self._state_dir, clock.wall_s())
        except OSError as error:
            self._outbox_error(error.strerror or str(error))
            return None, Stock()
        if stock.set_aside is not None:
            detail = (
                f"the outbox could not be read and is now {stock.set_aside}; some notifications may come twice, or not"
            )
            self._control_loop.alarms.up("outbox_unreadable", detail)
        return Outbox(database, self._outbox_error), stock

    def _outbox_error(self, why: str | None) -> None:
        if why is None:
            self._control_loop.alarms.down("outbox_unavailable")
        else:
            detail = f"{why}; notifications are sent, but what is undelivered would be lost in a restart"
            self._control_loop.alarms.up("outbox_unavailable", detail)

    def _begin(self, channel: Channel) -> None:
        sender = self._make_sender(channel, base_url(self._settings))
        delivery = Delivery(channel, sender, self._links, self._finished, self._pause_min_s)
        if (missing := missing_extra(channel)) is not None:
            delivery.mark_failing(missing)
        self.deliveries[channel.name] = delivery
        if channel.name not in self._since:
            self._since[channel.name] = clock.wall_s()
            if self._outbox is not None:
                self._outbox.opened_channel(channel.name, self._since[channel.name])
        self._running[channel.name] = self._tasks.spawn(delivery.run(), f"notify {channel.name}")

    def _restore(self, pending: Sequence[tuple[str, dict[str, Any]]]) -> None:
        """Queue the undelivered notifications of the predecessor. An unknown format of another release is skipped."""
        for name, plain in pending:
            try:
                if name in self.deliveries:
                    self.deliveries[name].enqueue(from_dict(plain))
            except (KeyError, TypeError, ValueError) as error:
                log.warning("a notification to %s cannot be read: %r", name, error)

    def _catch_up(self, entries: Sequence[Entry]) -> None:
        """Announce entries that the predecessor did not: it may have died between an entry and its notification."""
        since = clock.wall_s() - CATCH_UP_S
        recent = [entry for entry in entries if entry.at >= since] if self.deliveries else []
        abandoned = {entry.fact.abandons for entry in recent if isinstance(entry.fact, Abandoned)}
        for entry in recent:
            try:
                if entry.seq not in abandoned:
                    self.on_entry(entry)
            except (KeyError, TypeError, ValueError) as error:
                log.warning("entry %d (%s) is not announced: %r", entry.seq, entry.type, error)

    # -- entries
    def on_entry(self, entry: Entry) -> None:
        """Queue the notifications of an entry."""
        for notification in self._feed.on_entry(entry, clock.now_ns()):
            self._enqueue(notification)

    def incident_complete(self, opening: Entry) -> None:
        """Queue the notification that the record of a rollback is complete."""
        self._enqueue(record_completed(opening, clock.wall_s()))

    def on_second(self, now_ns: int) -> None:
        """Raise the alarm of failing channels; queue notifications of unconfirmed switches and of new alarms."""
        for notification in self._feed.due(now_ns):
            self._enqueue(notification)
        failing = {name: delivery.last_error for name, delivery in self.deliveries.items() if delivery.failing}
        if failing:
            detail = "; ".join(f"channel {name}: {error}" for name, error in failing.items())
            self._control_loop.alarms.up(FAILING, detail)
        else:
            self._control_loop.alarms.down(FAILING)
        self._alarm_lost()
        for notification in self._feed.alarms(self._control_loop.alarms.listing(), clock.wall_s()):
            self._enqueue(notification)
        if self._outbox is not None and clock.now_s() - self._pruned_s > PRUNE_EVERY_S:
            self._pruned_s = clock.now_s()
            self._outbox.prune(clock.wall_s())

    def _alarm_lost(self) -> None:
        since_s = clock.wall_s() - GIVEN_UP_SHOWN_S
        lost = {
            name: delivery.last_lost
            for name, delivery in self.deliveries.items()
            if delivery.last_lost_at is not None and delivery.last_lost_at > since_s
        }
        if lost:
            self._control_loop.alarms.up(GIVEN_UP, "; ".join(f"channel {name}: {what}" for name, what in lost.items()))
        else:
            self._control_loop.alarms.down(GIVEN_UP)

    def _enqueue(self, notification: Notification) -> None:
        for name, delivery in self.deliveries.items():
            if (
                not delivery.accepts(notification)
                or notification.at < self._since[name]
                or (name, notification.id) in self._known
            ):
                continue
            if delivery.failing and notification.data.get("code") in ABOUT_CHANNELS:
                continue  # a failing channel cannot deliver an alarm about itself
            self._known[name, notification.id] = None
            if len(self._known) > KNOWN_MAX:
                self._known.popitem(last=False)
            if self._outbox is not None:
                self._outbox.put(name, notification.as_dict(), notification.at)
            delivery.enqueue(notification)

    def _finished(self, channel: str, notification: Notification) -> None:
        if self._outbox is not None:
            self._outbox.finished(channel, notification.id)

    def _links(self, notification: Notification) -> dict[str, str]:
        found = {"Details": base_url(self._settings) + notification.path} if notification.path else {}
        return {**found, **self._decision_links(notification)}

    # -- the add-on
    def reconfigure(self, settings: Settings) -> None:
        """Apply changed channels. The queue of a channel that stays is sent by its new settings, at once."""
        self._settings = settings
        if self._outbox is None:
            self._outbox = self._opened()[0]
        channels = {channel.name: channel for channel in settings.notify}
        for name in self.deliveries.keys() - channels.keys():
            self._running.pop(name).cancel()
            self._tasks.spawn(self.deliveries.pop(name).sender.close(), f"close {name}")
            self._since.pop(name)
            if self._outbox is not None:
                self._outbox.closed_channel(name)
        for name, channel in channels.items():
            if name not in self.deliveries:
                self._begin(channel)
            else:
                old = self.deliveries[name].sender
                self.deliveries[name].reconfigure(channel, self._make_sender(channel, base_url(settings)))
                self._tasks.spawn(old.close(), f"close {name}")

    async def test(self, channel: str | None, actor: str) -> ChannelTests:
        """Send a test message through each channel, or one; return the answers. Raise Refusal."""
        chosen = [delivery for name, delivery in self.deliveries.items() if channel in (None, name)]
        if channel is not None and not chosen:
            names = ", ".join(self.deliveries) or "none"
            raise Refusal(RefusalCode.CHANNEL_UNKNOWN, f"there is no channel {channel!r}; there are: {names}")
        now_s = clock.wall_s()
        notification = Notification(
            id=f"router-test-{int(now_s * 1000)}",
            topic="test",
            service="",
            severity="info",
            title=f"rollback-router: a test message, requested by {actor}",
            at=now_s,
            facts=(("Means", "this channel works"),),
            path="/v1/status",
        )
        return {"channels": await asyncio.gather(*(_test_channel(delivery, notification) for delivery in chosen))}

    def listing(self) -> Document:
        """Return all channels: `/v1/notify`."""
        return {"channels": [delivery.as_document() for delivery in self.deliveries.values()]}

    def status(self, service: str) -> Document:
        """Return how many notifications are queued, and which channels fail."""
        about = [
            found
            for found in self.deliveries.values()
            if not found.channel.services or service in found.channel.services
        ]
        failing = [found.channel.name for found in about if found.failing]
        return {"notifications": {"pending": sum(len(found) for found in about), "failing": failing}}

    def metrics(self) -> Iterable[Metric]:
        """Return how many notifications were delivered, given up or dropped, and how many are queued."""
        ended = counter("notifications")
        pending = gauge("notifications_pending")
        failing = gauge("notification_failing")
        for name, delivery in self.deliveries.items():
            for result, count in delivery.counts.items():
                ended.add_metric([name, result], count)
            pending.add_metric([name], len(delivery))
            failing.add_metric([name], float(delivery.failing))
        return ended, pending, failing

    async def close(self) -> None:
        """Stop sending. Undelivered notifications stay in the outbox."""
        await self._tasks.close()
        for delivery in self.deliveries.values():
            await delivery.sender.close()
        if self._outbox is not None:
            await self._outbox.close()


async def _test_channel(delivery: Delivery, notification: Notification) -> ChannelTest:
    begun_ns = clock.now_ns()
    error, answer = await delivery.send(notification)
    if error is None:  # also after one failure: its Retry-After may have asked for an hour
        delivery.retry_now()
    return {
        "channel": delivery.channel.name,
        "kind": delivery.channel.kind,
        "ok": error is None,
        "detail": answer if error is None else error.detail,
        "ms": round((clock.now_ns() - begun_ns) / 1e6, 1),
    }
