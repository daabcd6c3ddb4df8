from __future__ import annotations

from router.rollout.facts.entry import Entry
from router.rollout.incidents.incident import INCIDENTS_MAX, incident_id, incidents_after, rollback_in
from router.rollout.model.route import first_generation
from tests import entry_types
from tests.rollout.playbook import SECOND, TRIGGER, Playbook


def test_an_incident_is_named_after_its_boot_and_route() -> None:
    assert incident_id("fraud", first_generation(3) + 17) == "fraud-3-17"


def test_an_automatic_rollback_as_a_timeline() -> None:
    playbook = Playbook().seed("v2", "v1")
    playbook.probe("v1", times=3)
    playbook.now_ns = 4 * SECOND
    playbook.verdict()
    assert playbook.registry.incidents == [
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
            "affected": None,
            "standby_size": None,
            "manual": False,
            "actor": "verdict",
            "proposal": None,
        }
    ]


def entry(kind: str, **data: object) -> Entry:
    result = {"from": "v2", "to": "v1", "reason": "", "automatic": True, "generation": 7, **data}
    return Entry.of(kind, "svc", "ann", result, 1.0, 1, 1, 1)


def test_what_opens_an_incident() -> None:
    for kind in (entry_types.ROLLED_BACK, entry_types.RECOVERED):
        fact = entry(kind, incident="i1").fact
        assert rollback_in(fact) is fact
    assert rollback_in(entry(entry_types.RECOVERED).fact) is None
    assert rollback_in(entry(entry_types.SWITCHED, incident=None).fact) is None
    assert rollback_in(entry(entry_types.INCIDENT_EDITED, incident="i1", edit="e1").fact) is None


def test_incidents_are_bounded_and_confirmed_by_their_route() -> None:
    incidents: list[dict[str, object]] = []
    for number in range(INCIDENTS_MAX + 5):
        incidents = incidents_after(incidents, entry(entry_types.ROLLED_BACK, incident=f"i{number}", generation=number))
    assert (len(incidents), incidents[0]["id"]) == (INCIDENTS_MAX, "i5")
    incidents = incidents_after(incidents, entry(entry_types.CONFIRMED, generation=9, swap_us=3, confirmed_ms=1.5))
    assert [(result["id"], result["swap_us"]) for result in incidents if result["confirmed_ms"]] == [("i9", 3)]
    assert incidents_after(incidents, entry(entry_types.FROZEN)) is incidents
