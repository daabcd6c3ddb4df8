"""The minimum rate of a client, in sending its request body and in reading its response.

The rate is measured over periods of `…_grace_s` during which the router was waiting for the client. Time in which the router
held the body back because the backend is slow, or had nothing to send, does not count: a quiet event stream has no slow client.
In each period the client has to move `…_rate_min_bytes_per_s` on average; otherwise it is cut, and no version is at fault.
With an average over the whole transfer a client that started fast could be slow for hours. (Kestrel uses such an
average: 240 bytes/s after 5 s; so does Apache's mod_reqtimeout: 500 bytes/s after 20 s.)

Nothing happens here per read or write. A body that is whole at once is never checked. A response is checked only while it is
congested, once a period, in the sweep.

Why: docs/decisions.md#slowness-is-measured-over-periods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from router.proxy.engine import closing
from router.shm import layout as at

if TYPE_CHECKING:
    from router.proxy.engine.downstream import Downstream


def restart_body_clock(downstream: Downstream) -> None:
    """Start a period: from now on the router waits for the client to send."""
    body, context = downstream.body, downstream.context
    if body is not None:
        body.rate_mark_bytes = body.received_bytes
        context.body_rate.start(downstream, context.now_s)


def check_body_rate(downstream: Downstream) -> None:
    """Check the body at the end of a period. The wait may outlive its body, because removing it would cost more."""
    body, context, exchange = downstream.body, downstream.context, downstream.exchange
    if body is None or exchange is None:
        return
    options = context.options
    required_bytes = options.body_rate_min_bytes_per_s * options.body_rate_grace_s
    if body.received_bytes - body.rate_mark_bytes >= required_bytes:
        restart_body_clock(downstream)
        return
    context.count_limit(at.LIMITED_BODY_RATE)
    detail = f"the request body came slower than {options.body_rate_min_bytes_per_s} bytes a second"
    exchange.request_aborted(408, "request_timeout", detail)


def check_write_progress(downstream: Downstream) -> None:
    """Abandon the client if it has read nothing for `write_timeout_s`."""
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
    """Check the response at the end of a period in which written bytes waited."""
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
