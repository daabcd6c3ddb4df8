"""Answers given without an exchange: the readiness page, a request for us alone, and refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from router.errors import DownstreamError
from router.proxy import access_log, farewell, misdirection, replies
from router.shm import layout as at

if TYPE_CHECKING:
    from router.proxy.downstream import Downstream
    from router.proxy.request_head import RequestHead

NO_ROOM: Final = "this worker has no room for another connection"


def serve(downstream: Downstream, head: RequestHead, rest: bytes) -> None:
    """Answer a request that no service takes; `rest` is what came behind its head."""
    plane = downstream.plane
    if head.path == plane.options.ready_path and head.method in (b"GET", b"HEAD") and head.length == 0:
        downstream.buffer = rest
        close = downstream.closing or not head.keep_alive
        downstream.write(plane.readiness(close=close, head_only=head.method == b"HEAD"))
        downstream.exchange_ended(close)
    elif misdirection.is_misdirected(downstream, head):
        detail = "this connection was made with the certificate of another host: connect anew, with this host as SNI"
        refuse(downstream, DownstreamError(421, "misdirected", detail), head)
    elif head.final:
        _answer_options(downstream, head, rest)
    else:
        refuse(downstream, DownstreamError(404, "no_service", "no service answers this host and path"), head)
    if downstream.ledger is not None:  # nothing of this is in the access log, nor in the sizes of the next line
        downstream.ledger.settle()


def _answer_options(downstream: Downstream, head: RequestHead, rest: bytes) -> None:
    close = downstream.closing or not head.keep_alive or head.length != 0
    downstream.write(replies.allow(close=close))
    if head.length:
        farewell.close(downstream, linger=True)
        return
    downstream.buffer = rest
    downstream.exchange_ended(close)


def turn_away(downstream: Downstream, limit: int, *, linger: bool = True) -> None:
    """Answer a connection for which there is no room because of `limit` (`layout.LIMITED_…`), and close it."""
    downstream.plane.count_limit(limit)
    if limit == at.LIMITED_PER_CLIENT:
        detail = "this worker has as many connections of this client as one may have"
        downstream.write(replies.reply(429, "connections_per_client", detail, close=True))
    else:
        downstream.write(replies.reply(503, "connections", NO_ROOM, close=True))
    farewell.close(downstream, linger=linger)


def refuse(downstream: Downstream, error: DownstreamError, head: RequestHead | None = None) -> None:
    """Answer without a claim and close: nothing of this request reaches a backend, nor what stands behind it."""
    plane = downstream.plane
    plane.count_refused()
    request_id = (head and head.request_id) or plane.new_request_id()
    downstream.write(
        replies.reply(
            error.status,
            error.code,
            error.detail,
            request_id=request_id,
            path=head.path if head else b"",
            close=True,
            head_only=head is not None and head.method == b"HEAD",
        )
    )
    if plane.options.access_log:
        access_log.refused(downstream, error, head, request_id)
    farewell.close(downstream, linger=True)
