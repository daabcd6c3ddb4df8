"""An incident as plain data, from the entry of its rollback: trigger, reason, cost, times."""

from __future__ import annotations

from typing import Any, Final

from router.rollout.facts.entry import Entry
from router.rollout.facts.evidence_time import in_memory, seconds_before
from router.rollout.facts.fact import Fact
from router.rollout.facts.switches import Confirmed, Recovered, RolledBack
from router.rollout.model.route import BOOT_SHIFT

INCIDENTS_MAX: Final = 200
"""Incidents of one service that are kept."""


def incident_id(service: str, generation: int) -> str:
    """Return the id of the rollback that published `generation`; unique because a generation is."""
    return f"{service}-{generation >> BOOT_SHIFT}-{generation & (1 << BOOT_SHIFT) - 1}"


def incident(entry: Entry, rollback: RolledBack | Recovered) -> dict[str, Any]:
    """Return the incident of an entry whose fact is `rollback`.

    `started_at` (wall seconds) is the first fault of the evidence, `evidence_since_s_before` its seconds before the decision,
    `detection_at` the decision. `affected` are the distinct requests and clients that failed, `standby_size` the good
    endpoints of the standby and all of them; entries of older releases have neither. `swap_us` and `confirmed_ms` are set by the
    entry `confirmed`.
    """
    trigger, evidence, proposal = None, {}, None
    if isinstance(rollback, RolledBack):
        trigger, evidence, proposal = rollback.trigger, rollback.evidence or {}, rollback.proposal
    before_s = seconds_before(trigger)
    return {
        "id": rollback.incident,
        "service": entry.service,
        "from": rollback.left,
        "to": rollback.to,
        "trigger": in_memory(trigger, entry.monotonic_ns),
        "reason": rollback.reason,
        "started_at": entry.at - before_s if before_s is not None else None,
        "evidence_since_s_before": before_s,
        "detection_at": entry.at,
        "swap_us": None,
        "confirmed_ms": None,
        "generation": rollback.generation,
        "requests": evidence.get("requests"),
        "errors": evidence.get("errors"),
        "rescued": evidence.get("rescued"),
        "affected": evidence.get("affected"),
        "standby_size": evidence.get("standby_size"),
        "manual": not rollback.automatic,
        "actor": entry.actor,
        "proposal": proposal,
    }


def rollback_in(fact: Fact) -> RolledBack | Recovered | None:
    """Return `fact` if it opens an incident: a rollback, or one recovered from shared memory; else None."""
    return fact if isinstance(fact, RolledBack | Recovered) and fact.incident else None


def incidents_after(incidents: list[dict[str, Any]], entry: Entry) -> list[dict[str, Any]]:
    """Return the incidents of a service after `entry`, oldest first; at most INCIDENTS_MAX."""
    fact = entry.fact
    if (rollback := rollback_in(fact)) is not None:
        return [*incidents, incident(entry, rollback)][-INCIDENTS_MAX:]
    if isinstance(fact, Confirmed):
        return [confirmed(known, fact) if known["generation"] == fact.generation else known for known in incidents]
    return incidents


def confirmed(known: dict[str, Any], fact: Confirmed) -> dict[str, Any]:
    """Return an incident, or a switch, with the times of its confirmation."""
    return {**known, "swap_us": fact.swap_us, "confirmed_ms": fact.confirmed_ms}
