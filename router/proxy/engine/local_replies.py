"""Responses without an exchange: the readiness page, OPTIONS for the router itself, and rejections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from router.errors import DownstreamError
from router.proxy.engine import closing, misdirection
from router.proxy.http1 import replies, request_head
from router.proxy.tap import access_log
from router.shm import layout as at

if TYPE_CHECKING:
    from router.proxy.engine.downstream import Downstream
    from router.proxy.http1.request_head import RequestHead

NO_ROOM: Final = "this worker has no room for another connection"

_EMPTY_LINES_MAX: Final = 4
"""How many empty lines before a request line are ignored (RFC 9112 §2.2 requires one)."""


def answer_locally(downstream: Downstream, head: RequestHead) -> None:
    """Answer a request without a service; bytes behind its head wait in the buffer."""
    context = downstream.context
    if head.path == context.options.ready_path and head.method in (b"GET", b"HEAD") and head.length == 0:
        close = downstream.closing or not head.keep_alive
        downstream.write(context.readiness(close=close, head_only=head.method == b"HEAD"))
        downstream.exchange_ended(close)
    elif misdirection.is_misdirected(downstream, head):
        detail = "this connection was made with the certificate of another host: connect anew, with this host as SNI"
        reject_request(downstream, DownstreamError(421, "misdirected", detail), head)
    elif head.final:
        _answer_options(downstream, head)
    else:
        reject_request(downstream, DownstreamError(404, "no_service", "no service answers this host and path"), head)
    if downstream.counting is not None:  # these bytes must not count in the next line of the access log
        downstream.counting.take_count()


def _answer_options(downstream: Downstream, head: RequestHead) -> None:
    close = downstream.closing or not head.keep_alive or head.length != 0
    downstream.write(replies.allow(close=close))
    if head.length:
        closing.close(downstream, linger=True)
        return
    downstream.exchange_ended(close)


def skip_empty_lines(data: bytes, start: int) -> int:
    """Return where the head begins: behind the empty lines, if there are any."""
    for _ in range(_EMPTY_LINES_MAX):
        if data.startswith(b"\r\n", start):
            start += 2
    return start


def wait_for_head(downstream: Downstream, data: bytes, start: int, begin: int, end: int) -> None:
    """Wait for the rest of a head, or reject a head that is too large or can never be valid.

    In `data` the head begins at `begin`, behind empty lines that begin at `start`. It ends at `end` if its end has
    arrived.
    """
    limit = downstream.context.options.head_bytes_max
    searched = max(begin, start + downstream.searched)  # the bytes before it were searched when they arrived
    if end - begin > limit or len(data) - begin > limit:
        line_fits = 0 <= data.find(b"\r\n", begin) - begin < limit
        code = "head_too_large" if line_fits else "target_too_long"
        reject_request(
            downstream, DownstreamError(431 if line_fits else 414, code, f"the request head exceeds {limit} bytes")
        )
    elif request_head.can_never_be_valid(data, searched) or (
        data.find(b"\r\n", begin, searched) < 0 and request_head.request_line_is_malformed(data, begin)
    ):
        detail = "the request line is malformed or has a bare CR or LF"
        reject_request(downstream, DownstreamError(400, "bad_request", detail))
    else:  # kept with its empty lines, so that they count once however they are split
        downstream.keep(data[start:], 0)
        downstream.searched = max(0, len(data) - start - 3)
        downstream.steps = 0
        downstream.context.header_wait.since.setdefault(downstream, downstream.context.now_s)


def reject_connection(downstream: Downstream, limit: int, *, linger: bool = True) -> None:
    """Answer a connection that exceeds `limit` (`layout.LIMITED_…`), and close it."""
    downstream.context.count_limit(limit)
    if limit == at.LIMITED_PER_CLIENT:
        detail = "this worker has as many connections of this client as one may have"
        downstream.write(replies.reply(429, "connections_per_client", detail, close=True))
    else:
        downstream.write(replies.reply(503, "connections", NO_ROOM, close=True))
    closing.close(downstream, linger=linger)


def reject_request(downstream: Downstream, error: DownstreamError, head: RequestHead | None = None) -> None:
    """Answer without a claim and close: neither this request nor the bytes behind it reach a backend."""
    context = downstream.context
    context.count_refused()
    request_id = (head and head.request_id) or context.new_request_id()
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
    if context.options.access_log:
        if head is None and downstream.peer is not None:
            # A malformed head names no client. The previous head may be of another client behind a trusted proxy.
            downstream.client = downstream.peer.address
        access_log.refused(downstream.client, head, downstream.counting, error, request_id)
    closing.close(downstream, linger=True)


def header_late(downstream: Downstream) -> None:
    """Answer 408, or close an empty connection: `header_timeout_s` has passed without a whole head."""
    downstream.context.count_limit(at.LIMITED_HEADER_TIMEOUT)
    if downstream.buffer.strip(b"\r\n"):
        detail = "the request head did not arrive in time"
        reject_request(downstream, DownstreamError(408, "request_timeout", detail))
    elif downstream.buffer:
        closing.close(downstream, linger=False)
    else:
        downstream.drain()


def body_late(downstream: Downstream) -> None:
    """Answer 408: the client sent nothing of its body for `body_timeout_s`."""
    if downstream.exchange is not None:
        downstream.context.count_limit(at.LIMITED_BODY_TIMEOUT)
        downstream.exchange.request_aborted(408, "request_timeout", "the request body did not arrive in time")
