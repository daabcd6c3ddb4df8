"""Debian in a folder, by debootstrap: the base of the image, and the machine on which the unit runs."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

RELEASE: Final = "trixie"
MADE: Final = Path(sys.prefix) / "deploy"
"""What is made once and kept."""
STEP_S: Final = 3000


def run(*words: str | Path, cwd: Path | None = None) -> str:
    """Run a program; return what it prints, or raise with the end of what it prints."""
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=STEP_S,
    )
    if done.returncode:
        raise RuntimeError(f"{words} ended with {done.returncode}:\n{done.stdout[-3000:]}")
    return done.stdout


@contextmanager
def once(name: str) -> Iterator[Path]:
    """Yield the folder `name`, while no other test makes it."""
    MADE.mkdir(exist_ok=True)
    with (MADE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield MADE / name


def base() -> Path:
    """Return the smallest Debian; made if it is not there. pip inside of it trusts what it trusts on this machine."""
    with once("base") as folder:
        if not folder.exists():
            made = folder.with_suffix(".new")
            shutil.rmtree(made, ignore_errors=True)
            run("env", "--unset=TMPDIR", "debootstrap", "--variant=minbase", RELEASE, made)
            _trust(made)
            made.rename(folder)
        return folder


def _trust(folder: Path) -> None:
    authorities = os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE")
    if authorities:
        shutil.copy(authorities, folder / "etc/machine-ca.crt")
        (folder / "etc/pip.conf").write_text("[global]\ncert = /etc/machine-ca.crt\n")


def with_packages(name: str, *packages: str) -> Path:
    """Return a Debian with these packages; made if it is not there."""
    source = base()
    with once(name) as folder:
        if not folder.exists():
            made = folder.with_suffix(".new")
            if made.exists():
                run("rm", "-rf", "--one-file-system", made)
            run("cp", "-a", source, made)
            shutil.copy("/etc/resolv.conf", made / "etc/resolv.conf")
            install = (
                "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends"
            )
            inside = f"mount -t proc proc /proc && {install} {' '.join(packages)}"
            # scripts of packages write to $TMPDIR, which is a folder of this machine
            run("env", "--unset=TMPDIR", "unshare", "--mount", "chroot", made, "sh", "-c", inside)
            made.rename(folder)
        return folder
