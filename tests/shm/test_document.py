from __future__ import annotations

import os

from router.shm import document


def test_a_shorter_document_replaces_a_longer_one() -> None:
    fd = document.create(b"a long document")
    assert document.read(fd) == b"a long document"
    document.write(fd, b"short")
    assert document.read(fd) == b"short"
    assert os.pread(fd, 13, 0) == b"\x05\0\0\0\0\0\0\0short"
    assert os.lseek(fd, 0, os.SEEK_CUR) == 0
    os.close(fd)
