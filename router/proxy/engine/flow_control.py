"""Pause and resume in both directions: the slower side of an exchange sets the pace, and nobody's clock runs for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from router.runtime import clock

if TYPE_CHECKING:
    from router.proxy.engine.downstream import Downstream
    from router.proxy.engine.exchange import Exchange


def pause_body(downstream: Downstream) -> None:
    """Take no more of the request's body for now; our waiting is not the client's slowness."""
    if downstream.body is not None:
        downstream.context.body_wait.stop(downstream)
        downstream.context.body_rate.stop(downstream)
        downstream.body_paused = True
        downstream.pause()


def resume_body(downstream: Downstream) -> None:
    """Take the body again."""
    if not downstream.body_paused:
        return
    context, body = downstream.context, downstream.body
    downstream.body_paused = False
    if body is not None:
        if downstream.buffer:
            downstream.defer_reading()
        context.body_wait.start(downstream, context.now_s)
        body.rate_mark_bytes = body.received_bytes  # it is the client's turn from now on (pace.py)
        context.body_rate.start(downstream, context.now_s)
    downstream.update_reading()


def upstream_full(exchange: Exchange) -> None:
    """The backend takes less than the client sends."""
    pause_body(exchange.downstream)
    exchange.service.idle.start(exchange, clock.now_s())


def upstream_drained(exchange: Exchange) -> None:
    """The backend has caught up."""
    if not exchange.answered:
        exchange.service.idle.stop(exchange)
    resume_body(exchange.downstream)


def start_write_timers(downstream: Downstream) -> None:
    """From now on it is the client's turn to take what waits in our buffer (pace.py)."""
    context, transport = downstream.context, downstream.transport
    if transport is not None:
        downstream.unwritten_bytes = downstream.rate_mark_bytes = transport.get_write_buffer_size()
        context.write_wait.start(downstream, context.now_s)
        context.write_rate.start(downstream, context.now_s)


def stop_write_timers(downstream: Downstream) -> None:
    """It has caught up."""
    downstream.context.write_wait.stop(downstream)
    downstream.context.write_rate.stop(downstream)


def downstream_full(exchange: Exchange) -> None:
    """The client takes less than the backend sends: the backend is paused, and its clocks stand still."""
    if exchange.upstream is not None:
        exchange.upstream.pause()
    exchange.service.idle.stop(exchange)
    exchange.paused_at_s = clock.now_s()


def downstream_drained(exchange: Exchange) -> None:
    """The client has caught up."""
    if not exchange.paused_at_s:
        return
    now_s = clock.now_s()
    exchange.paused_s += now_s - exchange.paused_at_s
    exchange.paused_at_s = 0.0
    exchange.last_byte_s = now_s
    if exchange.upstream is not None:
        exchange.upstream.resume()
        if exchange.answered:
            exchange.service.idle.start(exchange, now_s)
