"""The limits of this process's control groups, versions 1 and 2 (cgroups(7)).

A group is limited by its own files and by those of every group above it, so the least limit on the way up counts. A container
sees its own group as the root of the mount, or below the path of the host; both are found by the table of mounts.

`root` is the root of the file system; tests give another one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from router.runtime.host import mounts

ROOT: Final = Path("/")
_UNLIMITED_BYTES: Final = 1 << 60
"""Version 1 writes "no limit" as the largest multiple of a page below 2^63."""
_LEVELS_MAX: Final = 64


def cpu_quota(root: Path = ROOT) -> tuple[int, int] | None:
    """Return (microseconds of CPU, period in microseconds) of the tightest quota; None without one."""
    found = []
    for folder in _groups(root, "cpu"):
        words = _words(folder / "cpu.max") or [
            *_words(folder / "cpu.cfs_quota_us"),
            *_words(folder / "cpu.cfs_period_us"),
        ]
        quota = [int(word) for word in words if word.isascii() and word.isdigit()]
        if len(words) == len(quota) == 2 and all(quota):
            found.append((quota[0], quota[1]))
    return min(found, key=lambda quota: quota[0] / quota[1], default=None)


def memory_limit_bytes(root: Path = ROOT) -> int | None:
    """Return the least limit of memory; None without one."""
    words = [
        word
        for folder in _groups(root, "memory")
        for word in (*_words(folder / "memory.max"), *_words(folder / "memory.limit_in_bytes"))
    ]
    limits = [int(word) for word in words if word.isascii() and word.isdigit()]
    return min((limit for limit in limits if 0 < limit < _UNLIMITED_BYTES), default=None)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of the process's groups that may limit `controller`, from the own group upwards, in each hierarchy."""
    own: dict[str, str] = {}
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if colon:
            own.update(dict.fromkeys(controllers.split(","), path))
    for mount in mounts.listed(root / "proc/self/mountinfo"):
        is_v2 = mount.kind == "cgroup2"
        if not is_v2 and not (mount.kind == "cgroup" and controller in mount.options):
            continue
        group = own.get("" if is_v2 else controller)
        if group is not None:
            yield from _upwards(root / mount.point.lstrip("/"), _below(group, mount.root))


def _below(path: str, mounted: str) -> str:
    """Return the group's path below the mount point. A group outside of what is mounted is seen as the mount point itself."""
    path = os.path.normpath(f"/{path}")
    if mounted == "/":
        return path.lstrip("/")
    return path[len(mounted) :].lstrip("/") if path == mounted or path.startswith(f"{mounted}/") else ""


def _upwards(point: Path, below: str) -> Iterator[Path]:
    folder = point / below
    for _ in range(_LEVELS_MAX):
        yield folder
        if folder == point:
            return
        folder = folder.parent


def _words(path: Path) -> list[str]:
    return _text(path).split()


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:  # another version, or a group that this container cannot see
        return ""
