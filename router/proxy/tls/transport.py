"""TLS on one connection: a protocol to the transport below it, a transport to the protocol above it.

The protocol above uses it like plain TCP: it pauses, half-closes, resets and reads buffer sizes. uvloop's own TLS does not
support this: `write_eof` raises, buffer sizes leave out the transport below, and data that was read while the protocol was
paused is dropped when the peer closes. This module buffers only an incomplete record. Ciphertext goes straight into the
transport below, and while the protocol above is paused nothing more is read.

An end without close_notify may be forged (RFC 8446 §6.1). It is reported as an error (`EndedWithoutNotice`), not as an end of
file, so that it does not complete a body that the end of the connection delimits (RFC 9112 §9.8).

The server's side creates OpenSSL's objects when the first record of a handshake is complete. They need about 40 KiB, and a
client that sends nothing, or a part of its ClientHello, must not cost that much.

With TLS 1.3 the server's session ticket joins its answer, if the request came together with the end of the handshake: one write
and one packet instead of two. An answer may take long, and a ticket serves further connections of the client meanwhile, so
after TICKET_WAIT_S the ticket is sent alone.
"""

from __future__ import annotations

import asyncio
import os
import select
import ssl
from collections.abc import Callable
from typing import Any, Final, Protocol, cast

from router.proxy.deadlines import Deadlines
from router.proxy.http1 import replies
from router.runtime import clock
from router.tls.certificate_info import reason

TICKET_WAIT_S: Final = 0.1
"""The longest wait of a session ticket for the answer; one sweep of the deadlines (100 ms) comes on top."""
_READ_BYTES: Final = 65536
"""More than a record holds, so that a read leaves nothing of it in OpenSSL: `_deliver` does not ask there for a rest."""
_BELOW_READS_MAX: Final = 64
_HANDSHAKE_RECORD: Final = 0x16
_RECORD_HEAD_BYTES: Final = 5
_RECORD_BYTES_MAX: Final = 16384
"""The largest plaintext record (RFC 8446 §5.1)."""
_PLAIN_HTTP: Final = replies.reply(400, "tls_required", "this port requires TLS: use https://", close=True)

Wrap = Callable[[ssl.MemoryBIO, ssl.MemoryBIO], ssl.SSLObject]
"""(incoming, outgoing) → one side of a TLS connection: `SSLContext.wrap_bio` with its further arguments bound."""


class EndedWithoutNotice(ConnectionError):
    """The peer has closed the connection without a close_notify."""


class Handshake(Protocol):
    """The observer of a handshake. Each method is called at most once."""

    def handshake_started(self, tls: TlsTransport) -> None:
        """A connection was made; the handshake starts."""

    def handshake_ended(self, tls: TlsTransport, error: Exception | None) -> None:
        """The handshake is done if `error` is None; else it has failed."""


class TlsTransport(asyncio.Transport, asyncio.Protocol):
    """One TLS connection.

    `established`: the handshake is done, and the protocol above has had its `connection_made`. `announced`: the peer's address
    from a PROXY header. `tickets`: where the session tickets of the server's side wait, None for the client's side. `ssl` exists
    from the first complete record on.
    """

    ssl: ssl.SSLObject
    __slots__ = (
        "__weakref__",
        "_above",
        "_below",
        "_close_notify_deferred",
        "_close_notify_received",
        "_close_notify_sent",
        "_error",
        "_first",
        "_handshake",
        "_incoming",
        "_outgoing",
        "_paused",
        "_ticket_waits",
        "_tickets",
        "_wrap",
        "announced",
        "established",
        "ssl",
    )

    def __init__(  # without asyncio's, which makes a dict for `get_extra_info`: the transport below answers that
        self,
        above: asyncio.BaseProtocol,
        wrap: Wrap,
        handshake: Handshake,
        announced: str = "",
        *,
        tickets: Deadlines | None = None,
    ) -> None:
        self.announced = announced
        self.established = False
        self._above = cast(asyncio.Protocol, above)
        self._handshake: Handshake | None = handshake
        self._wrap: Wrap | None = wrap
        self._incoming: ssl.MemoryBIO
        self._outgoing: ssl.MemoryBIO
        self._below: asyncio.Transport
        self._tickets = tickets
        self._ticket_waits = False
        self._first = b""  # the received part of the first record
        self._paused = False
        self._close_notify_sent = False
        self._close_notify_received = False
        self._close_notify_deferred = False  # received while reading was paused
        self._error: Exception | None = None
        if tickets is None:
            self._make(wrap)

    def __repr__(self) -> str:
        return f"<Tls {self.ssl.version() if self.established else None} of {self._above!r}: up {self.established}>"

    def _make(self, wrap: Wrap) -> None:
        self._wrap = None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.ssl = wrap(self._incoming, self._outgoing)

    # -- a protocol to the connection below
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop, or by a protocol that hands its transport over."""
        self._below = cast(asyncio.Transport, transport)
        if self._handshake is not None:
            self._handshake.handshake_started(self)
        if self._tickets is None:
            self._do_handshake()

    def data_received(self, data: bytes) -> None:
        """Called by the loop with ciphertext."""
        if self.established:
            self._incoming.write(data)
            self._deliver()
        elif self._handshake is None:
            return
        elif self._wrap is not None:
            self._receive_first(self._wrap, self._first + data)
        else:
            self._incoming.write(data)
            self._do_handshake()

    def _receive_first(self, wrap: Wrap, data: bytes) -> None:
        """Wait until the first record is complete. A malformed record goes to OpenSSL at once, which sends an alert."""
        if data[0] != _HANDSHAKE_RECORD:
            self._refuse(data)
            return
        self._first = data
        if _is_incomplete(data):
            return
        self._first = b""
        self._make(wrap)
        self._incoming.write(data)
        self._do_handshake()

    def eof_received(self) -> bool:
        """Called by the loop at the end of the connection below; after a close_notify the outgoing direction may stay open."""
        if self.established and self._close_notify_received:
            return True
        self._error = self._error or EndedWithoutNotice("the connection ended without TLS's close_notify")
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """Called by the loop, once."""
        if not self.established:
            self._fail(error or ConnectionResetError("the connection ended within the TLS handshake"))
            return
        if self._ticket_waits:
            self._end_ticket_wait()
        if error is not None:
            self._read_below()
        self._above.connection_lost(self._error or error)

    def pause_writing(self) -> None:
        """Called by the loop when the write buffer is full."""
        if self.established:
            self._above.pause_writing()

    def resume_writing(self) -> None:
        """Called by the loop when the write buffer has drained."""
        if self.established:
            self._above.resume_writing()

    # -- the handshake
    def _do_handshake(self) -> None:
        try:
            self.ssl.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except ssl.SSLError as error:  # its alert is among the outgoing bytes
            self._flush()
            self._fail(error)
            return
        if self._tickets is not None and self._joins_answer():
            self._ticket_waits = True
            self._tickets.start(self, clock.now_s())
        else:
            self._flush()
        handshake, self._handshake = self._handshake, None
        self.established = True
        if handshake is not None:
            handshake.handshake_ended(self, None)
        self._above.connection_made(self)
        if not self._below.is_closing():
            self._deliver()

    def _joins_answer(self) -> bool:
        """Return whether the session ticket waits for the first write: a request came together with the end of the handshake, so
        an answer follows. A client with TLS 1.2 needs these bytes before that, and one that sends nothing would wait in vain.
        """
        return self._incoming.pending > 0 and self.ssl.version() == "TLSv1.3"

    def send_ticket(self) -> None:
        """Send the session ticket alone: its wait is over."""
        self._ticket_waits = False
        self._flush()

    def _end_ticket_wait(self) -> None:
        self._ticket_waits = False
        if self._tickets is not None:
            self._tickets.stop(self)

    def reject(self) -> None:
        """Close without a handshake; `handshake_ended` is not called."""
        self._handshake = None
        self._below.abort()

    def late(self) -> None:
        """The handshake takes too long."""
        self._fail(TimeoutError("the TLS handshake took too long"))
        self._below.abort()

    def _fail(self, error: Exception) -> None:
        handshake, self._handshake = self._handshake, None
        self._first = b""
        self._below.close()
        if handshake is not None:
            handshake.handshake_ended(self, error)

    def _refuse(self, data: bytes) -> None:
        """Answer a plain HTTP request with an error in HTTP; close any other connection unanswered."""
        if data[:1].isalpha():
            self._below.write(_PLAIN_HTTP)
        self._fail(ConnectionError("the client did not begin a TLS handshake"))

    # -- incoming data
    def _deliver(self) -> None:
        """Pass all readable data to the protocol above in one piece, then the peer's close_notify."""
        parts = []
        incoming, decrypted = self._incoming, self.ssl
        try:
            while incoming.pending:
                part = decrypted.read(_READ_BYTES)
                if not part:
                    self._close_notify_received = True
                    break
                parts.append(part)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._close_notify_received = True
        except ssl.SSLError as error:  # an alert, or bytes that are no TLS
            self._error = ConnectionError(f"TLS: {reason(error)}")
        if self._outgoing.pending and (self._error is not None or not self._ticket_waits):
            self._flush()
        if parts:
            self._above.data_received(parts[0] if len(parts) == 1 else b"".join(parts))
        if self._error is not None:
            self._below.abort()
        elif self._close_notify_received:
            self._close_notify_deferred = self._paused
            if not self._close_notify_deferred:
                self._receive_close_notify()

    def _receive_close_notify(self) -> None:
        """End the incoming direction; data after a close_notify is ignored (RFC 8446 §6.1)."""
        if not self._below.is_closing() and not self._above.eof_received():
            self.close()

    def _read_below(self) -> bool:
        """Read the data that the loop has left in the socket; return whether the connection has ended.

        The descriptor is still open in `connection_lost`: uvloop closes the handle after that call.
        """
        descriptor = self._below.get_extra_info("socket").fileno()
        for _ in range(_BELOW_READS_MAX):
            try:
                data = os.read(descriptor, _READ_BYTES)
            except BlockingIOError:
                return False
            except OSError:
                return True
            if not data:
                return True
            self._incoming.write(data)
            self._deliver()
        return False

    def shows_eof(self) -> bool:
        """Return whether the peer has ended this idle connection. A readable socket is no proof: it may hold a session ticket or
        a key update (RFC 8446 §4.6).
        """
        if self._below.is_closing() or self._close_notify_received or self._error is not None:
            return True
        poll = select.poll()
        poll.register(self._below.get_extra_info("socket").fileno(), select.POLLIN | select.POLLRDHUP)
        if not poll.poll(0):
            return False
        return self._read_below() or self._close_notify_received or self._error is not None or self._below.is_closing()

    # -- a transport to the protocol above
    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt and send; after a sent close_notify do nothing."""
        if self._close_notify_sent or self._below.is_closing() or not data:
            return
        try:
            sent = self.ssl.write(data)
            while sent < len(data):  # a record holds 16 KiB
                sent += self.ssl.write(memoryview(data)[sent:])
        except ssl.SSLError as error:
            self._error = ConnectionError(f"TLS: {reason(error)}")
            self._below.abort()
            return
        if self._ticket_waits:
            self._end_ticket_wait()
        self._below.write(self._outgoing.read())

    def write_eof(self) -> None:
        """Send close_notify and close the outgoing direction; the incoming one stays open."""
        self._send_close_notify()
        if not self._below.is_closing():
            self._below.write_eof()

    def can_write_eof(self) -> bool:
        """Return True: TLS 1.3 ends its directions one by one, and peers with TLS 1.2 close at a close_notify."""
        return True

    def close(self) -> None:
        """Send close_notify, and close when everything is written."""
        self._send_close_notify()
        self._below.close()

    def abort(self) -> None:
        """Close at once, and drop unwritten data."""
        self._below.abort()

    def _send_close_notify(self) -> None:
        if self._close_notify_sent or not self.established or self._below.is_closing():
            return
        self._close_notify_sent = True
        try:
            self.ssl.unwrap()
        except ssl.SSLError:  # the close_notify is sent, and the peer's has not arrived yet
            pass
        self._flush()

    def _flush(self) -> None:
        if self._ticket_waits:
            self._end_ticket_wait()
        data = self._outgoing.read()
        if data and not self._below.is_closing():
            self._below.write(data)

    def pause_reading(self) -> None:
        """Stop reading; also within the present call of `data_received`."""
        self._paused = True
        self._below.pause_reading()

    def resume_reading(self) -> None:
        """Read again; a close_notify that arrived meanwhile is handled first."""
        self._paused = False
        if self._close_notify_deferred:
            self._close_notify_deferred = False
            asyncio.get_running_loop().call_soon(self._receive_close_notify)
        self._below.resume_reading()

    def is_closing(self) -> bool:
        """Return whether the connection is closing or closed."""
        return self._below.is_closing()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Pass data to another protocol from now on, which may have nothing to write for long."""
        if self._ticket_waits:
            self._flush()
        self._above = cast(asyncio.Protocol, protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol above."""
        return self._above

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """In bytes of ciphertext, in the transport below."""
        self._below.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        """Return the bytes of ciphertext that wait to be sent."""
        return self._below.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return `ssl_object`, or a value of the transport below."""
        if name != "ssl_object":
            return self._below.get_extra_info(name, default)
        return self.ssl if self._wrap is None else default


def _is_incomplete(record: bytes) -> bool:
    """Return whether a record is well-formed so far, but incomplete: type, version 3.x, length (RFC 8446 §5.1)."""
    if record[1:2] not in (b"", b"\x03"):
        return False
    length = int.from_bytes(record[3:_RECORD_HEAD_BYTES], "big")
    return len(record) < _RECORD_HEAD_BYTES or (
        length <= _RECORD_BYTES_MAX and len(record) - _RECORD_HEAD_BYTES < length
    )
