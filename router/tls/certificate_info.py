"""The contents of certificate files: names and dates, with the warnings and errors about them.

Everything here reads files and therefore blocks. Call it at start, in a command, or in a thread.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from router.errors import StartError
from router.errors.codes import StartCode
from router.runtime.text.plurals import counted

EXPIRES_SOON_DAYS: Final = 14


def check_readable(path: str, setting: str) -> None:
    """Raise StartError that names the setting, the file and the remedy unless the file can be read."""
    try:
        with open(path, "rb") as file:
            file.read(1)
    except OSError as error:
        remedy = "give the user of the router the right to read it" if error.errno == 13 else "name one that exists"
        raise unusable(f"{setting} {path}: {error.strerror}; {remedy}") from None


def unusable(detail: str) -> StartError:
    """Return the error for a certificate, key or cipher list that cannot be used."""
    return StartError(StartCode.CERTIFICATE_UNUSABLE, detail)


def reason(error: BaseException) -> str:
    """Return the reason of a TLS failure in a few words: `certificate has expired`, `tlsv1 alert unknown ca`."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message.rstrip(".")
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    return str(error) or type(error).__name__


# -- contents of the files
@dataclass(frozen=True, slots=True)
class Certificate:
    """The first certificate of a file. `names` are its DNS names and addresses."""

    path: str
    names: tuple[str, ...]
    since: datetime
    until: datetime

    def days_left(self, now_s: float) -> int:
        """Return the whole days until it expires; below 0 it has expired."""
        return int((self.until.timestamp() - now_s) // 86_400)

    def warning(self, now_s: float) -> str | None:
        """Return the warning about its dates for the operator; None if there is none."""
        if now_s < self.since.timestamp():
            return f"certificate {self.path} is not valid before {self.since:%Y-%m-%d %H:%M} UTC"
        days = self.days_left(now_s)
        if days < 0:
            return f"certificate {self.path} has expired on {self.until:%Y-%m-%d %H:%M} UTC"
        if days < EXPIRES_SOON_DAYS:
            return f"certificate {self.path} expires on {self.until:%Y-%m-%d %H:%M} UTC, in {counted(days, 'day')}"
        return None


def read(path: str) -> Certificate:
    """Return the first certificate of a PEM file; raise StartError."""
    from cryptography import x509  # imported at the first use: it takes 70 ms and 18 MB, and workers do not need it

    check_readable(path, "certificate")
    try:
        with open(path, "rb") as file:
            found = x509.load_pem_x509_certificate(file.read())
    except ValueError as error:
        raise unusable(f"certificate {path} is not PEM: {error}") from None
    names: list[str] = []
    try:
        alternatives = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        pass
    else:
        names += alternatives.get_values_for_type(x509.DNSName)
        names += map(str, alternatives.get_values_for_type(x509.IPAddress))
    return Certificate(path, tuple(names), found.not_valid_before_utc, found.not_valid_after_utc)
