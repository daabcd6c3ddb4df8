"""Pauses and resumes reading in both directions: the slower side sets the pace, and the other's deadlines stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from router.runtime import clock

if TYPE_CHECKING:
    from router.proxy.engine.downstream import Downstream
    from router.proxy.engine.exchange import Exchange


def pause_body(downstream: Downstream) -> None:
    """Stop reading the request's body, and stop the client's deadlines, because the router causes the wait."""
    if downstream.body is not None:
        downstream.context.body_wait.stop(downstream)
        downstream.context.body_rate.stop(downstream)
        downstream.body_paused = True
        downstream.pause()


def resume_body(downstream: Downstream) -> None:
    """Read the body again."""
    if not downstream.body_paused:
        return
    context, body = downstream.context, downstream.body
    downstream.body_paused = False
    if body is not None:
        if downstream.buffer:
            downstream.defer_reading()
        context.body_wait.start(downstream, context.now_s)
        body.rate_mark_bytes = body.received_bytes  # the router waits for the client from now on (min_rate.py)
        context.body_rate.start(downstream, context.now_s)
    downstream.update_reading()


def upstream_full(exchange: Exchange) -> None:
    """Pause the body: the backend reads slower than the client sends."""
    pause_body(exchange.downstream)
    exchange.service.idle.start(exchange, clock.now_s())


def upstream_drained(exchange: Exchange) -> None:
    """Resume the body: the backend has caught up."""
    if not exchange.answered:
        exchange.service.idle.stop(exchange)
    resume_body(exchange.downstream)


def start_write_timers(downstream: Downstream) -> None:
    """Start to measure how fast the client reads the bytes in the write buffer (min_rate.py)."""
    context, transport = downstream.context, downstream.transport
    if transport is not None:
        downstream.unwritten_bytes = downstream.rate_mark_bytes = transport.get_write_buffer_size()
        context.write_wait.start(downstream, context.now_s)
        context.write_rate.start(downstream, context.now_s)


def stop_write_timers(downstream: Downstream) -> None:
    """Stop to measure: the client has caught up."""
    downstream.context.write_wait.stop(downstream)
    downstream.context.write_rate.stop(downstream)


def downstream_full(exchange: Exchange) -> None:
    """Pause the backend and stop its deadlines: the client reads slower than the backend sends."""
    if exchange.upstream is not None:
        exchange.upstream.pause()
    exchange.service.idle.stop(exchange)
    exchange.paused_at_s = clock.now_s()


def downstream_drained(exchange: Exchange) -> None:
    """Resume the backend: the client has caught up."""
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
