"""A listening Unix socket: its path in the file system, and whose that path is.

A path outlives the process that bound it. One on which nobody answers is stale and may be taken; one that answers, or whose
queue is full, is in use. Bound early and listening late, like the ports: who finds at the moment of listening that the path
has become another's, has lost.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import stat
from typing import Final

from router.errors import StartError
from router.settings.sections.address import Address

EXIT_PORT: Final = 4
log = logging.getLogger(__name__)


def check_free(address: Address, setting: str) -> None:
    """Raise StartError (4) naming `setting` if somebody answers at the path, or if what is there is no socket."""
    try:
        if not stat.S_ISSOCK(os.lstat(address.unix).st_mode):
            raise StartError(
                "path_taken",
                f"{setting} {address}: a file that is no socket is there; remove it, or {_other(setting)}",
                EXIT_PORT,
            )
        with socket.socket(socket.AF_UNIX) as asking:
            asking.setblocking(False)  # EAGAIN is a full queue, and so an owner
            failed = asking.connect_ex(address.unix)
    except FileNotFoundError:
        return
    except OSError as error:
        raise _refused(address, setting, error) from None
    if failed == errno.EACCES:
        raise _refused(address, setting, PermissionError(failed, os.strerror(failed)))
    if failed not in (errno.ECONNREFUSED, errno.ENOENT):
        raise in_use(address, setting)


def bind(address: Address, setting: str, mode: str) -> socket.socket:
    """Return a socket that is bound and does not listen; the path has `mode` (octal). Raise StartError (4)."""
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
    """Bind; the path has `mode` from the first moment on. A chmod afterwards would follow a link that was put in its place."""
    before = os.umask(0o777 & ~mode)
    try:
        sock.bind(path)
    finally:
        os.umask(before)


def identity(path: str) -> tuple[int, int] | None:
    """Return what tells this socket from another that may be bound at the same path; None if there is none."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def remove(path: str, own: tuple[int, int] | None) -> None:
    """Remove the path, if it still is `own` (of `identity`)."""
    if own is None or identity(path) != own:
        return
    try:
        os.unlink(path)
    except OSError as error:  # it is stale from now on, and no reason not to stop
        log.warning("%s stays behind: %s", path, error.strerror)


def in_use(address: Address, setting: str) -> StartError:
    """Return the error that says so."""
    remedy = f"stop what listens there (`ss -lxp src {address.unix}` names it) or {_other(setting)}"
    return StartError("port_in_use", f"{setting} {address} is in use: {remedy}", EXIT_PORT)


def _other(setting: str) -> str:
    return f"choose another: {'--listen' if setting == 'listen' else '--admin'} unix:/PATH"


def _refused(address: Address, setting: str, error: OSError) -> StartError:
    remedy = f"make the folder, or its permissions, so that this user can bind there; or {_other(setting)}"
    return StartError("address_unavailable", f"{setting} {address}: {error.strerror}: {remedy}", EXIT_PORT)
