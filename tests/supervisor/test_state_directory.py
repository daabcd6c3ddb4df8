from __future__ import annotations

import ctypes
import errno
import fcntl
import logging
import mmap
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from router.errors import StartError
from router.runtime import owned_files
from router.runtime.exit_codes import exit_code
from router.supervisor.patience import Patience
from router.supervisor.state_directory import StateDirectory
from tests.other_users import as_user, needs_root
from tests.texts import golden


def test_is_made_locked_and_private(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "a" / "b")
    assert state.path.stat().st_mode & 0o777 == 0o700
    assert (state.path / "lock").read_text() == str(os.getpid())
    assert state.unclean is False
    state.close()
    assert (state.path / "lock").read_text() == ""
    again = StateDirectory(state.path)
    assert again.unclean is False
    again.close()


def test_an_open_directory_is_closed_to_others(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    StateDirectory(tmp_path).close()
    assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_refused_while_another_holds_it(tmp_path: Path) -> None:
    owner = StateDirectory(tmp_path)
    with pytest.raises(StartError) as caught:
        StateDirectory(tmp_path)
    assert (exit_code(caught.value), caught.value.code, caught.value.detail) == (
        5,
        "state_in_use",
        golden("state.in_use", folder=tmp_path, pid=os.getpid()),
    )
    owner.close()


def test_waits_for_the_children_of_a_killed_router(tmp_path: Path) -> None:
    killed = StateDirectory(tmp_path)
    (tmp_path / "lock").write_text("4194305")  # above PID_MAX_LIMIT: nobody
    successor = StateDirectory(tmp_path, Patience(5.0, sleep_s=lambda _: os.close(killed.lock_fd)))
    assert successor.unclean is True
    successor.close()


def test_does_not_wait_for_ever(tmp_path: Path) -> None:
    killed = StateDirectory(tmp_path)
    (tmp_path / "lock").write_text("4194305")
    times = iter([0.0, 1.0, 6.0])
    with pytest.raises(StartError, match="in use by the router with pid 4194305"):
        StateDirectory(tmp_path, Patience(5.0, lambda: next(times), lambda _: None))
    killed.close()


def test_a_place_that_cannot_be_one(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError) as caught:
        StateDirectory(tmp_path / "file" / "state")
    assert (exit_code(caught.value), caught.value.detail) == (
        5,
        golden("state.no_directory", folder=tmp_path),
    )
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    for name in ("file", "dangling"):
        with pytest.raises(StartError, match=f"{name} is no directory, or a link to nothing; remove it or choose"):
            StateDirectory(tmp_path / name)
    with pytest.raises(StartError, match="File name too long; correct it or choose"):
        StateDirectory(tmp_path / ("x" * 300))


@pytest.mark.parametrize("text", ["\u00b2", "\u0663", "99999999999999999999", "-1", "x"])
def test_a_lock_that_names_no_process_stops_nobody(tmp_path: Path, text: str) -> None:
    (tmp_path / "lock").write_text(text)
    state = StateDirectory(tmp_path)
    assert (state.unclean, (tmp_path / "lock").read_text()) == (False, str(os.getpid()))
    state.close()


def test_archive_moves_everything_but_the_lock(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    assert state.archive(0.0) is None
    (tmp_path / "journal.db").write_text("facts")
    (tmp_path / "reports").mkdir()
    first = state.archive(0.0)
    assert first == tmp_path / "archive-19700101T000000.000000Z"
    assert (first / "journal.db").read_text() == "facts"
    assert sorted(item.name for item in tmp_path.iterdir()) == [first.name, "lock"]
    assert state.archive(1.0) is None, "an archive is not archived again"
    state.close()


def test_a_lock_goes_from_one_to_the_other_and_back(tmp_path: Path) -> None:
    old, new = StateDirectory(tmp_path), StateDirectory(tmp_path, lock=False)
    assert not new.take()
    old.give_up()
    assert new.take()
    assert not old.take()
    assert old.path.joinpath("lock").read_text() == str(os.getpid())
    new.close()
    assert old.path.joinpath("lock").read_text() == ""
    assert old.take()
    old.close()


def test_who_does_not_hold_the_lock_leaves_the_name_of_its_owner(tmp_path: Path) -> None:
    old, new = StateDirectory(tmp_path), StateDirectory(tmp_path, lock=False)
    new.close()
    assert old.path.joinpath("lock").read_text() == str(os.getpid())
    old.close()


def test_a_link_is_followed_if_it_is_ours_and_what_is_behind_it_keeps_its_mode(tmp_path: Path) -> None:
    """As systemd makes one for StateDirectory= with DynamicUser=, mode 0755."""
    (tmp_path / "private").mkdir()
    (tmp_path / "private").chmod(0o755)
    (tmp_path / "state").symlink_to("private")
    StateDirectory(tmp_path / "state").close()
    assert (tmp_path / "private").stat().st_mode & 0o777 == 0o755
    (tmp_path / "private").chmod(0o775)
    assert refusal(tmp_path / "state") == (
        "state_not_ours",
        golden("state.open_directory", folder=tmp_path),
    )


def test_a_directory_that_users_share_is_refused_and_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    code, detail = refusal(tmp_path)
    assert code == "state_not_ours"
    assert golden("state.shared") in detail
    assert tmp_path.stat().st_mode & 0o7777 == 0o1777
    tmp_path.chmod(0o777)
    StateDirectory(tmp_path).close()
    assert tmp_path.stat().st_mode & 0o7777 == 0o700


@pytest.mark.parametrize("kind", ["symbolic link", "hard link", "FIFO"])
def test_a_lock_that_is_another_file_is_not_written(tmp_path: Path, kind: str) -> None:
    state, precious = tmp_path / "state", tmp_path / "precious"
    state.mkdir()
    precious.write_text("4711")
    precious.chmod(0o644)
    if kind == "symbolic link":
        (state / "lock").symlink_to(precious)
    elif kind == "hard link":
        (state / "lock").hardlink_to(precious)
    else:
        os.mkfifo(state / "lock")
    code, detail = refusal(state)
    assert (code, "lock " in detail, kind in detail) == ("state_not_ours", True, True)
    assert (precious.read_text(), precious.stat().st_mode & 0o777) == ("4711", 0o644)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file to another user")
def test_what_belongs_to_another_user_is_refused_even_for_root(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir(mode=0o755)
    os.chown(foreign, 4242, 4242)
    assert refusal(foreign) == (
        "state_not_ours",
        golden("state.foreign", foreign=foreign),
    )
    assert (foreign.stat().st_mode & 0o777, list(foreign.iterdir())) == (0o755, [])
    (tmp_path / "own").mkdir(mode=0o755)
    (tmp_path / "link").symlink_to("own")
    os.lchown(tmp_path / "link", 4242, 4242)
    assert golden("state.foreign_link") in refusal(tmp_path / "link")[1]
    (tmp_path / "own" / "lock").touch()
    os.chown(tmp_path / "own" / "lock", 4242, 4242)
    assert "lock belongs to uid 4242" in refusal(tmp_path / "own")[1]


def refusal(path: Path) -> tuple[str, str]:
    with pytest.raises(StartError) as caught:
        StateDirectory(path)
    assert exit_code(caught.value) == 5
    return caught.value.code, caught.value.detail


# -- volumes of containers
def started(path: Path) -> dict[str, Any]:
    """What a start does with the directory: code and detail of its error, warnings, and the mode of a file that it makes."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("router.supervisor.state_directory")
    logger.addHandler(handler)
    try:
        state = StateDirectory(path)
    except StartError as error:
        return {"code": error.code, "detail": error.detail, "warnings": lines}
    owned_files.folder(path / "incidents")
    owned_files.database(path / "journal.sqlite")
    state.close()
    again = StateDirectory(path)
    again.close()
    return {
        "code": "",
        "detail": "",
        "warnings": list(dict.fromkeys(lines)),
        "left": sorted(item.name for item in path.iterdir()),
    }


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """A directory that other users reach."""
    for place in (tmp_path, *tmp_path.parents):
        if place == Path("/tmp") or place.stat().st_uid != os.geteuid() or place == Path("/"):
            break
        place.chmod(place.stat().st_mode | 0o055)
    path = tmp_path / "volume"
    path.mkdir()
    return path


LEFT = ["incidents", "journal.sqlite", "lock"]
USER, OPENSHIFT = 1000, 1000650000


@needs_root
@pytest.mark.parametrize(
    ("owner", "group", "mode", "uid", "gid", "groups"),
    [
        pytest.param(0, 2000, 0o2775, USER, USER, [2000], id="fsGroup, setgid"),
        pytest.param(0, 2000, 0o0775, USER, USER, [2000], id="group-writable, of root"),
        pytest.param(0, 0, 0o0777, USER, USER, [], id="emptyDir"),
        pytest.param(0, 0, 0o0775, OPENSHIFT, 0, [0], id="OpenShift: any uid, gid 0"),
        pytest.param(1001, 0, 0o0775, OPENSHIFT, 0, [0], id="OpenShift: owned by the image's user"),
        pytest.param(1001, 2000, 0o0770, USER, USER, [2000], id="of another user, by the group"),
        pytest.param(0, 2000, 0o3775, USER, 2000, [], id="sticky for the group only by its own gid"),
    ],
)
def test_a_volume_of_another_owner_is_used_with_a_warning(
    volume: Path, owner: int, group: int, mode: int, uid: int, gid: int, groups: list[int]
) -> None:
    os.chown(volume, owner, group)
    volume.chmod(mode)
    sticky = bool(mode & 0o1000)
    found = as_user(uid, gid, groups, lambda: started(volume))
    if sticky:
        assert (found["code"], "is shared by users" in found["detail"]) == ("state_not_ours", True)
        return
    assert (found["code"], found["left"]) == ("", LEFT), found
    assert len(found["warnings"]) >= 1
    assert all(part in found["warnings"][0] for part in (f"uid {owner}", f"group {group}", f"mode {mode:o}"))
    assert volume.stat().st_mode & 0o7777 == mode
    assert {item.stat().st_uid for item in volume.iterdir()} == {uid}


@needs_root
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o027, 0o077, 0o177])
@pytest.mark.parametrize("mode", [0o700, 0o755, 0o2770, 0o777])
def test_an_own_directory_needs_no_warning(volume: Path, umask: int, mode: int) -> None:
    os.chown(volume, USER, USER)
    volume.chmod(mode)

    def run() -> Any:
        os.umask(umask)
        return started(volume)

    found = as_user(USER, USER, [], run)
    assert (found["code"], found["warnings"], found.get("left")) == ("", [], LEFT)
    assert volume.stat().st_mode & 0o777 == 0o700


@needs_root
@pytest.mark.parametrize(("owner", "mode"), [(0, 0o755), (0, 0o700), (1001, 0o755), (1001, 0o750)])
def test_a_volume_that_cannot_be_written_names_owner_mode_user_and_remedy(volume: Path, owner: int, mode: int) -> None:
    os.chown(volume, owner, owner)
    volume.chmod(mode)
    found = as_user(USER, USER, [], lambda: started(volume))
    assert found["code"] == "state_not_ours"
    wanted = (
        str(volume),
        f"uid {owner}",
        f"mode {mode:o}",
        f"uid {USER}",
        f"chown -R {USER}",
        "fsGroup",
        "--state-dir",
    )
    assert [part for part in wanted if part not in found["detail"]] == []


@needs_root
def test_a_place_below_one_that_cannot_be_written_names_it(volume: Path) -> None:
    found = as_user(USER, USER, [], lambda: started(volume / "a" / "b"))
    assert found["code"] == "state_unwritable"
    assert f"{volume} belongs to root (uid 0)" in found["detail"]
    assert f"install -d -o {USER} -m 700 {volume / 'a' / 'b'}" in found["detail"]
    assert "chown" not in found["detail"]  # no advice to hand over `/` or a home


@needs_root
def test_a_mount_point_is_a_volume_also_for_root(volume: Path) -> None:
    """As `docker run --tmpfs /state` (mode 1777) and a bind mount of a user's directory make it."""

    def run() -> Any:
        ctypes.CDLL(None).unshare(0x20000)  # CLONE_NEWNS
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(volume)], check=True)
        before = volume.stat().st_mode & 0o7777
        if drop is not None:
            os.setresuid(drop, drop, drop)
        found = started(volume)
        return [found, before, volume.stat().st_mode & 0o7777]

    for options, drop, warnings in (
        ("mode=1777", None, 0),
        ("mode=1777", USER, 1),
        ("mode=0755,uid=1000", None, 1),
        ("mode=0755,uid=1000", USER, 0),
        ("mode=0777", USER, 1),
    ):
        found, _, after = as_user(0, 0, [], run)
        assert (found["code"], len(found["warnings"]), found.get("left")) == ("", warnings, LEFT), (
            options,
            drop,
            found,
        )
        assert warnings or after == 0o700
    options, drop = "mode=0755,ro", None
    found, _, _ = as_user(0, 0, [], run)
    assert (found["code"], "tmpfs at" in found["detail"], "read-only" in found["detail"]) == (
        "state_unwritable",
        True,
        True,
    )
    options, drop = "mode=0755,nr_inodes=1", None
    found, _, _ = as_user(0, 0, [], run)
    assert (found["code"], "tmpfs at" in found["detail"], "make room" in found["detail"]) == (
        "state_unwritable",
        True,
        True,
    )


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL])
@pytest.mark.parametrize(("place", "name"), [(fcntl, "flock"), (fcntl, "lockf"), (mmap, "mmap"), (os, "fsync")])
def test_a_lock_that_does_not_work_is_not_one_that_another_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Any, name: str, number: int
) -> None:
    def failing(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(place, name, failing)
    with pytest.raises(StartError) as caught:
        StateDirectory(tmp_path)
    assert (exit_code(caught.value), caught.value.code) == (5, "state_unsuitable")
    assert os.strerror(number) in caught.value.detail
    assert "in use" not in caught.value.detail
    assert "--state-dir" in caught.value.detail
