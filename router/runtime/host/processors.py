"""How many processors this process may use: its affinity (--cpuset-cpus) and the quota of its control groups (--cpus)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from router.runtime.host import cgroups
from router.runtime.text.plurals import counted


@dataclass(frozen=True, slots=True)
class Processors:
    """`affinity`: cores on which the process may run. `quota`: (microseconds, period) of its groups; None: no quota."""

    affinity: int
    quota: tuple[int, int] | None = None

    @property
    def usable(self) -> int:
        """The cores that can be busy at the same time: at least 1, a fraction of a core counts as one."""
        if self.quota is None:
            return max(1, self.affinity)
        used, period = self.quota
        return max(1, min(self.affinity, -(-used // period)))

    @property
    def described(self) -> str:
        """For example `2 of 64 cores (CPU quota 1.5)`."""
        cores = f"{self.usable} of {counted(self.affinity, 'core')}"
        return cores if self.quota is None else f"{cores} (CPU quota {self.quota[0] / self.quota[1]:.3g})"

    def excess(self, workers: int) -> str | None:
        """Return why so many workers are too many; None if they are not."""
        if workers <= self.usable:
            return None
        return (
            f"workers = {workers}, and this process may use {self.described}: workers that wait for a core answer late; "
            f"set workers = {self.usable}, or leave it out, or raise the quota"
        )


def of(root: Path = cgroups.ROOT) -> Processors:
    """Return what this process may use now."""
    return Processors(len(os.sched_getaffinity(0)), cgroups.cpu_quota(root))
