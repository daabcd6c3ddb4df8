"""Whole pages, so that a change of one shows here."""

from __future__ import annotations

from typing import Any

from router.control.admin import refusals
from router.control.proposals import page as proposal_page
from tests.hostile_text import HOSTILE, found_in

PROPOSAL: dict[str, Any] = {
    "id": "svc-rollback-1", "service": "svc", "kind": "rollback", "state": "open", "version": "v2", "from": "v2", "to": "v1",
    "reason": "late & later", "opened_by": "verdict", "opened_at": "12:00", "expires_at": "12:30", "at_expiry": "rollback",
    "evidence": [
        {"cause": "latency", "trigger": {"reason": "late & later", "value": 0.5, "limit": 0.05, "samples": 90},
         "alert": {"summary": "<churn>"}, "impact": {"errors": {"timed_out": 3}}, "now": "pass"},
    ],
}  # fmt: skip


def test_the_question() -> None:
    page = proposal_page.decision_page(PROPOSAL, "approve")
    assert (page.status, page.content_type, page.headers["Referrer-Policy"]) == (200, "text/html", "same-origin")
    assert page.text == (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="robots" content="noindex">'
        "<title>Proposal svc-rollback-1: rollback</title></head>\n<body><h1>Proposal svc-rollback-1: rollback</h1>\n"
        "<table><tr><th>service</th><td>svc</td></tr><tr><th>version</th><td>v2</td></tr>"
        "<tr><th>active version</th><td>v2</td></tr><tr><th>active after approval</th><td>v1</td></tr>"
        "<tr><th>reason</th><td>late &amp; later</td></tr><tr><th>requested by</th><td>verdict</td></tr>"
        "<tr><th>requested at</th><td>12:00</td></tr><tr><th>expires at</th><td>12:30</td></tr>"
        "<tr><th>at expiry</th><td>rollback</td></tr>"
        "<tr><th>evidence: latency</th><td>late &amp; later (value 0.5, limit 0.05, samples 90)</td></tr>"
        "<tr><th>alert: summary</th><td>&lt;churn&gt;</td></tr><tr><th>so far: errors</th><td>timed_out 3</td></tr>"
        "<tr><th>now: latency</th><td>pass</td></tr></table>"
        '<form method="post"><p><label>Your name, for the journal: '
        '<input name="actor" required maxlength="64" autocomplete="name"></label></p>'
        '<p><label>Why: <input name="reason" maxlength="500"></label></p>'
        "<p><button>Approve: roll back now</button></p></form>\n</body></html>\n"
    )


def test_each_button_says_what_it_does() -> None:
    promotion = {**PROPOSAL, "kind": "promotion", "at_expiry": "hold", "evidence": []}
    for document, verb, button in (
        (PROPOSAL, "deny", "Deny: no rollback"),
        (promotion, "approve", "Approve: promote now"),
        (promotion, "deny", "Deny: no promotion"),
    ):
        assert f"<button>{button}</button>" in str(proposal_page.decision_page(document, verb).text)


def test_what_came_of_it() -> None:
    assert "<p>it is &lt;done&gt;</p><p>Incident a&amp;b.</p>" in str(
        proposal_page.result_page("it is <done>", "a&b").text
    )
    assert "<p>done</p>\n</body>" in str(proposal_page.result_page("done", None).text)
    page = refusals.refused(410, "too <late>")
    assert (page.status, "<p>too &lt;late&gt;</p>" in str(page.text)) == (410, True)


def test_no_page_holds_what_is_not_printable() -> None:
    evidence = [
        {
            "cause": HOSTILE,
            "trigger": {"reason": HOSTILE},
            "alert": {"summary": HOSTILE, HOSTILE: HOSTILE},
            "now": HOSTILE,
        }
    ]
    hostile = PROPOSAL | {"reason": HOSTILE, "opened_by": HOSTILE, "version": HOSTILE, "evidence": evidence}
    pages = [
        proposal_page.decision_page(hostile, "approve"),
        proposal_page.result_page(HOSTILE, HOSTILE),
        refusals.refused(404, HOSTILE),
    ]
    assert [found_in(page.text or "") for page in pages] == [[], [], []]
