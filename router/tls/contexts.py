"""OpenSSL contexts of the settings, for listeners and towards backends; errors and warnings about their files.

Everything here reads files and therefore blocks. Call it at start, in a command, or in a thread. OpenSSL's defaults choose the
curves and the suites of TLS 1.3. Versions below TLS 1.2 are not supported (RFC 8996).
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from router.tls.certificate_info import check_readable, read, reason, unusable
from router.tls.certificate_names import PresentedCertificate, choose
from router.uri.authority import comparable

if TYPE_CHECKING:
    from router.tls.certificate_info import Certificate

_VERSIONS: Final = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}

_ALPN: Final = ["http/1.1"]

_TICKETS: Final = 1
"""Session tickets of a handshake with TLS 1.3. OpenSSL sends 2, for clients that open two connections at once."""

AEAD: Final = (
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
)
"""The suites of TLS 1.2 with authenticated encryption and forward secrecy (RFC 9325 §4.2); no CBC suite is among them."""


KeptContents = Mapping[str, bytes]
"""Contents of files that were usable, by path (kept_files.py)."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate with its chain, and its key: paths of PEM files. `names` are the SNI names that select it."""

    certificate: str
    key: str
    names: tuple[str, ...] = ()

    def relocated(self, places: Mapping[str, str]) -> Pair:
        """Return the pair with other paths."""
        return Pair(places[self.certificate], places[self.key], self.names)


@dataclass(frozen=True, slots=True)
class ServerTls:
    """Certificates of a listener, and its rule for client certificates. SNI selects one of `others`; the default is `pair`.
    `kept`: copies for a start while the files cannot be used.
    """

    pair: Pair
    others: tuple[Pair, ...] = ()
    minimum_version: str = "TLSv1.2"
    ciphers: tuple[str, ...] = AEAD
    client_ca: str | None = None
    client_auth: str = "required"
    kept: KeptContents | None = field(default=None, compare=False, repr=False)

    def relocated(self, places: Mapping[str, str]) -> ServerTls:
        """Return the same with other paths."""
        others = tuple(pair.relocated(places) for pair in self.others)
        client_ca = None if self.client_ca is None else places[self.client_ca]
        return replace(self, pair=self.pair.relocated(places), others=others, client_ca=client_ca, kept=None)

    @property
    def files(self) -> tuple[str, ...]:
        """Every file that the context is built from."""
        pairs = (self.pair, *self.others)
        paths = [path for pair in pairs for path in (pair.certificate, pair.key)]
        return tuple(dict.fromkeys((*paths, self.client_ca) if self.client_ca else paths))


@dataclass(frozen=True, slots=True)
class BackendTls:
    """The verification of a service's backends, and the client certificate that they receive. `kept` as in `ServerTls`."""

    ca: str | None = None
    server_name: str | None = None
    verify: bool = True
    minimum_version: str = "TLSv1.2"
    ciphers: tuple[str, ...] = ()
    pair: Pair | None = None
    kept: KeptContents | None = field(default=None, compare=False, repr=False)

    def relocated(self, places: Mapping[str, str]) -> BackendTls:
        """Return the same with other paths."""
        pair = None if self.pair is None else self.pair.relocated(places)
        return replace(self, ca=None if self.ca is None else places[self.ca], pair=pair, kept=None)

    @property
    def files(self) -> tuple[str, ...]:
        """Every file that the context is built from."""
        paths = [self.ca, *((self.pair.certificate, self.pair.key) if self.pair is not None else ())]
        return tuple(dict.fromkeys(path for path in paths if path is not None))


def server_of(section: dict[str, Any], kept: KeptContents | None = None) -> ServerTls | None:
    """Return the settings of a `tls` section (plain data); None if it names no certificate."""
    if section["certificate"] is None:
        return None
    others = tuple(
        Pair(item["certificate"], item["key"] or item["certificate"], tuple(item["server_names"]))
        for item in section.get("certificates", ())
    )
    return ServerTls(
        pair=Pair(section["certificate"], section["key"] or section["certificate"]),
        others=others,
        minimum_version=section["minimum_version"],
        ciphers=tuple(section["ciphers"]),
        client_ca=section.get("client_ca"),
        client_auth=section.get("client_auth", "required"),
        kept=kept,
    )


def backend_of(section: dict[str, Any], kept: KeptContents | None = None) -> BackendTls:
    """Return the settings of a `backend_tls` section (plain data)."""
    certificate = section["certificate"]
    return BackendTls(
        ca=section["ca"],
        server_name=section["server_name"],
        verify=section["verify"],
        minimum_version=section["minimum_version"],
        ciphers=tuple(section["ciphers"]),
        pair=Pair(certificate, section["key"] or certificate) if certificate is not None else None,
        kept=kept,
    )


def signature(files: Iterable[str]) -> tuple[object, ...]:
    """Return a value that changes when one of these files changes, appears or disappears."""
    return tuple(_signature(path) for path in files)


def _signature(path: str) -> object:
    try:
        found = os.stat(path)
    except OSError as error:
        return error.errno
    return found.st_ino, found.st_size, found.st_mtime_ns


# -- contexts
def server_context(tls: ServerTls) -> ssl.SSLContext:
    """Return the context of a listener; raise StartError that names the file and the remedy."""
    pairs = (tls.pair, *tls.others)
    contexts = [_one_server(tls, pair) for pair in pairs]
    if tls.others:
        by_name = {comparable(name): index for index, pair in enumerate(pairs) for name in pair.names}
        certificates = tuple(frozenset(map(comparable, read(pair.certificate).names)) for pair in pairs)
        for index, context in enumerate(contexts):
            context.presented = PresentedCertificate(certificates, by_name, index)
        others = dict(enumerate(contexts[1:], 1))  # without the first one, which would refer to itself
        contexts[0].sni_callback = lambda connection, name, _: _choose(connection, name, others, by_name)
    return contexts[0]


class ServerContext(ssl.SSLContext):
    """A listener's context. `presented` is the certificate that its clients receive; None if the listener has only one."""

    presented: PresentedCertificate | None = None


def _one_server(tls: ServerTls, pair: Pair) -> ServerContext:
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[tls.minimum_version]
    _restrict(context, tls.ciphers)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = _TICKETS
    context.set_alpn_protocols(_ALPN)
    _load_pair(context, pair)
    if tls.client_ca is not None:
        _trust(context, tls.client_ca, "client_ca")
        context.verify_mode = ssl.CERT_REQUIRED if tls.client_auth == "required" else ssl.CERT_OPTIONAL
    return context


def _choose(
    connection: ssl.SSLObject | ssl.SSLSocket,
    name: str | None,
    others: Mapping[int, ssl.SSLContext],
    by_name: Mapping[str, int],
) -> None:
    """Select the certificate of this SNI name, or of its wildcard one label up; for an unknown name the first one stays."""
    index = choose(comparable(name), by_name) if name else None
    if index is not None:
        connection.context = others[index]


def backend_context(tls: BackendTls) -> ssl.SSLContext:
    """Return the context towards a service's backends; raise StartError that names the file and the remedy."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = _VERSIONS[tls.minimum_version]
    _restrict(context, tls.ciphers)
    context.set_alpn_protocols(_ALPN)
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif tls.ca is not None:
        _trust(context, tls.ca, "ca")
    else:
        context.load_default_certs()
    if tls.pair is not None:
        _load_pair(context, tls.pair)
    return context


def _restrict(context: ssl.SSLContext, ciphers: tuple[str, ...]) -> None:
    """Allow only these suites of TLS 1.2; without any, OpenSSL's defaults stay."""
    if ciphers:
        try:
            context.set_ciphers(":".join(ciphers))
        except ssl.SSLError:
            raise unusable(
                f"ciphers {', '.join(ciphers)}: this OpenSSL has none of them; `openssl ciphers -v` lists all"
            ) from None


def _load_pair(context: ssl.SSLContext, pair: Pair) -> None:
    check_readable(pair.certificate, "certificate")
    check_readable(pair.key, "key")
    try:
        context.load_cert_chain(pair.certificate, pair.key, password=_refuse_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise unusable(f"key {pair.key} does not belong to certificate {pair.certificate}: name its own") from None
        raise unusable(
            f"certificate {pair.certificate} with key {pair.key}: {reason(error)}; both have to be PEM, the certificate "
            "first, then its chain, and RSA keys of at least 2048 bits"
        ) from None
    except PermissionError:  # raised by _refuse_password; the files are readable
        remedy = f"openssl pkey -in {pair.key} -out PLAIN_KEY takes its password off; keep that file at mode 600"
        raise unusable(f"key {pair.key} is encrypted, and the router cannot type its password: {remedy}") from None


def _refuse_password() -> str:
    """Refuse an encrypted key: without this callback OpenSSL would read the password from the terminal."""
    raise PermissionError


def _trust(context: ssl.SSLContext, path: str, setting: str) -> None:
    check_readable(path, setting)
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as error:
        raise unusable(f"{setting} {path}: {reason(error)}; it has to hold certificates in PEM") from None


def certificate_warnings(tls: ServerTls, now_s: float) -> Iterator[str]:
    """Yield warnings about usable certificates: their dates, and SNI names that they do not cover."""
    for pair in (tls.pair, *tls.others):
        certificate = read(pair.certificate)
        warning = certificate.warning(now_s)
        if warning:
            yield warning
        names = {name.lower() for name in certificate.names}
        for name in pair.names:
            if name.lower() not in names and "*." + name.lower().partition(".")[2] not in names:
                yield f"certificate {pair.certificate} does not hold the name {name}, only {', '.join(sorted(names)) or 'none'}"


def check(settings: dict[str, Any], now_s: float) -> list[str]:
    """Return the warnings about the TLS of these settings (plain data); raise StartError for unusable files."""
    found: list[str] = []
    for section in (settings["tls"], settings["admin"]["tls"]):
        tls = server_of(section)
        if tls is not None:
            server_context(tls)
            found += certificate_warnings(tls, now_s)
    for name, service in sorted(settings["services"].items()):
        backend = backend_of(service["backend_tls"])
        if backend.ca is not None or backend.pair is not None:
            backend_context(backend)
        if backend.pair is not None and (warning := read(backend.pair.certificate).warning(now_s)):
            found.append(warning)
        if not backend.verify:
            found.append(f"services.{name}.backend_tls.verify is false: every certificate is accepted")
    return found


def presented_certificates(settings: dict[str, Any], now_s: float) -> Iterator[tuple[str, Certificate, int]]:
    """Yield (setting, certificate, whole days left) for each certificate that is presented to clients or backends; raise
    StartError.
    """
    places: list[tuple[str, Pair]] = []
    for place, section in (("tls", settings["tls"]), ("admin.tls", settings["admin"]["tls"])):
        tls = server_of(section)
        places += [(place, pair) for pair in ((tls.pair, *tls.others) if tls is not None else ())]
    for name, service in sorted(settings["services"].items()):
        backend = backend_of(service["backend_tls"])
        if backend.pair is not None:
            places.append((f"services.{name}.backend_tls", backend.pair))
    for place, pair in places:
        certificate = read(pair.certificate)
        yield place, certificate, certificate.days_left(now_s)
