"""How fast a client has to be: with the body of its request, and in taking its response.

Looked at are stretches of `…_grace_s` in which it was the client's turn: a body that we hold back because the backend is
slow is not counted, nor is a response of which nothing waits to be taken, so a quiet event stream is no slow client. In
each stretch the client has to move `…_rate_min_bytes_per_s` on average; else it is cut, and nothing is the target's fault.
Stretches rather than an average over all (Kestrel: 240 bytes/s after 5 s; Apache's mod_reqtimeout: 500 bytes/s after 20 s),
so that nobody may be slow for hours for having been fast for a second.

Nothing happens here per read or write: a body that is whole at once is never looked at, a response only while it is
congested, and then once a stretch, in the sweep.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from router.proxy.engine import closing
from router.shm import layout as at

if TYPE_CHECKING:
    from router.proxy.engine.downstream import Downstream


def restart_body_clock(downstream: Downstream) -> None:
    """From now on it is the client's turn to send."""
    body, context = downstream.body, downstream.context
    if body is not None:
        body.rate_mark_bytes = body.received_bytes
        context.body_rate.start(downstream, context.now_s)


def check_body_rate(downstream: Downstream) -> None:
    """A stretch has passed in which we wanted the body. The entry may have outlived its body: it is not worth a removal."""
    body, context, exchange = downstream.body, downstream.context, downstream.exchange
    if body is None or exchange is None:
        return
    options = context.options
    owed = options.body_rate_min_bytes_per_s * options.body_rate_grace_s
    if body.received_bytes - body.rate_mark_bytes >= owed:
        restart_body_clock(downstream)
        return
    context.count_limit(at.LIMITED_BODY_RATE)
    detail = f"the request body came slower than {options.body_rate_min_bytes_per_s} bytes a second"
    exchange.request_aborted(408, "request_timeout", detail)


def check_write_progress(downstream: Downstream) -> None:
    """`write_timeout_s` has passed: has it taken anything?"""
    context, transport = downstream.context, downstream.transport
    if transport is None:
        return
    waiting = transport.get_write_buffer_size()
    if waiting < downstream.unwritten_bytes:
        downstream.unwritten_bytes = waiting
        context.write_wait.start(downstream, context.now_s)
    else:
        context.count_limit(at.LIMITED_WRITE_TIMEOUT)
        closing.abandon_client(downstream)


def check_write_rate(downstream: Downstream) -> None:
    """A stretch has passed in which something waited to be taken."""
    context, transport = downstream.context, downstream.transport
    if transport is None:
        return
    options, waiting = context.options, transport.get_write_buffer_size()
    if downstream.rate_mark_bytes - waiting >= options.write_rate_min_bytes_per_s * options.write_rate_grace_s:
        downstream.rate_mark_bytes = waiting
        context.write_rate.start(downstream, context.now_s)
    else:
        context.count_limit(at.LIMITED_WRITE_RATE)
        closing.abandon_client(downstream)
