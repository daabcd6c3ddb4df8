"""The mounted file systems of this process, from /proc/self/mountinfo (proc_pid_mountinfo(5))."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TABLE: Final = Path("/proc/self/mountinfo")
_ESCAPE: Final = re.compile(r"\\([0-7]{3})")
_REMOTE: Final = re.compile(
    r"nfs4?|cifs|smb3|smbfs|9p|virtiofs|vboxsf|vmhgfs|ceph|lustre|gfs2|ocfs2|glusterfs|afs|fakeowner|grpcfuse|davfs|fuse(\..+)?"
)


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount. `kind` is the type of its file system, e.g. ext4, nfs4 or fuse.s3fs; `source` is the device or server.

    `root` is the directory of the file system that is mounted; `options` are those of the file system.
    """

    point: str
    kind: str
    source: str = ""
    root: str = "/"
    options: tuple[str, ...] = ()

    @property
    def is_remote(self) -> bool:
        """Whether the file system belongs to another machine or a program: locks, syncs and owners may not be what they say."""
        return _REMOTE.fullmatch(self.kind) is not None

    def __str__(self) -> str:
        return f"{self.kind} at {self.point}"


def of(path: Path, table: Path = TABLE) -> Mount:
    """Return the mount of `path`, or of the nearest place above that exists."""
    real = os.path.realpath(path)
    found = Mount("/", "unknown")
    for mount in listed(table):
        # Of equal points the last line is the one on top.
        if _is_below(real, mount.point) and len(mount.point) >= len(found.point):
            found = mount
    return found


def listed(table: Path = TABLE) -> list[Mount]:
    """Return all mounts, in the order in which they were made; none if the table cannot be read."""
    try:
        lines = table.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return []
    return [mount for mount in map(_parse, lines) if mount is not None]


def _parse(line: str) -> Mount | None:
    own, separator, kind = line.partition(" - ")
    fields, rest = own.split(" "), kind.split(" ")
    if not separator or len(fields) < 6 or len(rest) < 2:
        return None
    options = tuple(rest[2].split(",")) if len(rest) > 2 else ()
    return Mount(_unescaped(fields[4]), rest[0], _unescaped(rest[1]), _unescaped(fields[3]), options)


def _is_below(path: str, point: str) -> bool:
    return point == "/" or path == point or path.startswith(f"{point}/")


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 8)), text)
