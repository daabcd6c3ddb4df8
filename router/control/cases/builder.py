"""Builds regression cases from the requests that a rolled-back version failed.

It does so 4 s after the rollback, also if control was killed in between: a rollback without its `cases_frozen` entry is still to
be built, and the captured requests are in shared memory, which outlives control.

A request that was in flight at the rollback may fail minutes later, by a time limit. So the builder looks again every
LATE_EVERY_NS, until LATE_NS after the rollback. Cases that are found then are added with a further `cases_frozen` entry, which
counts all of the incident.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from router.control.cases.captures import CapturedRequests
from router.control.cases.case_maker import cases_of, left_out_reasons
from router.control.core.loop import ControlLoop
from router.control.store.case_store import CaseStore
from router.control.store.cases_file import Added, Caps
from router.errors import Refusal
from router.rollout.facts.cases import CasesFrozen
from router.rollout.facts.entry import Entry
from router.rollout.facts.record import Record
from router.rollout.facts.router_itself import Abandoned
from router.rollout.facts.switches import RolledBack
from router.rollout.model.route import BOOT_SHIFT
from router.rollout.stats.figures import CAPTURED_AFTER_NS
from router.rollout.units import SECOND_NS
from router.runtime import clock

log = logging.getLogger(__name__)

DELAY_NS: Final = CAPTURED_AFTER_NS
"""After the rollback. Most rescued requests are answered by then, and the incident's page counts the same period."""
LATE_NS: Final = 660_000_000_000
"""After the rollback: a minute more than the default of `first_byte_timeout_s`. Requests that end later make no case."""
LATE_EVERY_NS: Final = 10_000_000_000
SETTLE_NS: Final = 200_000_000
"""A capture is read at this age: a worker takes its time, and then writes it."""
RETRY_NS: Final = 10_000_000_000
HOLD_NS: Final = 600_000_000_000
"""After the rollback. A build that is tried again for so long no longer holds up promotions."""
FRESH_S: Final = 60.0
"""A more recent rollback may not have reached the builder yet."""
FAILURES_MAX: Final = 4096
"""Read at once for one incident."""
CASES_MAX: Final = 50
"""Built for one incident, so that it does not displace the cases of all others."""


@dataclass(slots=True)
class PendingBuild:
    """The cases of one rollback, as far as they are built. Captures from `since_ns` to `until_ns` are read next, at `next_ns`.

    `busy`: a try is under way. `frozen`: the last fact about them; `found`: captures that were read since, by
    what became of them (`seen`, and the reasons for no case). `generation`: the route of the rollback.
    """

    service: str
    version: str
    incident: str
    rolled_back_ns: int
    generation: int
    since_ns: int
    until_ns: int
    next_ns: int
    busy: bool = False
    frozen: CasesFrozen | None = None
    seen: int = 0
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def last(self) -> bool:
        """Whether no captures are read after the next ones."""
        return self.until_ns >= self.rolled_back_ns + LATE_NS


class CaseBuilder:
    """`boot` is that of the shared memory: requests of earlier boots are not in it."""

    def __init__(self, control_loop: ControlLoop, captured: CapturedRequests, store: CaseStore, boot: int) -> None:
        self._control_loop = control_loop
        self._captured = captured
        self._store = store
        self._boot = boot
        self.pending: dict[str, PendingBuild] = {}
        """The rollbacks whose cases are not built yet, by incident."""
        self.late: dict[str, PendingBuild] = {}
        """The rollbacks whose cases are built, but for requests that are still in flight, by incident."""

    def restore(self, entries: Sequence[Entry]) -> None:
        """Fold the entries of the journal, without the changes that were abandoned."""
        abandoned = {entry.fact.abandons for entry in entries if isinstance(entry.fact, Abandoned)}
        for entry in entries:
            if entry.seq not in abandoned:
                self.on_entry(entry)

    def forget(self, service: str) -> None:
        """Build no more cases of a service that is removed."""
        for builds in (self.pending, self.late):
            for incident in [build.incident for build in builds.values() if build.service == service]:
                del builds[incident]

    def on_entry(self, entry: Entry) -> None:
        """Fold an entry: a rollback becomes pending; after its first cases only late requests are waited for."""
        fact = entry.fact
        if isinstance(fact, CasesFrozen):
            self._frozen(fact, entry.monotonic_ns)
        elif isinstance(fact, RolledBack) and entry.boot == self._boot and entry.service in self._control_loop.services:
            if fact.left and self._control_loop.services[entry.service].service.cases.capture:
                self.pending.setdefault(fact.incident or "", self._begun(entry, fact))

    def _begun(self, entry: Entry, rollback: RolledBack) -> PendingBuild:
        at_ns = entry.monotonic_ns
        window_ns = int(self._control_loop.services[entry.service].service.cases.freeze_window_s * 1e9)
        due_ns = at_ns + DELAY_NS
        return PendingBuild(
            service=entry.service,
            version=rollback.left or "",
            incident=rollback.incident or "",
            rolled_back_ns=at_ns,
            generation=rollback.generation or 0,
            since_ns=at_ns - window_ns,
            until_ns=due_ns,
            next_ns=due_ns + SETTLE_NS,
        )

    def _frozen(self, fact: CasesFrozen, at_ns: int) -> None:
        incident = fact.incident
        build = self.pending.pop(incident, None) or self.late.pop(incident, None)
        if build is None:
            return
        build.frozen, build.seen, build.left_out = fact, 0, Counter()
        if fact.until_s is not None:
            build.until_ns = at_ns - round(fact.until_s * SECOND_NS)
        if not build.last:
            self.late[incident] = build
            _read_later(build)

    def is_making(self, record: dict[str, Any], built: Container[str]) -> bool:
        """Return whether the cases of an incident (registry) are still made; at most HOLD_NS long. `built`: those that were."""
        if record["id"] in built:
            return False
        build = self.pending.get(record["id"])
        if build is not None:
            return clock.now_ns() - build.rolled_back_ns < HOLD_NS
        return record["from"] is not None and self.is_fresh(record)

    def is_fresh(self, record: dict[str, Any]) -> bool:
        """Return whether an incident is so recent that it may not have reached the builder yet."""
        generation: int = record["generation"]
        return generation >> BOOT_SHIFT == self._boot and clock.wall_s() - record["detection_at"] < FRESH_S

    def tick(self, now_ns: int) -> None:
        """Start the builds that are due."""
        for build in (*self.pending.values(), *self.late.values()):
            if not build.busy and now_ns >= build.next_ns:
                build.busy, build.next_ns = True, now_ns + RETRY_NS
                self._control_loop.tasks.spawn(self._build(build, now_ns), f"cases of {build.incident}")

    async def _build(self, build: PendingBuild, now_ns: int) -> None:
        service_controller = self._control_loop.services.get(build.service)
        if service_controller is None:
            return
        settings = service_controller.service.cases
        if build.frozen is not None:
            build.until_ns = max(build.until_ns, min(now_ns - SETTLE_NS, build.rolled_back_ns + LATE_NS))
        try:
            failures = await self._captured.failures(
                build.service, build.since_ns, build.until_ns, FAILURES_MAX, build.version
            )
            failures = [failure for failure in failures if failure["generation"] < build.generation]
            made = len(build.frozen.cases) if build.frozen is not None else 0
            cases_max = max(min(CASES_MAX, settings.cases_max) - made, 0)
            cases = await asyncio.to_thread(cases_of, failures, build.version, build.incident, cases_max)
            left_out = await asyncio.to_thread(left_out_reasons, failures, build.version, build.incident)
            caps = Caps(settings.cases_max, settings.bytes_max)
            added = Added()
            if cases or build.frozen is None:
                added = await self._store.call(lambda file: file.add(build.service, cases, caps, clock.wall_s()))
        except Refusal as error:
            detail = f"the cases of {build.incident}: {error.detail}"
            self._control_loop.alarms.up("cases_not_kept", detail, build.service)
            return
        finally:
            build.busy = False
        if self._control_loop.services.get(build.service) is not service_controller:  # it was removed meanwhile
            return
        self._control_loop.alarms.down("cases_not_kept", build.service)
        build.seen += len(failures)
        build.left_out.update(left_out)
        if build.frozen is None or added.added or added.refused or (build.last and build.seen):
            frozen_ns = clock.now_ns()
            fact = _fact(build, added, settings.freeze_window_s, frozen_ns)
            service_controller.executor.perform([Record(fact, "control")], frozen_ns)
            log.info("incident %s: %d cases of %d failing requests", build.incident, len(added.added), len(failures))
        elif build.last:
            self.late.pop(build.incident, None)
        else:
            _read_later(build)


def _read_later(build: PendingBuild) -> None:
    """Let the captures that follow be read next."""
    build.since_ns = build.until_ns + 1
    build.until_ns = min(build.until_ns + LATE_EVERY_NS, build.rolled_back_ns + LATE_NS)
    build.next_ns = build.until_ns + SETTLE_NS


def _fact(build: PendingBuild, added: Added, window_s: float, now_ns: int) -> CasesFrozen:
    """Return the counts of the whole incident as of now."""
    before = build.frozen or CasesFrozen(incident=build.incident, version=build.version, seen=0)
    cases = dict.fromkeys((*before.cases, *added.added, *added.known))
    return CasesFrozen(
        incident=build.incident,
        version=build.version,
        seen=before.seen + build.seen,
        cases=tuple(cases),
        dropped=before.dropped + len(added.dropped),
        refused=before.refused + len(added.refused),
        left_out=dict(Counter(before.left_out or {}) + build.left_out),
        window_s=window_s,
        until_s=(now_ns - build.until_ns) / SECOND_NS,
        late=before.late + (build.seen if build.frozen is not None else 0),
    )
