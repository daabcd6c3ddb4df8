"""How the descriptors of a process are shared: every connection is one, a client's and a backend's alike."""

from __future__ import annotations

import fcntl
import os
import resource
import struct
import termios
from dataclasses import dataclass
from typing import Final

SPARE: Final = 64
"""For what a worker has beside its connections: sockets it listens on, the loop's own, shared memory, look-ups of names; and
for the guests of its reserve (proxy/accept/reserve.py), a third of it.
"""


@dataclass(frozen=True, slots=True)
class FdShares:
    """What fits: client connections, and attempts in flight per target. `wanted`: how many descriptors all limits together
    could take; `usable`: how many there are; `reserve`: guests beyond `connections_max`, from what is spare.
    """

    connections_max: int
    in_flight_max: int
    wanted: int
    usable: int
    reserve: int

    @property
    def warning(self) -> str | None:
        """What to tell an operator whose limits do not fit; None if they do."""
        if self.wanted <= self.usable:
            return None
        return (
            f"limits.connections_max and limits.requests_max may take {self.wanted} descriptors of a worker, and it has "
            f"{self.usable} for them: it takes {self.connections_max} connections at most. Raise the hard limit (ulimit -Hn, "
            "LimitNOFILE= of systemd, --ulimit nofile= of docker) or lower limits.connections_max"
        )


def divide(connections_max: int, requests_max: int, in_flight_max: int, descriptors: int) -> FdShares:
    """Return what fits into `descriptors`. No target gets more than half of them: one that hangs must not exhaust us."""
    spare = min(SPARE, descriptors // 2)
    usable = descriptors - spare
    half = max(1, usable // 2)
    backends = min(requests_max, connections_max)
    connections = connections_max if connections_max + backends <= usable else max(1, usable - min(backends, half))
    limits = min(connections, connections_max), min(in_flight_max, half)
    return FdShares(*limits, connections_max + backends, usable, max(1, spare // 3))


REMEDY: Final = "Raise the hard limit (ulimit -Hn, LimitNOFILE= of systemd, --ulimit nofile= of docker)"
CONTROL_SPARE: Final = 16
"""For what control opens beside the connections to its admin port: probes, files of SQLite, notifications, modules."""
ADMIN_CONNECTIONS_MIN: Final = 4
_CONTROL: Final = 30
"""What control holds beside one descriptor a worker (measured: 29)."""
_SUPERVISOR: Final = 24
"""What the supervisor holds beside two descriptors a worker (measured: 15), and what it needs to start a child."""


def needed(workers: int) -> int:
    """Return how many descriptors a process of a router needs at least: control with a few connections, or the supervisor."""
    return max(_CONTROL + CONTROL_SPARE + ADMIN_CONNECTIONS_MIN + workers, _SUPERVISOR + 2 * workers)


def shortage(workers: int, descriptors: int) -> str | None:
    """Return why a router cannot run with so many descriptors a process; None if it can."""
    if descriptors >= needed(workers):
        return None
    return (
        f"a process may have {descriptors} descriptors, and a router with {workers} workers needs {needed(workers)} at least. "
        f"{REMEDY} or set fewer workers"
    )


def admin_connections(asked: int, left: int) -> int:
    """Return how many connections the admin port takes if control may open `left` more descriptors."""
    return min(asked, max(ADMIN_CONNECTIONS_MIN, left - CONTROL_SPARE))


def admin_complaint(asked: int, given: int) -> str:
    """Return what to tell an operator whose admin port takes fewer connections than it should."""
    return (
        f"admin.connections_max = {asked} does not fit into the {available()} descriptors of control: the admin port takes "
        f"{given} connections. {REMEDY} or lower admin.connections_max"
    )


def left() -> int:
    """Return how many descriptors this process may still open."""
    return available() - len(os.listdir("/proc/self/fd"))


def available() -> int:
    """Return how many descriptors this process may have."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def unread_bytes(descriptor: int) -> int:
    """Return how many bytes the kernel holds of a connection that nobody has read (SIOCINQ, tcp(7)); 0 for one that is gone."""
    try:
        return int(struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)))[0])
    except OSError:
        return 0
