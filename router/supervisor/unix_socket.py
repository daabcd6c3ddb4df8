"""A listening Unix socket: its path in the file system, and the owner of that path.

A path outlives the process that bound it. A path that refuses connections is stale and may be replaced. A path that accepts a
connection, or whose queue is full, is in use. Like the ports, the socket is bound early and listens late: if the path belongs
to another socket by then, the start fails.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import stat

from router.errors import StartError
from router.errors.codes import StartCode
from router.settings.sections.address import Address

log = logging.getLogger(__name__)


def check_free(address: Address, setting: str) -> None:
    """Raise StartError naming `setting` if the path is in use, or is no socket."""
    try:
        if not stat.S_ISSOCK(os.lstat(address.unix).st_mode):
            raise StartError(
                StartCode.PATH_TAKEN,
                f"{setting} {address}: a file that is no socket is there; remove it, or {_other(setting)}",
            )
        with socket.socket(socket.AF_UNIX) as client:
            client.setblocking(False)  # EAGAIN means a full queue, so the path is in use
            failed = client.connect_ex(address.unix)
    except FileNotFoundError:
        return
    except OSError as error:
        raise _refused(address, setting, error) from None
    if failed == errno.EACCES:
        raise _refused(address, setting, PermissionError(failed, os.strerror(failed)))
    if failed not in (errno.ECONNREFUSED, errno.ENOENT):
        raise in_use(address, setting)


def bind(address: Address, setting: str, mode: str) -> socket.socket:
    """Return a socket that is bound and does not listen; the path has `mode` (octal). Raise StartError."""
    check_free(address, setting)
    sock = socket.socket(socket.AF_UNIX)
    try:
        try:
            os.unlink(address.unix)
        except FileNotFoundError:
            pass
        bind_with_mode(sock, address.unix, int(mode, 8))
    except OSError as error:
        sock.close()
        raise _refused(address, setting, error) from None
    sock.setblocking(False)
    return sock


def bind_with_mode(sock: socket.socket, path: str, mode: int) -> None:
    """Bind; the path is created with `mode`. A later chmod would follow a link that another user put in its place."""
    before = os.umask(0o777 & ~mode)
    try:
        sock.bind(path)
    finally:
        os.umask(before)


def identity(path: str) -> tuple[int, int] | None:
    """Return (device, inode) of the path, which distinguish this socket from a later one; None if there is none."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def remove(path: str, own: tuple[int, int] | None) -> None:
    """Remove the path if its `identity` is still `own`."""
    if own is None or identity(path) != own:
        return
    try:
        os.unlink(path)
    except OSError as error:  # a stale path is no reason not to stop
        log.warning("%s stays behind: %s", path, error.strerror)


def in_use(address: Address, setting: str) -> StartError:
    """Return the error for an address in use."""
    remedy = f"stop what listens there (`ss -lxp src {address.unix}` names it) or {_other(setting)}"
    return StartError(StartCode.PORT_IN_USE, f"{setting} {address} is in use: {remedy}")


def _other(setting: str) -> str:
    return f"choose another: {'--listen' if setting == 'listen' else '--admin'} unix:/PATH"


def _refused(address: Address, setting: str, error: OSError) -> StartError:
    remedy = f"make the folder, or its permissions, so that this user can bind there; or {_other(setting)}"
    return StartError(StartCode.ADDRESS_UNAVAILABLE, f"{setting} {address}: {error.strerror}: {remedy}")
