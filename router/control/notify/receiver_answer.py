"""What the answer of a receiver means. Pure: status, fields and body in, a failure or None out.

Some receivers answer 200 and say in the body that they have delivered nothing. Slack's incoming webhooks answer `ok`, Rocket.Chat
`{"success":true}`, Slack's API `{"ok":true}`, PagerDuty 202 with `{"status":"success"}`; Teams' old webhooks answered 200 with a
sentence about a 429.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import orjson

from router.control.notify.retry_after import retry_after_s
from router.errors import RouterError
from router.rollout.text import shorten_line

SHOWN_CHARS_MAX: Final = 300
ANSWER_BYTES_MAX: Final = 4096
SECRET_CHARS_MIN: Final = 6
"""A shorter part of a URL is no secret, and without it an answer would be hard to read."""
_TOKEN: Final = re.compile(r"(?=.*[0-9A-Z%]).{8,}|.{16,}")
_ABOUT_THE_NOTIFICATION: Final = (400, 406, 413, 414, 415, 422, 431)
_SLACK_ERROR: Final = re.compile(r"[a-z]+(?:_[a-z0-9]+)+")
"""Slack's errors are words like `invalid_payload`; nothing that delivers answers so."""
_SLACK_ABOUT_PAYLOAD: Final = re.compile(r"payload|text|blocks|attachment|fallback")
_TEAMS_FAILED: Final = "webhook message delivery failed"


class DeliveryFailedError(RouterError):
    """One attempt failed. `refused`: the failure is about this notification; another one may be delivered.

    `retry_after_s`: the receiver wants no attempt before.
    """

    def __init__(self, detail: str, *, refused: bool = False, retry_after_s: float | None = None) -> None:
        super().__init__("delivery_failed", detail)
        self.refused = refused
        self.retry_after_s = retry_after_s


def failure(kind: str, status: int, fields: Mapping[str, str], raw: bytes, now_s: float) -> DeliveryFailedError | None:
    """Return the failure that an answer says; None if the notification is delivered. `now_s` is wall time."""
    text, document = raw.decode("utf-8", "replace").strip(), _document(raw)
    if 200 <= status < 300:
        why = _failed_in_body(kind, text, document)
        if why is None:
            return None
        refused = bool(_SLACK_ABOUT_PAYLOAD.search(why))
        wait_s = retry_after_s(429, fields, document, now_s)
        return DeliveryFailedError(f"the receiver answered {status}, but {why}", refused=refused, retry_after_s=wait_s)
    if status == 407:
        detail = "the proxy answered 407: set its user and password in `proxy`"
        return DeliveryFailedError(detail, retry_after_s=None)
    wait_s = retry_after_s(status, fields, document, now_s)
    detail = f"the receiver answered {described(status, text)}"
    if 300 <= status < 400:
        detail += ": redirects are not followed; set the URL to the address that it leads to"
    return DeliveryFailedError(detail, refused=status in _ABOUT_THE_NOTIFICATION, retry_after_s=wait_s)


def without_address(raw: bytes, url: str) -> bytes:
    """Return an answer without the parts of `url` that may be a secret: many servers repeat the path that they do not know.

    These are the path and what is in the query, user and password; of the path also each part that looks like a token.
    """
    parts = urlsplit(url)
    parameters = [value for pair in parts.query.split("&") for value in pair.split("=", 1)[-1:]]
    tokens = [part for part in parts.path.split("/") if _TOKEN.fullmatch(part)]
    secrets = [parts.path.strip("/"), parts.query, *parameters, *tokens, parts.username or "", parts.password or ""]
    spelled = {text for secret in secrets for text in (secret, unquote(secret)) if len(text) >= SECRET_CHARS_MIN}
    for text in sorted(spelled, key=len, reverse=True):
        raw = raw.replace(text.encode(), b"(hidden)")
    return raw


def described(status: int, text: str) -> str:
    """Return status and text of an answer as one printable line."""
    return f"{status} {shorten_line(text, SHOWN_CHARS_MAX)}".strip()


def _document(raw: bytes) -> dict[str, Any] | None:
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _failed_in_body(kind: str, text: str, document: dict[str, Any] | None) -> str | None:
    if document is not None:
        if document.get("ok") is False or document.get("success") is False or document.get("status") == "error":
            reason = document.get("error") or document.get("message") or text
            return f"failed: {shorten_line(str(reason), SHOWN_CHARS_MAX)}"
        return None
    if text.lower().startswith(_TEAMS_FAILED):
        return f"failed: {shorten_line(text, SHOWN_CHARS_MAX)}"
    if kind == "slack" and _SLACK_ERROR.fullmatch(text):
        return f"failed: {shorten_line(text, SHOWN_CHARS_MAX)}"
    if kind == "slack" and text[:15].lower().startswith(("<!doctype", "<html")):
        return "with a web page: this is no incoming webhook (a login page or a proxy?)"
    return None
