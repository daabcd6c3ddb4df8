"""A real router under random verbs, kills and faults, all at once, for any time; what must hold is compared in pauses.

    python -m tests.end_to_end.soak [--seconds 300] [--seed N]

The seed is printed first: the same one draws the same acts, although the machine decides when they meet. It ends with 1 and says
what did not hold, after the acts that came last.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from tests import backends
from tests.backends import Backend
from tests.end_to_end.real_router import SERVICE, RefusedError, alive, until
from tests.end_to_end.soak_verbs import PUBLISHING, VERBS, RandomVerbs
from tests.end_to_end.test_kills import control_answers, strike
from tests.end_to_end.test_take_over import successor

BACKENDS: Final = 4
LAST_ACTS: Final = 60
"""Acts that are printed when something did not hold."""
ROUND_S: Final = (4.0, 10.0)
"""From one pause to the next."""
_ANSWERED: Final = frozenset((400, 404, 409, 412, 422, 503))
"""Statuses of refusals that are allowed: the operator asks for what is not possible, and disks fail."""
_LOST: Final = (aiohttp.ClientError, TimeoutError, ConnectionError, json.JSONDecodeError)
_ROLES: Final = ("active", "standby", "candidate")
_QUIET_S: Final = 40.0

Call = Callable[[], Awaitable[Any]]


class DidNotHoldError(Exception):
    """What must hold did not."""


def held(holds: object, what: str) -> None:
    """Raise DidNotHoldError that says `what`, unless `holds`."""
    if not holds:
        raise DidNotHoldError(what)


class Soak(RandomVerbs):
    """One router with its model servers. `run` returns how often each act was done, and each type of entry was written."""

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(folder, seed)
        self.acts: Counter[str] = Counter()
        self.last: deque[str] = deque(maxlen=LAST_ACTS)
        self.acknowledged: list[dict[str, Any]] = []
        self._began_s = time.monotonic()
        self._generation = 0
        self._kinds: Counter[str] = Counter()

    async def run(self, seconds: float) -> Counter[str]:
        """Play for `seconds`; raise DidNotHoldError, or what a failed wait raises."""
        end_s = self._began_s + seconds
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(BACKENDS):
                self.servers.append(await stack.enter_async_context(Backend(backends.ok())))
            self.router.settings = self._settings()
            try:
                await self.router.start()
                while time.monotonic() < end_s:
                    await self._round(min(self.draw.uniform(*ROUND_S), end_s - time.monotonic()))
                    await self._compared()
                await self._restarted()
                held(await self.router.stop() == 0, "the router did not leave with 0")
                self.router.check_log()
            finally:
                await self._ended()
        return self.acts + Counter({f"entry {kind}": count for kind, count in self._kinds.items()})

    async def _ended(self) -> None:
        for process in (self.router.process, *self.router.successors):
            if process is not None and process.returncode is None:
                if process is self.router.process:
                    await self.router.kill()
                else:
                    process.kill()
                    await process.wait()

    # -- a round
    async def _round(self, seconds: float) -> None:
        self._stopping.clear()
        tasks = [asyncio.create_task(work()) for work in (self._operate, self._kill, self._fault, self._send)]
        done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        self._stopping.set()
        try:
            async with asyncio.timeout(120):
                await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        del done

    async def _pause(self, low_s: float, high_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), self.draw.uniform(low_s, high_s))

    def _did(self, act: str, result: object = "") -> None:
        self.acts[act] += 1
        self.last.append(f"{time.monotonic() - self._began_s:8.2f} s  {act} {result}")

    async def _send(self) -> None:
        """Requests all the time, so that faults are seen and drains last."""
        timeout = aiohttp.ClientTimeout(total=8)
        async with aiohttp.ClientSession(timeout=timeout) as session, asyncio.TaskGroup() as group:
            number = 0
            while not self._stopping.is_set():
                number += 1
                group.create_task(self._request(session, number))
                await asyncio.sleep(0.02)

    async def _request(self, session: aiohttp.ClientSession, number: int) -> None:
        with contextlib.suppress(*_LOST):
            async with session.post(f"{self.router.url}/infer", data=b'{"n":%d}' % (number % 40)) as response:
                await response.read()

    # -- verbs
    async def _operate(self) -> None:
        while not self._stopping.is_set():
            name = self.draw.choice(VERBS)
            try:
                answer = await asyncio.wait_for(getattr(self, f"_{name}")(), 35)
            except RefusedError as refused:
                held(refused.status in _ANSWERED, f"{name} was answered with {refused}")
                self._did(f"{name} refused", refused.code)
            except _LOST as error:
                self._did(f"{name} unanswered", type(error).__name__)
            else:
                self._did(name, self._kept(name, answer))
            await self._pause(0.0, 0.25)

    def _kept(self, name: str, answer: Any) -> str:
        if not isinstance(answer, dict):
            return ""
        if answer.get("changed") and name in PUBLISHING:
            self.acknowledged.append({"verb": name, **answer})
        return f"{answer.get('generation', '')} {answer.get('message', '')}"

    # -- kills
    async def _kill(self) -> None:
        while not self._stopping.is_set():
            await self._pause(0.5, 4.0)
            if self._stopping.is_set():
                return
            victim = self.draw.choice(VICTIMS)
            async with self._mending:
                await control_answers(self.router)
                self._did(f"kill {victim}")
                if victim == "take over":
                    await self._taken_over()
                elif victim == "control stands still":
                    await self._stood_still()
                else:
                    await strike(self.router, victim, self.draw)
                await control_answers(self.router)
            await self._pause(1.0, 3.0)

    async def _taken_over(self) -> None:
        old = self.router.process
        assert old is not None
        new = await successor(self.router)
        assert new.process is not None
        ends = {asyncio.create_task(process.wait()) for process in (old, new.process)}
        await asyncio.wait(ends, timeout=60, return_when=asyncio.FIRST_COMPLETED)
        for task in ends:
            task.cancel()
        if old.returncode is not None:
            held(old.returncode == 0, f"a router that was taken over left with {old.returncode}")
            self.router.process = new.process
            self.router.successors.remove(new.process)
        self._did("took over" if old.returncode is not None else "take over failed", new.process.returncode)

    async def _stood_still(self) -> None:
        pid = (await self.router.status())["control"]["pid"]
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(self.draw.choice([0.3, 1.5]))
            os.kill(pid, signal.SIGCONT)

    # -- faults
    async def _fault(self) -> None:
        while not self._stopping.is_set():
            await self._pause(0.3, 3.0)
            server = self.draw.choice(self.servers)
            fault = self.draw.choice(FAULTS)
            self._did(f"fault {fault}", self.servers.index(server))
            if fault == "refuses":
                await server.stop()
                await self._pause(0.5, 3.0)
                await server.start()
            elif fault == "no room":
                await self._no_room()
            else:
                server.behaviour = _BEHAVIOURS[fault]()
                if fault == "hangs":
                    await self._pause(1.0, 4.0)
                    server.behaviour = backends.ok()

    async def _no_room(self) -> None:
        """No file of control may grow for a while: the journal takes nothing."""
        with contextlib.suppress(ProcessLookupError, *_LOST):
            pid = (await self.router.status())["control"]["pid"]
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
            await self._pause(0.2, 1.5)
            if alive(pid):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    # -- what must hold
    async def _compared(self) -> None:
        """Heal everything, wait until nothing is under way, and compare."""
        for server in self.servers:
            server.behaviour = backends.ok()
            await server.stop()
            await server.start()
        await control_answers(self.router)
        await self._calm()
        document = await until(self._drained, _QUIET_S, "what drains has given its slot back", every_s=0.2)
        self._check_roles(document)
        await self._check_journal()
        await self._check_traffic()
        if self.draw.random() < 0.25:
            await self._restarted()
        self.router.check_log()

    async def _calm(self) -> None:
        """End the freeze, and wait until no drill runs."""

        async def calm() -> bool:
            try:
                await self.router.verb("unfreeze", reason="a pause")
            except (RefusedError, *_LOST):
                return False
            return (await self.router.call("GET", "/v1/drills"))["services"][SERVICE]["under_way"] is None

        await until(calm, _QUIET_S, "no drill runs", every_s=0.2)

    async def _drained(self) -> dict[str, Any] | None:
        document = await self.router.service()
        waiting = [t for t in document["targets"] if t["state"] in ("draining", "failed", "verifying")]
        return document if not waiting else None

    def _check_roles(self, document: dict[str, Any]) -> None:
        targets = document["targets"]
        roles = [target["role"] for target in targets if target["role"] in _ROLES]
        slots = [target["slot"] for target in targets if target["slot"] is not None]
        held(len(roles) == len(set(roles)), f"one role for two versions: {targets}")
        held(len(slots) == len(set(slots)), f"one slot for two versions: {targets}")
        without = [target for target in targets if target["role"] in _ROLES and target["slot"] is None]
        held(not without, f"a role without a slot: {without}")
        for role in ("active", "standby", "candidate"):
            named = document[role]
            version = named.get("version") if isinstance(named, dict) else named
            found = next((target["version"] for target in targets if target["role"] == role), None)
            held(version == found, f"{role} is {version}, and {found} has the role: {targets}")
        held(document["active"] is not None, "no version is active")
        held(document["generation"] >= self._generation, f"generation {document['generation']} < {self._generation}")
        self._generation = document["generation"]

    async def _check_journal(self) -> None:
        """Every acknowledged change is in the journal; automation rolled back at most once for each change of an operator."""
        entries = [entry for entry in await self.router.journal() if entry["service"] == SERVICE]
        self._kinds = Counter(entry["type"] for entry in entries)
        abandoned = {entry["data"]["abandons"] for entry in entries if entry["type"] == "abandoned"}
        effective = [entry for entry in entries if entry["seq"] not in abandoned]
        generations = {entry["data"]["generation"] for entry in effective if "generation" in entry["data"]}
        lost = [answer for answer in self.acknowledged if answer["generation"] not in generations]
        held(not lost, f"acknowledged, and not in the journal: {lost[:3]}")
        automatic = 0
        for entry in effective:
            if entry["type"] in ("promoted", "switched") or (
                entry["type"] == "rolled_back" and not entry["data"]["automatic"]
            ):
                automatic = 0
            elif entry["type"] == "rolled_back":
                automatic += 1
                held(automatic <= 1, f"a second automatic rollback: {entry}")

    async def _check_traffic(self) -> None:
        """The active version serves, and every request is answered well."""

        async def served() -> bool:
            active = (await self.router.service())["active"]
            async with aiohttp.ClientSession() as session:
                for _ in range(5):
                    async with session.post(f"{self.router.url}/infer", data=b"{}") as response:
                        if (response.status, response.headers.get("X-Served-Version")) != (200, active):
                            return False
            return True

        await until(served, 15, "the active version serves", every_s=0.2)

    async def _restarted(self) -> None:
        """End all processes; the state is the same after a cold start."""
        before = await self._kept_state()
        if self.draw.random() < 0.5:
            await self.router.kill()
        else:
            held(await self.router.stop() == 0, "the router did not leave with 0")
        await self.router.start()
        self._did("cold start")
        after = await self._kept_state()
        differing = {name: (known, after.get(name)) for name, known in before.items() if known != after.get(name)}
        held(not differing, f"a cold start changed the state: {differing}")

    async def _kept_state(self) -> dict[str, Any]:
        """Return the state of each version, and the roles; without what ends by itself meanwhile."""
        document = await self.router.service()
        versions = await self._known()
        unsettled = ("verifying", "ready", "unreachable")
        passing = [known["version"] for known in versions if known["lifted"] or known["state"] in unsettled]
        named = {role: document[role] for role in ("active", "standby") if document[role] not in (None, *passing)}
        return named | {
            known["version"]: (known["state"], known["quarantine"])
            for known in versions
            if known["service"] == SERVICE and known["version"] not in passing
        }


VICTIMS: Final = (
    *("control",) * 4,
    *("worker",) * 2,
    *("supervisor", "everything", "take over", "control stands still"),
)
FAULTS: Final = ("errors", "errors", "half fail", "refuses", "refuses", "hangs", "slow", "well", "well", "no room")
_BEHAVIOURS: Final[dict[str, Callable[[], backends.Behaviour]]] = {
    "errors": lambda: backends.by_path(backends.status(500), health=backends.ok()),
    "half fail": lambda: backends.failing_share(0.5),
    "hangs": lambda: backends.slow(20.0),
    "slow": lambda: backends.slow(0.3),
    "well": backends.ok,
}


async def soaked(folder: Path, seed: int, seconds: float) -> Counter[str]:
    """Play; print the seed before, and the last acts if something did not hold."""
    print(f"seed {seed}: {seconds:g} s", flush=True)
    soak = Soak(folder, seed)
    try:
        return await soak.run(seconds)
    except BaseException:
        print("\n".join(soak.last), flush=True)
        print(soak.router.log[-6000:], flush=True)
        raise


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=float, default=300.0)
    arguments.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    asked = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        try:
            acts = asyncio.run(soaked(Path(folder), asked.seed, asked.seconds))
        except (DidNotHoldError, AssertionError, RefusedError, pytest.fail.Exception, *_LOST) as error:
            print(f"seed {asked.seed}: {type(error).__name__}: {error}"[:2000])
            return 1
    print(f"seed {asked.seed}: everything held; " + ", ".join(f"{count} {act}" for act, count in sorted(acts.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
