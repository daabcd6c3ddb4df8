"""The office that tells people: facts become notices, each channel has its queue, and what is undelivered survives.

It is told of a fact after the swap was stored, and only puts it into queues: a receiver that hangs holds up nothing but its
own channel. Every notice is also in the outbox until it is delivered or given up; after a restart the facts of the last day
are looked through again for some that never got there.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from router.control.addon import Addon
from router.control.core.loop import ControlLoop
from router.control.notify.delivery import FAILURES_TOLD, Delivery
from router.control.notify.senders import Make, missing_extra, sender_of
from router.control.proposals.links import base_url
from router.control.store import outbox
from router.control.store.outbox import Outbox, Stock
from router.control.views.metrics import PREFIX
from router.errors import OperatorError
from router.rollout.model import entry as kinds
from router.rollout.model.entry import Entry
from router.rollout.notifications.feed import NotificationFeed
from router.rollout.notifications.notification import Notification, from_dict, record_completed
from router.runtime import clock
from router.runtime.tasks import Tasks
from router.settings.sections.notify import Channel
from router.settings.settings import Settings

log = logging.getLogger(__name__)
RECALL_S: Final = 86_400.0
"""Facts of the last day are told after a restart if they were not told before."""
KNOWN_MAX: Final = 50_000
PRUNE_EVERY_S: Final = 3600.0
FAILING: Final = "notification_failing"
Document = dict[str, Any]
Links = Callable[[Notification], Mapping[str, str]]


class NotifyAddon(Addon):
    """All channels. `link_makers`: who adds links to notices, asked when one is sent, so that no secret of theirs is kept."""

    def __init__(
        self,
        control_loop: ControlLoop,
        settings: Settings,
        state_dir: Path,
        entries: Sequence[Entry],
        make: Make = sender_of,
    ) -> None:
        self.link_makers: list[Links] = []
        self._control_loop = control_loop
        self._settings = settings
        self._state_dir = state_dir
        self._make = make
        self._tasks = Tasks()
        self._bulletin = NotificationFeed()
        self._outbox, stock = self._opened()
        self._known = OrderedDict.fromkeys(stock.known)
        self._since = stock.since
        self._pruned_s = clock.now_s()
        self._running: dict[str, asyncio.Task[None]] = {}
        self.deliveries: dict[str, Delivery] = {}
        for channel in settings.notify:
            self._begin(channel)
        self._take_up(stock.pending)
        self._recall(entries)

    def _opened(self) -> tuple[Outbox | None, Stock]:
        if not self._settings.notify:
            return None, Stock()
        try:
            database, stock = outbox.opened(self._state_dir, clock.wall_s())
        except OSError as error:
            self._trouble(error.strerror or str(error))
            return None, Stock()
        if stock.put_aside is not None:
            detail = (
                f"the outbox could not be read and is now {stock.put_aside}; some notifications may come twice, or not"
            )
            self._control_loop.alarms.up("outbox_unreadable", detail)
        return Outbox(database, self._trouble), stock

    def _trouble(self, why: str | None) -> None:
        if why is None:
            self._control_loop.alarms.down("outbox_unavailable")
        else:
            detail = f"{why}; notifications are sent, but what is undelivered would be lost in a restart"
            self._control_loop.alarms.up("outbox_unavailable", detail)

    def _begin(self, channel: Channel) -> None:
        delivery = Delivery(channel, self._make(channel, base_url(self._settings)), self._links, self._finished)
        if (missing := missing_extra(channel)) is not None:
            delivery.failures, delivery.last_error = FAILURES_TOLD, missing
        self.deliveries[channel.name] = delivery
        if channel.name not in self._since:
            self._since[channel.name] = clock.wall_s()
            if self._outbox is not None:
                self._outbox.opened_channel(channel.name, self._since[channel.name])
        self._running[channel.name] = self._tasks.spawn(delivery.run(), f"notify {channel.name}")

    def _take_up(self, pending: Sequence[tuple[str, dict[str, Any]]]) -> None:
        """Queue what a predecessor has left. What another release wrote and this one does not know costs no start."""
        for name, plain in pending:
            try:
                if name in self.deliveries:
                    self.deliveries[name].offer(from_dict(plain))
            except (KeyError, TypeError, ValueError) as error:
                log.warning("a notification to %s cannot be read: %r", name, error)

    def _recall(self, entries: Sequence[Entry]) -> None:
        """Tell what a predecessor did not come to: it may have died between a fact and its notice."""
        since = clock.wall_s() - RECALL_S
        recent = [entry for entry in entries if entry.at >= since] if self.deliveries else []
        in_vain = {entry.data["abandons"] for entry in recent if entry.type == kinds.ABANDONED}
        for entry in recent:
            try:
                if entry.seq not in in_vain:
                    self.on_entry(entry)
            except (KeyError, TypeError, ValueError) as error:
                log.warning("entry %d (%s) is not told: %r", entry.seq, entry.type, error)

    # -- facts
    def on_entry(self, entry: Entry) -> None:
        """Put what `entry` makes due into the queues."""
        for notice in self._bulletin.on_entry(entry, clock.now_ns()):
            self._spread(notice)

    def incident_whole(self, opening: Entry) -> None:
        """Tell that the record of a rollback is complete."""
        self._spread(record_completed(opening, clock.wall_s()))

    def on_second(self, now_ns: int) -> None:
        """Say which channels fail; tell of switches that nobody confirmed, and of new alarms."""
        for notice in self._bulletin.due(now_ns):
            self._spread(notice)
        failing = {name: delivery.last_error for name, delivery in self.deliveries.items() if delivery.failing}
        if failing:
            told = "; ".join(f"channel {name}: {error}" for name, error in failing.items())
            self._control_loop.alarms.up(FAILING, told)
        else:
            self._control_loop.alarms.down(FAILING)
        for notice in self._bulletin.alarms(self._control_loop.alarms.listing(), clock.wall_s()):
            self._spread(notice)
        if self._outbox is not None and clock.now_s() - self._pruned_s > PRUNE_EVERY_S:
            self._pruned_s = clock.now_s()
            self._outbox.prune(clock.wall_s())

    def _spread(self, notice: Notification) -> None:
        for name, delivery in self.deliveries.items():
            if not delivery.wants(notice) or notice.at < self._since[name] or (name, notice.id) in self._known:
                continue
            if delivery.failing and notice.data.get("code") == FAILING:
                continue  # it cannot be told of its own failure
            self._known[name, notice.id] = None
            if len(self._known) > KNOWN_MAX:
                self._known.popitem(last=False)
            if self._outbox is not None:
                self._outbox.put(name, notice.as_dict(), notice.at)
            delivery.offer(notice)

    def _finished(self, channel: str, notice: Notification) -> None:
        if self._outbox is not None:
            self._outbox.finished(channel, notice.id)

    def _links(self, notice: Notification) -> dict[str, str]:
        found = {"Details": base_url(self._settings) + notice.path} if notice.path else {}
        for make in self.link_makers:
            found.update(make(notice))
        return found

    # -- the office
    def reconfigure(self, settings: Settings) -> None:
        """Take over other channels; what waits for one that stays is sent by its new settings, at once."""
        self._settings = settings
        if self._outbox is None:
            self._outbox = self._opened()[0]
        wanted = {channel.name: channel for channel in settings.notify}
        for name in self.deliveries.keys() - wanted.keys():
            self._running.pop(name).cancel()
            self._tasks.spawn(self.deliveries.pop(name).sender.close(), f"close {name}")
            self._since.pop(name)
            if self._outbox is not None:
                self._outbox.closed_channel(name)
        for name, channel in wanted.items():
            if name not in self.deliveries:
                self._begin(channel)
            else:
                old = self.deliveries[name].sender
                self.deliveries[name].changed(channel, self._make(channel, base_url(settings)))
                self._tasks.spawn(old.close(), f"close {name}")

    async def test(self, channel: str | None, actor: str) -> Document:
        """Send a test message through each channel, or one; return what came back. Raise OperatorError (404)."""
        chosen = [delivery for name, delivery in self.deliveries.items() if channel in (None, name)]
        if channel is not None and not chosen:
            names = ", ".join(self.deliveries) or "none"
            raise OperatorError(
                404, "channel_unknown", f"there is no channel {channel!r}; there are: {names}", exit_code=9
            )
        now_s = clock.wall_s()
        notice = Notification(
            id=f"router-test-{int(now_s * 1000)}",
            topic="test",
            service="",
            severity="info",
            title=f"rollback-router: a test message, asked for by {actor}",
            at=now_s,
            facts=(("Means", "this channel works"),),
            path="/v1/status",
        )
        return {"channels": await asyncio.gather(*(_tested(delivery, notice) for delivery in chosen))}

    def listing(self) -> Document:
        """Return all channels: `/v1/notify`."""
        return {"channels": [delivery.described() for delivery in self.deliveries.values()]}

    def status(self, service: str) -> Document:
        """Return how many notices wait, and which channels fail."""
        about = [
            found
            for found in self.deliveries.values()
            if not found.channel.services or service in found.channel.services
        ]
        failing = [found.channel.name for found in about if found.failing]
        return {"notifications": {"pending": sum(len(found) for found in about), "failing": failing}}

    def metrics(self) -> Iterable[Metric]:
        """How many were delivered, given up or dropped, and how many wait."""
        ended = CounterMetricFamily(
            PREFIX + "notifications", "Notices by what became of them.", labels=["channel", "result"]
        )
        pending = GaugeMetricFamily(PREFIX + "notifications_pending", "Notices that wait.", labels=["channel"])
        failing = GaugeMetricFamily(
            PREFIX + "notification_failing", "1: the last attempts of this channel failed.", labels=["channel"]
        )
        for name, delivery in self.deliveries.items():
            for result, count in delivery.counts.items():
                ended.add_metric([name, result], count)
            pending.add_metric([name], len(delivery))
            failing.add_metric([name], float(delivery.failing))
        return ended, pending, failing

    async def close(self) -> None:
        """Stop sending; what waits is in the outbox."""
        await self._tasks.close()
        for delivery in self.deliveries.values():
            await delivery.sender.close()
        if self._outbox is not None:
            await self._outbox.close()


async def _tested(delivery: Delivery, notice: Notification) -> Document:
    begun_ns = clock.now_ns()
    error, said = await delivery.once(notice)
    return {
        "channel": delivery.channel.name,
        "kind": delivery.channel.kind,
        "ok": error is None,
        "detail": said if error is None else error.detail,
        "ms": round((clock.now_ns() - begun_ns) / 1e6, 1),
    }
