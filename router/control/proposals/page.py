"""What a person sees who follows a link of a notification: the proposal and one button, or why there is nothing to press.

No script, no style, nothing from elsewhere: the content security policy of the admin allows none of it. The form is sent to
the very address of the page. For that the page's referrer policy is `same-origin`: under `no-referrer` browsers send
`Origin: null` (Fetch, "append a request Origin header"), which the guard refuses.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from aiohttp import web

from router.control.addon import Document
from router.control.admin.refusals import escape, page
from router.rollout.stats.figures import format_value

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
    return page(200, f"Proposal {proposal['id']}: {proposal['kind']}", _table(rows) + form)


def _evidence(item: Document) -> Iterable[tuple[str, object]]:
    trigger: Document = item.get("trigger") or {}
    known = [
        f"{name} {format_value(trigger, name)}"
        for name in ("value", "limit", "baseline")
        if trigger.get(name) is not None
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
    return page(200, "Done", f"<p>{escape(message)}</p>{more}")


def _table(rows: Iterable[tuple[str, Any]]) -> str:
    cells = (f"<tr><th>{escape(str(name))}</th><td>{escape(_text(value))}</td></tr>" for name, value in rows)
    return f"<table>{''.join(cells)}</table>"


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {inner}" for name, inner in value.items())
    return "none" if value is None else str(value)
