"""One worker's data plane in this process, on shared memory of its own: the test plays control."""

from __future__ import annotations

import asyncio
import fcntl
import math
import os
import socket
import ssl
import struct
import termios
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from router.proxy.accept.listener import Listener
from router.proxy.data_plane import DataPlane
from router.proxy.options import Options, ServiceOptions
from router.rollout.model.rewrite import NO_REWRITE, Rewrite
from router.rollout.model.route import NO_SLOT, Flag, Route
from router.rollout.outcome import OUTCOMES, Outcome
from router.runtime.tasks import Tasks
from router.shm import layout as at
from router.shm import segment
from router.shm.route_cell import RouteCell
from router.shm.slots import SlotRecord, Slots
from router.shm.worker_stats import WorkerStats
from tests.proxy.leak_check import LeakCheck, targets
from tests.proxy.waiting import turns as turns
from tests.proxy.waiting import until as until

SERVICE = ServiceOptions(
    name="default",
    hosts=frozenset(),
    path_prefix=b"/",
    replay="unsent",
    served_version_header=True,
    first_byte_timeout_s=5.0,
    idle_timeout_s=5.0,
    hang_wait_min_s=1.0,
)
OPTIONS = Options(
    services=(SERVICE,),
    ready_path=b"/-/ready",
    access_log=False,
    via=False,
    head_bytes_max=32768,
    fields_max=100,
    passes_max=8,
    body_bytes_max=1 << 24,
    trailer_bytes_max=16384,
    connections_max=1000,
    connections_per_client_max=math.inf,
    requests_per_connection_max=0,
    requests_max=1000,
    in_flight_max=100,
    connect_waits_max=100,
    buffer_bytes=65536,
    replay_bytes_max=1 << 20,
    interim_responses_max=32,
    body_rate_min_bytes_per_s=240,
    write_rate_min_bytes_per_s=240,
    header_timeout_s=5.0,
    body_timeout_s=5.0,
    write_timeout_s=5.0,
    body_rate_grace_s=5.0,
    write_rate_grace_s=5.0,
    keepalive_idle_s=5.0,
    half_close_grace_s=2.0,
    tunnel_idle_s=math.inf,
    connection_age_max_s=math.inf,
    connect_timeout_s=1.0,
    upstream_idle_s=4.0,
    shutdown_timeout_s=2.0,
    shutdown_idle_s=0.02,
    resolve_every_s=10.0,
    control_silent_s=5.0,
)


CLOSE_TURNS = 10
"""Turns of the loop in which a close of a client reaches the data plane: 4 are usual."""


class Client:
    """A connection to the data port that speaks bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> bytes:
        return await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)

    async def exactly(self, size: int) -> bytes:
        return await asyncio.wait_for(self.reader.readexactly(size), 5)

    async def response(self) -> tuple[int, bytes, bytes]:
        """Return (status, head, body) of a response with Content-Length or without a body."""
        head = await self.head()
        status = int(head.split(b" ")[1])
        length = field(head, b"content-length")
        body = await self.exactly(int(length)) if length and status >= 200 else b""
        return status, head, body

    async def rest(self) -> bytes:
        """Return everything until the router closes."""
        return await asyncio.wait_for(self.reader.read(), 5)

    async def ask(self, data: bytes) -> tuple[int, bytes, bytes]:
        await self.send(data)
        return await self.response()

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


def field(head: bytes, name: bytes) -> bytes | None:
    """Return the value of a header field."""
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.lower() == name:
            return value.strip()
    return None


class Rig:
    """`slots` maps slot → (version, endpoint URLs); the route is published with `route`. `places`: for how many services."""

    def __init__(self, options: Options = OPTIONS, places: int = 1, **service: Any) -> None:
        if service:
            options = replace(options, services=(replace(SERVICE, **service),))
        self.options = options
        self.segment = segment.create(1, max(places, len(options.services)))
        self.worker_stats = WorkerStats(self.segment)
        self.tasks = Tasks()
        self._generation = 1 << 24
        self._acks = os.eventfd(0, os.EFD_NONBLOCK)
        self._clients: list[Client] = []

    async def __aenter__(self) -> Self:
        self._leak_check = LeakCheck()
        self.data_plane = DataPlane(0, self.segment, self.options, self.tasks, self._acks)
        self.context = self.data_plane.context
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        listening.listen(128)
        self.port = listening.getsockname()[1]
        self.listener = Listener(self.data_plane.new_connection, listening)
        await self.listener.start()
        self.data_plane.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self._clients:
            client.close()
        await self._clients_are_gone()
        self.listener.stop()
        await self.data_plane.drain()
        if kind is None:
            await self._leak_check.settle(self.data_plane, self.worker_stats, self.tasks)
        await self.tasks.close()
        self.data_plane.service_table.clear()  # a reference cycle would keep the segment until a full collection
        os.close(self._acks)
        os.close(self.segment.fd)  # the mapping goes with its last reader

    async def _clients_are_gone(self) -> None:
        """Return when the data plane has seen that its clients have closed, or after a few turns: a drain with no connection
        ends at once, and one with a connection waits 20 ms.
        """
        for _ in range(CLOSE_TURNS):
            if not self.data_plane.limiter.connection_count():
                return
            await turns()

    # -- control's part
    def fill(
        self,
        slot: int,
        version: str,
        *urls: str,
        service: int = 0,
        incarnation: int = 1,
        rewrite: Rewrite = NO_REWRITE,
        fields: tuple[tuple[str, str], ...] = (),
    ) -> None:
        Slots(self.segment, service).write(slot, SlotRecord(incarnation, version, urls, rewrite, fields))

    def route(
        self,
        active: int = NO_SLOT,
        standby: int = NO_SLOT,
        *,
        service: int = 0,
        flags: Flag = Flag.NONE,
        wake: bool = True,
    ) -> int:
        self._generation += 1
        RouteCell(self.segment, service).publish(Route(self._generation, active, standby, flags=flags), 0)
        if wake:
            self.data_plane.refresh()
        return self._generation

    def acknowledgements(self) -> int:
        """Return how often control was woken since the last look."""
        return os.eventfd_read(self._acks)

    def serve(self, url: str, standby: str | None = None) -> None:
        """v1 at `url` is active, v2 at `standby` stands by."""
        self.fill(0, "v1", url)
        if standby:
            self.fill(1, "v2", standby)
        self.route(0, 1 if standby else NO_SLOT)

    # -- the clients' part
    async def client(self, tls: ssl.SSLContext | None = None, name: str = "localhost") -> Client:
        """Return a connection; with `tls` behind a handshake that asks for `name`."""
        client = Client(
            *await asyncio.open_connection(
                "127.0.0.1", self.port, limit=1 << 24, ssl=tls, server_hostname=name if tls else None
            )
        )
        self._clients.append(client)
        return client

    async def ask(self, data: bytes) -> tuple[int, bytes, bytes]:
        return await (await self.client()).ask(data)

    # -- what was counted
    def attempts(self, slot: int = 0, service: int = 0) -> dict[str, int]:
        """Return the endings of attempts on a slot, without the zeroes."""
        sums = self.worker_stats.slot_scalars(service, slot)
        return {o.label: sums[at.L_OUTCOMES + o] for o in OUTCOMES if sums[at.L_OUTCOMES + o]}

    def scalar(self, offset: int, slot: int = 0, service: int = 0) -> int:
        return self.worker_stats.slot_scalars(service, slot)[offset]

    def exchanges(self, service: int = 0) -> dict[str, int]:
        """Return the endings of exchanges, without the zeroes."""
        _, ends = self.worker_stats.exchanges(service)
        return {Outcome(number).label: count for number, count in enumerate(ends) if count}

    async def has_read(self, client: Client) -> None:
        """Return when the data plane has read all that this client has sent."""
        address, sender = client.writer.get_extra_info("sockname"), client.writer.get_extra_info("socket")

        def queued(sock: Any, request: int) -> int:
            return int(struct.unpack("i", fcntl.ioctl(sock.fileno(), request, b"\0" * 4))[0])

        def read() -> bool:
            transports = [connection.transport for connection in self.data_plane.limiter.connections]
            sockets = [
                one.get_extra_info("socket") for one in transports if one and one.get_extra_info("peername") == address
            ]
            sent = not client.writer.transport.get_write_buffer_size() and not queued(sender, termios.TIOCOUTQ)
            return sent and bool(sockets) and not queued(sockets[0], termios.FIONREAD)

        await until(read)

    async def quiet(self) -> None:
        """Return when nothing is in flight."""
        await until(lambda: not any(target.in_flight for target in targets(self.data_plane)))
