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
from router.rollout.text import shorten_line
from router.runtime.text import secret_text
from router.settings.sections.alerts import AlertSettings

SECRET_BYTES_MIN: Final = 16
SECRET_BYTES_MAX: Final = 4096
SIGNED: Final = "signed"
"""The name of a sender that is known by its signature alone."""
_GRAFANA_DEFAULT: Final = "X-Grafana-Alerting-Signature"
_GRAFANA_OTHER: Final = "X-Grafana-Alert-Signature"
"""The name in the code of Grafana's notifier; its manual has the other one."""
_AHEAD_S_MAX: Final = 1e9
"""A time in milliseconds is 50,000 years ahead."""


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
        signed = settings.hmac_secret_file is not None and self._given(fields) is not None
        if settings.signature_required and not signed:
            raise Refusal(RefusalCode.SIGNATURE_MISSING, f"sign the request ({settings.signature_header})")
        scheme, _, token = fields.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token:
            digest = hashlib.sha256(_raw(token.strip())).hexdigest()
            matches = [known for known in settings.tokens if hmac.compare_digest(known.sha256, digest)]
            if not matches:
                raise Refusal(RefusalCode.TOKEN_INVALID, "this token is not one of alerts.tokens")
            return matches[0].name
        if not signed:
            raise Refusal(
                RefusalCode.TOKEN_MISSING, "send Authorization: Bearer TOKEN with one of alerts.tokens, or a signature"
            )
        return None

    def signature(self, fields: Mapping[str, str]) -> Signature | None:
        """Return the signature of a request; None if it has none, or no secret is configured. Call this before reading the body.

        Raise Refusal if the secret is not known: the request may be repeated.
        """
        given = self._given(fields)
        if self._settings.hmac_secret_file is None or given is None:
            return None
        if self._secret is None:
            raise Refusal(
                RefusalCode.SIGNATURE_UNVERIFIABLE,
                f"{self.error}: the signature cannot be verified; send it again later",
            )
        return Signature(self._settings, self._secret, given, fields.get(self._settings.timestamp_header, "").strip())

    def _given(self, fields: Mapping[str, str]) -> str | None:
        """Return the field with the signature. Releases of Grafana differ in its name if none is filled in."""
        name = self._settings.signature_header
        found = fields.get(name)
        return fields.get(_GRAFANA_OTHER) if found is None and name == _GRAFANA_DEFAULT else found


class Signature:
    """The signature of one request: `update` takes each chunk of the body, then `verify` decides."""

    def __init__(self, settings: AlertSettings, secret: bytes, given: str, stamp: str) -> None:
        self._settings = settings
        self._given = _raw(given.strip().removeprefix("sha256=").lower())
        self._stamp = stamp
        self._with_time = hmac.new(secret, _raw(stamp) + b":", hashlib.sha256)
        self._body_alone = hmac.new(secret, b"", hashlib.sha256)

    def update(self, chunk: bytes) -> None:
        """Take the next bytes of the body."""
        self._with_time.update(chunk)
        self._body_alone.update(chunk)

    def verify(self, now_s: float) -> None:
        """Raise Refusal if the signature is wrong or too old."""
        stamp, field = self._stamp, self._settings.timestamp_header
        if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 15):
            fits = self._fits(self._body_alone.hexdigest())
            problem = f"is {shorten_line(stamp, 40)!r}" if stamp else "is missing"
            other = "" if fits else "; the secret, or the body on its way, differs as well"
            detail = (
                f"the field {field} {problem}: it is the time in seconds since 1970, a part of what is signed. In Grafana, fill "
                f'in {field} as "Timestamp Header" of the contact point (section "HMAC Signature"){other}'
            )
            raise Refusal(RefusalCode.SIGNATURE_TIME_MISSING, detail)
        if not self._fits(self._with_time.hexdigest()):
            raise Refusal(RefusalCode.SIGNATURE_INVALID, self._misfit())
        self._check_age(now_s - int(stamp))

    def _fits(self, expected: str) -> bool:
        return hmac.compare_digest(expected.encode(), self._given)

    def _misfit(self) -> str:
        if self._fits(self._body_alone.hexdigest()):
            return "the body alone is signed: sign TIMESTAMP:BODY, with the text of the time field before the colon"
        return (
            "the signature does not fit: it is HMAC-SHA256 of TIMESTAMP:BODY in hex. Either the sender has another secret than "
            "alerts.hmac_secret_file (which is read at the start and at SIGHUP), or a proxy has changed the body"
        )

    def _check_age(self, age_s: float) -> None:
        limit = self._settings.signature_age_max_s
        if abs(age_s) <= limit:
            return
        rule = f"alerts.signature_age_max_s = {limit:g}"
        if age_s > 0:
            detail = f"it was signed {age_s:.0f} s ago ({rule}): it was held back or replayed, or the sender's clock is behind"
        elif -age_s > _AHEAD_S_MAX:
            detail = f"its time is far in the future ({rule}): give seconds since 1970, not milliseconds"
        else:
            detail = f"it was signed {-age_s:.0f} s in the future ({rule}): set the clocks of both machines"
        raise Refusal(RefusalCode.SIGNATURE_STALE, detail)


def read_secret(path: str) -> bytes:
    """Return the secret in a file (runtime/text/secret_text.py); raise OSError, or ValueError if it is unusable or too short."""
    found = secret_text.from_file(path, source="it", bytes_max=SECRET_BYTES_MAX, ascii_only=False).encode()
    if len(found) < SECRET_BYTES_MIN:
        raise ValueError(f"holds {len(found)} bytes, a secret has {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX}")
    return found


def _raw(text: str) -> bytes:
    """Return the bytes of a field's value. Those that are no UTF-8 are halves of surrogate pairs in its text."""
    return text.encode(errors="surrogateescape")


def _reason(error: Exception) -> str:
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error)
