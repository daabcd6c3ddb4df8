"""Certificate files: an error names the file and the remedy; usable files make a context."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from router.errors import StartError
from router.runtime import clock
from router.runtime.exit_codes import exit_code
from router.settings.loader import load
from router.tls import certificate_info, contexts
from router.tls.contexts import BackendTls, Pair, ServerTls
from tests.certificate_authority import CertificateAuthority
from tests.texts import golden

_NEW_SESSION_TICKET = 4
"""The type of this message (RFC 8446 §4)."""
Spoil = Callable[[Pair, CertificateAuthority], Pair]


def _written(pair: Pair, text: str) -> Pair:
    Path(pair.certificate).write_text(text)
    return pair


def _encrypted(pair: Pair, _: CertificateAuthority) -> Pair:
    from cryptography.hazmat.primitives import serialization as s

    key = s.load_pem_private_key(Path(pair.key).read_bytes(), None)
    locked = s.BestAvailableEncryption(b"secret")
    Path(pair.key).write_bytes(key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, locked))
    return pair


SPOILT: dict[str, tuple[Spoil, str]] = {
    "missing": (
        lambda p, _: replace(p, certificate="/nowhere.pem"),
        "certificate /nowhere.pem: No such file or directory; name one",
    ),
    "no key": (
        lambda p, _: replace(p, key="/nowhere.key"),
        "key /nowhere.key: No such file or directory; name one that exists",
    ),
    "not PEM": (lambda p, _: _written(p, "hello"), "both have to be PEM"),
    "another's key": (lambda p, a: replace(p, key=a.pair(file="other").key), "does not belong to certificate"),
    "encrypted": (_encrypted, "is encrypted, and the router cannot type its password: openssl pkey -in"),
}


@pytest.mark.parametrize(("spoil", "text"), SPOILT.values(), ids=SPOILT)
def test_a_pair_that_cannot_be_used_is_named_with_the_remedy(spoil: Spoil, text: str, tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    with pytest.raises(StartError) as caught:
        contexts.server_context(ServerTls(spoil(authority.pair(), authority)))
    assert (caught.value.code, exit_code(caught.value)) == ("certificate_unusable", 3)
    assert text in caught.value.detail


@contextmanager
def an_ordinary_user() -> Iterator[None]:
    """Run as the user `nobody` meanwhile, because root may read every file."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_key_that_is_not_ours_to_read() -> None:
    with TemporaryDirectory() as name:  # not below tmp_path, which nobody else may enter
        folder = Path(name)
        folder.chmod(0o755)
        pair = CertificateAuthority(folder).pair()
        contexts.server_context(ServerTls(pair))
        Path(pair.key).chmod(0)
        with an_ordinary_user(), pytest.raises(StartError) as caught:
            contexts.server_context(ServerTls(pair))
    assert pair.key in caught.value.detail
    assert golden("tls.unreadable") in caught.value.detail


def test_a_ca_without_certificates_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("hello")
    with pytest.raises(StartError, match="it has to hold certificates in PEM"):
        contexts.backend_context(BackendTls(ca=str(tmp_path / "ca.pem")))


def test_dates_and_names_of_usable_certificates(tmp_path: Path) -> None:
    authority, now_s = CertificateAuthority(tmp_path), clock.wall_s()

    def warnings(*names: str, days: float, sni: tuple[str, ...] = ()) -> list[str]:
        pair = authority.pair(*names, days=days)
        return list(contexts.certificate_warnings(ServerTls(pair, (replace(pair, names=sni),) if sni else ()), now_s))

    assert warnings("a.test", days=30) == []
    assert "expires on" in warnings("a.test", days=3.5)[0]
    assert warnings("a.test", days=3.5)[0].endswith("in 3 days")
    assert "has expired on" in warnings("a.test", days=-0.5)[0]
    assert warnings("a.test", "*.b.test", days=30, sni=("a.test", "x.b.test")) == []
    assert golden("tls.wrong_name") in warnings("a.test", days=30, sni=("c.test",))[0]
    assert certificate_info.read(authority.pair("a.test", "127.0.0.1").certificate).names == ("a.test", "127.0.0.1")


def test_a_signature_changes_with_the_file(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    files = ServerTls(authority.pair(), client_ca=authority.file).files
    before = contexts.signature(files)
    assert contexts.signature(files) == before
    authority.pair()
    assert contexts.signature(files) != before
    Path(files[0]).unlink()
    assert contexts.signature(files)[0] == 2  # ENOENT


def test_settings_are_checked_as_a_whole(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    pair = authority.pair()
    flags = {
        "tls": {"certificate": pair.certificate, "key": pair.key},
        "services": {
            "a": {"backend_tls": {"verify": False}},
            "b": {"path_prefix": "/b", "backend_tls": {"ca": authority.file}},
        },
    }
    document = load(None, flags).model_dump()
    assert contexts.check(document, clock.wall_s()) == [golden("tls.unverified")]
    [(place, certificate, days)] = contexts.presented_certificates(document, clock.wall_s())
    assert (place, certificate.path, days) == ("tls", pair.certificate, 29)
    Path(authority.file).unlink()
    with pytest.raises(StartError, match="name one that exists"):
        contexts.check(document, clock.wall_s())


def test_contexts_refuse_what_is_old(tmp_path: Path) -> None:
    for context in (
        contexts.server_context(ServerTls(CertificateAuthority(tmp_path).pair())),
        contexts.backend_context(BackendTls()),
    ):
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert contexts.backend_context(BackendTls()).verify_mode == ssl.CERT_REQUIRED
    assert contexts.backend_context(BackendTls(verify=False)).verify_mode == ssl.CERT_NONE


def test_a_handshake_brings_one_session_ticket(tmp_path: Path) -> None:
    authority, tickets = CertificateAuthority(tmp_path), []
    client = ssl.create_default_context(cafile=authority.file)
    client._msg_callback = lambda *record: tickets.append(record) if record[4] == _NEW_SESSION_TICKET else None  # type: ignore[attr-defined]
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = contexts.server_context(ServerTls(authority.pair())).wrap_bio(to_server, to_client, server_side=True)
    theirs = client.wrap_bio(to_client, to_server, server_hostname="localhost")
    for step in (theirs.do_handshake, ours.do_handshake, theirs.do_handshake, ours.do_handshake):
        with suppress(ssl.SSLWantReadError):
            step()
    with pytest.raises(ssl.SSLWantReadError):
        theirs.read()
    assert theirs.version() == "TLSv1.3"
    assert len(tickets) == 1


def suites(context: ssl.SSLContext) -> set[str]:
    return {cipher["name"] for cipher in context.get_ciphers() if cipher["protocol"] != "TLSv1.3"}


def test_the_admin_port_has_the_same_suites_and_backends_are_given_the_choice(tmp_path: Path) -> None:
    pair = CertificateAuthority(tmp_path).pair()
    files = {"certificate": pair.certificate, "key": pair.key}
    document = load(None, {"tls": files, "admin": {"tls": files}}).model_dump()
    for section in (document["tls"], document["admin"]["tls"]):
        tls = contexts.server_of(section)
        assert tls is not None
        assert suites(contexts.server_context(tls)) == set(contexts.AEAD)
    plain = suites(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    assert suites(contexts.backend_context(BackendTls())) == plain > set(contexts.AEAD)
    chosen = ["ECDHE-RSA-AES128-GCM-SHA256"]
    settings = load(None, {"services": {"a": {"backend_tls": {"ciphers": chosen}}}}).model_dump()
    backend = contexts.backend_of(settings["services"]["a"]["backend_tls"])
    assert suites(contexts.backend_context(backend)) == set(chosen)


def test_suites_that_this_openssl_lacks_are_named(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="ciphers NONE-SUCH: this OpenSSL has none of them"):
        contexts.server_context(ServerTls(CertificateAuthority(tmp_path).pair(), ciphers=("NONE-SUCH",)))
