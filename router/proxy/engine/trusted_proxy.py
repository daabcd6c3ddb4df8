"""A trusted proxy at the other end of a connection: each of its heads says anew who the client is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from router.proxy.addresses import Peer
    from router.proxy.engine.downstream import Downstream
    from router.proxy.http1.request_head import RequestHead


class TrustedProxy:
    """Stands in for the context's translation on such a connection, so that all others do nothing for it.

    A translation depends on the bytes of the head alone and knows nothing of trust: it lacks every claim. What is believed
    becomes the fields of this connection, which go behind the translation; requests are answered one after the other.
    """

    def __init__(self, downstream: Downstream, peer: Peer) -> None:
        self._downstream = downstream
        self._peer = peer

    def request_head(self, raw: bytes) -> RequestHead:
        """Return the translation of a whole head; raise DownstreamError."""
        downstream, forwarding = self._downstream, self._downstream.context.forwarding
        head = downstream.context.request_head(raw)
        downstream.forwarded, downstream.client, names_host = forwarding.trusted_fields(raw, self._peer)
        if names_host:
            head = head.with_values(_without_host(head.upstream), head.length, head.request_id)
        return head


def _without_host(upstream: bytes) -> bytes:
    """Take away the X-Forwarded-Host that the translation has set. It is the last: all that came were removed."""
    before, name, after = upstream.rpartition(b"\r\nX-Forwarded-Host: ")
    return before + b"\r\n" + after.partition(b"\r\n")[2] if name else upstream
