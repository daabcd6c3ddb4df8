"""The event stream: whole frames, heartbeats, slow readers, the limit, the end."""

from __future__ import annotations

import asyncio

from router.control.admin import app
from router.control.admin.events import STREAMS_MAX, EventStreams
from router.settings.sections.admin import Admin
from router.settings.settings import Settings
from tests.control.conftest import AdminHarness, StartAdmin, token
from tests.control.fake_control import EVENTS_MAX


async def test_events_come_as_whole_frames(admin: AdminHarness) -> None:
    async with admin.session.get(admin.url + "/v1/events") as response:
        assert (response.status, response.headers["Content-Type"]) == (200, "text/event-stream")
        assert "X-Request-ID" in response.headers
        assert await response.content.readuntil(b"\n\n") == b": connected\n\n"
        admin.fake.feed.publish({"seq": 7, "type": "promoted", "service": "fraud", "text": "a\nb"})
        assert await response.content.readuntil(b"\n\n") == (
            b"id: 7\nevent: promoted\n"
            b'data: {"seq":7,"type":"promoted","service":"fraud","text":"a\\nb"}\n\n'
        )  # fmt: skip
        admin.fake.feed.publish({"seq": None, "type": "rolled_back"})
        assert await response.content.readuntil(b"\n\n") == (
            b'event: rolled_back\ndata: {"seq":null,"type":"rolled_back"}\n\n'
        )


async def test_silence_is_broken_by_heartbeats(start_admin: StartAdmin) -> None:
    admin = await start_admin(streams=EventStreams(heartbeat_s=0.01))
    async with admin.session.get(admin.url + "/v1/events") as response:
        frames = [await response.content.readuntil(b"\n\n") for _ in range(3)]
        assert frames == [b": connected\n\n", b": heartbeat\n\n", b": heartbeat\n\n"]


async def test_a_reader_that_missed_events_is_dropped_with_a_comment(admin: AdminHarness) -> None:
    async with admin.session.get(admin.url + "/v1/events") as response:
        await response.content.readuntil(b"\n\n")
        for number in range(EVENTS_MAX + 1):
            admin.fake.feed.publish({"seq": number, "type": "tick"})
        assert await response.content.read() == b": dropped, read too slowly\n\n"
    assert len(admin.fake.feed) == 0


async def test_a_reader_that_takes_nothing_is_cut(start_admin: StartAdmin) -> None:
    admin = await start_admin(streams=EventStreams(write_timeout_s=0.05))
    reader, writer = await asyncio.open_connection("127.0.0.1", int(admin.url.rsplit(":", 1)[1]), limit=1024)
    writer.write(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await reader.readuntil(b": connected\n\n")
    writer.transport.pause_reading()
    while len(admin.fake.feed):
        admin.fake.feed.publish({"seq": 1, "type": "tick", "text": "x" * 1_000_000})
        await asyncio.sleep(0)
    writer.transport.abort()
    assert len(admin.fake.feed) == 0


async def test_a_reader_that_left_is_forgotten(start_admin: StartAdmin) -> None:
    streams = EventStreams(heartbeat_s=0.01)
    admin = await start_admin(streams=streams)
    async with admin.session.get(admin.url + "/v1/events") as response:
        await response.content.readuntil(b"\n\n")
        assert len(streams) == 1
        response.close()
    while len(admin.fake.feed):
        await asyncio.sleep(0)
    assert len(streams) == 0


async def test_the_number_of_streams_is_limited(admin: AdminHarness) -> None:
    responses = [await admin.session.get(admin.url + "/v1/events") for _ in range(STREAMS_MAX)]
    assert await admin.refused("GET", "/v1/events") == (503, "streams_exhausted")
    for response in responses:
        response.close()


async def test_a_shutdown_ends_the_streams(admin: AdminHarness) -> None:
    async with admin.session.get(admin.url + "/v1/events") as response:
        await response.content.readuntil(b"\n\n")
        await admin.application.shutdown()
        assert await response.content.read() == b": heartbeat\n\n"


async def test_a_stream_ends_with_its_session(start_admin: StartAdmin) -> None:
    """Nothing that happens after signing out is sent."""
    admin = await start_admin(Admin(tokens=[token("eve", "viewer")]), streams=EventStreams(heartbeat_s=0.02))
    _, headers, document = await admin.call("POST", "/v1/session", json={"token": "eve-secret"})
    own = {"Cookie": headers["Set-Cookie"].partition(";")[0], "X-CSRF-Token": document["csrf"]}
    async with admin.session.get(admin.url + "/v1/events", headers=own) as response:
        assert await response.content.readuntil(b"\n\n") == b": connected\n\n"
        assert (await admin.call("DELETE", "/v1/session", headers=own))[0] == 200
        admin.fake.feed.publish({"seq": 1, "type": "tick"})
        rest = await asyncio.wait_for(response.content.read(), 5)
    assert rest.replace(b": heartbeat\n\n", b"") == b""
    assert len(admin.fake.feed) == 0


async def test_a_silent_stream_ends_with_its_token(start_admin: StartAdmin) -> None:
    admin = await start_admin(Admin(tokens=[token("eve", "viewer")]), streams=EventStreams(heartbeat_s=0.02))
    own = {"Authorization": "Bearer eve-secret"}
    async with admin.session.get(admin.url + "/v1/events", headers=own) as response:
        assert await response.content.readuntil(b"\n\n") == b": connected\n\n"
        admin.application[app.ACCESS_POLICY].reconfigure(Settings(admin=Admin(tokens=[token("ops", "viewer")])))
        assert (await asyncio.wait_for(response.content.read(), 5)).replace(b": heartbeat\n\n", b"") == b""
