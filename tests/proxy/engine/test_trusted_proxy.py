"""Proxies in front of us: who is believed, over real connections."""

from __future__ import annotations

import asyncio
import gc
import socket
import weakref
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from router.proxy.accept.listener import Listener
from router.proxy.http1.fields import ROUTER_FIELDS, VIA
from router.proxy.options import ForwardingOptions
from tests import backends
from tests.backends import Backend
from tests.proxy.rig import OPTIONS, Client, Rig, until

TRUSTING = replace(OPTIONS, forwarding=ForwardingOptions(trusted=("127.0.0.0/8", "unix")))
OWN = [b"X-Forwarded-Host: t", b"X-Forwarded-For: 127.0.0.1", b"X-Forwarded-Proto: http"]


def request(*lines: bytes, path: bytes = b"/") -> bytes:
    return (
        b"GET %b HTTP/1.1\r\nHost: t\r\nX-Request-ID: 1\r\n" % path
        + b"".join(line + b"\r\n" for line in lines)
        + b"\r\n"
    )


def told(backend: Backend) -> list[bytes]:
    """Return the lines of the last request behind those that the client sends itself."""
    return backend.requests[-1].head[:-4].split(b"\r\n")[3:]


FORGED = {
    "For": [b"X-Forwarded-For: 6.6.6.6"],
    "For in any case": [b"x-fORWARDED-fOR: 6.6.6.6", b"X-FORWARDED-FOR:6.6.6.6"],
    "For without value": [b"X-Forwarded-For:"],
    "all": [name + b": 6.6.6.6" for name in sorted(ROUTER_FIELDS)],
    "all, twice, in capitals": [name.upper() + b":\t6.6.6.6 " for name in sorted(ROUTER_FIELDS)] * 2,
    "all, named as hop-by-hop": [
        *(name.title() + b": 6.6.6.6" for name in sorted(ROUTER_FIELDS)),
        b"Connection: keep-alive, " + b", ".join(sorted(ROUTER_FIELDS)),
    ],
    "nothing but hop-by-hop": [b"Connection: close, X-Forwarded-For, X-Forwarded-Host, X-Forwarded-Proto"],
}


@pytest.mark.parametrize("lines", FORGED.values(), ids=FORGED)
@pytest.mark.parametrize("trusted", [(), ("10.0.0.0/8", "::1", "unix")], ids=["nobody", "others"])
async def test_what_is_forged_by_one_who_is_not_trusted_reaches_no_backend(
    lines: list[bytes], trusted: tuple[str, ...]
) -> None:
    options = replace(OPTIONS, forwarding=ForwardingOptions(trusted=trusted))
    async with Backend(backends.ok()) as backend, Rig(options) as rig:
        rig.serve(backend.url)
        assert (await rig.ask(request(*lines)))[0] == 200
        assert told(backend) == OWN


async def test_without_trust_forwarded_can_be_set_anew() -> None:
    options = replace(OPTIONS, forwarding=ForwardingOptions(forwarded=True))
    async with Backend(backends.ok()) as backend, Rig(options) as rig:
        rig.serve(backend.url)
        assert (await rig.ask(request(b"Forwarded: for=6.6.6.6")))[0] == 200
        assert told(backend) == [*OWN, b"Forwarded: for=127.0.0.1;proto=http"]


BELIEVED = {
    "nothing": ([], OWN),
    "For": (
        [b"X-Forwarded-For: 6.6.6.6", b"x-forwarded-for: 192.0.2.7"],
        [b"X-Forwarded-Host: t", b"X-Forwarded-For: 6.6.6.6, 192.0.2.7, 127.0.0.1", b"X-Forwarded-Proto: http"],
    ),
    "everything": (
        [
            b"X-Forwarded-For: 192.0.2.7",
            b"X-Forwarded-Proto: https",
            b"X-Forwarded-Host: Example.com",
            b"X-Forwarded-Port: 443",
            b"X-Real-IP: 192.0.2.7",
            b"Forwarded: for=192.0.2.7",
        ],
        [
            b"X-Forwarded-For: 192.0.2.7, 127.0.0.1",
            b"X-Forwarded-Proto: https",
            b"X-Forwarded-Host: Example.com",
            b"X-Forwarded-Port: 443",
        ],
    ),
    "a host that is none": ([b"X-Forwarded-Host: a/b"], OWN),
    "words in another value": (
        [b"X-Forwarded-Host: h", b"X-A: X-Forwarded-Host: b"],
        [
            b"X-A: X-Forwarded-Host: b",
            b"X-Forwarded-For: 127.0.0.1",
            b"X-Forwarded-Proto: http",
            b"X-Forwarded-Host: h",
        ],
    ),
}


@pytest.mark.parametrize(("lines", "expected"), BELIEVED.values(), ids=BELIEVED)
async def test_a_trusted_proxy_is_believed(lines: list[bytes], expected: list[bytes]) -> None:
    async with Backend(backends.ok()) as backend, Rig(TRUSTING) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        for _ in range(2):
            assert (await client.ask(request(*lines)))[0] == 200
            assert told(backend) == expected


async def test_via_stays_when_the_host_is_another() -> None:
    async with Backend(backends.ok()) as backend, Rig(replace(TRUSTING, via=True)) as rig:
        rig.serve(backend.url)
        assert (await rig.ask(request(b"X-Forwarded-Host: h")))[0] == 200
        assert told(backend) == [VIA.strip(), OWN[1], OWN[2], b"X-Forwarded-Host: h"]


async def test_each_request_of_a_connection_has_its_own_client() -> None:
    """Pipelined, so that the next head is there before the answer to the one before."""
    async with Backend(backends.ok()) as backend, Rig(TRUSTING) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        heads = [request(b"X-Forwarded-For: 192.0.2.%d" % number) for number in range(3)]
        await client.send(b"".join((*heads, request())))
        for _ in range(4):
            assert (await client.response())[0] == 200
    chains = [seen.field("x-forwarded-for") for seen in backend.requests]
    assert chains == [*(b"192.0.2.%d, 127.0.0.1" % number for number in range(3)), b"127.0.0.1"]


async def test_a_second_try_says_the_same() -> None:
    async with (
        Backend(backends.reset_at_accept()) as first,
        Backend(backends.ok()) as second,
        Rig(TRUSTING, replay="always") as rig,
    ):
        rig.serve(first.url, second.url)
        assert (await rig.ask(request(b"X-Forwarded-For: 192.0.2.7")))[0] == 200
        assert second.requests[0].field("x-forwarded-for") == b"192.0.2.7, 127.0.0.1"


async def test_a_forwarded_that_cannot_be_appended_to_is_refused() -> None:
    options = replace(OPTIONS, forwarding=ForwardingOptions(trusted=("127.0.0.1",), forwarded=True))
    async with Backend(backends.ok()) as backend, Rig(options) as rig:
        rig.serve(backend.url)
        status, _, body = await rig.ask(request(b'Forwarded: for="x, for=192.0.2.7'))
        assert (status, orjson.loads(body)["code"]) == (400, "bad_request")
        assert backend.requests == []


async def test_a_proxy_on_a_unix_socket_is_believed(tmp_path: Path) -> None:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "data.sock"))
    listening.listen(8)
    async with Backend(backends.ok()) as backend, Rig(TRUSTING) as rig:
        rig.serve(backend.url)
        listener = Listener(rig.data_plane.new_connection, listening)
        await listener.start()
        client = Client(*await asyncio.open_unix_connection(tmp_path / "data.sock"))
        assert (await client.ask(request(b"X-Forwarded-For: 192.0.2.7")))[0] == 200
        assert told(backend) == [OWN[0], b"X-Forwarded-For: 192.0.2.7", OWN[2]]
        client.close()
        listener.stop()


async def test_trust_follows_the_settings() -> None:
    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(backend.url)
        rig.data_plane.reconfigure(TRUSTING)
        assert (await rig.ask(request(b"X-Forwarded-For: 192.0.2.7")))[0] == 200
        assert told(backend) == [OWN[0], b"X-Forwarded-For: 192.0.2.7, 127.0.0.1", OWN[2]]


async def test_what_was_remembered_of_an_address_ends_with_the_settings() -> None:
    line = b"X-Forwarded-For: 192.0.2.7"
    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(backend.url)
        for options, named in ((TRUSTING, line + b", 127.0.0.1"), (OPTIONS, OWN[1]), (TRUSTING, line + b", 127.0.0.1")):
            for _ in range(2):
                rig.data_plane.reconfigure(options)
                assert (await rig.ask(request(line)))[0] == 200
                assert (await rig.ask(request(line)))[0] == 200
                assert told(backend)[1] == named


async def test_a_revoked_proxy_is_a_client_with_the_next_request_of_its_connection() -> None:
    line = b"X-Forwarded-For: 192.0.2.7"
    async with Backend(backends.ok()) as backend, Rig(TRUSTING) as rig:
        rig.serve(backend.url)
        client, idle = await rig.client(), await rig.client()
        assert (await client.ask(request(line)))[0] == 200
        assert told(backend)[1] == line + b", 127.0.0.1"
        rig.data_plane.reconfigure(OPTIONS)
        for one in (client, client, idle):
            assert (await one.ask(request(line)))[0] == 200
            assert told(backend) == OWN
        rig.data_plane.reconfigure(TRUSTING)
        assert (await client.ask(request(line)))[0] == 200
        assert told(backend)[1] == line + b", 127.0.0.1"
        rig.data_plane.reconfigure(TRUSTING)
        assert (await client.ask(request(line)))[0] == 200
        assert told(backend)[1] == line + b", 127.0.0.1"


async def test_a_request_in_flight_keeps_what_was_decided_for_it() -> None:
    line = b"X-Forwarded-For: 192.0.2.7"
    async with Backend(backends.ok()) as backend, Rig(TRUSTING) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(request(line, b"Content-Length: 2")[:-4] + b"\r\n\r\nh")
        await until(lambda: any(one.exchange for one in rig.data_plane.limiter.connections))
        rig.data_plane.reconfigure(OPTIONS)
        [downstream] = rig.data_plane.limiter.connections
        assert downstream.client == "192.0.2.7"
        await client.send(b"i" + request(line))
        assert [(await client.response())[0] for _ in range(2)] == [200, 200]
        seen = [request.field("x-forwarded-for") for request in backend.requests]
        assert seen == [b"192.0.2.7, 127.0.0.1", b"127.0.0.1"]


async def test_an_intermediary_and_its_connection_do_not_hold_each_other() -> None:
    gc.collect()
    gc.disable()
    try:
        async with Backend(backends.ok()) as backend, Rig(TRUSTING) as rig:
            rig.serve(backend.url)
            client = await rig.client()
            assert (await client.ask(request()))[0] == 200
            known = weakref.ref(next(iter(rig.data_plane.limiter.connections))._translate.__self__)
            client.close()
            await until(lambda: not rig.data_plane.limiter.connections)
            await until(lambda: known() is None)
    finally:
        gc.enable()
