from __future__ import annotations

import os
from pathlib import Path

import pytest

from router.errors import StartError
from router.runtime.exit_codes import exit_code
from router.supervisor.patience import Patience
from router.supervisor.state_directory import StateDirectory
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
