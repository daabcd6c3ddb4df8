"""Copies of TLS files: a context from copies, what makes a set usable, and what is never shown."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from router.errors import StartError
from router.settings.settings import Settings
from router.tls import kept_files
from router.tls.contexts import BackendTls, Pair, ServerTls
from tests.certificate_authority import CertificateAuthority


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    return CertificateAuthority(tmp_path)


def document(pair: Pair, authority: CertificateAuthority) -> dict[str, Any]:
    files = {"certificate": pair.certificate, "key": pair.key}
    backend = {"ca": str(authority.file), **files}
    told = {
        "tls": files,
        "admin": {"tls": files},
        "services": {"a": {"backend_tls": backend}, "b": {"path_prefix": "/b"}},
    }
    return Settings.model_validate(told).model_dump()


def spoil(path: str, contents: str = "broken") -> None:
    Path(path).write_text(contents)


def test_every_place_with_files(authority: CertificateAuthority) -> None:
    found = kept_files.places(document(authority.pair(), authority))
    assert sorted(found) == ["admin.tls", "services.a.backend_tls", "tls"]
    assert kept_files.places(Settings().model_dump()) == {}


@pytest.mark.parametrize("how", ["empty", "garbage", "gone", "another key", "unreadable"])
def test_a_broken_file_keeps_the_copies_of_its_place(how: str, authority: CertificateAuthority) -> None:
    pair = authority.pair("one.test")
    settings = document(pair, authority)
    kept, reasons = kept_files.refreshed({}, settings)
    assert (len(kept), reasons) == (3, [])
    if how == "gone":
        os.unlink(pair.key)
    elif how == "another key":
        spoil(pair.key, Path(authority.pair("two.test", file="other").key).read_text())
    elif how == "unreadable":
        os.unlink(pair.key)
        os.mkdir(pair.key)
    else:
        spoil(pair.certificate, "" if how == "empty" else "broken")
    again, reasons = kept_files.refreshed(kept, settings)
    assert again == kept
    assert len(reasons) == 3
    assert "tls: " in reasons[0]
    assert kept_files.refreshed({}, settings)[0] == {}, "without an earlier copy there is none"


def test_a_start_uses_the_copies_only_if_the_files_cannot_be_used(
    authority: CertificateAuthority, caplog: pytest.LogCaptureFixture
) -> None:
    tls = ServerTls(authority.pair("one.test"), (replace(authority.pair("two.test", file="two"), names=("two.test",)),))
    kept = replace(tls, kept=kept_files.usable_copy(tls))
    assert kept_files.server_context(kept).cert_store_stats() is not None
    assert caplog.records == []
    spoil(tls.others[0].key)
    with pytest.raises(StartError):
        kept_files.server_context(tls)
    context = kept_files.server_context(kept)
    assert context.presented.certificates[1] == {"two.test"}  # type: ignore[attr-defined]
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert tls.others[0].key in caplog.text


def test_copies_of_other_files_are_none(authority: CertificateAuthority) -> None:
    tls = ServerTls(authority.pair())
    spoil(tls.pair.key)
    with pytest.raises(StartError):
        kept_files.server_context(replace(tls, kept={tls.pair.certificate: b""}))
    assert not kept_files.is_kept(tls)


def test_the_files_towards_backends(authority: CertificateAuthority) -> None:
    tls = BackendTls(ca=str(authority.file), pair=authority.pair())
    kept = replace(tls, kept=kept_files.usable_copy(tls))
    for path in tls.files:
        spoil(path)
    assert kept_files.backend_context(kept).get_ca_certs()


def test_no_descriptor_is_left_and_no_key_is_shown(authority: CertificateAuthority) -> None:
    tls = ServerTls(authority.pair())
    before = len(os.listdir("/proc/self/fd"))
    kept = replace(tls, kept=kept_files.usable_copy(tls))
    assert len(os.listdir("/proc/self/fd")) == before
    assert "PRIVATE" not in repr(kept)
    assert kept == tls
    assert kept_files.decode(kept_files.encode({"tls": kept.kept or {}})) == {"tls": kept.kept}


def test_a_file_that_is_too_large_is_not_kept(authority: CertificateAuthority) -> None:
    pair = authority.pair()
    with open(pair.certificate, "ab") as file:
        file.truncate(kept_files.FILE_BYTES_MAX + 1)
    with pytest.raises(StartError) as caught:
        kept_files.usable_copy(ServerTls(pair))
    assert pair.certificate in caught.value.detail
