"""Which cipher suites may be named, and the messages about others."""

from __future__ import annotations

import ssl

import pytest
from pydantic import ValidationError

from router.settings.sections.tls import BackendTlsSettings, CertificateFiles, ListenTls
from router.tls.contexts import AEAD


def test_the_default_is_authenticated_encryption_with_forward_secrecy_alone() -> None:
    assert ListenTls().ciphers == CertificateFiles().ciphers == list(AEAD)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers(":".join(AEAD))
    chosen = [cipher for cipher in context.get_ciphers() if cipher["protocol"] == "TLSv1.2"]
    assert [cipher["name"] for cipher in chosen] == list(AEAD), "OpenSSL has all of them, in this order"
    assert {(cipher["aead"], cipher["kea"]) for cipher in chosen} == {(True, "kx-ecdhe")}
    assert BackendTlsSettings().ciphers == [], "OpenSSL's own choice: old backends are reached as before"


@pytest.mark.parametrize(
    "section", [ListenTls, CertificateFiles, BackendTlsSettings], ids=lambda section: section.__name__
)
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ECDHE-RSA-AES128-GCM-SHA25", "is no cipher suite of this OpenSSL: `openssl ciphers -v` lists them"),
        ("ecdhe-rsa-aes128-gcm-sha256", "is no cipher suite"),
        ("ECDHE-RSA-AES128-GCM-SHA256:AES128-SHA", "is no cipher suite"),
        ("HIGH", "is no cipher suite"),
        ("!AES128-SHA", "is no cipher suite"),
        ("@SECLEVEL=0", "is no cipher suite"),
        ("", "is no cipher suite"),
        ("a\0b", "is no cipher suite"),
        ("ECDHE-RSA-AES128-GCM-SHA256 ", "is no cipher suite"),
        ("é", "is no cipher suite"),
        ("RC4-MD5", "is no cipher suite"),
        ("TLS_AES_128_GCM_SHA256", "those of TLS 1.3 are always on"),
        ("NULL-SHA256", "does not encrypt"),
        ("ADH-AES128-GCM-SHA256", "does not authenticate"),
        ("DHE-PSK-AES256-GCM-SHA384", "does not authenticate"),
        ("RSA-PSK-AES256-GCM-SHA384", "does not authenticate"),
    ],
)
def test_what_is_no_suite_is_named_with_the_remedy(section: type[CertificateFiles], name: str, message: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        section(ciphers=["ECDHE-RSA-AES128-GCM-SHA256", name])
    [error] = refusal.value.errors()
    assert error["loc"] == ("ciphers",)
    assert error["msg"].startswith(f"Value error, {name!r}")
    assert message in error["msg"]


@pytest.mark.parametrize("name", ["ECDHE-RSA-AES128-SHA256", "AES128-SHA", "DHE-RSA-AES128-GCM-SHA256", *AEAD])
def test_older_suites_may_be_named(name: str) -> None:
    assert ListenTls(ciphers=[name]).ciphers == BackendTlsSettings(ciphers=[name]).ciphers == [name]


def test_none_at_all_and_none_that_is_used_are_refused() -> None:
    with pytest.raises(ValidationError, match="at least 1 item"):
        ListenTls(ciphers=[])
    with pytest.raises(ValidationError, match="leave one of them out"):
        ListenTls(ciphers=["AES128-SHA"], minimum_version="TLSv1.3")
    assert ListenTls(minimum_version="TLSv1.3").minimum_version == "TLSv1.3"
