"""Messages between two supervisors: one JSON object a packet (SOCK_SEQPACKET), with file descriptors (SCM_RIGHTS)."""

from __future__ import annotations

import json
import os
import socket
import struct
from typing import Any, Final

BYTES_MAX: Final = 64 * 1024
DESCRIPTORS_MAX: Final = 128
"""A router sends at most 65: 64 data sockets and the admin's."""
Message = dict[str, Any]


def send(sock: socket.socket, message: Message, descriptors: list[int] | None = None) -> None:
    """Send one message; raise OSError if the other side has closed."""
    socket.send_fds(sock, [json.dumps(message).encode()], descriptors or [], socket.MSG_NOSIGNAL)


def receive(sock: socket.socket) -> tuple[Message, list[int]] | None:
    """Return the next message and its descriptors; None at the end.

    Raise BlockingIOError if there is none yet. Raise ValueError for a malformed message, after closing its descriptors.
    """
    try:
        raw, descriptors, flags, _ = socket.recv_fds(sock, BYTES_MAX, DESCRIPTORS_MAX)
    except ConnectionError:
        return None
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    if not raw and not descriptors:
        return None
    try:
        message = json.loads(raw)
        if not isinstance(message, dict) or flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            raise ValueError("no whole JSON object")
    except ValueError:
        for descriptor in descriptors:
            os.close(descriptor)
        raise
    return message, descriptors


def peer(sock: socket.socket) -> tuple[int, int]:
    """Return (process id, user id) of the other side, from the kernel (SO_PEERCRED, unix(7))."""
    pid, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return pid, uid
