"""The interface of an add-on: a feature beside the swap. The swap never waits for it.

Why: docs/decisions.md#add-ons-are-no-part-of-the-swap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from prometheus_client.metrics_core import Metric

from router.rollout.cases.promotion_check import PromotionCheck
from router.rollout.facts.entry import Entry
from router.rollout.judge.verdict import TriggerResult
from router.settings.settings import Settings

Document = dict[str, Any]
"""A JSON object; docs/reference/http-api.md has the schema of each kind."""
TriggerSource = Callable[[int], tuple[TriggerResult, ...]]
"""now_ns (monotonic) → the results of further triggers for the active version; called at each tick."""


class Addon:
    """The hooks of an add-on; each add-on implements some of them.

    `on_entry` and `on_second` are called on the control loop, after all services were judged. They return within about a
    millisecond and never block; longer work is a task (`ControlLoop.tasks`) or a thread. An exception raises the alarm
    `router_fault`.
    """

    def on_entry(self, entry: Entry) -> None:
        """Take an entry that was applied at most two ticks ago. Its `seq` is 0 while the disk has not taken it."""

    def on_second(self, now_ns: int) -> None:
        """Do periodic work, about once a second; `now_ns` is monotonic."""

    def trigger_sources(self) -> Mapping[str, TriggerSource]:
        """Return further triggers, by service; read when the add-on or the service is added to the control loop."""
        return {}

    def promotion_checks(self) -> Mapping[str, Callable[[], PromotionCheck]]:
        """Return the functions that give the present promotion check, by service; read as `trigger_sources`."""
        return {}

    def reconfigure(self, settings: Settings) -> None:
        """Apply other settings (SIGHUP). Services that they have and control lacks come by `service_added`."""

    def service_added(self, service: str, entries: Sequence[Entry]) -> None:
        """Take a service that was added while control runs; `entries` are all that the journal has of it, oldest first.

        Then `trigger_sources` and `promotion_checks` are read again for this service.
        """

    def service_removed(self, service: str) -> None:
        """Forget a service. It is in the control loop for the last time."""

    def status(self, service: str) -> Document:
        """Return members to add to the status document of `service`."""
        return {}

    def verbs(self, service: str) -> Mapping[str, list[str]]:
        """Return verbs on `service`, each with the reasons why it would be refused now."""
        return {}

    def explain(self, service: str) -> Document:
        """Return members to add to the `explain` document of `service`."""
        return {}

    def metrics(self) -> Iterable[Metric]:
        """Return further metric families."""
        return ()

    async def close(self) -> None:
        """Stop at the end of control: finish or cancel running work, save the state that must survive."""
