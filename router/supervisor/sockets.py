"""The sockets that the supervisor binds once and keeps, so that no connection is refused when a child dies.

N data sockets share one port by SO_REUSEPORT. They are bound early, to fail early, and listen once control has published a
route. SO_REUSEPORT would allow a second router of the same user on the port, so a plain bind is tried first, and again before
listening. All workers share one Unix socket: the kernel has no SO_REUSEPORT for Unix sockets. It wakes every waiting worker,
and the first one accepts the connection.

Why: docs/decisions.md#closing-the-port.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Final

from router.errors import StartError
from router.errors.codes import StartCode
from router.settings.sections.address import Address
from router.supervisor import unix_socket
from router.supervisor.patience import Patience

BACKLOG: Final = 4096


class DataSockets:
    """One socket a worker, or a Unix socket for all, on one address. `address` has the real port, also for configured port 0."""

    _path_identity: tuple[int, int] | None

    def __init__(self, address: Address, count: int, patience: Patience | None = None, mode: str = "0660") -> None:
        """Bind them; raise StartError. Wait with `patience` for workers of a killed router to leave the port. `mode` is
        that of a Unix socket.
        """
        _wait_until_free(address, "listen", patience or Patience(0.0))
        self._path_identity = None
        if address.unix:
            self.address = address
            self.sockets = [unix_socket.bind(address, "listen", mode)]
            self._path_identity = unix_socket.identity(address.unix)
            return
        first = _bind(address, "listen", share=True)
        self.address = address_of(first)
        self.sockets = [first, *(_bind(self.address, "listen", share=True) for _ in range(count - 1))]

    @classmethod
    def adopted(cls, sockets: list[socket.socket], count: int) -> DataSockets:
        """Return the sockets of another router, and as many more as `count` workers need; raise StartError.

        The additional sockets are bound and do not listen yet: each worker listens on its own when it can accept. If there are
        fewer workers than sockets, no socket is closed; some workers serve two.
        """
        self = cls.__new__(cls)
        self._path_identity = None
        self.sockets = sockets
        self.address = address_of(sockets[0])
        if not self.address.unix:
            self.sockets += [_bind(self.address, "listen", share=True) for _ in range(count - len(sockets))]
        return self

    def of_worker(self, index: int, count: int) -> list[socket.socket]:
        """Return the sockets of worker number `index` of `count`."""
        if self.address.unix:
            return self.sockets[:1]
        return self.sockets[index::count]

    def own(self) -> None:
        """Own the path of a Unix socket: `close` removes it."""
        self._path_identity = unix_socket.identity(self.address.unix) if self.address.unix else None

    def disown(self) -> None:
        """Leave the path of a Unix socket to another router."""
        self._path_identity = None

    def listen(self) -> None:
        """Listen on all sockets; raise StartError if another router listens there by now."""
        if self._path_identity is None:
            check_free(self.address, "listen")
        elif unix_socket.identity(self.address.unix) != self._path_identity:
            raise unix_socket.in_use(self.address, "listen")
        for sock in self.sockets:
            sock.listen(BACKLOG)

    def close(self) -> None:
        """Close the supervisor's descriptors; the port closes when the workers have closed theirs."""
        unix_socket.remove(self.address.unix, self._path_identity)
        for sock in self.sockets:
            sock.close()


class AdminSocket:
    """The listening socket of the admin API."""

    _path_identity: tuple[int, int] | None

    def __init__(self, address: Address, patience: Patience | None = None, mode: str = "0600") -> None:
        """Bind it and listen; raise StartError. `mode` is that of a Unix socket."""
        _wait_until_free(address, "admin_listen", patience or Patience(0.0))
        self.sock = unix_socket.bind(address, "admin_listen", mode) if address.unix else _bind(address, "admin_listen")
        self.sock.listen(BACKLOG)
        self.address = address_of(self.sock)
        self.own()

    @classmethod
    def adopted(cls, sock: socket.socket) -> AdminSocket:
        """Return the socket of another router."""
        self = cls.__new__(cls)
        self.sock, self.address, self._path_identity = sock, address_of(sock), None
        return self

    def own(self) -> None:
        """Own the path of a Unix socket: `close` removes it."""
        self._path_identity = unix_socket.identity(self.address.unix) if self.address.unix else None

    def disown(self) -> None:
        """Leave the path of a Unix socket to another router."""
        self._path_identity = None

    def close(self) -> None:
        """Close it, and remove the path of a Unix socket."""
        unix_socket.remove(self.address.unix, self._path_identity)
        self.sock.close()


def check_free(address: Address, setting: str) -> None:
    """Raise StartError naming `setting` unless `address` can be bound without SO_REUSEPORT."""
    if address.unix:
        unix_socket.check_free(address, setting)
    else:
        _bind(address, setting).close()


def address_of(sock: socket.socket) -> Address:
    """Return the address of `sock`."""
    if sock.family == socket.AF_UNIX:
        return Address(host="", port=0, unix=sock.getsockname())
    host, port = sock.getsockname()[:2]
    return Address(host=host, port=port)


def _wait_until_free(address: Address, setting: str, patience: Patience) -> None:
    patience.begin()
    while True:
        try:
            return check_free(address, setting)
        except StartError as error:
            if error.code != "port_in_use" or patience.is_over:
                raise
            patience.pause()


def _bind(address: Address, setting: str, *, share: bool = False) -> socket.socket:
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:  # a label of more than 63 characters is a UnicodeError
        reason = error.strerror if isinstance(error, OSError) else error
        remedy = "write an address or a name of this machine, for example 127.0.0.1"
        raise StartError(StartCode.ADDRESS_UNKNOWN, f"{setting} {address}: {reason}: {remedy}") from None
    try:
        # Past connections in TIME_WAIT must not keep a restarted router from its port.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(where)
    except OSError as error:
        sock.close()
        raise _refused(address, setting, error) from None
    sock.setblocking(False)
    return sock


def _refused(address: Address, setting: str, error: OSError) -> StartError:
    flag = "--listen" if setting == "listen" else "--admin"
    if error.errno == errno.EADDRINUSE:
        remedy = f"stop what listens there (`ss -ltnp 'sport = :{address.port}'` names it) or choose another: {flag} HOST:PORT"
        return StartError(StartCode.PORT_IN_USE, f"{setting} {address} is in use: {remedy}")
    if error.errno == errno.EACCES:
        remedy = f"ports below 1024 need CAP_NET_BIND_SERVICE; or choose another: {flag} HOST:PORT"
        return StartError(StartCode.PORT_FORBIDDEN, f"{setting} {address} is not ours to open: {remedy}")
    remedy = f"this machine may not have that address (`ip address` lists them); choose another: {flag} HOST:PORT"
    return StartError(StartCode.ADDRESS_UNAVAILABLE, f"{setting} {address}: {os.strerror(error.errno or 0)}: {remedy}")
