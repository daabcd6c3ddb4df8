"""Arguments of a child process: the purpose of each inherited descriptor. One JSON argument, made and parsed here only.

All `*_fd` are descriptor numbers that the supervisor passes on. `life_fd` is the read end of a pipe; its end of file means that
the supervisor has ended. `updates_fd` is a socket that receives newer settings (shm/settings_memory.py). `certificates_fd` is
memory with copies of TLS files (tls/kept_files.py); None: there are no copies.
Every user of the machine can read the argument (ps), so it holds no secret.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TypeVar

from router.runtime.logs import LogFormat

Args = TypeVar("Args", "ControlArgs", "WorkerArgs")


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlArgs:
    """For control. `settings_origin` is for messages. The last three are set for the first control of a run only."""

    segment_fd: int
    settings_fd: int
    updates_fd: int
    admin_fd: int
    wake_fds: list[int]
    acks_fd: int
    life_fd: int
    state_dir: str
    settings_origin: str
    log_format: LogFormat = "text"
    certificates_fd: int | None = None
    assume_active: str | None = None
    """`run --assume-active`: the version to make active although the journal does not name one."""
    journal_from: str | None = None
    """`run --journal-from`: the readable copy of a corrupt journal to continue from."""
    resumes: bool | None = None
    """Set after a failed take-over: start from the journal, with shared memory whose workers run."""


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
    log_format: LogFormat = "text"
    certificates_fd: int | None = None
    inlet_fd: int | None = None
    """Receives connections of the router that is taken over."""


def encode(args: ControlArgs | WorkerArgs) -> str:
    """Return the JSON argument; members that are None are left out."""
    return json.dumps({name: value for name, value in asdict(args).items() if value is not None})


def decode(kind: type[Args], argument: str) -> Args:
    """Return the arguments that `encode` was given; raise TypeError for missing or unknown members."""
    return kind(**json.loads(argument))
