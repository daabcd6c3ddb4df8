"""Work around the swap. Nothing on the swap's path waits for an office: it is told afterwards, and when it is idle."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from prometheus_client.metrics_core import Metric

from router.rollout.model.entry import Entry
from router.settings.settings import Settings

Document = dict[str, Any]
"""A JSON object; README shows one of each kind."""


class Addon:
    """What an office may do; each does some of it.

    `told` and `tick` are called on control's loop, within the guard of its tick and after every service was judged; they
    return within about a millisecond and never block. What takes longer is a task (`Controller.tasks`) or a thread.
    """

    def on_entry(self, entry: Entry) -> None:
        """A fact was stored and folded, at most two ticks ago. Its `seq` may be 0: the disk has not taken it yet."""

    def on_second(self, now_ns: int) -> None:
        """About a second has passed; `now_ns` is monotonic."""

    def reconfigure(self, settings: Settings) -> None:
        """Go on with other settings (SIGHUP)."""

    def status(self, service: str) -> Document:
        """Return members to be added to the status of `service`."""
        return {}

    def explain(self, service: str) -> Document:
        """Return members to be added to what explains why automation did or did not act in `service`."""
        return {}

    def metrics(self) -> Iterable[Metric]:
        """Return metric families of its own."""
        return ()

    async def close(self) -> None:
        """Control leaves: end what is under way, keep what must survive."""
