"""Writes a line of JSON for each request if `access_log` is on: client, request, version, outcome, sizes and duration.

Everything that clients send is escaped, by the encoder and as in every log (runtime/logs.py), so a request is one line. Bytes
outside of ASCII are read as Latin-1. access_stream.py sends the lines elsewhere than to the log.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Protocol

from router.rollout.outcome import Outcome
from router.runtime import clock
from router.runtime.text.json_log import Fields

if TYPE_CHECKING:
    from router.errors import DownstreamError
    from router.proxy.http1.request_head import RequestHead
    from router.proxy.tap.tapped import TappedExchange

log = logging.getLogger("router.access")


class CountingTransport:
    """Counts the bytes that are written to a connection. Only connections that are logged have one."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._unlogged_bytes = 0

    def write(self, data: bytes) -> None:
        """Write response bytes."""
        self._unlogged_bytes += len(data)
        self._transport.write(data)

    def take_count(self) -> int:
        """Return how many bytes were written since the last line."""
        count, self._unlogged_bytes = self._unlogged_bytes, 0
        return count

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class LoggedConnection(Protocol):
    """The client's connection."""

    @property
    def client(self) -> str:
        """The client's address."""

    @property
    def counting(self) -> CountingTransport | None:
        """The counter of response bytes; None if the connection began before lines were written."""


def exchange_ended(exchange: TappedExchange, connection: LoggedConnection, service: str, outcome: Outcome) -> None:
    """Write the line of an exchange whose response is written as far as there is one."""
    attempt = exchange.attempt
    _write(
        connection.client,
        exchange.head,
        connection.counting,
        service=service,
        version=attempt.target.version if attempt else None,
        generation=attempt.generation if attempt else None,
        status=exchange.status or 499,  # nginx's number for a client that left before its response began
        outcome=outcome.label,
        request_id=exchange.request_id.decode("latin-1"),
        seconds=round(clock.now_s() - attempt.claimed_s, 6) if attempt else 0.0,
    )


def refused(
    client: str,
    head: RequestHead | None,
    counting: CountingTransport | None,
    error: DownstreamError,
    request_id: bytes,
) -> None:
    """Write the line of a request that was answered without an exchange; a malformed one (`head` None) has no method."""
    _write(
        client,
        head,
        counting,
        service=None,
        version=None,
        generation=None,
        status=error.status,
        outcome=Outcome.REFUSED.label,
        code=error.code,
        request_id=request_id.decode("latin-1"),
        seconds=0.0,
    )


def _write(client: str, head: RequestHead | None, counting: CountingTransport | None, **members: Any) -> None:
    line = {
        "client": client,
        "method": head.method.decode("latin-1") if head else None,
        "target": head.target.decode("latin-1") if head else None,
        **members,
        "request_bytes": head.length if head and head.length >= 0 else None,
        "response_bytes": counting.take_count() if counting else None,
    }
    log.info(Fields(f"{line['method']} {line['target']} {line['status']}" if head else str(line["status"]), line))
