from __future__ import annotations

import json
from typing import Any

from router.cli.client import actor
from tests.cli.conftest import Command
from tests.cli.fake_admin import FakeAdmin
from tests.texts import golden

WAITING: dict[str, Any] = {
    "id": "svc-rollback-1", "service": "svc", "kind": "rollback", "state": "open", "version": "v2", "from": "v2", "to": "v1",
    "reason": "late", "expires_at": "12:30", "at_expiry": "hold", "decided_by": None,
    "evidence": [{
        "cause": "business:a1", "trigger": {"value": 1.0, "limit": 0.0, "samples": 1, "reason": "refunds"},
        "alert": {"name": "Refunds", "summary": "40 % up"},
        "impact": {"requests": 43, "seconds": 1.2, "errors": {"server_error": 2}, "rescued": 0}, "now": "fail",
    }, {"cause": "latency", "trigger": {"reason": "late"}}],
}  # fmt: skip
ANSWER: dict[str, Any] = {
    "changed": True, "confirmed": True, "generation": 7, "swap_us": 0, "message": "svc-rollback-1 is denied", "awaits": None,
}  # fmt: skip
PATH = "/v1/proposals/svc-rollback-1"


def test_what_waits_is_listed(command: Command) -> None:
    with FakeAdmin().answer("GET", "/v1/proposals?state=pending", {"proposals": [WAITING]}) as admin:
        assert command("proposals", "--admin", admin.url) == (
            0,
            golden("cli.proposals"),
            "",
        )
        assert json.loads(command("proposals", "--json", "--admin", admin.url)[1]) == {"proposals": [WAITING]}


def test_the_listing_can_be_narrowed_or_widened(command: Command) -> None:
    answers = FakeAdmin().answer("GET", "/v1/proposals?service=svc", {"proposals": []})
    with answers.answer("GET", "/v1/proposals", {"proposals": []}) as admin:
        assert command("proposals", "--all", "--service", "svc", "--admin", admin.url)[:2] == (
            0,
            golden("cli.no_proposal"),
        )
        assert command("proposals", "--all", "--admin", admin.url)[0] == 0


def test_one_in_full(command: Command) -> None:
    with FakeAdmin().answer("GET", PATH, WAITING) as admin:
        code, out, _ = command("proposals", "svc-rollback-1", "--admin", admin.url)
        assert (code, out.splitlines()[0].split()) == (0, ["fact", "value"])
        assert [line.partition("  ")[2].strip() for line in out.splitlines() if line.startswith("evidence")] == [
            golden("cli.proposal_evidence"),
            "alert Refunds: 40 % up",
            golden("cli.proposal_impact"),
            "latency: late; now: unknown",
        ]
        assert "decided_by" not in out
        assert json.loads(command("proposals", "svc-rollback-1", "--json", "--admin", admin.url)[1]) == WAITING


def test_approving_and_denying(command: Command) -> None:
    answers = FakeAdmin().answer("POST", f"{PATH}/approve", ANSWER).answer("POST", f"{PATH}/deny?dry_run=true", ANSWER)
    with answers as admin:
        code, out, _ = command("approve", "svc-rollback-1", "-m", "yes", "--override", "it leaks", "--admin", admin.url)
        assert (code, out) == (0, "svc-rollback-1 is denied\n")
        assert command("deny", "svc-rollback-1", "--dry-run", "--admin", admin.url)[0] == 0
        override = {"actor": actor(), "reason": "it leaks"}
        assert [asked[2] for asked in admin.received] == [
            {"actor": actor(), "reason": "yes", "override": override},
            {"actor": actor(), "reason": ""},
        ]


def test_a_refusal_says_what_to_type(command: Command) -> None:
    with FakeAdmin().problem("POST", f"{PATH}/approve", 410, "proposal_expired", "too late") as admin:
        code, _, error = command("approve", "svc-rollback-1", "--admin", admin.url)
    assert (code, error.splitlines()[0]) == (9, "rollback-router: too late")
    assert error.splitlines()[1].startswith("next: rollback-router rollback")


def test_a_promotion_that_waits_is_not_true_yet(command: Command) -> None:
    message = golden("proposal.waits", proposal="svc-promotion-1")
    answer = ANSWER | {"awaits": "svc-promotion-1", "message": message}
    with FakeAdmin().answer("POST", "/v1/services/svc/promote", answer, status=202) as admin:
        code, out, _ = command("promote", "v3", "--service", "svc", "--admin", admin.url)
    assert (code, out) == (1, f"{message}\n" + golden("cli.awaits", proposal="svc-promotion-1"))
