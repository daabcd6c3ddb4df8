"""A line of JSON for each request, if `access_log` is on: who, what, by which version, how it ended, how much and how long.

Whatever clients send is escaped, by the encoder and as in every log (logs.py): a line is a line. Bytes outside of ASCII are
read as Latin-1.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import orjson

from router.rollout.outcome import Outcome
from router.runtime import clock

if TYPE_CHECKING:
    from router.errors import DownstreamError
    from router.proxy.engine.downstream import Downstream
    from router.proxy.engine.exchange import Exchange
    from router.proxy.http1.request_head import RequestHead

log = logging.getLogger("router.access")


class CountingTransport:
    """A connection's transport that counts what is written. Connections that are not logged have none."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._unlogged_bytes = 0

    def write(self, data: bytes) -> None:
        """Write response bytes."""
        self._unlogged_bytes += len(data)
        self._transport.write(data)

    def take_count(self) -> int:
        """Return how many bytes were written since the last line."""
        settled, self._unlogged_bytes = self._unlogged_bytes, 0
        return settled

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def exchange_ended(exchange: Exchange, outcome: Outcome) -> None:
    """Write the line of an exchange whose response is written, as far as there is one."""
    attempt = exchange.attempt
    _write(
        exchange.downstream,
        exchange.head,
        service=exchange.service.options.name,
        version=attempt.target.version if attempt else None,
        generation=attempt.generation if attempt else None,
        status=exchange.status or 499,  # nginx's number for a client that left before its answer began
        outcome=outcome.label,
        request_id=exchange.request_id.decode("latin-1"),
        seconds=round(clock.now_s() - attempt.claimed_s, 6) if attempt else 0.0,
    )


def refused(downstream: Downstream, error: DownstreamError, head: RequestHead | None, request_id: bytes) -> None:
    """Write the line of a request that was answered without an exchange; one that is malformed has no method and no target,
    and comes from whoever is at the other end: the client that the connection last spoke for may be another one.
    """
    if head is None and downstream.peer is not None:
        downstream.client = downstream.peer.address
    _write(
        downstream,
        head,
        service=None,
        version=None,
        generation=None,
        status=error.status,
        outcome=Outcome.REFUSED.label,
        code=error.code,
        request_id=request_id.decode("latin-1"),
        seconds=0.0,
    )


def _write(downstream: Downstream, head: RequestHead | None, **members: Any) -> None:
    ledger = downstream.counting
    line = {
        "client": downstream.client,
        "method": head.method.decode("latin-1") if head else None,
        "target": head.target.decode("latin-1") if head else None,
        **members,
        "request_bytes": head.length if head and head.length >= 0 else None,
        "response_bytes": ledger.take_count() if ledger else None,
    }
    log.info("%s", orjson.dumps(line).decode())
