"""The supervisor's copies of TLS files: which child gets which, and when they are renewed."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.settings.settings import Settings
from router.shm import settings_memory
from router.supervisor.kept_certificates import KeptCertificates
from router.tls import kept_files
from tests.certificate_authority import CertificateAuthority
from tests.waiting import until


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    return CertificateAuthority(tmp_path)


def settings(authority: CertificateAuthority) -> Settings:
    pair = authority.pair("one.test")
    files = {"certificate": pair.certificate, "key": pair.key}
    timeouts = {"certificates_every_s": 0.05}
    return Settings.model_validate({"tls": files, "admin": {"tls": files}, "timeouts": timeouts})


@pytest.fixture
def kept(authority: CertificateAuthority) -> Iterator[KeptCertificates]:
    made = KeptCertificates(settings(authority))
    yield made
    made.stop()


def spoil(path: str) -> None:
    Path(path).write_text("broken")


def read(kept: KeptCertificates, child: str, *, control: bool = False) -> dict[str, dict[str, bytes]]:
    return kept_files.decode(settings_memory.read(kept.descriptor(child, control=control)))


def test_each_process_gets_the_keys_that_it_needs(kept: KeptCertificates) -> None:
    assert read(kept, "worker 0").keys() == {"tls"}
    assert read(kept, "control", control=True).keys() == {"admin.tls"}


def test_the_memory_is_sealed_and_that_of_the_last_start_is_closed(kept: KeptCertificates) -> None:
    first = kept.descriptor("worker 0", control=False)
    assert kept.present("worker 0") == first
    with pytest.raises(OSError):
        os.pwrite(first, b"x", 0)
    assert fcntl.fcntl(first, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        kept.descriptor("worker 0", control=False)
    assert len(os.listdir("/proc/self/fd")) == before


async def test_the_files_are_watched(kept: KeptCertificates, authority: CertificateAuthority) -> None:
    first = read(kept, "worker 0")
    kept.start()
    kept.start()
    pair = authority.pair("two.test")
    await until(lambda: read(kept, "worker 0") != first)
    second = read(kept, "worker 0")
    spoil(pair.key)
    kept.refresh()
    assert read(kept, "worker 0") == second
    authority.pair("three.test")
    await until(lambda: read(kept, "worker 0") != second)


def test_other_settings_have_other_copies(kept: KeptCertificates) -> None:
    kept.reconfigure(Settings())
    assert read(kept, "worker 0") == {}
