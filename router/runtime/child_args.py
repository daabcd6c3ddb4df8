"""What a child process is told when it is born: which inherited descriptors are what. One JSON argument, read here only.

All `*_fd` are descriptor numbers that the supervisor passes on; `life_fd` is the read end of a pipe whose end of file means
that the supervisor is gone; `updates_fd` is a socket on which newer settings come (shm/settings_memory.py).
All users can read the argument (ps): nothing in it is a secret.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TypeVar

Boot = TypeVar("Boot", "ControlArgs", "WorkerArgs")


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlArgs:
    """For control. `settings_origin` is for people. The last two are set for the first control of a run only."""

    segment_fd: int
    settings_fd: int
    updates_fd: int
    admin_fd: int
    wake_fds: list[int]
    acks_fd: int
    life_fd: int
    state_dir: str
    settings_origin: str
    assume_active: str | None = None
    """`run --assume-active`: the version to make active although the journal cannot say."""
    journal_from: str | None = None
    resumes: bool | None = None
    """Set after a take-over that failed: start from the journal, on a wall whose workers live."""
    """`run --journal-from`: the readable copy of a corrupt journal to go on from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerArgs:
    """For worker number `index`."""

    index: int
    segment_fd: int
    settings_fd: int
    updates_fd: int
    listen_fds: list[int]
    wake_fd: int
    acks_fd: int
    life_fd: int
    state_dir: str
    inlet_fd: int | None = None
    """Through which connections of the router that is taken over come."""


def encode(boot: ControlArgs | WorkerArgs) -> str:
    """Return the JSON argument; members that are None are left out."""
    return json.dumps({name: value for name, value in asdict(boot).items() if value is not None})


def decode(kind: type[Boot], argument: str) -> Boot:
    """Return what `encode` wrote; raise TypeError for missing or unknown members."""
    return kind(**json.loads(argument))
