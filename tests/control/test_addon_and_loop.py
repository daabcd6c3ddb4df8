"""The admin over the real core: one run of control in the test process, with scripted model servers and no workers."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from router.control.core.service_set import ServiceSet
from router.control.main import Control, main
from router.runtime.child_args import ControlArgs
from router.settings import loader
from router.settings.settings import Settings
from router.shm import layout as at
from router.shm import segment, settings_memory
from router.shm.segment import Segment
from router.shm.settings_memory import DeliveredSettings, Place
from tests.control.scripted_server import ScriptedServer, answer, scripted
from tests.control.views.test_metrics import FROZEN, OF_ADDONS, OF_PROCESSES
from tests.waiting import until


class RunningControl:
    """A running control and its admin. `run` ends with it, `updates` brings it newer documents."""

    def __init__(
        self, url: str, servers: list[ScriptedServer], memory: Segment, updates: socket.socket, run: asyncio.Task[None]
    ) -> None:
        self.url = url
        self.servers = servers
        self.memory = memory
        self.updates = updates
        self.run = run
        self.session = aiohttp.ClientSession()

    async def call(self, method: str, path: str, body: dict[str, Any] | None = None, **fields: str) -> tuple[int, Any]:
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        async with self.session.request(method, self.url + path, json=body, headers=headers) as response:
            return response.status, await response.json(content_type=None)

    async def until(self, path: str, wanted: Any) -> Any:
        """Look again until `wanted(document)`; return the document."""
        found: Any = None

        async def as_wanted() -> bool:
            nonlocal found
            found = (await self.call("GET", path))[1]
            return bool(wanted(found))

        await until(as_wanted, within_s=30)
        return found


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[RunningControl]:
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(scripted(answer())) for _ in range(3)]
        probe = {"every_s": 0.01, "probe_timeout_s": 1.0}
        seeds = [{"version": f"v{number}", "endpoints": [servers[number - 1].url]} for number in (1, 2)]
        settings = Settings.model_validate(
            {"services": {"fraud": {"active": seeds[0], "standby": seeds[1], "probe": probe}}, "workers": 2}
        )
        memory = segment.create(workers=2, services=1)
        memory.words[at.H_STATE_LOCKED] = 1
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        life_read, life_write = os.pipe()
        updates = settings_memory.channel()
        delivery = DeliveredSettings(1, 1, {"fraud": Place(0)}, loader.dump(settings))
        boot = ControlArgs(
            segment_fd=memory.fd,
            settings_fd=settings_memory.create(delivery.encode()),
            updates_fd=updates[1].fileno(),
            admin_fd=sock.detach(),
            wake_fds=[os.eventfd(0, os.EFD_NONBLOCK) for _ in range(2)],
            acks_fd=os.eventfd(0, os.EFD_NONBLOCK),
            life_fd=life_read,
            state_dir=str(tmp_path),
            settings_origin="the test",
        )
        living = asyncio.create_task(Control(boot, memory, delivery).run())
        await until(lambda: memory.words[at.H_CONTROL_READY] or living.done())
        running = RunningControl(url, servers, memory, updates[0], living)
        yield running
        await running.session.close()
        os.close(life_write)
        await living
        for end in updates:
            end.close()
        for fd in (memory.fd, boot.settings_fd, boot.acks_fd, life_read, *boot.wake_fds):
            os.close(fd)


def test_a_sighup_before_there_is_a_handler_ends_nothing() -> None:
    before = signal.getsignal(signal.SIGHUP)
    try:
        with pytest.raises(json.JSONDecodeError):
            main("no JSON")
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(("services", "refused"), [({"fraud": 0}, 0), ({"fraud": 0, "new": 1}, 2), ({}, 0)])
async def test_a_change_that_breaks_off_half_way_ends_control(
    running: RunningControl, monkeypatch: pytest.MonkeyPatch, services: dict[str, int], refused: int
) -> None:
    """Its replacement is whole. An addition is refused, so the supervisor takes it back; all else waits for the replacement."""

    async def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(ServiceSet, "change", broken)
    places = {name: Place(number) for name, number in services.items()}
    document = settings_memory.create(DeliveredSettings(2, 2, places, b'{"services": {}}').encode())
    assert settings_memory.send(running.updates, document)
    os.close(document)
    os.kill(os.getpid(), signal.SIGHUP)
    await until(running.run.done)
    words = running.memory.words
    assert (words[at.H_CONTROL_DOCUMENT], words[at.H_CONTROL_REFUSED]) == (1, refused)


def states(service: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {target["version"]: (target["role"], target["state"]) for target in service["targets"]}


async def test_a_version_from_deploy_to_rollback_through_the_admin(running: RunningControl) -> None:
    service = await running.until("/v1/services/fraud", lambda found: found["way_back"])
    assert (service["active"], service["standby"]) == ("v1", "v2")

    events = await running.session.get(running.url + "/v1/events")
    assert await events.content.readuntil(b"\n\n") == b": connected\n\n"

    status, deployed = await running.call(
        "POST", "/v1/services/fraud/deploy", {"version": "v3", "endpoints": [running.servers[2].url]}
    )
    assert (status, deployed["state"], deployed["version"]) == (202, "verifying", "v3")
    service = await running.until("/v1/services/fraud", lambda found: states(found).get("v3") == ("candidate", "ready"))

    promote = {"version": "v3", "from": "v1"}
    stale = {"If_Match": f'"{service["generation"] - 1}"'}
    assert (await running.call("POST", "/v1/services/fraud/promote", promote, **stale))[0] == 412
    assert (await running.call("POST", "/v1/services/fraud/promote", {"version": "v3", "from": "v2"}))[0] == 409
    status, would = await running.call("POST", "/v1/services/fraud/promote?dry_run=true", promote)
    assert (status, would["changed"]) == (200, True)
    assert (await running.call("GET", "/v1/services/fraud"))[1]["active"] == "v1"
    status, promoted = await running.call("POST", "/v1/services/fraud/promote", promote)
    assert status == 200
    shown = {name: promoted[name] for name in ("active", "standby", "changed", "confirmed", "workers_unconfirmed")}
    assert shown == {"active": "v3", "standby": "v1", "changed": True, "confirmed": True, "workers_unconfirmed": []}
    assert promoted["generation"] > service["generation"]
    status, again = await running.call("POST", "/v1/services/fraud/promote", {"version": "v3"})
    assert (status, again["changed"]) == (200, False)

    status, back = await running.call("POST", "/v1/services/fraud/rollback", {"reason": "bias"}, Idempotency_Key="k")
    assert (status, back["active"], back["standby"]) == (200, "v1", None)
    assert (await running.call("POST", "/v1/services/fraud/rollback", {"reason": "bias"}, Idempotency_Key="k")) == (
        200,
        back,
    )
    status, refused = await running.call("POST", "/v1/services/fraud/switch", {"to": "v3"})
    assert (status, refused["code"]) == (409, "version_quarantined")
    status, incident = await running.call("GET", f"/v1/incidents/{back['incident']}")
    assert (status, incident["from"], incident["to"], incident["manual"]) == (200, "v3", "v1", True)

    status, journal = await running.call("GET", "/v1/journal")
    kinds = [entry["type"] for entry in journal["entries"]]
    assert [kind for kind in kinds if kind in ("version_deployed", "promoted", "rolled_back")] == [
        "version_deployed",
        "promoted",
        "rolled_back",
    ]
    seen: set[str] = set()
    while "rolled_back" not in seen:
        frame = await events.content.readuntil(b"\n\n")
        seen |= {line[7:].decode() for line in frame.split(b"\n") if line.startswith(b"event: ")}
    assert "promoted" in seen
    events.close()


async def test_every_reading_route_answers(running: RunningControl) -> None:
    document = (await running.call("GET", "/v1/openapi.json"))[1]
    paths = [path for path, item in document["paths"].items() if "get" in item]
    answered = {}
    for path in paths:
        if path != "/v1/events":
            filled = re.sub(r"\{(\w+)\}", lambda name: "fraud" if name[1] == "service" else "none", path)
            async with running.session.get(running.url + filled) as response:
                answered[path] = response.status
    no_workers = {"/readyz": 503}
    unknown = {path: 404 for path in answered if "{" in path.replace("{service}", "")}
    assert answered == {path: (no_workers | unknown).get(path, 200) for path in answered}


async def test_the_exposition_of_a_real_controller_has_the_frozen_names(running: RunningControl) -> None:
    await running.until("/v1/services/fraud", lambda found: found["way_back"])
    async with running.session.get(running.url + "/metrics") as response:
        families = list(text_string_to_metric_families(await response.text()))
    assert {family.name for family in families} == set(FROZEN) | OF_ADDONS | OF_PROCESSES
    samples = {sample.name: sample for family in families for sample in family.samples}
    assert samples["rollback_router_way_back"].value == 1
    active = samples["rollback_router_active_info"].labels
    assert (active["service"], active["version"]) == ("fraud", "v1")


async def test_refusals_change_nothing(running: RunningControl) -> None:
    # The journal gets the identity of each seed after its first probes.
    await running.until("/v1/services/fraud", lambda found: all(target["identity"] for target in found["targets"]))
    _, before = await running.call("GET", "/v1/journal")
    for method, path, body, expected in (
        ("POST", "/v1/services/other/rollback", {}, (404, "service_unknown")),
        ("POST", "/v1/services/fraud/promote", {"version": "v9"}, (404, "version_unknown")),
        ("POST", "/v1/services/fraud/retire", {"version": "v1"}, (409, "version_in_use")),
        ("POST", "/v1/services/fraud/deploy", {"version": "v1", "endpoints": ["http://127.0.0.1:1"]}, (409, "endpoints_differ")),
        ("POST", "/v1/services/fraud/deploy", {"version": "v9", "endpoints": ["127.0.0.1:1"]}, (400, "endpoint_invalid")),
        ("PUT", "/v1/services/fraud/versions/v1/endpoints", {"endpoints": ["http://127.0.0.1:1"]}, (409, "version_not_ready")),
    ):  # fmt: skip
        status, problem = await running.call(method, path, body)
        assert (path, status, problem["code"]) == (path, *expected)
    assert (await running.call("GET", "/v1/journal"))[1] == before
