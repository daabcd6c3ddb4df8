"""A machine with systemd as its first process: namespaces of its own, on a Debian of debootstrap, with a loopback network."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final, Self

from tests.deploy import debian, image
from tests.waiting import until

UP_WITHIN_S: Final = 60.0
_BOOT: Final = """
set -e
mount --make-rprivate /
mount --bind "$0" "$0"
mount -t proc proc "$0/proc"
mount -t sysfs sysfs "$0/sys"
mount -t cgroup2 cgroup2 "$0/sys/fs/cgroup"
mount -t tmpfs tmpfs "$0/run"
mount -t tmpfs tmpfs "$0/dev"
for name in null zero full random urandom tty; do touch "$0/dev/$name"; mount --bind "/dev/$name" "$0/dev/$name"; done
mkdir "$0/dev/shm" "$0/dev/pts"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$0/dev/pts"
ln -s pts/ptmx "$0/dev/ptmx"
ln -s /proc/self/fd "$0/dev/fd"
ip link set lo up
cd "$0"
mkdir -p before
pivot_root . before
umount --lazy /before
exec /usr/bin/env -i container=test PATH=/usr/sbin:/usr/bin /lib/systemd/systemd --unit=basic.target
"""


SYSTEMD: Final = ("systemd", "systemd-sysv", "dbus", "python3")


def with_router() -> Path:
    """Return the root of a machine that has the router of the image in /opt, and no state of an earlier one."""
    root = debian.with_packages("machine", *SYSTEMD)
    built = image.build()
    shutil.rmtree(root / "opt", ignore_errors=True)
    shutil.copytree(built.root / "opt", root / "opt", symlinks=True)
    for state in ("var/lib/private", "var/lib/rollback-router", "var/log/journal"):
        path = root / state
        path.unlink() if path.is_symlink() else shutil.rmtree(path, ignore_errors=True)
    link = root / "usr/local/bin/rollback-router"
    link.unlink(missing_ok=True)
    link.symlink_to("/opt/rollback-router/bin/rollback-router")
    return root


class Machine:
    """A machine on the Debian in `root`. `run` is a command on it; everything ends with the machine."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._process: subprocess.Popen[bytes] | None = None

    async def __aenter__(self) -> Self:
        self._boot()
        try:
            await until(lambda: self.run("systemctl", "is-active", "basic.target")[0] == 0, UP_WITHIN_S)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    def _boot(self) -> None:
        namespaces = ("--mount", "--pid", "--cgroup", "--ipc", "--uts", "--net")
        with self.root.with_suffix(".log").open("wb") as log:
            self._process = subprocess.Popen(
                ["unshare", *namespaces, "--fork", "--kill-child", "sh", "-c", _BOOT, str(self.root)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.kill()  # --kill-child: systemd goes with it, and with systemd all processes of its namespace
        self._process.wait()

    def run(self, *words: str, timeout_s: float = 120.0) -> tuple[int, str]:
        """Return the exit code and the output of a command on the machine."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        if not children:
            return 1, ""
        namespaces = ("--mount", "--pid", "--net", "--ipc", "--uts", "--cgroup", "--root", "--wdns=/")
        done = subprocess.run(
            ["nsenter", "--target", children[0], *namespaces, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=timeout_s,
        )
        return done.returncode, done.stdout
