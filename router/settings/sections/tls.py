"""TLS: certificates and trust for clients, operators and backends."""

from __future__ import annotations

import re
import ssl
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from router.settings.sections.values import FilePath, Strict
from router.tls.contexts import AEAD
from router.uri.authority import comparable


class CertificateFiles(Strict):
    """A certificate and its key, in PEM files."""

    certificate: FilePath | None = None
    """PEM file with the certificate, followed by its chain."""
    key: FilePath | None = None
    """PEM file with the key. Unset: the certificate's file holds the key, too."""
    minimum_version: Literal["TLSv1.2", "TLSv1.3"] = "TLSv1.2"
    """The oldest version of TLS that is accepted."""
    ciphers: Annotated[list[str], Field(min_length=1, max_length=64)] = list(AEAD)
    """The suites of TLS 1.2 by their OpenSSL names, best first. The suites of TLS 1.3 are always on."""

    @field_validator("ciphers")
    @classmethod
    def _ciphers(cls, value: list[str]) -> list[str]:
        for name in value:
            _check_cipher(name)
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.key is not None and self.certificate is None:
            raise ValueError(f"key {self.key!r} needs its certificate")
        if self.minimum_version == "TLSv1.3" and self.ciphers not in ([], list(AEAD)):
            raise ValueError("ciphers are of TLS 1.2, and minimum_version is TLSv1.3: leave one of them out")
        return self


class NamedCertificate(Strict):
    """A further certificate, for clients that send one of these names (SNI); `*.example.com` covers one label."""

    server_names: Annotated[list[str], Field(min_length=1, max_length=100)]
    """The names."""
    certificate: FilePath
    """PEM file with the certificate, followed by its chain."""
    key: FilePath | None = None
    """PEM file with the key. Unset: the certificate's file holds the key, too."""

    @field_validator("server_names")
    @classmethod
    def _names(cls, value: list[str]) -> list[str]:
        for name in value:
            if not re.fullmatch(r"(\*\.)?[A-Za-z0-9._\-]{1,253}", name):
                raise ValueError(f"{name!r} is not a host name; write it as a.example.com or *.example.com")
        return list(dict.fromkeys(map(comparable, value)))


def _check_cipher(name: str) -> None:
    """Raise ValueError unless OpenSSL has this suite, and it encrypts and authenticates by a certificate."""
    if name.startswith("TLS_"):
        raise ValueError(f"{name!r}: write suites of TLS 1.2 as OpenSSL names them; those of TLS 1.3 are always on")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.set_ciphers(name)
    except (ssl.SSLError, ValueError):
        found = []
    else:
        found = [cipher for cipher in context.get_ciphers() if cipher["name"] == name]
    if not found:
        raise ValueError(
            f"{name!r} is no cipher suite of this OpenSSL: `openssl ciphers -v` lists them, one name a line"
        )
    [cipher] = found
    if not cipher["strength_bits"]:
        raise ValueError(f"{name!r} does not encrypt: leave it out")
    if cipher["auth"] not in ("auth-rsa", "auth-ecdsa") or "PSK" in name:
        raise ValueError(f"{name!r} does not authenticate by an RSA or ECDSA certificate: leave it out")


class ListenTls(CertificateFiles):
    """TLS on `listen`. Files are PEM. They are read again when they change and at SIGHUP. Without a certificate the
    listener speaks plain HTTP."""

    certificates: Annotated[list[NamedCertificate], Field(max_length=100)] = []
    """Further certificates for clients that send their names (SNI)."""
    client_ca: FilePath | None = None
    """PEM file with the authorities of client certificates."""
    client_auth: Literal["required", "optional"] = "required"
    """With client_ca: "required" or "optional" client certificates."""

    @model_validator(mode="after")
    def _needs_one(self) -> Self:
        if self.certificate is None and (self.certificates or self.client_ca is not None):
            raise ValueError("certificates and client_ca need a certificate: the one for clients without SNI")
        names = [name for further in self.certificates for name in further.server_names]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two certificates have the server name {twice[0]!r}: leave it to one of them")
        return self


class BackendTlsSettings(CertificateFiles):
    """Verification of this service's https endpoints. The certificate and key are presented to backends that request
    them. Files are read again at SIGHUP."""

    ca: FilePath | None = None
    """PEM file with the authorities that are trusted instead of the system's."""
    server_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:\-]{1,253}$")] | None = None
    """Name for SNI and for the verification of the certificate, instead of the endpoint's host."""
    verify: bool = True
    """Verify the backend's certificate. false: any certificate is accepted."""
    ciphers: Annotated[list[str], Field(max_length=64)] = []
    """The suites of TLS 1.2 that backends may choose from. Empty: OpenSSL's defaults, CBC included, which support older
    backends."""

    @model_validator(mode="after")
    def _verified(self) -> Self:
        if self.ca is not None and not self.verify:
            raise ValueError(
                "ca names the trusted authorities, and verify = false accepts every certificate: leave one of them out"
            )
        return self
