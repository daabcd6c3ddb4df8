"""Adds services to control and removes them: at a start, and while it runs (SIGHUP).

A service that is added while control runs begins as at a start: the journal knows its versions and quarantines, or the settings
seed it. Its journal entries and its route are written before anything else changes, so a refusal changes nothing. Workers learn
of it only when control has reported that it is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from router.control.core import recovery
from router.control.core.executor import CommandExecutor, ExecutorDeps
from router.control.core.loop import ControlLoop
from router.control.core.service_controller import ServiceController, limits
from router.control.store.journal_file import JournalFile
from router.control.store.records.effective import effective_of
from router.errors import InternalError, StartError
from router.errors.codes import StartCode
from router.rollout.facts.entry import Entry
from router.rollout.facts.record import Record
from router.rollout.facts.router_itself import ServiceAdded, ServiceRemoved
from router.rollout.machine.machine import Machine
from router.rollout.machine.registry import Registry
from router.rollout.machine.replay import rebuild
from router.runtime import clock
from router.settings.settings import Settings
from router.shm.sample_ring import SampleRing
from router.shm.settings_memory import Place


@dataclass(frozen=True, slots=True)
class FoundService:
    """What the journal has of a service."""

    registry: Registry
    entries: list[Entry]


class ServiceSet:
    """The services of one control. `deps` are those of every executor; `file` is that of the journal."""

    def __init__(self, control_loop: ControlLoop, deps: ExecutorDeps, file: JournalFile) -> None:
        self._file = file
        self._control_loop = control_loop
        self._deps = deps
        self._ring = SampleRing(deps.segment)

    # -- at a start
    async def begin(
        self,
        name: str,
        place: Place,
        settings: Settings,
        found: FoundService,
        *,
        warm: bool,
        assume: str | None = None,
    ) -> None:
        """Add a service of the start; raise StartError. `warm`: shared memory may have its route and its samples."""
        executor = self._executor(name, place, settings, found.registry)
        await recovery.reconcile(executor, settings.services[name], found.entries, warm=warm, assume=assume)
        service_controller = self._controller(executor, settings)
        if warm:
            service_controller.restore()
        self._control_loop.add_service(service_controller)

    async def publish(self, name: str, place: Place, settings: Settings, found: FoundService) -> CommandExecutor:
        """Journal that the running router gets a service, and publish its first route; raise StartError or Refusal.

        Nothing else of the service exists then; `add` completes it.
        """
        executor = self._executor(name, place, settings, found.registry)
        await executor.append_and_apply(Record(ServiceAdded(), "operator"))
        await recovery.reconcile(executor, settings.services[name], found.entries, warm=False, assume=None)
        return executor

    def add(self, executor: CommandExecutor, settings: Settings) -> None:
        """Judge and probe a service whose route is published."""
        self._control_loop.add_service(self._controller(executor, settings))

    # -- while control runs
    async def change(
        self, settings: Settings, places: Mapping[str, Place], version: int | None, leaving: Sequence[str]
    ) -> None:
        """Apply settings; raise StartError or Refusal, with nothing changed, if a new service cannot be added.

        `settings` have the services that are `leaving`, too: these stay until a later call has settings without them.
        """
        control_loop = self._control_loop
        added = sorted(settings.services.keys() - control_loop.services.keys())
        found = {name: await self._find(name) for name in added}
        recovery.refuse_moved(settings, {name: service.registry for name, service in found.items()})
        control_loop.await_services(added)  # ticks go on while the disk takes the first entries
        try:
            executors = [await self.publish(name, places[name], settings, service) for name, service in found.items()]
            for name in sorted(control_loop.services.keys() - settings.services.keys()):
                await self._remove(name)
            control_loop.reconfigure(settings, version, leaving)
            for executor in executors:
                self.add(executor, settings)
                control_loop.introduce(executor.name, found[executor.name].entries)
        finally:
            control_loop.await_services(())
        control_loop.compare_settings()

    async def _find(self, name: str) -> FoundService:
        entries = await self._file.of_service(name)
        try:
            # In a thread: a long journal takes seconds, and the other services are judged meanwhile.
            return FoundService(await asyncio.to_thread(lambda: rebuild(name, effective_of(name, entries))), entries)
        except (InternalError, KeyError, TypeError, ValueError) as error:
            detail = f"service {name}: its entries in the journal make no sense ({error}): choose another name for it"
            raise StartError(StartCode.JOURNAL_UNREADABLE, detail) from None

    async def _remove(self, name: str) -> None:
        executor = self._control_loop.services[name].executor
        executor.perform([Record(ServiceRemoved(), "operator")], clock.now_ns())
        await executor.close()
        self._control_loop.remove_service(name)
        self._ring.forget(executor.index)

    # -- parts
    def _executor(self, name: str, place: Place, settings: Settings, registry: Registry) -> CommandExecutor:
        machine = Machine(registry, limits(settings, settings.services[name]))
        return CommandExecutor(
            name, place.number, machine, self._deps, self._control_loop.check(name), since_ns=place.since_ns
        )

    def _controller(self, executor: CommandExecutor, settings: Settings) -> ServiceController:
        control_loop = self._control_loop
        return ServiceController(
            executor,
            settings,
            self._deps.segment,
            control_loop.worker_stats,
            self._ring,
            self._deps.alarms,
            control_loop.switched,
            control_loop.resolver,
        )
