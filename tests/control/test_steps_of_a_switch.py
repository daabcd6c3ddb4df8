"""A promotion as a list: which function of which module is called, in order, from the admin's socket to the add-ons.

Read it as the map of router/control. Each line is a call from another module (or from the event loop). Calls between these
lines are left out. The commit runs on the journal's thread. One of the two workers is a real data plane.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import aiohttp

from router.control.acceptance.addon import AcceptanceAddon
from router.control.admin import app
from router.proxy.data_plane import DataPlane
from router.runtime.tasks import Tasks
from tests.control.conftest import serving
from tests.control.control_harness import ControlHarness, FakeWorkers, new_segment, settings
from tests.proxy.rig import OPTIONS, SERVICE
from tests.steps import first_missing, pure_build_only, recorded_steps

PROMOTION: Final = [
    # The admin call: the connection, access, the body, the idempotency key, the operation.
    "control.admin.connections LimitedConnection.connection_made",
    "control.admin.connections LimitedConnection.data_received",
    "control.admin.auth AccessPolicy.check_origin",
    "control.admin.auth AccessPolicy.authorize",
    "control.admin.json_text parse",
    "control.admin.idempotency IdempotencyKeys.once",
    "control.admin.changes change",
    "control.core.operations Operations.change",
    # The event goes to the state machine. It answers with commands and changes nothing yet.
    "control.core.executor CommandExecutor.change",
    "rollout.machine.machine Machine.handle",
    "rollout.machine.registry Registry.known",
    # An operator's change is journalled before it is in effect: on the journal's thread, with the mark around the commit.
    "control.store.records.local_journal LocalJournal.append",
    "rollout.machine.registry Registry.after",
    "control.store.journal_file JournalFile.append",
    "control.store.journal_writer JournalWriter.put",
    "control.store.journal_rows row",
    "control.store.mark MarkFile.write",
    "control.store.batch Batch.hand_over",
    "control.store.batch Batch.ended",
    "control.store.mark MarkFile.write",
    # The machine answers again; nothing may have changed while the disk was written. Then the entry is applied.
    "rollout.machine.machine Machine.handle",
    "rollout.machine.registry Registry.known",
    "rollout.machine.registry Registry.become",
    "rollout.placement.effects effects",
    # The switch: one 64-bit store into the route cell. The workers are woken.
    "shm.route_cell RouteCell.publish",
    "control.core.workers Workers.wake",
    "control.monitors.broadcast Broadcast.publish",
    "control.core.loop ControlLoop.entry_applied",
    "control.core.service_controller ServiceController.watch",
    # The answer waits for the workers. The worker reads the word and the slots, claims by the new route, and acknowledges.
    "control.core.loop ControlLoop.confirm",
    "control.core.workers Workers.confirm",
    "proxy.engine.local_service LocalService.refresh",
    "shm.slots Slots.read",
    "shm.slots Slots.read",
    "proxy.context WorkerContext.acknowledged",
    "control.core.workers Workers.acknowledged",
    # Every worker has confirmed. That is an entry of its own, and the operator is answered.
    "control.monitors.switch_stats SwitchStats.record",
    "control.core.executor CommandExecutor.perform",
    "control.store.records.local_journal LocalJournal.urgent",
    "rollout.machine.registry Registry.after",
    "control.store.journal_file JournalFile.submit",
    "control.store.journal_writer JournalWriter.put",
    "control.monitors.broadcast Broadcast.publish",
    "control.core.loop ControlLoop.entry_applied",
    "control.admin.http_protocol AdminProtocol.finish_response",
]

NEXT_TICK: Final = [
    "control.core.loop ControlLoop.tick",
    "control.core.service_controller ServiceController.tick",
    # The add-ons see both entries: `promoted` and `confirmed`.
    "control.acceptance.addon AcceptanceAddon.on_entry",
    "control.acceptance.addon AcceptanceAddon.on_entry",
]


@asynccontextmanager
async def real_worker(workers: FakeWorkers, index: int) -> AsyncIterator[None]:
    """Let a data plane read the routes as this worker."""
    segment, loop, tasks = workers.segment, asyncio.get_running_loop(), Tasks()
    options = replace(OPTIONS, services=(replace(SERVICE, name="svc"),))
    data_plane = DataPlane(index, segment, options, tasks, workers.acks)

    def woken() -> None:
        os.eventfd_read(workers.wakes[index])
        data_plane.refresh()

    workers.deaf.add(index)
    data_plane.refresh()
    loop.add_reader(workers.wakes[index], woken)
    try:
        yield
    finally:
        await data_plane.drain()
        await tasks.close()


@pure_build_only
async def test_steps_of_a_promotion(tmp_path: Path) -> None:
    segment = new_segment()
    workers = FakeWorkers(segment)
    with recorded_steps(
        "control.", "shm.", "rollout.machine.", "rollout.placement.", "proxy."
    ) as steps:  # before the journal's thread starts
        control = await ControlHarness(settings(tmp_path), segment, workers, tmp_path).begin()
        control.control_loop.add_addons(AcceptanceAddon(control.control_loop, []))
        control.control_loop.tick(control.now_ns, 0.0)
        control.probe("v2", times=5)
        application = app.build(control.queries, control.operations, control.settings)
        async with real_worker(workers, 0), serving(application) as url, aiohttp.ClientSession() as session:
            steps.clear()
            async with session.post(f"{url}/v1/services/svc/promote", json={"version": "v2"}) as response:
                answer = await response.json()
            answered = list(steps)
            await control.until_idle()
            steps.clear()
            control.control_loop.tick(control.now_ns + 1, 0.0)
            next_tick = list(steps)
    await control.end()
    workers.close()
    segment.close()
    assert (answer["active"], answer["confirmed"], answer["workers_unconfirmed"]) == ("v2", True, [])
    assert first_missing(answered, PROMOTION) is None
    assert first_missing(next_tick, NEXT_TICK) is None
