"""Files and folders that only the router uses: regular, with one name, owned by the user that the router runs as, no link.

Another user may have put something else in the place of such a file: a link to another file, a hard link, a FIFO that blocks.
Such a file is not opened, truncated, chmodded or written. Every refusal is an OSError whose `strerror` names the file,
the defect and the remedy, so that it is reported like every other error of the file.
"""

from __future__ import annotations

import errno
import os
import pwd
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_COMPANIONS: Final = ("-wal", "-shm", "-journal")
_KINDS: Final = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISREG, "a file"),
)
_SHARED: Final = ("/", "/tmp", "/var/tmp", "/dev/shm", "/run", "/run/lock", "/var/lock")
_PROBE: Final = ".owner-check-"


class NotOwned(PermissionError):
    """The file or folder at the path does not belong to this router alone."""


def opened(path: Path, flags: int, mode: int = 0o600) -> int:
    """Return the descriptor of a regular file of this router; raise OSError for anything else and leave it unchanged.

    O_TRUNC is applied after the check: a foreign file must not be truncated.
    """
    check(path)  # opening a device can have an effect already
    fd = os.open(path, (flags & ~os.O_TRUNC) | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY, mode)
    try:
        _refuse(path, os.fstat(fd))
        if flags & os.O_TRUNC:
            os.ftruncate(fd, 0)
    except OSError:
        os.close(fd)
        raise
    return fd


def read(path: Path, bytes_max: int) -> bytes:
    """Return up to `bytes_max` bytes of a file of this router; raise OSError."""
    with os.fdopen(opened(path, os.O_RDONLY), "rb") as file:
        return file.read(bytes_max)


def check(path: Path) -> None:
    """Raise OSError unless the path is free or names a regular file of this router."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    _refuse(path, found)


def database(path: Path) -> None:
    """Create or check a file of this router (mode 0600) at `path` for SQLite, and check the names of its companions;
    raise OSError for a foreign file. SQLite opens the file by its name.
    """
    os.close(opened(path, os.O_RDWR | os.O_CREAT))
    companions(path)


def companions(path: Path) -> None:
    """Raise OSError unless a database and its companions are files of this router, as far as they exist."""
    for suffix in ("", *_COMPANIONS):
        check(path.with_name(path.name + suffix))


def folder(path: Path, *, make: bool = True) -> None:
    """Check that `path` is a folder of this router that other users cannot write to; raise OSError.

    `make`: create it with mode 0700 if there is none.
    """
    if make and not os.path.lexists(path):
        path.mkdir(mode=0o700)
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode):
        raise _refusal(path, f"is {_kind(found)} where a directory of this router belongs", "move it away")
    if found.st_uid == os.geteuid() and not found.st_mode & 0o022:
        return
    given = _given_to_new_files(path.parent)
    if found.st_uid not in (os.geteuid(), given.uid):
        raise _refusal(path, _foreign(found.st_uid), _hand_over(path))
    if found.st_mode & 0o022 and given.keeps_modes:
        raise _refusal(path, f"can be written by others (mode {found.st_mode & 0o7777:o})", f"chmod 700 {path}")


def close_to_others(path: Path) -> str | None:
    """Give the directory `path` mode 0700; raise OSError if it is another user's, or one that users share.

    A link to a directory is followed if root or the router's user owns the link (systemd's DynamicUser= makes one). The mode
    of its target stays as it is, because the link may be intended for a shared directory.

    A volume of a container often belongs to root or to a user of its image, and only root could change its mode. Such a
    directory stays as it is. Return a warning that names the users who can replace its files; None if there are none.
    """
    named = os.lstat(path)
    is_link = stat.S_ISLNK(named.st_mode)
    if is_link and named.st_uid not in (0, os.geteuid()):
        raise _refusal(path, f"is a symbolic link, which {_foreign(named.st_uid)}", "name the directory itself")
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | (0 if is_link else os.O_NOFOLLOW))
    try:
        found = os.fstat(fd)
        mode = stat.S_IMODE(found.st_mode)
        volume = _is_volume(path)
        if mode & stat.S_ISVTX and mode & 0o022 and not volume:
            raise _refusal(
                path, f"is shared by users (mode {mode:o})", "name a directory of its own, for example one below it"
            )
        if found.st_uid != os.geteuid():
            if found.st_uid != 0 and os.geteuid() == 0 and not volume:
                raise _refusal(path, _foreign(found.st_uid), _hand_over(path))
            return f"{described(path)}: its owner, and every user who can write to it, can replace its files"
        if is_link and mode & 0o022:
            raise _refusal(path, f"can be written by others (mode {mode:o})", f"chmod 700 {os.path.realpath(path)}")
        if not is_link and mode != 0o700:
            try:
                os.fchmod(fd, 0o700)
            except OSError as error:  # a file system without modes, as shares of Windows have
                return f"{described(path)}, and its mode cannot be changed: {error.strerror}"
        return None
    finally:
        os.close(fd)


def _is_volume(path: Path) -> bool:
    """Return whether the directory is a mount point of its own, and none that all users share by tradition."""
    real = os.path.realpath(path)
    return os.path.ismount(real) and real not in _SHARED


def described(path: Path) -> str:
    """Return `PATH belongs to alice (uid 1000), group 0, mode 775` of what is at `path` or at the nearest place above."""
    for place in (path, *path.parents):
        try:
            found = os.stat(place)
        except OSError:
            continue
        return f"{place} belongs to {user(found.st_uid)}, group {found.st_gid}, mode {stat.S_IMODE(found.st_mode):o}"
    return f"{path} does not exist"


def exposed(path: Path) -> str | None:
    """Return why other users can replace the directory `path`; None if they cannot.

    This is a warning, not an error: in a container the folder of a volume is often writable by all, without other users.
    """
    for above in Path(os.path.realpath(path)).parents[:-1]:
        try:
            found = os.stat(above)
        except OSError:
            continue
        if found.st_uid not in (0, os.geteuid()):
            return f"{above} belongs to {user(found.st_uid)}"
        if found.st_mode & 0o002 and not found.st_mode & stat.S_ISVTX:
            return f"{above} can be written by every user (mode {stat.S_IMODE(found.st_mode):o})"
    return None


def user(uid: int) -> str:
    """Return `alice (uid 1000)`, or `uid 1000` for one without a name."""
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"


def _refuse(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise _refusal(path, f"is {_kind(found)} where a file of this router belongs", "move it away")
    if found.st_uid != os.geteuid() and found.st_uid != _given_to_new_files(path.parent).uid:
        raise _refusal(path, _foreign(found.st_uid), f"move it away, or chown {os.geteuid()} it if it is this router's")
    if found.st_nlink > 1:
        raise _refusal(path, f"has {found.st_nlink} names (hard links)", "copy it, and put the copy in its place")


@dataclass(frozen=True, slots=True)
class _Given:
    """The owner that a file system gives to a new file, and whether it keeps the mode that the file was created with."""

    uid: int
    keeps_modes: bool


def _given_to_new_files(folder: Path) -> _Given:
    """Create and remove a file in `folder`: shares (CIFS, 9p, NFS with all_squash) give every file to one user.

    Only this process can have made that file, so a file of the same owner is as much this router's as any can be there.
    """
    path = folder / f"{_PROBE}{secrets.token_hex(8)}"  # in a container, every start has the same pid
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError:
        return _Given(os.geteuid(), keeps_modes=True)
    try:
        found = os.fstat(fd)
        return _Given(found.st_uid, keeps_modes=not found.st_mode & 0o177)
    finally:
        os.close(fd)
        path.unlink(missing_ok=True)


def _foreign(uid: int) -> str:
    return f"belongs to {user(uid)}, and this router runs as {user(os.geteuid())}"


def _hand_over(path: Path) -> str:
    return f"run it as that user, or hand it over (chown -R {os.geteuid()} {path})"


def _kind(found: os.stat_result) -> str:
    return next((name for test, name in _KINDS if test(found.st_mode)), "no file")


def _refusal(path: Path, defect: str, remedy: str) -> NotOwned:
    return NotOwned(errno.EPERM, f"{path.name} {defect}: {remedy}", str(path))
