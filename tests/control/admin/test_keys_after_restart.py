"""A request with an Idempotency-Key that is repeated after a restart of control, or of the router, makes no second change."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from router.control.admin import app
from router.control.proposals import routes as proposal_routes
from router.control.proposals.addon import ProposalsAddon
from router.control.proposals.links import ProposalLinks
from router.control.store.journal_file import JournalFile
from router.control.versions import routes as version_routes
from router.rollout.model.events import RollbackAsked
from tests.control.conftest import serving
from tests.control.control_harness import ControlHarness
from tests.control.core.test_in_doubt import impatient
from tests.control.core.test_recovery import Machine
from tests.control.hung_disk import HungDisk
from tests.waiting import until

NEW = {"version": "v3", "endpoints": ["http://127.0.0.1:3"], "actor": "ann"}


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    made = Machine(tmp_path)
    yield made
    made.workers.close()
    made.segment.close()


class Client:
    """Sends each change with a key."""

    def __init__(self, control: ControlHarness, url: str, session: aiohttp.ClientSession) -> None:
        self.control = control
        self._url = url
        self._session = session

    async def send(
        self, path: str, body: dict[str, Any], key: str = "k", method: str = "POST"
    ) -> tuple[int, Any, bool]:
        """Return (status, document, whether the answer is a repetition)."""
        how = {"json": body, "headers": {"Idempotency-Key": key}}
        async with self._session.request(method, self._url + path, **how) as response:
            return response.status, await response.json(), "Idempotency-Replayed" in response.headers

    async def changes(self) -> int:
        """Return how many entries the journal has, without confirmations."""
        await self.control.until_idle()
        entries = (await self.control.queries.journal(0, 1000))["entries"]
        return sum(entry["type"] not in ("confirmed", "boot") for entry in entries)


@asynccontextmanager
async def life(machine: Machine, *, cold: bool = False, **service: Any) -> AsyncIterator[Client]:
    """Let control live once; `cold`: with the memory of a new router."""
    if cold:
        machine.fresh_memory()
    control = await machine.start(**service)
    control.probe("v2", times=3)
    proposals = ProposalsAddon(
        control.control_loop, control.core.operations, control.settings, ProposalLinks(b"k" * 32)
    )
    further = (*version_routes.OPERATIONS, *proposal_routes.operations(proposals))
    application = app.build(control.queries, control.core.operations, control.settings, further)
    async with serving(application) as url, aiohttp.ClientSession() as session:
        yield Client(control, url, session)
    await control.end()


SWITCH = ("/v1/services/svc/switch", {"to": "v2", "actor": "ann"})
REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "switch": SWITCH,
    "rollback": ("/v1/services/svc/rollback", {"reason": "bias", "actor": "ann"}),
    "freeze": ("/v1/services/svc/freeze", {"actor": "ann"}),
    "retire": ("/v1/services/svc/retire", {"version": "v2", "actor": "ann"}),
    "deploy": ("/v1/services/svc/deploy", NEW),
    "register": ("/v1/versions", {**NEW, "service": "svc"}),
    "quarantine": ("/v1/versions/v2/quarantine", {"service": "svc", "reason": "bias", "actor": "ann"}),
}
NOT_KNOWN_ANY_MORE = {"message", "swap_us", "confirmed_ms"}
OF_NOW = {"freeze": {"generation"}}
"""The record has changed no route, so the answer has the generation of now: a new router has published its own route."""


@pytest.mark.parametrize("cold", [False, True], ids=["control", "router"])
@pytest.mark.parametrize("verb", REQUESTS)
async def test_a_repetition_after_a_restart_is_answered_from_the_record(
    machine: Machine, verb: str, cold: bool
) -> None:
    path, body = REQUESTS[verb]
    async with life(machine) as client:
        status, first, replayed = await client.send(path, body)
        assert (status < 300, first["changed"], replayed) == (True, True, False), first
        made = await client.changes()
    async with life(machine, cold=cold) as client:
        for _ in range(2):
            again = await client.send(path, body)
            assert (again[0], again[2]) == (status, True)
            same = {
                name: value
                for name, value in again[1].items()
                if name not in NOT_KNOWN_ANY_MORE | OF_NOW.get(verb, set())
            }
            assert same == {name: first[name] for name in same}
            assert again[1].keys() == first.keys()
            assert again[1]["message"].startswith("done at ")
        other = await client.send(path, {**body, "actor": "bob"})
        assert (other[0], other[1]["code"], other[2]) == (422, "idempotency_key_reused", False)
        assert await client.changes() == made


async def test_the_answer_has_the_roles_of_now(machine: Machine) -> None:
    async with life(machine) as client:
        first = (await client.send(*SWITCH))[1]
        await client.send("/v1/services/svc/rollback", {"reason": "bias", "actor": "ann"}, "other")
    async with life(machine) as client:
        again = (await client.send(*SWITCH))[1]
        assert (first["active"], again["active"]) == ("v2", "v1")
        assert (again["generation"], again["confirmed"]) == (first["generation"], True)


async def test_a_key_without_a_change_is_free_after_a_restart(machine: Machine) -> None:
    async with life(machine) as client:
        assert (await client.send("/v1/services/svc/switch", {"to": "v1"}))[1]["changed"] is False
        assert (await client.send("/v1/services/svc/switch?dry_run=true", {"to": "v2"}, "dry"))[1]["changed"] is True
    async with life(machine) as client:
        assert (await client.send(*SWITCH))[2] is False
        assert (await client.send(*SWITCH, "dry"))[2] is False


async def test_a_change_that_was_overtaken_frees_its_key(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    real = JournalFile.append

    async def overtaken(self: JournalFile, *entries: Any, **how: Any) -> list[int]:
        numbers = await real(self, *entries, **how)
        if how.get("key") is not None:
            executor = client.control.service_controller.executor
            executor.perform(executor.machine.handle(RollbackAsked("bad", "verdict"), 0), 0)
        return numbers

    async with life(machine) as client:
        monkeypatch.setattr(JournalFile, "append", overtaken)
        status, refused, _ = await client.send(*SWITCH)
        assert (status, refused["code"]) == (409, "lost_race")
        monkeypatch.undo()
        await client.changes()
    async with life(machine) as client:
        status, answer, replayed = await client.send(*SWITCH)
        assert (status, answer["active"], answer["changed"], replayed) == (200, "v2", False, False)


@pytest.mark.parametrize("whole", [True, False], ids=["the disk has it", "the disk has it not"])
async def test_a_change_in_doubt_keeps_its_key_and_the_next_start_decides(machine: Machine, whole: bool) -> None:
    async with life(machine) as client:
        hung = HungDisk(client.control.disk, whole=whole)
        with impatient():
            first = await client.send("/v1/services/svc/freeze", {"actor": "ann"})
            again = await client.send("/v1/services/svc/freeze", {"actor": "ann"})
        assert (first[0], first[1]["code"], again[0], again[2]) == (503, "journal_unavailable", 503, True)
        hung.free.set()
        await until(lambda: not client.control.journal.in_doubt)
    async with life(machine) as client:
        status, answer, replayed = await client.send("/v1/services/svc/freeze", {"actor": "ann"})
        assert (status, answer["changed"], replayed) == (200, True, False), "it was struck out, so it is made now"


async def test_a_decision_of_a_proposal_has_its_key(machine: Machine) -> None:
    rules = {"promote_needs": "approval"}
    async with life(machine, **rules) as client:
        await client.send("/v1/services/svc/deploy", NEW, "deploy")
        client.control.probe("v3", times=5)
        asked = ("/v1/services/svc/promote", {"version": "v3", "actor": "ann"})
        status, first, _ = await client.send(*asked, "promote")
        assert (status, first["awaits"] is not None) == (202, True)
        deny = (f"/v1/proposals/{first['awaits']}/deny", {"actor": "bob", "reason": "no"})
        denied = await client.send(*deny, "deny")
        assert (denied[0], denied[1]["proposal"]["state"]) == (200, "denied")
        made = await client.changes()
    async with life(machine, **rules) as client:
        status, again, replayed = await client.send(*asked, "promote")
        assert (status, again["awaits"], replayed) == (202, first["awaits"], True)
        status, again, replayed = await client.send(*deny, "deny")
        assert (status, again["proposal"]["state"], replayed) == (200, "denied", True)
        assert await client.changes() == made


async def test_a_change_that_was_journalled_and_never_stored_frees_its_key(machine: Machine) -> None:
    async with life(machine) as client:
        executor = client.control.service_controller.executor

        def broken(*_: object) -> None:
            raise RuntimeError("it ends here")

        executor.apply = broken  # type: ignore[method-assign]
        assert (await client.send(*SWITCH))[0] == 500
    async with life(machine) as client:  # warm: memory never had the route
        status, answer, replayed = await client.send(*SWITCH)
        assert (status, answer["active"], replayed) == (200, "v2", False)
