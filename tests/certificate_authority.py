"""A certificate authority for tests, and the files of its certificates."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

from router.tls.contexts import Pair


class CertificateAuthority:
    """Issues certificates into files of `folder`."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder = folder
        self._issuer = trustme.CA()
        self.file = str(folder / f"{name}.pem")
        self._issuer.cert_pem.write_to_path(self.file)

    def pair(self, *names: str, file: str = "server", days: float = 30, rsa: bool = False) -> Pair:
        """Return a certificate for `names` that holds for `days` more (below 0: it has expired), written anew."""
        issued = self._issuer.issue_cert(
            *(names or ("localhost", "127.0.0.1")),
            not_after=datetime.now(UTC) + timedelta(days=days),
            key_type=trustme.KeyType.RSA if rsa else trustme.KeyType.ECDSA,
        )
        pair = Pair(str(self._folder / f"{file}.pem"), str(self._folder / f"{file}.key"))
        Path(pair.certificate).write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(pair.key)
        return pair

    def server(self, *names: str, days: float = 30) -> ssl.SSLContext:
        """Return the context of a server, as the standard library makes it."""
        pair = self.pair(*names, file="backend", days=days)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        return context

    def client(self, pair: Pair | None = None) -> ssl.SSLContext:
        """Return the context of a client that trusts this authority alone."""
        context = ssl.create_default_context(cafile=self.file)
        if pair is not None:
            context.load_cert_chain(pair.certificate, pair.key)
        return context
