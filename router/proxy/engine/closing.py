"""How a client connection ends: after its last response, lingering for input that still comes, or visibly cut.

Why: docs/decisions.md#closing-an-idle-connection.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import TYPE_CHECKING, Final

from router.proxy.engine import flow_control
from router.runtime import fd_limits

if TYPE_CHECKING:
    from router.proxy.engine.downstream import Downstream

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


def close(downstream: Downstream, *, linger: bool) -> None:
    """Close after the written bytes have left. With `linger` only our side is closed: input is read and dropped for a while,
    because a reset could destroy the response before the client reads it (RFC 9112 §9.6).
    """
    transport, context = downstream.transport, downstream.context
    if transport is None or transport.is_closing() or downstream.lingering:
        return
    context.forget_waits(downstream)
    if not linger:
        if transport.get_write_buffer_size():
            flow_control.start_write_timers(downstream)
        transport.close()
        return
    downstream.lingering = True
    downstream.drop_input()
    transport.write_eof()
    context.linger.start(downstream, context.now_s)


def close_idle(downstream: Downstream) -> bool:
    """Close an idle connection; do nothing and return False if bytes have arrived that were not read yet.

    If such bytes were in the socket, the kernel would answer them with a reset (RFC 1122 §4.2.2.13). The FIN is sent in the
    same step, because the loop closes one turn later. Only a request that crosses the FIN on the network can still be lost.
    """
    transport = downstream.transport
    if transport is None or transport.is_closing():
        return True
    descriptor = transport.get_extra_info("socket").fileno()
    if fd_limits.unread_bytes(descriptor):
        return False
    if transport.get_extra_info("ssl_object") is None and not transport.get_write_buffer_size():
        _half_close(descriptor)
    close(downstream, linger=False)
    return True


def _half_close(descriptor: int) -> None:
    with socket.socket(fileno=os.dup(descriptor)) as same:
        try:
            same.shutdown(socket.SHUT_WR)
        except OSError:  # the client is gone
            pass


def abort_response(downstream: Downstream, *, reset: bool) -> None:
    """End in the middle of a response, visibly: no last chunk, fewer bytes than announced, or a reset if the end of the
    connection would otherwise mark the end of the body.
    """
    downstream.exchange = None
    transport = downstream.transport
    if transport is None:
        return
    if reset:
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()
    else:
        transport.close()


def half_close_over(downstream: Downstream) -> None:
    """End a connection whose client has closed its side, and to which nothing could be written for `half_close_grace_s`.

    While written bytes wait, the client reads slower than the backend sends, and min_rate.py decides.
    """
    exchange, transport = downstream.exchange, downstream.transport
    if exchange is not None and transport is not None and transport.get_write_buffer_size():
        downstream.context.half_closed.start(downstream, downstream.context.now_s)
        return
    if exchange is not None:
        downstream.exchange = None
        exchange.client_gone()
    if transport is not None:
        transport.abort()


def abandon_client(downstream: Downstream) -> None:
    """End a connection whose client reads nothing, or does not close."""
    exchange, transport = downstream.exchange, downstream.transport
    if exchange is not None and (
        transport is None or not exchange.answered or exchange.paused_at_s or exchange.upstream is None
    ):
        downstream.exchange = None
        exchange.client_gone()
    if transport is not None and downstream.exchange is None:
        transport.abort()
