"""Control is killed at each fail point, in a process of its own, while it makes random changes; the next control finds one truth.

Route word, slots in memory, registry and journal must agree after each start. Workers are fakes that acknowledge everything.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from router.control.store.records.effective import effective_of
from router.errors import Refusal
from router.rollout.facts.switches import SwitchFact
from router.rollout.machine.replay import rebuild
from router.rollout.model.events import VerdictReached
from router.rollout.model.route import NO_SLOT
from router.rollout.model.target import ROLES, State
from router.runtime.failpoint import FailPoint
from router.shm.segment import Segment
from tests.control.control_harness import ControlHarness, FakeWorkers, HarnessFailPoint, new_segment, settings
from tests.rollout.machine.test_stored_folds import differences
from tests.rollout.playbook import AWAY, TRIGGER
from tests.waiting import until

POINTS: Final = (
    *("journal.before", "journal.handed", "journal.after", "mark.before", "mark.after"),
    *("store.before", "store.after"),
)
SEEDS: Final = (*range(3), *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(3, 40)))
ACTS: Final = 40
CHILD_S: Final = 30
"""A process that lives longer hangs, and its alarm ends it."""
_FAILED: Final = 3
_KILLED: Final = (0, signal.SIGKILL)


class Memory:
    """Shared memory and the fake workers on it: they outlive a control, and a cold start gets new ones."""

    def __init__(self) -> None:
        self.segment: Segment
        self.workers: FakeWorkers
        self._begin()

    def _begin(self) -> None:
        self.segment = new_segment()
        self.workers = FakeWorkers(self.segment)

    def anew(self) -> None:
        """Lose everything, as a computer does that is switched off."""
        self.close()
        self._begin()

    def close(self) -> None:
        """Give the memory and the descriptors back."""
        for fd in (*self.workers.wakes, self.workers.acks):
            os.close(fd)
        self.segment.close()


@pytest.fixture
def memory() -> Iterator[Memory]:
    made = Memory()
    yield made
    made.close()


class Operator:
    """Makes random changes in one control, and writes down what was acknowledged."""

    def __init__(self, control: ControlHarness, draw: random.Random, acknowledged: Path) -> None:
        self.control = control
        self._draw = draw
        self._acknowledged = acknowledged

    async def act(self) -> None:
        """Make one change; a refusal changes nothing."""
        name = self._draw.choice(sorted(ACTS_BY_NAME))
        try:
            answer = await ACTS_BY_NAME[name](self)
        except Refusal:
            return
        if isinstance(answer, dict) and answer.get("changed") and name in ("promote", "switch", "rollback"):
            with self._acknowledged.open("a", encoding="utf-8") as file:
                file.write(json.dumps([answer["generation"], answer["active"]]) + "\n")

    def _version(self, *states: State) -> str:
        targets = self.control.service_controller.registry.targets.values()
        found = [target.version for target in targets if not states or target.state in states]
        return self._draw.choice(found) if found else "v0"

    async def deploy(self) -> Any:
        version = f"v{self._draw.randrange(3, 1_000)}"
        url = [f"http://127.0.0.1:{self._draw.randrange(1, 9)}"]
        verbs = self.control.operations
        return await verbs.deploy(service="svc", version=version, endpoints=url, actor="ann", replace=True)

    async def probe(self) -> None:
        for target in list(self.control.service_controller.registry.targets.values()):
            if target.state in (*ROLES, State.UNREACHABLE):
                self.control.probe(target.version, times=5)

    async def promote(self) -> Any:
        return await self.control.operations.promote(service="svc", version=self._version(State.READY), actor="ann")

    async def switch(self) -> Any:
        return await self.control.operations.switch(service="svc", to=self._version(State.STANDBY), actor="ann")

    async def rollback(self) -> Any:
        return await self.control.operations.rollback(service="svc", actor="ann", reason="odd")

    async def verdict(self) -> None:
        await self.probe()
        controller = self.control.service_controller
        controller.handle(VerdictReached(TRIGGER, unreachable=False), self.control.now_ns)

    async def away(self) -> None:
        await self.probe()
        self.control.service_controller.handle(VerdictReached(AWAY, unreachable=True), self.control.now_ns)

    async def retire(self) -> Any:
        version, cut = self._version(), self._draw.random() < 0.5
        return await self.control.operations.retire(service="svc", version=version, actor="ann", cut=cut)

    async def quarantine(self) -> Any:
        return await self.control.operations.quarantine(service="svc", version=self._version(), actor="ann")

    async def release(self) -> Any:
        marked = list(self.control.service_controller.registry.quarantines)
        version = self._draw.choice(marked) if marked else "v0"
        return await self.control.operations.release(service="svc", version=version, actor="ann")

    async def freeze(self) -> Any:
        verb = self._draw.choice([self.control.operations.freeze, self.control.operations.unfreeze])
        return await verb(service="svc", actor="ann")

    async def tick(self) -> None:
        self.control.tick(2)


ACTS_BY_NAME: Final = {
    name: getattr(Operator, name)
    for name in (
        *("deploy", "probe", "promote", "switch", "rollback", "verdict", "away"),
        *("retire", "quarantine", "release", "freeze", "tick"),
    )
}


def held(control: ControlHarness) -> dict[str, int]:
    """Return the slot of each version that holds one."""
    table = control.service_controller.executor.held.table
    executor = control.service_controller.executor
    assert executor.held.slots.read_table(executor.registry.targets) == table, "control and memory differ"
    return {version: place.slot for version, place in table.held.items()}


def agree(control: ControlHarness) -> None:
    """Fail unless route word, slots in memory and registry say the same."""
    executor, registry = control.service_controller.executor, control.service_controller.registry
    word, slots = executor.cell.read(), held(control)
    assert word is not None
    assert word.generation == registry.generation
    assert len(set(slots.values())) == len(slots), f"two versions hold one slot: {slots}"
    for role, slot in (("active", word.active), ("standby", word.standby), ("candidate", word.candidate)):
        target = getattr(registry, role)
        assert (slot == NO_SLOT) == (target is None), f"{role}: {slot} in the route, {target}"
        if target is not None:
            assert slots[target.version] == slot, f"{role}: {slot} in the route, {slots}"
    for version, slot in slots.items():
        content = executor.held.slots.read(slot)
        assert content is not None
        endpoints = registry.targets[version].endpoints
        assert (content.version, content.endpoints) == (version, endpoints), f"slot {slot} of {version} has {content}"


async def drained(control: ControlHarness) -> None:
    """Nothing is in flight: every version without a role gives its slot back."""
    registry = control.service_controller.registry

    def given_back() -> bool:
        for index in range(control.segment.layout.workers):
            control.workers.acknowledge(index)  # a worker sweeps: control may have died between store and wake
        control.tick()
        kept = {
            target.version
            for target in registry.targets.values()
            if target.state in ROLES or target.state is State.UNREACHABLE
        }
        return set(held(control)) == kept and not registry.roles.draining

    await until(given_back, 10.0)
    await control.until_idle()


async def journalled(control: ControlHarness, acknowledged: list[str]) -> None:
    """The registry is the fold of the journal, and every acknowledged change is in it."""
    await control.until_idle()
    registry = control.service_controller.registry
    entries = await control.journal.entries(0, 1_000_000)
    state = rebuild("svc", effective_of("svc", entries, registry.generation)).as_dict()
    assert differences(registry.as_dict(), state) == []
    known = {entry.fact.generation: entry.fact.to for entry in entries if isinstance(entry.fact, SwitchFact)}
    for generation, active in map(json.loads, acknowledged):
        assert known.get(generation) == active, f"acknowledged, and not in the journal: {generation} {active}"
        assert generation <= registry.generation


def answers(folder: Path) -> list[str]:
    """Return what was acknowledged, a line each: generation and active version as JSON."""
    file = folder / "acknowledged"
    return file.read_text("utf-8").splitlines() if file.exists() else []


async def one_life(memory: Memory, folder: Path, seed: int, *, acts: int) -> None:
    """Start control, compare, make changes, compare again."""
    for index in range(memory.segment.layout.workers):
        memory.workers.live(index)
    state = folder / "state"
    control = await ControlHarness(settings(state), memory.segment, memory.workers, state).begin()
    agree(control)
    await journalled(control, answers(folder))
    operator = Operator(control, random.Random(seed), folder / "acknowledged")
    for _ in range(acts):
        await operator.act()
        agree(control)
    await control.until_idle()
    await drained(control)
    agree(control)
    await journalled(control, answers(folder))
    await control.end()


def lived(memory: Memory, folder: Path, seed: int, *, point: str = "", acts: int = ACTS) -> int:
    """Run one life in a process that dies at the fail point; return its wait status."""
    child = os.fork()
    if child == 0:
        code = _FAILED
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(CHILD_S)
            HarnessFailPoint.on_hit = staticmethod(FailPoint(point).hit)
            asyncio.run(one_life(memory, folder, seed, acts=acts))
            code = 0
        except BaseException:  # noqa: BLE001  # nothing of this process may reach pytest, of which it is a copy
            (folder / "failed").write_text(traceback.format_exc(), "utf-8")
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", SEEDS)
def test_after_a_kill_at_any_fail_point_memory_and_journal_agree(memory: Memory, tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    (tmp_path / "state").mkdir()
    ends = []
    for number, point in enumerate(draw.sample(POINTS, len(POINTS))):
        armed = f"{point}:{draw.randrange(1, 12)}"
        ends.append(lived(memory, tmp_path, seed * 100 + number, point=armed))
        failed = tmp_path / "failed"
        assert ends[-1] in _KILLED, f"{armed}: {ends[-1]}\n{failed.read_text('utf-8') if failed.exists() else ''}"
        if draw.random() < 0.2:
            memory.anew()
    last = lived(memory, tmp_path, seed, acts=5)
    assert last == 0, (tmp_path / "failed").read_text("utf-8")
    assert ends.count(signal.SIGKILL) >= 2, "control was hardly ever killed: the test proves little"
