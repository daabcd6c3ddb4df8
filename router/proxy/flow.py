"""Pause and resume in both directions: the slower side of an exchange sets the pace, and nobody's clock runs for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from router import clock

if TYPE_CHECKING:
    from router.proxy.exchange import Exchange


def upstream_full(exchange: Exchange) -> None:
    """The backend takes less than the client sends."""
    exchange.downstream.hold_body()
    exchange.service.idle.start(exchange, clock.now_s())


def upstream_drained(exchange: Exchange) -> None:
    """The backend has caught up."""
    if not exchange.answered:
        exchange.service.idle.stop(exchange)
    exchange.downstream.release_body()


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
