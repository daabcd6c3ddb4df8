from __future__ import annotations

from router.rollout.incident import incident_id
from router.rollout.route import first_generation
from tests.rollout.playbook import SECOND, TRIGGER, Play


def test_an_incident_is_named_after_its_boot_and_route() -> None:
    assert incident_id("fraud", first_generation(3) + 17) == "fraud-3-17"


def test_an_automatic_rollback_retold() -> None:
    play = Play().seed("v2", "v1")
    play.probe("v1", times=3)
    play.now_ns = 4 * SECOND
    play.verdict()
    assert play.registry.incidents == [
        {
            "id": "svc-1-2",
            "service": "svc",
            "from": "v2",
            "to": "v1",
            "trigger": TRIGGER,
            "reason": "10 of 10 failed",
            "started_at": 1.0,
            "evidence_since_s_before": 3.0,
            "detection_at": 4.0,
            "swap_us": None,
            "confirmed_ms": None,
            "generation": first_generation(1) + 2,
            "requests": None,
            "errors": None,
            "rescued": None,
            "manual": False,
            "actor": "verdict",
            "proposal": None,
        }
    ]
