"""TLS of the works k to m: one certificate for all peers, and the question to a peer which suite and group it uses."""

from __future__ import annotations

import http.client
import re
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.program import BenchmarkError, installed

SUITE: Final = "TLS_AES_256_GCM_SHA384"
GROUP: Final = "X25519"
TIMEOUT_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM files: the certificate, its key, and both in one file (HAProxy)."""

    certificate: Path
    key: Path
    both: Path


@dataclass(frozen=True, slots=True)
class Agreement:
    """What a peer and a client that offers everything agreed on; `tickets` came until the answer had ended."""

    suite: str
    group: str
    signature: str
    tickets: int


def make_certificate(folder: Path) -> Certificate:
    """Write a self-signed ECDSA P-256 certificate for 127.0.0.1 into `folder`."""
    made = Certificate(folder / "certificate.pem", folder / "key.pem", folder / "both.pem")
    command = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]
    command += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    done = _openssl([*command, "-keyout", str(made.key), "-out", str(made.certificate)], b"")
    if done.returncode:
        raise BenchmarkError(f"openssl made no certificate: {done.stderr.decode(errors='replace')[-500:]}")
    made.both.write_bytes(made.certificate.read_bytes() + made.key.read_bytes())
    made.both.chmod(0o600)
    return made


def ask(peer: str, port: int) -> Agreement:
    """Return what `peer` agrees on; raise unless it is SUITE, GROUP and ECDSA, so that all peers do the same work."""
    request = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode()
    # -servername would be an IP address, which SNI does not allow.
    words = ["s_client", "-brief", "-msg", "-ign_eof", "-noservername", "-connect", f"127.0.0.1:{port}"]
    done = _openssl(words, request)
    told = (done.stdout + done.stderr).decode(errors="replace")
    found = parse(told)
    if (found.suite, found.group, found.signature) != (SUITE, GROUP, "ECDSA"):
        raise BenchmarkError(f"{peer} agrees on {found}, not on {SUITE}, {GROUP}, ECDSA:\n{told[-500:]}")
    return found


def parse(told: str) -> Agreement:
    """Read what `openssl s_client -brief -msg` printed; what it does not say is empty."""
    return Agreement(
        _said(r"Ciphersuite: (\S+)", told),
        # OpenSSL 3.0 says "Server Temp Key", 3.2 "Peer Temp Key" or "Negotiated TLS1.3 group".
        _said(r"(?:(?:Server|Peer) Temp Key|Negotiated TLS1\.3 group): ([^,\s]+)", told),
        # OpenSSL 3.5 names the scheme (ecdsa_secp256r1_sha256) where older ones name the algorithm.
        _said(r"Signature type: ([A-Za-z]+)", told).upper(),
        len(re.findall(r"^<<<.*NewSessionTicket", told, re.MULTILINE)),
    )


def connection(port: int, tls: bool, timeout_s: float) -> http.client.HTTPConnection:
    """Return a client of 127.0.0.1:port. The certificate is the benchmark's own, so it is not verified."""
    if not tls:
        return http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    return http.client.HTTPSConnection("127.0.0.1", port, timeout=timeout_s, context=client_context())


def client_context() -> ssl.SSLContext:
    """Return a client's context for TLS 1.3 that verifies nothing and resumes no session."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def _said(pattern: str, told: str) -> str:
    found = re.search(pattern, told)
    return found.group(1) if found else ""


def _openssl(words: list[str], given: bytes) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            [installed("openssl"), *words], input=given, capture_output=True, check=False, timeout=TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"openssl {words[0]} did not end in {TIMEOUT_S:g} s") from None
