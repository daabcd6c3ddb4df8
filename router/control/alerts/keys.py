"""Authenticates senders of alerts: by a token that has no other right, or by a signature over time and body.

Until a token or a secret is configured, every alert is refused.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.runtime.text import secret_text
from router.settings.sections.alerts import AlertSettings

SECRET_BYTES_MIN: Final = 16
SECRET_BYTES_MAX: Final = 4096
SIGNED: Final = "signed"
"""The name of a sender that is known by its signature alone."""


class HookKeys:
    """The tokens and the secret of one state of the settings. `error`: why the secret cannot be used.

    `load` reads the secret from a file. It may hang with its disk, so call it in a thread.
    """

    def __init__(self, settings: AlertSettings) -> None:
        self._settings = settings
        self._secret: bytes | None = None
        path = settings.hmac_secret_file
        self.error: str | None = None if path is None else f"alerts.hmac_secret_file {path} is being read"

    def load(self) -> None:
        """Read the secret, if one is configured. Afterwards `error` is None, or the reason why it cannot be used."""
        path = self._settings.hmac_secret_file
        if path is None:
            return
        try:
            self._secret = read_secret(path)
            self.error = None
        except (OSError, ValueError) as error:
            self.error = f"alerts.hmac_secret_file {path}: {_reason(error)}"

    def sender(self, fields: Mapping[str, str]) -> str | None:
        """Return the name of the request's token; None if it has only a signature. Call this before reading the body.

        Raise Refusal if neither tokens nor a secret are configured, and without a valid token or a signature.
        """
        settings = self._settings
        if not settings.open:
            raise Refusal(
                RefusalCode.HOOKS_CLOSED,
                "no sender of alerts is configured: set alerts.tokens or alerts.hmac_secret_file",
            )
        signed = settings.hmac_secret_file is not None and settings.signature_header in fields
        if settings.signature_required and not signed:
            raise Refusal(RefusalCode.SIGNATURE_MISSING, f"sign the request ({settings.signature_header})")
        scheme, _, token = fields.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token:
            digest = hashlib.sha256(token.strip().encode(errors="surrogateescape")).hexdigest()
            matches = [known for known in settings.tokens if hmac.compare_digest(known.sha256, digest)]
            if not matches:
                raise Refusal(RefusalCode.TOKEN_INVALID, "this token is not one of alerts.tokens")
            return matches[0].name
        if not signed:
            raise Refusal(
                RefusalCode.TOKEN_MISSING, "send Authorization: Bearer TOKEN with one of alerts.tokens, or a signature"
            )
        return None

    def verify(self, fields: Mapping[str, str], body: bytes, now_s: float) -> bool:
        """Return whether the request is signed; raise Refusal if its signature is wrong or too old."""
        settings = self._settings
        given = fields.get(settings.signature_header)
        if settings.hmac_secret_file is None or given is None:
            return False
        if self._secret is None:
            raise Refusal(RefusalCode.SIGNATURE_UNVERIFIABLE, "the secret cannot be read; see the alarm")
        stamp = fields.get(settings.timestamp_header, "")
        if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 15):
            detail = (
                f"{settings.timestamp_header} should be the time in seconds since 1970, which is part of what is signed"
            )
            raise Refusal(RefusalCode.SIGNATURE_TIME_MISSING, detail)
        expected = hmac.new(self._secret, stamp.encode() + b":" + body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected.encode(), given.strip().removeprefix("sha256=").encode()):
            detail = "the signature does not fit: it is HMAC-SHA256 of TIMESTAMP:BODY with the shared secret, in hex"
            raise Refusal(RefusalCode.SIGNATURE_INVALID, detail)
        age_s = abs(now_s - int(stamp))
        if age_s > settings.signature_age_max_s:
            detail = (
                f"it was signed {age_s:.0f} s from now (alerts.signature_age_max_s = {settings.signature_age_max_s:g})"
            )
            raise Refusal(RefusalCode.SIGNATURE_STALE, detail)
        return True


def read_secret(path: str) -> bytes:
    """Return the secret in a file (runtime/text/secret_text.py); raise OSError, or ValueError if it is unusable or too short."""
    found = secret_text.from_file(path, source="it", bytes_max=SECRET_BYTES_MAX, ascii_only=False).encode()
    if len(found) < SECRET_BYTES_MIN:
        raise ValueError(f"holds {len(found)} bytes, a secret has {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX}")
    return found


def _reason(error: Exception) -> str:
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error)
