"""The live stream: a whole document, differences, facts; slow readers, lost rights, limits, the end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from router.control.admin import app
from router.control.admin.events import STREAMS_MAX
from router.control.admin.live.streams import REPLAYED_MAX, LiveStreams
from router.control.monitors.broadcast import SUBSCRIBERS_MAX
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.settings.sections.admin import Admin
from router.settings.settings import Settings
from tests.control.conftest import serving, token
from tests.control.control_harness import ControlHarness
from tests.texts import golden
from tests.waiting import until


class Reader:
    """One reader: `document` is what the events so far make of it."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.document: dict[str, Any] = {}
        self.number = 0
        self.facts: list[dict[str, Any]] = []

    async def next(self) -> tuple[str, dict[str, Any]]:
        lines = (await self.response.content.readuntil(b"\n\n")).decode().strip().split("\n")
        event = next((line[7:] for line in lines if line.startswith("event: ")), "")
        data = json.loads(next((line[6:] for line in lines if line.startswith("data: ")), "{}"))
        if event == "fact":
            self.facts.append(data)
        elif event == "status":
            assert "document" in data or data["number"] == self.number + 1
            self.number = data["number"]
            self.document = data["document"] if "document" in data else patched(self.document, data["patch"])
        return event, data


def patched(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    found = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        found.pop(name, None) if value is None else found.update({name: patched(found.get(name), value)})
    return found


class Running:
    """An admin port over a control loop, with live streams whose second is 20 ms."""

    def __init__(self, url: str, live: LiveStreams, application: Any, session: aiohttp.ClientSession) -> None:
        self.url, self.live, self.application, self.session = url, live, application, session

    @asynccontextmanager
    async def read(self, query: str = "?service=svc", **headers: str) -> AsyncIterator[Reader]:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.get(f"{self.url}/v1/live{query}", headers=names) as response:
            assert (response.status, response.headers["Content-Type"]) == (200, "text/event-stream")
            yield Reader(response)

    async def refused(self, query: str, **headers: str) -> tuple[int, str]:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.get(f"{self.url}/v1/live{query}", headers=names) as response:
            return response.status, (await response.json(content_type=None))["code"]


@asynccontextmanager
async def running(control: ControlHarness, admin: Admin | None = None, **how: Any) -> AsyncIterator[Running]:
    live = LiveStreams(every_s=0.02, **how)
    configured = Settings.model_validate({**control.settings.model_dump(), "admin": admin or Admin()})
    application = app.build(control.queries, control.operations, configured, live=live)
    async with serving(application) as url, aiohttp.ClientSession() as session:
        yield Running(url, live, application, session)


@pytest.fixture
async def admin(control: ControlHarness) -> AsyncIterator[Running]:
    async with running(control) as found:
        yield found


async def test_the_differences_add_up_to_the_document_of_now(control: ControlHarness, admin: Running) -> None:
    async with admin.read() as reader:
        event, first = await reader.next()
        assert (event, sorted(first["document"])) == ("status", ["explain", "points", "router", "service"])
        await control.operations.freeze(service="svc", reason="a test", actor="ann")
        while not (reader.document["service"].get("frozen") or {}).get("reason"):
            await reader.next()
        for _ in range(3):
            _, told = await reader.next()
            assert "document" not in told
        assert reader.document["explain"]["frozen"] is True
        assert reader.document["service"]["active"] == "v1"


async def test_the_list_has_a_row_for_each_service(admin: Running) -> None:
    async with admin.read("") as reader:
        await reader.next()
        row = reader.document["services"]["svc"]
        assert (row["active"], row["standby"], row["requests_per_s"]) == ("v1", "v2", None)
        assert reader.document["router"]["workers_total"] == 2


async def test_every_fact_is_sent_with_its_number_and_its_line(control: ControlHarness, admin: Running) -> None:
    async with admin.read() as reader:
        await control.operations.freeze(service="svc", reason="a test", actor="ann")
        while not reader.facts:
            await reader.next()
    fact = reader.facts[0]
    assert (fact["type"], fact["actor"], fact["text"]) == ("frozen", "ann", golden("entry.frozen", reason="a test"))
    assert fact["seq"] > 0


async def test_facts_of_another_service_are_not_sent(control: ControlHarness, admin: Running) -> None:
    async with admin.read() as reader:
        await reader.next()
        for service in ("other", "svc", None):
            control.control_loop.broadcast.publish({"seq": None, "type": "x", "service": service})
        while len(reader.facts) < 2:
            await reader.next()
    assert [fact["service"] for fact in reader.facts] == ["svc", None]


async def test_a_reader_that_comes_back_gets_the_facts_it_missed(control: ControlHarness, admin: Running) -> None:
    await control.operations.freeze(service="svc", reason="one", actor="ann")
    known = (await control.queries.journal(0, 1000))["entries"][-1]["seq"]
    await control.operations.unfreeze(service="svc", reason="two", actor="ann")
    async with admin.read(Last_Event_ID=str(known)) as reader:
        assert (await reader.next())[0] == "status"
        assert (await reader.next())[1]["type"] == "unfrozen"
        await control.operations.freeze(service="svc", reason="three", actor="ann")
        while len(reader.facts) < 2:
            await reader.next()
    assert [fact["seq"] for fact in reader.facts] == [known + 1, known + 2]


async def test_only_the_newest_missed_facts_are_sent_again(control: ControlHarness, admin: Running) -> None:
    asked: list[dict[str, Any]] = []

    async def journal(**how: Any) -> dict[str, Any]:
        asked.append(how)
        return {"entries": []}

    control.queries.journal = journal  # type: ignore[method-assign, assignment]
    async with admin.read(Last_Event_ID="3") as reader:
        await reader.next()
        await reader.next()
    assert asked == [{"after": 3, "limit": REPLAYED_MAX, "service": "svc", "newest": True}]


async def test_a_hung_disk_costs_the_missed_facts_only(control: ControlHarness, admin: Running) -> None:
    async def journal(**how: Any) -> dict[str, Any]:
        raise Refusal(RefusalCode.JOURNAL_UNAVAILABLE, "no answer from the disk within 5 s")

    control.queries.journal = journal  # type: ignore[method-assign, assignment]
    async with admin.read(Last_Event_ID="1") as reader:
        assert [(await reader.next())[0] for _ in range(3)] == ["status", "", "status"]


async def test_what_is_wrong_is_refused(admin: Running) -> None:
    assert await admin.refused("?service=none") == (404, "service_unknown")
    assert await admin.refused("?service=svc&x=1") == (400, "request_invalid")
    for wrong in ("x", "-1", "1.5", "9" * 19):
        assert await admin.refused("?service=svc", Last_Event_ID=wrong) == (400, "request_invalid")
    assert len(admin.live) == 0


async def test_ten_readers_share_one_document(control: ControlHarness, admin: Running) -> None:
    made = 0
    make = control.queries.live

    def counted(service: str) -> dict[str, Any]:
        nonlocal made
        made += 1
        return make(service)

    control.queries.live = counted  # type: ignore[method-assign]
    readers = [admin.read() for _ in range(10)]
    opened = [await reader.__aenter__() for reader in readers]
    for _ in range(5):
        await asyncio.gather(*(reader.next() for reader in opened))
    assert made == admin.live._feeds["svc"].number
    for reader in readers:
        await reader.__aexit__(None, None, None)
    await until(lambda: len(admin.live) == 0)


async def test_a_slow_reader_gets_a_whole_document_and_not_a_backlog(control: ControlHarness) -> None:
    async with running(control) as admin, admin.read() as reader:
        await reader.next()
        feed = admin.live._feeds["svc"]
        now_s = asyncio.get_running_loop().time()
        for later in (10, 20, 30):  # three seconds pass before this reader is served again
            feed.update(now_s + later)
        feed.due_s = 0.0
        told: dict[str, Any] = {}
        while "document" not in told:  # what was sent before is a patch with the next number: `next` compares it
            _, told = await reader.next()
        assert told["number"] >= 4


async def test_a_reader_that_takes_nothing_is_cut(control: ControlHarness) -> None:
    async with running(control, write_timeout_s=0.05) as admin:
        port = int(admin.url.rsplit(":", 1)[1])
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(b"GET /v1/live?service=svc HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()
        await until(lambda: len(admin.live) == 1)
        text = "x" * 1_000_000
        while len(admin.live):
            control.control_loop.broadcast.publish({"seq": None, "type": "x", "service": "svc", "text": text})
            await asyncio.sleep(0)
        writer.transport.abort()
    assert len(control.control_loop.broadcast) == 0


async def test_a_reader_that_missed_facts_is_dropped(control: ControlHarness, admin: Running) -> None:
    async with admin.read() as reader:
        await reader.next()
        for _ in range(1001):
            control.control_loop.broadcast.publish({"seq": None, "type": "x", "service": "svc"})
        rest = await reader.response.content.read()
    assert rest.endswith(b": dropped, read too slowly\n\n")


async def test_the_number_of_streams_is_limited(admin: Running) -> None:
    responses = [await admin.session.get(f"{admin.url}/v1/live") for _ in range(STREAMS_MAX)]
    assert await admin.refused("") == (503, "streams_exhausted")
    for response in responses:
        response.close()
    await until(lambda: len(admin.live) == 0)
    assert admin.live._feeds == {}


def test_every_stream_has_its_place_among_the_subscribers() -> None:
    """The event streams of /v1/events and the live streams: else the oldest stream would be dropped."""
    assert SUBSCRIBERS_MAX >= 2 * STREAMS_MAX


async def test_streams_leave_connections_for_others(control: ControlHarness) -> None:
    async with running(control, room=lambda: 2) as admin, admin.read(), admin.read():
        assert await admin.refused("") == (503, "streams_exhausted")


async def test_a_quarter_of_the_connections_may_be_streams(control: ControlHarness) -> None:
    configured = Settings(admin=Admin(connections_max=9))
    application = app.build(control.queries, control.operations, configured)  # type: ignore[arg-type]  # Verbs has `change`
    async with serving(application) as url, aiohttp.ClientSession() as session:
        opened = [await session.get(f"{url}/v1/live") for _ in range(3)]
        assert [response.status for response in opened] == [200, 200, 503]
        for response in opened:
            response.close()


async def test_a_stream_ends_when_its_token_is_taken_away(control: ControlHarness) -> None:
    async with running(control, Admin(tokens=[token("eve", "viewer")])) as admin:
        assert await admin.refused("?service=svc") == (401, "token_missing")
        async with admin.read(Authorization="Bearer eve-secret") as reader:
            await reader.next()
            await reader.next()
            app.reconfigure(admin.application, Settings(admin=Admin(tokens=[token("new", "viewer")])))
            await reader.response.content.read()
        assert len(admin.live) == 0


async def test_a_stream_ends_when_its_service_is_gone(control: ControlHarness, admin: Running) -> None:
    async with admin.read() as reader:
        await reader.next()
        controller = control.control_loop.services.pop("svc")
        await reader.response.content.read()
        control.control_loop.services["svc"] = controller


async def test_a_shutdown_ends_the_streams(admin: Running) -> None:
    async with admin.read() as reader:
        await reader.next()
        await admin.application.shutdown()
        await reader.response.content.read()
    assert len(admin.live) == 0


async def test_a_cancelled_stream_leaves_nothing(control: ControlHarness, tmp_path: Path) -> None:
    async with running(control) as admin:
        async with admin.read() as reader:
            await reader.next()
            reader.response.close()
        await until(lambda: len(admin.live) == 0)
        assert (len(control.control_loop.broadcast), admin.live._feeds) == (0, {})


async def test_a_number_of_another_journal_hides_no_fact(control: ControlHarness, admin: Running) -> None:
    """The state directory was emptied since: the journal begins at 1 again."""
    async with admin.read(Last_Event_ID="9" * 18) as reader:
        await reader.next()
        await control.operations.freeze(service="svc", reason="a test", actor="ann")
        async with asyncio.timeout(5):
            while not reader.facts:
                await reader.next()
    assert reader.facts[0]["type"] == "frozen"
