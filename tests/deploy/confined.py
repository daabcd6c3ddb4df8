"""Runs a program of an image as a container engine would: python confined.py ROOT STATE WORD…

In a mount namespace of its own the root cannot be written, except for the folder STATE at /state. The program has the user of
the image, no capabilities, and cannot get any. Processes and network are those of the machine.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

USER = 65532
PR_SET_NO_NEW_PRIVS = 38  # linux/prctl.h


def mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)


def main(root: str, state: str, *words: str) -> None:
    mount("--bind", root, root)
    mount("--bind", state, f"{root}/state")
    mount("-t", "proc", "proc", f"{root}/proc")
    mount("--bind", "/dev", f"{root}/dev")
    mount("-o", "remount,bind,ro", root)
    os.chroot(root)
    os.chdir("/")
    os.setgroups([])
    os.setresgid(USER, USER, USER)
    os.setresuid(USER, USER, USER)
    ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    os.execvpe(words[0], list(words), dict(word.split("=", 1) for word in os.environ["IMAGE_ENV"].split("\n")))


if __name__ == "__main__":
    main(*sys.argv[1:])
