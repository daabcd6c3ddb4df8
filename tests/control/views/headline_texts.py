"""The words of every state of a service, by the name of the state in test_headline.py: line and lead."""

from __future__ import annotations

from typing import Final

WORDS: Final[dict[str, tuple[str, str]]] = {
    "no active": (
        "No active version",
        "Every request is answered 503. Deploy a version and promote it.",
    ),
    "nothing useful": (
        "Nothing useful for 8 s",
        "v2 was asked 1714 times since and gave nothing useful; 424 requests wait. If this goes on, the "
        "router goes back to v1 in 2 s.",
    ),
    "nothing useful, one waits": (
        "Nothing useful for 8 s",
        "v2 was asked 3 times since and gave nothing useful; 1 request waits.",
    ),
    "nothing useful, no way back": (
        "Nothing useful for 8 s",
        "v2 was asked 1714 times since and gave nothing useful; 424 requests wait, and there is no way back: "
        "there is no standby.",
    ),
    "nothing useful, frozen": (
        "Nothing useful for 8 s",
        "v2 was asked 1714 times since and gave nothing useful; 424 requests wait. The router does not go "
        "back by itself: frozen by ann.",
    ),
    "held": (
        "v2 fails, and cannot be rolled back",
        "14 faults in 15 requests. Held: there is no standby.",
    ),
    "near": (
        "v2 may be failing",
        "25 % failed. It acts after 3.0 s more of this.",
    ),
    "recent faults": (
        "v2 may be failing",
        "9 faults in 9 requests.",
    ),
    "rolled back": (
        "Rolled back to v1",
        "40 s ago, by itself: 276 of 300 requests failed. v1 has served well since, but there is no way back "
        "until another version stands by.",
    ),
    "rolled back by an operator": (
        "Rolled back to v1",
        "40 s ago, by jonas: wrong scores. v1 serves since, but there is no way back until another version stands by.",
    ),
    "rolled back, seen to": (
        "Serving v1, no way back",
        "v1 does well, but a rollback is impossible now: there is no standby.",
    ),
    "no way back": (
        "Serving v2, no way back",
        "v2 does well, but a rollback is impossible now: the last probes of v1 failed: refused.",
    ),
    "proposal": (
        "Serving v2, on probation",
        "alertmanager asks whether to go back to v1: approvals are low.",
    ),
    "proposal of a promotion": (
        "Serving v2",
        "alertmanager asks to promote v3: approvals are low.",
    ),
    "observed": (
        "v2 fails, and the router only observes",
        "25 % failed. The rule only observes, so nothing is rolled back.",
    ),
    "frozen": (
        "Serving v2, automation frozen",
        "jonas froze it 2 h ago: migration. Nothing is rolled back by itself.",
    ),
    "frozen without a reason": (
        "Serving v2, automation frozen",
        "jonas froze it 2 d ago. Nothing is rolled back by itself.",
    ),
    "drill": (
        "Drill: on v2 for 7 s more",
        "Then home to v1.",
    ),
    "probation": (
        "Serving v2, on probation",
        "4:12 left. It does well so far. v1 is warm.",
    ),
    "probation, few requests": (
        "Serving v2, on probation",
        "Its time is over. 12 of 500 requests so far. v1 is warm.",
    ),
    "idle": (
        "v2 is active, no requests come",
        "The last request was 2 min ago. v1 is warm, so a rollback is possible at any moment.",
    ),
    "idle since the start": (
        "v2 is active, no requests come",
        "No request has come yet. There is no standby.",
    ),
    "well": (
        "Serving v2",
        "All is well. v1 is warm, so a rollback is possible at any moment.",
    ),
    "too few to tell": (
        "Serving v2",
        "Too few requests for a verdict on v2. v1 is warm, so a rollback is possible at any moment.",
    ),
}
