from __future__ import annotations

from pathlib import Path

import pytest

from router.control.store import mark
from router.control.store.in_doubt import InDoubtChange
from router.control.store.mark import FILE, PAGE_BYTES, Mark, MarkFile
from tests.proxy.rig import until
from tests.texts import golden

DOUBT = InDoubtChange(8, 2, 99, "switched", "svc", "ann", 1000.5)


def kept(folder: Path, errors: list[str | None] | None = None) -> MarkFile:
    said = [] if errors is None else errors
    made = MarkFile(folder / FILE, said.append)
    made.begin(mark.read(folder / FILE))
    return made


def numbers(found: Mark | None) -> tuple[int, int, int, int, int] | None:
    return None if found is None else (found.number, found.seq, found.crc, found.first, found.generation)


def test_what_was_written_last_is_read_without_a_sync(tmp_path: Path) -> None:
    made = kept(tmp_path)
    made.write(7, 70, 10, 3, [DOUBT])
    found = mark.read(tmp_path / FILE)
    assert numbers(found) == (1, 7, 70, 10, 3)
    assert found is not None
    assert [doubt.as_list() for doubt in found.doubts] == [DOUBT.as_list()]
    assert oct((tmp_path / FILE).stat().st_mode & 0o777) == "0o600"
    made.write(9, 90, 10, 4, [])
    assert numbers(mark.read(tmp_path / FILE)) == (2, 9, 90, 10, 4)
    made.close()
    again = kept(tmp_path)
    again.write(10, 100, 10, 4, [])
    assert numbers(mark.read(tmp_path / FILE)) == (3, 10, 100, 10, 4), "a successor goes on counting"
    again.close()


def test_a_torn_page_leaves_the_one_before(tmp_path: Path) -> None:
    made = kept(tmp_path)
    for seq in (7, 8):
        made.write(seq, seq, 10, 3, [])
    made.close()
    content = (tmp_path / FILE).read_bytes()
    for at in (0, 5, 12, 20, 30):
        (tmp_path / FILE).write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        found = mark.read(tmp_path / FILE)
        assert found is not None
        assert found.seq == 7, f"a bit of page 0 at {at}"
    (tmp_path / FILE).write_bytes(content[:PAGE_BYTES])
    assert numbers(mark.read(tmp_path / FILE)) == (2, 8, 8, 10, 3)


@pytest.mark.parametrize("content", [b"", b"\0" * 8192, b"no mark at all" * 1000, b"00000000 ffffffff []", b"x" * 17])
def test_a_file_that_is_no_mark_is_none(tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / FILE).write_bytes(content)
    assert mark.read(tmp_path / FILE) is None
    assert golden("journal.mark_unreadable") in caplog.text


def test_a_link_is_neither_read_nor_written(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("of somebody else")
    (tmp_path / FILE).symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="symbolic link"):
        mark.read(tmp_path / FILE)
    said: list[str | None] = []
    MarkFile(tmp_path / FILE, said.append).write(1, 1, 1, 1, [])
    assert said[0] is not None
    assert "symbolic link" in said[0]
    assert (tmp_path / "other").read_text() == "of somebody else"


def test_names_of_any_length_fit_into_a_page(tmp_path: Path) -> None:
    made = kept(tmp_path)
    made.write(7, 70, 10, 3, [InDoubtChange(8, 1, 9, "switched", "s" * 63, "\U0001f600" * 500, 1.0) for _ in range(50)])
    made.write(8, 80, 10, 3, [])
    made.close()
    content = (tmp_path / FILE).read_bytes()
    assert len(content) == 2 * PAGE_BYTES
    first = mark._parse(content[PAGE_BYTES:])
    assert first is not None
    assert (first.seq, 1 < len(first.doubts) <= mark.DOUBTS_MAX) == (7, True)


async def test_what_goes_wrong_is_said_and_so_is_its_end(tmp_path: Path) -> None:
    said: list[str | None] = []
    made = kept(tmp_path / "later", said)
    made.write(1, 1, 1, 1, [])
    assert said == [f"{tmp_path / 'later' / FILE}: No such file or directory"]
    (tmp_path / "later").mkdir()
    made.write(2, 2, 1, 1, [])
    await until(lambda: said[-1] is None)
    assert numbers(mark.read(tmp_path / "later" / FILE)) == (2, 2, 2, 1, 1)
    made.close()
    assert [path.name for path in (tmp_path / "later").iterdir()] == [FILE]
