"""Rejects requests whose Host belongs to another certificate than the connection was made with (RFC 9110 §15.5.20).

A certificate is chosen by SNI, once for a connection; each request names its host. If that host belongs to another certificate,
the client has not verified the server for it, and has not sent the client certificate that this host may require. Such
a request is answered 421 and reaches no backend. All hosts that the connection's own certificate covers are served.

A connection of a trusted proxy (`[forwarding] trusted`) is exempt: it carries requests of many clients for many hosts.

Why: docs/decisions.md#421-by-certificate.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from router.tls.certificate_names import PresentedCertificate
from router.tls.contexts import ServerContext

if TYPE_CHECKING:
    from router.proxy.engine.downstream import Downstream
    from router.proxy.http1.request_head import RequestHead

Translate = Callable[[bytes], "RequestHead"]
HOSTS_REMEMBERED_MAX: Final = 32
"""How many hosts of one connection are cached with their verdict; one more empties the cache."""
HOST_REMEMBERED_BYTES_MAX: Final = 255
"""A Host may be as long as a head: 32 of them would take 1 MiB for one connection."""


def guard(downstream: Downstream, translate: Translate) -> Translate:
    """Return a translation of heads for a TLS connection that gives a misdirected request no service."""
    shown = certificate_presented(downstream)
    if shown is None:
        return translate
    verdicts: dict[bytes, bool] = {}

    def request_head(raw: bytes) -> RequestHead:
        head = translate(raw)
        verdict = verdicts.get(head.host)
        if verdict is None:
            verdict = shown.misdirects(head.host)
            if len(verdicts) >= HOSTS_REMEMBERED_MAX:
                verdicts.clear()
            if len(head.host) <= HOST_REMEMBERED_BYTES_MAX:
                verdicts[head.host] = verdict
        if verdict and head.service is not None:
            head = head.with_values(head.upstream, head.length, head.request_id)  # the head itself is shared and cached
            head.service = None
        return head

    return request_head


def is_misdirected(downstream: Downstream, head: RequestHead) -> bool:
    """Return whether a request without a service came over a connection with the wrong certificate."""
    shown = certificate_presented(downstream)
    return shown is not None and shown.misdirects(head.host)


def certificate_presented(downstream: Downstream) -> PresentedCertificate | None:
    """Return the certificate that the client verified; None if the listener has only one, or for a trusted proxy."""
    peer = downstream.peer
    if peer is None or downstream.context.forwarding.trusted.covers(peer.address):
        return None
    return certificate_of(downstream)


def certificate_of(downstream: Downstream) -> PresentedCertificate | None:
    """Return the certificate that this connection was made with, in this process or in the process that handed it on."""
    transport, peer = downstream.transport, downstream.peer
    connection: ssl.SSLObject | None = transport.get_extra_info("ssl_object") if transport is not None else None
    if connection is None:
        return peer.shown if peer is not None else None
    return connection.context.presented if isinstance(connection.context, ServerContext) else None
