"""What a person sees who follows a link of a notification: the proposal and one button, or why there is nothing to press.

No script, no style, nothing from elsewhere: the content security policy of the admin allows none of it. The form is sent to
the very address of the page. For that the page's referrer policy is `same-origin`: under `no-referrer` browsers send
`Origin: null` (Fetch, "append a request Origin header"), which the guard refuses.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Any, Final

from aiohttp import web

from router.control.verbs import Document
from router.rollout.stats.figures import told
from router.runtime.printable import printable

_FIELDS: Final = {"Referrer-Policy": "same-origin"}
_BUTTONS: Final = {
    ("approve", "rollback"): "Approve: roll back now",
    ("approve", "promotion"): "Approve: promote now",
    ("deny", "rollback"): "Deny: leave it as it is",
    ("deny", "promotion"): "Deny: do not promote",
}


def question(proposal: Document, verb: str) -> web.Response:
    """Return the page that asks for a name and a press of the button; looking at it decides nothing."""
    rows = [
        ("service", proposal["service"]),
        ("version", proposal["version"]),
        ("active when it was asked", proposal["from"]),
        ("would be active", proposal["to"]),
        ("because", proposal["reason"]),
        ("asked by", proposal["opened_by"]),
        ("asked at", proposal["opened_at"]),
        ("expires at", proposal["expires_at"]),
        ("then", "it is rolled back" if proposal["at_expiry"] == "rollback" else "nothing is done"),
    ]
    rows += [row for item in proposal["evidence"] for row in _evidence(item)]
    button = _BUTTONS[verb, proposal["kind"]]
    form = (
        '<form method="post"><p><label>Your name, for the journal: '
        '<input name="actor" required maxlength="64" autocomplete="name"></label></p>'
        '<p><label>Why: <input name="reason" maxlength="500"></label></p>'
        f"<p><button>{escape(button)}</button></p></form>"
    )
    return _page(200, f"Proposal {proposal['id']}: {proposal['kind']}", _table(rows) + form)


def _evidence(item: Document) -> Iterable[tuple[str, object]]:
    trigger: Document = item.get("trigger") or {}
    known = [
        f"{name} {told(trigger, name)}" for name in ("value", "limit", "baseline") if trigger.get(name) is not None
    ]
    known += [f"samples {trigger['samples']}"] if trigger.get("samples") is not None else []
    yield f"evidence: {item['cause']}", (trigger.get("reason") or "") + (f" ({', '.join(known)})" if known else "")
    for name, value in (item.get("alert") or {}).items():
        yield f"alert: {name}", value
    for name, value in (item.get("impact") or {}).items():
        yield f"so far: {name}", value
    if item.get("now"):
        yield f"now: {item['cause']}", item["now"]


def done(message: str, incident: str | None) -> web.Response:
    """Return the page that says what came of the press."""
    more = f"<p>Incident {escape(incident)}.</p>" if incident else ""
    return _page(200, "Done", f"<p>{escape(message)}</p>{more}")


def refused(status: int, detail: str) -> web.Response:
    """Return the page that says why there is nothing to decide here."""
    return _page(status, "Not done", f"<p>{escape(detail)}</p>")


def _table(rows: Iterable[tuple[str, Any]]) -> str:
    cells = (f"<tr><th>{escape(str(name))}</th><td>{escape(_text(value))}</td></tr>" for name, value in rows)
    return f"<table>{''.join(cells)}</table>"


def escape(text: str) -> str:
    """Return `text` as HTML that shows it."""
    return html.escape(printable(text))


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {inner}" for name, inner in value.items())
    return "none" if value is None else str(value)


def _page(status: int, title: str, body: str) -> web.Response:
    text = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="robots" content="noindex">'
        f"<title>{escape(title)}</title></head>\n<body><h1>{escape(title)}</h1>\n{body}\n</body></html>\n"
    )
    return web.Response(status=status, text=text, content_type="text/html", headers=_FIELDS)
