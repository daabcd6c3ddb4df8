"""What a router needs of memory, and what its container may use.

The figures are those of docs/performance.md#memory, rounded up: all processes at rest, by workers and services. Connections come
on top: about 1.5 MiB for 1,000 idle ones, and up to `limits.buffer_bytes` in each direction for a busy one.
"""

from __future__ import annotations

from typing import Final

from router.runtime.text.plurals import counted

MIB: Final = 1 << 20
BASE_BYTES: Final = 85 * MIB
WORKER_BYTES: Final = 25 * MIB
SERVICE_BYTES: Final = 7 * MIB // 2


def needed_bytes(workers: int, services: int) -> int:
    """Return about what all processes need at rest."""
    return BASE_BYTES + workers * WORKER_BYTES + services * SERVICE_BYTES


def shortage(workers: int, services: int, limit_bytes: int | None) -> str | None:
    """Return why the limit of memory does not fit, with the remedy; None if it does, or if there is none."""
    need = needed_bytes(workers, services)
    if limit_bytes is None or limit_bytes >= need:
        return None
    return (
        f"the memory limit of this container is {limit_bytes // MIB} MiB, and {counted(workers, 'worker')} and "
        f"{counted(services, 'service')} need about {need // MIB} MiB before the first connection: "
        f"raise the limit{or_fewer(workers)}"
    )


def or_fewer(workers: int) -> str:
    """Return the other remedy of a shortage; empty for the last worker."""
    return ", or set fewer workers" if workers > 1 else ""
