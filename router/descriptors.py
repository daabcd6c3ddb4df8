"""How the descriptors of a process are shared: every connection is one, a client's and a backend's alike."""

from __future__ import annotations

import resource
from dataclasses import dataclass
from typing import Final

SPARE: Final = 64
"""For what a worker has beside its connections: sockets it listens on, the loop's own, shared memory, look-ups of names; and
for the guests of its reserve (proxy/reserve.py), a third of it.
"""


@dataclass(frozen=True, slots=True)
class Shares:
    """What fits: client connections, and attempts in flight per target. `wanted`: how many descriptors all limits together
    could take; `usable`: how many there are; `reserve`: guests beyond `connections_max`, from what is spare.
    """

    connections_max: int
    in_flight_max: int
    wanted: int
    usable: int
    reserve: int

    @property
    def complaint(self) -> str | None:
        """What to tell an operator whose limits do not fit; None if they do."""
        if self.wanted <= self.usable:
            return None
        return (
            f"limits.connections_max and limits.requests_max may take {self.wanted} descriptors of a worker, and it has "
            f"{self.usable} for them: it takes {self.connections_max} connections at most. Raise the hard limit (ulimit -Hn, "
            "LimitNOFILE= of systemd, --ulimit nofile= of docker) or lower limits.connections_max"
        )


def share(connections_max: int, requests_max: int, in_flight_max: int, descriptors: int) -> Shares:
    """Return what fits into `descriptors`. No target gets more than half of them: one that hangs must not exhaust us."""
    spare = min(SPARE, descriptors // 2)
    usable = descriptors - spare
    half = max(1, usable // 2)
    backends = min(requests_max, connections_max)
    connections = connections_max if connections_max + backends <= usable else max(1, usable - min(backends, half))
    limits = min(connections, connections_max), min(in_flight_max, half)
    return Shares(*limits, connections_max + backends, usable, max(1, spare // 3))


def available() -> int:
    """Return how many descriptors this process may have."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
