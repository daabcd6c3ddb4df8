"""What h11 makes of a response, as the client: the model that the router is held against."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import h11

_OURS = frozenset(
    (
        *(b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"proxy-authorization", b"te"),
        *(b"trailer", b"upgrade", b"http2-settings", b"content-length", b"transfer-encoding", b"via"),
        *(b"x-request-id", b"x-served-version", b"x-router-error"),
    )
)
"""What a proxy may remove, set, or say in another way."""
Fields = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """`whole`: the end of the response was seen. `fields` and `trailers` are the end-to-end ones."""

    status: int = 0
    fields: Fields = ()
    body: bytes = b""
    trailers: Fields = ()
    interim: tuple[int, ...] = ()
    whole: bool = False
    behind: bytes = b""
    by_router: bool = False


def read(method: bytes, stream: bytes, *, closed: bool) -> Reading:
    """Return what `stream` says in answer to one request; `closed`: the connection has ended in order after it."""
    reader = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    reader.send(h11.Request(method=method, target="/", headers=[("Host", "t")]))
    reader.send(h11.EndOfMessage())
    reader.receive_data(stream)
    interim: list[int] = []
    head: h11.Response | None = None
    body: list[bytes] = []
    end: h11.EndOfMessage | None = None
    try:
        while end is None:
            event = reader.next_event()
            if event is h11.NEED_DATA and closed:
                closed = False
                reader.receive_data(b"")
            elif isinstance(event, h11.InformationalResponse):
                interim.append(event.status_code)
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                end = event
            else:
                break
    except h11.RemoteProtocolError:
        pass
    if head is None:
        return Reading(interim=tuple(interim))
    return Reading(
        head.status_code,
        end_to_end(head.headers),
        b"".join(body),
        trailers_of(end.headers) if end else (),
        tuple(interim),
        end is not None,
        reader.trailing_data[0] if end else b"",
        any(name == b"x-router-error" for name, _ in head.headers),
    )


def end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> Fields:
    """Return the fields that a proxy must hand on as they are."""
    headers = list(headers)
    tokens = {
        token.strip().lower() for name, value in headers if name == b"connection" for token in value.split(b",")
    } - {b"content-type"}
    return tuple((name, value) for name, value in headers if name not in _OURS | tokens)


def trailers_of(headers: Iterable[tuple[bytes, bytes]]) -> Fields:
    """Return the trailers that a proxy must hand on: none that frames or routes, as Host may after a change."""
    return tuple((name, value) for name, value in headers if name.startswith(b"x-"))
