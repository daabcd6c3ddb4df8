"""Divides the file descriptors of a process. Every connection needs one, from a client or to a backend."""

from __future__ import annotations

import fcntl
import os
import resource
import struct
import termios
from dataclasses import dataclass
from typing import Final

from router.runtime.text.plurals import counted

SPARE: Final = 64
"""Descriptors of a worker beside its connections: listening sockets, the event loop, shared memory, name look-ups. A third of
them is for the connections of the reserve (proxy/accept/reserve.py).
"""


@dataclass(frozen=True, slots=True)
class FdShares:
    """The limits that fit: client connections, and attempts in flight per target.

    `required`: the descriptors that all configured limits together could use. `usable`: the descriptors that are
    available. `reserve`: connections of the reserve, beyond `connections_max`; they use the spare descriptors.
    """

    connections_max: int
    in_flight_max: int
    required: int
    usable: int
    reserve: int

    @property
    def warning(self) -> str | None:
        """The warning for the operator if the limits do not fit; None if they do."""
        if self.required <= self.usable:
            return None
        return (
            f"limits.connections_max and limits.requests_max may take {self.required} descriptors of a worker, and it has "
            f"{self.usable} for them: it takes {self.connections_max} connections at most. Raise the hard limit (ulimit -Hn, "
            "LimitNOFILE= of systemd, --ulimit nofile= of docker) or lower limits.connections_max"
        )


def divide(connections_max: int, requests_max: int, in_flight_max: int, descriptors: int) -> FdShares:
    """Return the limits that fit into `descriptors`. A target gets at most half of them, so a hung one cannot use them all."""
    spare = min(SPARE, descriptors // 2)
    usable = descriptors - spare
    half = max(1, usable // 2)
    backends = min(requests_max, connections_max)
    connections = connections_max if connections_max + backends <= usable else max(1, usable - min(backends, half))
    limits = min(connections, connections_max), min(in_flight_max, half)
    return FdShares(*limits, connections_max + backends, usable, max(1, spare // 3))


REMEDY: Final = "Raise the hard limit (ulimit -Hn, LimitNOFILE= of systemd, --ulimit nofile= of docker)"
CONTROL_SPARE: Final = 16
"""Descriptors that control opens beside connections to its admin port: probes, SQLite files, notifications, modules."""
ADMIN_CONNECTIONS_MIN: Final = 4
_CONTROL: Final = 30
"""Open descriptors of control beside one a worker (measured: 29)."""
_SUPERVISOR: Final = 24
"""Open descriptors of the supervisor beside two a worker (measured: 15), and those for starting a child."""


def needed(workers: int) -> int:
    """Return the fewest descriptors that every process of a router can run with: the larger need of control and supervisor."""
    return max(_CONTROL + CONTROL_SPARE + ADMIN_CONNECTIONS_MIN + workers, _SUPERVISOR + 2 * workers)


def shortage(workers: int, descriptors: int) -> str | None:
    """Return the error if a router cannot run with `descriptors` a process; None if it can."""
    if descriptors >= needed(workers):
        return None
    return (
        f"a process may have {descriptors} descriptors, "
        f"and a router with {counted(workers, 'worker')} needs {needed(workers)} at least. {REMEDY} or set fewer workers"
    )


def admin_connections(configured: int, left: int) -> int:
    """Return how many connections the admin port takes if control may open `left` more descriptors."""
    return min(configured, max(ADMIN_CONNECTIONS_MIN, left - CONTROL_SPARE))


def admin_warning(configured: int, effective: int) -> str:
    """Return the warning for the operator if the admin port takes fewer connections than configured."""
    return (
        f"admin.connections_max = {configured} does not fit into the {available()} descriptors of control: the admin port "
        f"takes {counted(effective, 'connection')}. {REMEDY} or lower admin.connections_max"
    )


def left() -> int:
    """Return how many descriptors this process may still open."""
    return available() - len(os.listdir("/proc/self/fd"))


def available() -> int:
    """Return how many descriptors this process may have."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def unread_bytes(descriptor: int) -> int:
    """Return the received bytes that the process has not read (SIOCINQ, tcp(7)); 0 for a closed connection."""
    try:
        return int(struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)))[0])
    except OSError:
        return 0
