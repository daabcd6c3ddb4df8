"""Limits of control groups, versions 1 and 2, on made-up trees and, where the machine lets it, in a real group."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.runtime.host import cgroups

V2 = "31 22 0:28 {root} /sys/fs/cgroup rw - cgroup2 cgroup rw"
V1 = """32 31 0:29 {root} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
33 31 0:30 {root} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"""
UNLIMITED = "9223372036854771712"


class Tree:
    """A root of a file system with the groups of one process."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "proc/self").mkdir(parents=True)

    def process(self, groups: str, mountinfo: str) -> Tree:
        (self.root / "proc/self/cgroup").write_text(groups)
        (self.root / "proc/self/mountinfo").write_text(mountinfo)
        return self

    def limit(self, path: str, text: str) -> Tree:
        file = self.root / "sys/fs/cgroup" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return self

    @property
    def limits(self) -> tuple[tuple[int, int] | None, int | None]:
        return cgroups.cpu_quota(self.root), cgroups.memory_limit_bytes(self.root)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_version_2_in_a_container(tree: Tree) -> None:
    tree.process("0::/\n", V2.format(root="/"))
    assert tree.limits == (None, None)
    tree.limit("cpu.max", "150000 100000\n").limit("memory.max", "268435456\n")
    assert tree.limits == ((150_000, 100_000), 1 << 28)
    tree.limit("cpu.max", "max 100000\n").limit("memory.max", "max\n")
    assert tree.limits == (None, None)


def test_version_2_takes_the_least_on_the_way_up(tree: Tree) -> None:
    tree.process("0::/kubepods.slice/pod1/box\n", V2.format(root="/"))
    tree.limit("kubepods.slice/cpu.max", "800000 100000").limit("kubepods.slice/memory.max", "max")
    tree.limit("kubepods.slice/pod1/cpu.max", "100000 50000").limit("kubepods.slice/pod1/memory.max", "1000000")
    tree.limit("kubepods.slice/pod1/box/cpu.max", "max 100000").limit("kubepods.slice/pod1/box/memory.max", "2000000")
    tree.limit("other/cpu.max", "1000 100000")
    assert tree.limits == ((100_000, 50_000), 1_000_000)


def test_version_1_with_joined_controllers(tree: Tree) -> None:
    tree.process("5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n1:name=systemd:/x\n", V1.format(root="/docker/abc"))
    for folder in ("cpu,cpuacct",):
        tree.limit(f"{folder}/cpu.cfs_quota_us", "250000\n").limit(f"{folder}/cpu.cfs_period_us", "100000\n")
    tree.limit("memory/memory.limit_in_bytes", "536870912\n")
    assert tree.limits == ((250_000, 100_000), 1 << 29)
    tree.limit("cpu,cpuacct/cpu.cfs_quota_us", "-1\n").limit("memory/memory.limit_in_bytes", UNLIMITED)
    assert tree.limits == (None, None)


def test_version_1_nested(tree: Tree) -> None:
    tree.process("5:cpu,cpuacct:/a/b\n4:memory:/a/b\n", V1.format(root="/"))
    tree.limit("cpu,cpuacct/a/cpu.cfs_quota_us", "50000").limit("cpu,cpuacct/a/cpu.cfs_period_us", "100000")
    tree.limit("cpu,cpuacct/a/b/cpu.cfs_quota_us", "-1").limit("cpu,cpuacct/a/b/cpu.cfs_period_us", "100000")
    tree.limit("memory/a/memory.limit_in_bytes", "1000").limit("memory/a/b/memory.limit_in_bytes", UNLIMITED)
    assert tree.limits == ((50_000, 100_000), 1000)


def test_both_versions_at_once(tree: Tree) -> None:
    mountinfo = V1.format(root="/") + "\n" + V2.format(root="/").replace("/sys/fs/cgroup ", "/sys/fs/cgroup/unified ")
    tree.process("5:cpu,cpuacct:/a\n4:memory:/a\n0::/a\n", mountinfo)
    tree.limit("cpu,cpuacct/a/cpu.cfs_quota_us", "50000").limit("cpu,cpuacct/a/cpu.cfs_period_us", "100000")
    tree.limit("unified/a/memory.max", "1000")
    assert tree.limits == ((50_000, 100_000), 1000)


@pytest.mark.parametrize("path", ["/../../elsewhere", "/gone", "/a/../../b"])
def test_a_group_outside_of_the_mount_is_the_mount(tree: Tree, path: str) -> None:
    tree.process(f"0::{path}\n", V2.format(root="/")).limit("cpu.max", "50000 100000")
    assert tree.limits[0] == (50_000, 100_000)
    tree.process(f"0::{path}\n", V2.format(root="/../..")).limit("cpu.max", "50000 100000")
    assert tree.limits[0] == (50_000, 100_000)


@pytest.mark.parametrize("text", ["", "max", "0 100000", "x y", "100000 0", "1 2 3", "-1 100000", "²0 100000"])
def test_what_is_no_quota(tree: Tree, text: str) -> None:
    assert tree.process("0::/\n", V2.format(root="/")).limit("cpu.max", text).limits[0] is None


def test_without_control_groups(tmp_path: Path) -> None:
    assert (cgroups.cpu_quota(tmp_path), cgroups.memory_limit_bytes(tmp_path)) == (None, None)


CPU = Path("/sys/fs/cgroup/cpu")


@pytest.fixture
def group() -> Iterator[Path]:
    """A group of version 1 with a quota of one core and a half."""
    folder = CPU / f"rollback-router-test-{os.getpid()}"
    try:
        folder.mkdir()
        (folder / "cpu.cfs_quota_us").write_text("150000")
    except OSError:
        pytest.skip("no right to make a control group of version 1")
    yield folder
    folder.rmdir()


def test_in_a_real_group(group: Path) -> None:
    code = (
        f"from pathlib import Path; Path({str(group / 'cgroup.procs')!r}).write_text('0')\n"
        "from router.runtime.host import cgroups, processors\n"
        "from router.settings.settings import Settings\n"
        "print(cgroups.cpu_quota(), processors.of().usable <= 2, Settings().workers <= 2)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout == "(150000, 100000) True True\n"
