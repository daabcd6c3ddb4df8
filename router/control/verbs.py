"""What the admin asks of the controller. A verb that is refused raises OperatorError and has changed nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from router.control.addon import Addon
from router.control.core.executor import Preconditions
from router.control.monitors.broadcast import Queue
from router.control.monitors.certificates import CertificateMonitor
from router.control.monitors.switch_stats import SwitchStats
from router.rollout.model.events import Override
from router.shm.segment import Segment
from router.shm.worker_stats import WorkerStats

Document = dict[str, Any]
"""A JSON object; README shows one of each kind."""


class QueriesProtocol(Protocol):
    """What may be read."""

    def status(self) -> Document:
        """Everything, one document."""

    def service_status(self, service: str) -> Document:
        """One service: roles, targets, windows, generation."""

    def explain(self, service: str) -> Document:
        """Every trigger of a service, why it did or did not act."""

    async def versions(self) -> Document:
        """All versions with their history and marks."""

    def quarantined(self) -> list[tuple[str, str]]:
        """Service and label of each version that is blocked."""

    async def journal(self, after: int, limit: int, service: str | None) -> Document:
        """Journal entries with a sequence number above `after`, oldest first."""

    def subscribe(self) -> Queue:
        """Return a bounded queue that gets every event from now on; None is its last item if it was read too slowly."""

    def unsubscribe(self, queue: Queue) -> None:
        """Forget a queue."""


class Verbs(Protocol):
    """The controller as the admin sees it. Changing verbs return when every worker has confirmed, or say who has not."""

    worker_stats: WorkerStats
    segment: Segment
    switch_stats: SwitchStats
    certificates: CertificateMonitor
    addons: Sequence[Addon]

    @property
    def view(self) -> QueriesProtocol:
        """What may be read."""

    async def deploy(
        self,
        *,
        service: str,
        version: str,
        endpoints: list[str],
        artifact: str | None,
        actor: str,
        replace: bool,
        override: Override | None,
        expect: Preconditions,
        dry_run: bool,
    ) -> Document:
        """Bring a version in as candidate and begin to verify it."""

    async def promote(
        self,
        *,
        service: str,
        version: str,
        actor: str,
        reason: str,
        override: Override | None,
        expect: Preconditions,
        dry_run: bool,
    ) -> Document:
        """Make the candidate active."""

    async def rollback(
        self, *, service: str, reason: str, actor: str, expect: Preconditions, dry_run: bool
    ) -> Document:
        """Make the standby active and quarantine the version that was."""

    async def switch(
        self,
        *,
        service: str,
        to: str,
        reason: str,
        actor: str,
        override: Override | None,
        expect: Preconditions,
        dry_run: bool,
    ) -> Document:
        """Make `to` active."""

    async def retire(
        self, *, service: str, version: str, actor: str, cut: bool, expect: Preconditions, dry_run: bool
    ) -> Document:
        """Take a version out of its slot."""

    async def set_endpoints(
        self, *, service: str, version: str, endpoints: list[str], actor: str, dry_run: bool
    ) -> Document:
        """Move the replicas of a version."""

    async def freeze(self, *, service: str, actor: str, reason: str, dry_run: bool) -> Document:
        """Disable automation."""

    async def unfreeze(self, *, service: str, actor: str, reason: str, dry_run: bool) -> Document:
        """Enable automation."""

    async def quarantine(self, *, service: str, version: str, actor: str, reason: str, dry_run: bool) -> Document:
        """Block a version."""

    async def release(
        self, *, service: str, version: str, actor: str, reason: str, expires_after_s: float | None, dry_run: bool
    ) -> Document:
        """Lift the block of a version, for good or for a while."""
