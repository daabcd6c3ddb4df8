"""Certificates: the contexts of OpenSSL that the settings ask for, what is wrong with their files, and until when they hold.

Everything here reads files and so blocks: at start, in a command, or in a thread. Curves are OpenSSL's own choice, and so are
the suites of TLS 1.3; versions below TLS 1.2 are not to be had (RFC 8996).
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from router.tls.certificate_info import _readable, _unusable, read, why
from router.tls.certificate_names import Shown, choose, plain

if TYPE_CHECKING:
    from router.tls.certificate_info import Certificate

_VERSIONS: Final = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}

_ALPN: Final = ["http/1.1"]

AEAD: Final = (
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
)
"""The suites of TLS 1.2 with authenticated encryption and forward secrecy (RFC 9325 §4.2); none of them is CBC."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate with its chain, and its key: paths of PEM files. `names` are those of SNI that choose it."""

    certificate: str
    key: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServerTls:
    """What a listener shows, and whom it asks for a certificate. `others` are chosen by SNI, else `pair` it is."""

    pair: Pair
    others: tuple[Pair, ...] = ()
    minimum_version: str = "TLSv1.2"
    ciphers: tuple[str, ...] = AEAD
    client_ca: str | None = None
    client_auth: str = "required"

    @property
    def files(self) -> tuple[str, ...]:
        """Every file that it is made of."""
        pairs = (self.pair, *self.others)
        paths = [path for pair in pairs for path in (pair.certificate, pair.key)]
        return tuple(dict.fromkeys((*paths, self.client_ca) if self.client_ca else paths))


@dataclass(frozen=True, slots=True)
class BackendTls:
    """How a service's backends are verified, and what we show them."""

    ca: str | None = None
    server_name: str | None = None
    verify: bool = True
    minimum_version: str = "TLSv1.2"
    ciphers: tuple[str, ...] = ()
    pair: Pair | None = None


def server_of(section: dict[str, Any]) -> ServerTls | None:
    """Return what a `tls` section (plain data) asks for, None if it names no certificate."""
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
    )


def backend_of(section: dict[str, Any]) -> BackendTls:
    """Return what a `backend_tls` section (plain data) asks for."""
    certificate = section["certificate"]
    return BackendTls(
        ca=section["ca"],
        server_name=section["server_name"],
        verify=section["verify"],
        minimum_version=section["minimum_version"],
        ciphers=tuple(section["ciphers"]),
        pair=Pair(certificate, section["key"] or certificate) if certificate is not None else None,
    )


def signature(files: Iterable[str]) -> tuple[object, ...]:
    """Return a value that changes when one of these files does; a missing file is a value, too."""
    return tuple(_signature(path) for path in files)


def _signature(path: str) -> object:
    try:
        found = os.stat(path)
    except OSError as error:
        return error.errno
    return found.st_ino, found.st_size, found.st_mtime_ns


# -- contexts
def server_context(tls: ServerTls) -> ssl.SSLContext:
    """Return the context of a listener; raise StartError (3) that names the file and the remedy."""
    pairs = (tls.pair, *tls.others)
    contexts = [_one_server(tls, pair) for pair in pairs]
    if tls.others:
        by_name = {plain(name): place for place, pair in enumerate(pairs) for name in pair.names}
        held = tuple(frozenset(map(plain, read(pair.certificate).names)) for pair in pairs)
        for place, context in enumerate(contexts):
            context.shown = Shown(held, by_name, place)
        others = dict(enumerate(contexts[1:], 1))  # without the first, which would hold itself
        contexts[0].sni_callback = lambda connection, name, _: _choose(connection, name, others, by_name)
    return contexts[0]


class ServerContext(ssl.SSLContext):
    """What a client is shown: `shown` says which certificate it is, None where the listener has only one."""

    shown: Shown | None = None


def _one_server(tls: ServerTls, pair: Pair) -> ServerContext:
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[tls.minimum_version]
    _restrict(context, tls.ciphers)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(_ALPN)
    _show(context, pair)
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
    """Take the certificate of this name, or of its wildcard one label up; a name that nobody has gets the first one."""
    place = choose(plain(name), by_name) if name else None
    if place is not None:
        connection.context = others[place]


def backend_context(tls: BackendTls) -> ssl.SSLContext:
    """Return the context towards a service's backends; raise StartError (3) that names the file and the remedy."""
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
        _show(context, tls.pair)
    return context


def _restrict(context: ssl.SSLContext, ciphers: tuple[str, ...]) -> None:
    """Allow these suites of TLS 1.2 alone; none given: OpenSSL's own choice."""
    if ciphers:
        try:
            context.set_ciphers(":".join(ciphers))
        except ssl.SSLError:
            raise _unusable(
                f"ciphers {', '.join(ciphers)}: this OpenSSL has none of them; `openssl ciphers -v` lists all"
            ) from None


def _show(context: ssl.SSLContext, pair: Pair) -> None:
    _readable(pair.certificate, "certificate")
    _readable(pair.key, "key")
    try:
        context.load_cert_chain(pair.certificate, pair.key, password=_refuse_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise _unusable(f"key {pair.key} does not belong to certificate {pair.certificate}: name its own") from None
        raise _unusable(
            f"certificate {pair.certificate} with key {pair.key}: {why(error)}; both have to be PEM, the certificate "
            "first, then its chain, and RSA keys of at least 2048 bits"
        ) from None
    except PermissionError:  # that of _refuse_password; the files can be read
        remedy = f"openssl pkey -in {pair.key} -out PLAIN_KEY takes its password off; keep that file at mode 600"
        raise _unusable(f"key {pair.key} is encrypted, and nobody is here to type its password: {remedy}") from None


def _refuse_password() -> str:
    """Exist: without it OpenSSL would ask the terminal."""
    raise PermissionError


def _trust(context: ssl.SSLContext, path: str, what: str) -> None:
    _readable(path, what)
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as error:
        raise _unusable(f"{what} {path}: {why(error)}; it has to hold certificates in PEM") from None


def complaints(tls: ServerTls, now_s: float) -> Iterator[str]:
    """Yield what is wrong with usable certificates: their dates, and names of SNI that they do not cover."""
    for pair in (tls.pair, *tls.others):
        certificate = read(pair.certificate)
        complaint = certificate.complaint(now_s)
        if complaint:
            yield complaint
        held = {name.lower() for name in certificate.names}
        for name in pair.names:
            if name.lower() not in held and "*." + name.lower().partition(".")[2] not in held:
                yield f"certificate {pair.certificate} does not hold the name {name}, only {', '.join(sorted(held)) or 'none'}"


def check(settings: dict[str, Any], now_s: float) -> list[str]:
    """Return what a person should know of the TLS of these settings (plain data); raise StartError (3) for files that
    cannot be used.
    """
    found: list[str] = []
    for section in (settings["tls"], settings["admin"]["tls"]):
        tls = server_of(section)
        if tls is not None:
            server_context(tls)
            found += complaints(tls, now_s)
    for name, service in sorted(settings["services"].items()):
        backend = backend_of(service["backend_tls"])
        if backend.ca is not None or backend.pair is not None:
            backend_context(backend)
        if backend.pair is not None and (complaint := read(backend.pair.certificate).complaint(now_s)):
            found.append(complaint)
        if not backend.verify:
            found.append(f"services.{name}.backend_tls.verify is false: whoever answers passes for its backend")
    return found


def shown(settings: dict[str, Any], now_s: float) -> Iterator[tuple[str, Certificate, int]]:
    """Yield (setting, certificate, whole days left) of each certificate that clients or backends are shown; raise
    StartError (3).
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
