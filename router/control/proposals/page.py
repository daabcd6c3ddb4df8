"""The pages behind a link of a notification: the proposal with one button, and the result of the decision.

They have no script, no style and no external content: the admin's content security policy forbids all three. The form is sent
to the URL of the page. The page's referrer policy is `same-origin`, because with `no-referrer` browsers send `Origin: null`
(Fetch, "append a request Origin header"), which the access policy refuses.
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
    ("deny", "rollback"): "Deny: no rollback",
    ("deny", "promotion"): "Deny: no promotion",
}


def decision_page(proposal: Document, verb: str) -> web.Response:
    """Return the page with the proposal and the form that decides it. A GET of the page decides nothing."""
    rows = [
        ("service", proposal["service"]),
        ("version", proposal["version"]),
        ("active version", proposal["from"]),
        ("active after approval", proposal["to"]),
        ("reason", proposal["reason"]),
        ("requested by", proposal["opened_by"]),
        ("requested at", proposal["opened_at"]),
        ("expires at", proposal["expires_at"]),
        ("at expiry", "rollback" if proposal["at_expiry"] == "rollback" else "no change"),
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


def result_page(message: str, incident: str | None) -> web.Response:
    """Return the page with the result of the decision."""
    more = f"<p>Incident {escape(incident)}.</p>" if incident else ""
    return page(200, "Done", f"<p>{escape(message)}</p>{more}")


def _table(rows: Iterable[tuple[str, Any]]) -> str:
    cells = (f"<tr><th>{escape(str(name))}</th><td>{escape(_text(value))}</td></tr>" for name, value in rows)
    return f"<table>{''.join(cells)}</table>"


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {inner}" for name, inner in value.items())
    return "none" if value is None else str(value)
