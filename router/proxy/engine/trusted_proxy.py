"""A connection of a trusted proxy: each request head names the client anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from router.proxy.addresses import Peer
    from router.proxy.engine.downstream import Downstream
    from router.proxy.http1.request_head import RequestHead


class TrustedProxy:
    """Translates the heads of such a connection, so that all other connections do nothing for it.

    The cached translation of a head depends on its bytes alone and contains no forwarded field. The fields that are trusted
    become the forwarded fields of this connection, which follow the translation; requests are answered one after the other.
    """

    def __init__(self, downstream: Downstream, peer: Peer) -> None:
        self._downstream = downstream
        self._peer = peer

    def request_head(self, raw: bytes) -> RequestHead:
        """Return the translation of a whole head; raise DownstreamError."""
        downstream, forwarding = self._downstream, self._downstream.context.forwarding
        head = downstream.context.request_head(raw)
        downstream.forwarded, downstream.client, names_host = forwarding.trusted_fields(raw, self._peer)
        downstream.client_print = 0
        if names_host:
            head = head.with_values(_without_host(head.upstream), head.length, head.request_id)
        return head


def _without_host(upstream: bytes) -> bytes:
    """Remove the X-Forwarded-Host that the translation has set. It is the last one, because the client's were removed."""
    before, name, after = upstream.rpartition(b"\r\nX-Forwarded-Host: ")
    return before + b"\r\n" + after.partition(b"\r\n")[2] if name else upstream
