"""The table of mounts: the mount of a place, its type, and names with escapes."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.runtime.host import mounts
from router.runtime.host.mounts import Mount

TABLE = r"""
22 1 0:21 / / rw,relatime shared:1 - overlay overlay rw,lowerdir=/a
23 22 0:22 / /proc rw - proc proc rw
24 22 0:23 / /data rw shared:2 master:3 - nfs4 server:/export rw,vers=4.2
25 24 0:24 / /data/with\040space rw - fuse.s3fs s3fs rw
26 22 0:25 / /data2 rw - cifs //server/share rw
27 22 0:26 /sub /top rw - ext4 /dev/sda1 rw
28 27 0:27 / /top rw - tmpfs tmpfs rw
broken
29 22 0:28 / /short
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "mountinfo"
    path.write_text(TABLE)
    return path


@pytest.mark.parametrize(
    ("place", "kind", "point", "remote"),
    [
        ("/data/state", "nfs4", "/data", True),
        ("/data", "nfs4", "/data", True),
        ("/data2/state", "cifs", "/data2", True),
        ("/database", "overlay", "/", False),
        ("/data/with space/x/y", "fuse.s3fs", "/data/with space", True),
        ("/top/state", "tmpfs", "/top", False),
        ("/nowhere", "overlay", "/", False),
    ],
)
def test_the_mount_of_a_place(table: Path, place: str, kind: str, point: str, remote: bool) -> None:
    found = mounts.of(Path(place), table)
    assert (found.kind, found.point, found.is_remote, str(found)) == (kind, point, remote, f"{kind} at {point}")


def test_source_root_and_options(table: Path) -> None:
    found = mounts.listed(table)
    assert len(found) == 7
    assert found[5] == Mount("/top", "ext4", "/dev/sda1", "/sub", ("rw",))
    assert (found[2].source, found[2].options) == ("server:/export", ("rw", "vers=4.2"))


@pytest.mark.parametrize(
    "kind", ["nfs", "cifs", "smb3", "9p", "virtiofs", "fuse", "fuse.s3fs", "fuse.gcsfuse", "ceph", "fakeowner"]
)
def test_types_of_other_machines_and_programs(kind: str) -> None:
    assert Mount("/", kind).is_remote


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "zfs", "unknown", "fuseblk"])
def test_local_types(kind: str) -> None:
    assert not Mount("/", kind).is_remote


def test_without_a_table(tmp_path: Path) -> None:
    assert mounts.of(tmp_path, tmp_path / "none") == Mount("/", "unknown")
    assert mounts.of(tmp_path).point
