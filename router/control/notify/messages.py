"""A notice as each kind of receiver wants it. Bytes are made here and nowhere else, so a table of tests covers them whole."""

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


def cloud_event(notice: Notification, source: str, links: Links) -> bytes:
    """Return the notice as a CloudEvent (1.0, structured mode)."""
    facts = {label.lower().replace(" ", "_"): text for label, text in notice.facts}
    event = {
        "specversion": "1.0",
        "id": notice.id,
        "source": source,
        "type": TYPE_PREFIX + notice.topic,
        "time": clock.iso(notice.at),
        "datacontenttype": "application/json",
        **({"subject": notice.service} if notice.service else {}),
        "data": {
            "service": notice.service or None,
            "title": notice.title,
            "severity": notice.severity,
            **notice.data,
            "facts": facts,
            "links": dict(links),
        },
    }
    return json_bytes(event)


def webhook_fields(notice: Notification, body: bytes, secret: bytes | None, now_s: float) -> dict[str, str]:
    """Return the header fields of a webhook: id and time, and with a secret the signature (Standard Webhooks 1.0, v1)."""
    stamp = str(int(now_s))
    fields = {
        "Content-Type": "application/cloudevents+json; charset=utf-8",
        "User-Agent": USER_AGENT,
        "webhook-id": notice.id,
        "webhook-timestamp": stamp,
    }
    if secret is not None:
        mac = hmac.new(secret, f"{notice.id}.{stamp}.".encode() + body, hashlib.sha256).digest()
        fields["webhook-signature"] = "v1," + base64.b64encode(mac).decode()
    return fields


def signing_secret(text: str) -> bytes:
    """Return the key that a secret file holds: `whsec_` and base64, or the text itself; raise ValueError if it is too short."""
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


def slack(notice: Notification, links: Links) -> bytes:
    """Return the notice for an incoming webhook of Slack, or of what is compatible with it (Mattermost, Rocket.Chat)."""
    fields = [
        {"title": _escaped(label), "value": _escaped(text), "short": len(text) < 40} for label, text in notice.facts
    ]
    message = {
        "text": f"*{_escaped(notice.title)}*",
        "attachments": [
            {
                "color": _COLOURS[notice.severity],
                "fallback": _escaped(notice.title),
                "fields": fields,
                "text": " · ".join(f"<{url}|{_escaped(name)}>" for name, url in links.items()),
                "footer": f"rollback-router · {notice.id}",
                "ts": int(notice.at),
            }
        ],
    }
    return json_bytes(message)


def _escaped(text: str) -> str:
    """Slack reads &, < and > as markup; nothing that came in with an alert may become a link or a mention."""
    return printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def plain(notice: Notification, links: Links) -> str:
    """Return the body of the notice as plain text; its title goes beside it."""
    lines = [f"{label}: {text}" for label, text in notice.facts]
    lines += [*(f"{name}: {url}" for name, url in links.items()), f"Id: {notice.id}"]
    return "\n".join(map(printable, lines))
