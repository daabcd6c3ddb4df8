"""Encodes a notification for each kind of receiver. All encoding is here, so one table of tests covers it."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

from router import __version__
from router.rollout.notifications.notification import Notification
from router.runtime import clock
from router.runtime.printable import printable
from router.runtime.printable_json import json_bytes

TYPE_PREFIX: Final = "dev.rollback-router."
USER_AGENT: Final = f"rollback-router/{__version__}"
_COLOURS: Final = {"critical": "#d32f2f", "warning": "#f9a825", "info": "#2e7d32"}
_STANDARD_PREFIX: Final = "whsec_"
SECRET_BYTES_MIN: Final = 16
Links = Mapping[str, str]


def cloud_event(notification: Notification, source: str, links: Links) -> bytes:
    """Return the notification as a CloudEvent (1.0, structured mode)."""
    facts = {label.lower().replace(" ", "_"): text for label, text in notification.facts}
    event = {
        "specversion": "1.0",
        "id": notification.id,
        "source": source,
        "type": TYPE_PREFIX + notification.topic,
        "time": clock.iso(notification.at),
        "datacontenttype": "application/json",
        **({"subject": notification.service} if notification.service else {}),
        "data": {
            "service": notification.service or None,
            "title": notification.title,
            "severity": notification.severity,
            **notification.data,
            "facts": facts,
            "links": dict(links),
        },
    }
    return json_bytes(event)


def webhook_fields(notification: Notification, body: bytes, secret: bytes | None, now_s: float) -> dict[str, str]:
    """Return the header fields of a webhook: id and time, and with a secret the signature (Standard Webhooks 1.0, v1)."""
    stamp = str(int(now_s))
    fields = {
        "Content-Type": "application/cloudevents+json; charset=utf-8",
        "User-Agent": USER_AGENT,
        "webhook-id": notification.id,
        "webhook-timestamp": stamp,
    }
    if secret is not None:
        mac = hmac.new(secret, f"{notification.id}.{stamp}.".encode() + body, hashlib.sha256).digest()
        fields["webhook-signature"] = "v1," + base64.b64encode(mac).decode()
    return fields


def signing_secret(text: str) -> bytes:
    """Return the key in a secret file: `whsec_` and base64, or the text itself; raise ValueError if it is too short."""
    text = text.strip()
    if text.startswith(_STANDARD_PREFIX):
        try:
            key = base64.b64decode(text.removeprefix(_STANDARD_PREFIX), validate=True)
        except ValueError:
            raise ValueError(f"behind {_STANDARD_PREFIX} there is no base64") from None
    else:
        key = text.encode()
    if len(key) < SECRET_BYTES_MIN:
        raise ValueError(f"the secret has {len(key)} bytes, it needs {SECRET_BYTES_MIN}")
    return key


def slack(notification: Notification, links: Links) -> bytes:
    """Return the notification for an incoming webhook of Slack, or of a compatible receiver (Mattermost, Rocket.Chat)."""
    fields = [
        {"title": _escaped(label), "value": _escaped(text), "short": len(text) < 40}
        for label, text in notification.facts
    ]
    message = {
        "text": f"*{_escaped(notification.title)}*",
        "attachments": [
            {
                "color": _COLOURS[notification.severity],
                "fallback": _escaped(notification.title),
                "fields": fields,
                "text": " · ".join(f"<{url}|{_escaped(name)}>" for name, url in links.items()),
                "footer": f"rollback-router · {notification.id}",
                "ts": int(notification.at),
            }
        ],
    }
    return json_bytes(message)


def _escaped(text: str) -> str:
    """Escape &, < and >, which are Slack's markup: a text of an alert must not become a link or a mention."""
    return printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def plain(notification: Notification, links: Links) -> str:
    """Return the body of the notification as plain text, without its title."""
    lines = [f"{label}: {text}" for label, text in notification.facts]
    lines += [*(f"{name}: {url}" for name, url in links.items()), f"Id: {notification.id}"]
    return "\n".join(map(printable, lines))
