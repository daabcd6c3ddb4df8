"""An incident as plain data, from the entry of its rollback: trigger, reason, cost, times."""

from __future__ import annotations

from typing import Any, Final

from router.rollout.model import entry as entry_types
from router.rollout.model.entry import Entry
from router.rollout.model.route import BOOT_SHIFT

INCIDENTS_MAX: Final = 200
"""Incidents of one service that are kept."""


def incident_id(service: str, generation: int) -> str:
    """Return the id of the rollback that published `generation`; unique because a generation is."""
    return f"{service}-{generation >> BOOT_SHIFT}-{generation & (1 << BOOT_SHIFT) - 1}"


def incident(entry: Entry) -> dict[str, Any]:
    """Return the incident of a `rolled_back` entry.

    `started_at` (wall seconds) is the first fault of the evidence, `evidence_since_s_before` its seconds before the decision,
    `detection_at` the decision. `affected` are the distinct requests and clients that failed, `standby_size` the good
    endpoints of the standby and all of them; entries of older releases have neither. `swap_us` and `confirmed_ms` are set by the
    entry `confirmed`.
    """
    data = entry.data
    trigger = data.get("trigger")
    since_ns = trigger.get("evidence_since_ns") if trigger else None
    before_s = max(0.0, (entry.monotonic_ns - since_ns) / 1e9) if since_ns else None
    evidence = data.get("evidence") or {}
    return {
        "id": data["incident"],
        "service": entry.service,
        "from": data["from"],
        "to": data["to"],
        "trigger": trigger,
        "reason": data["reason"],
        "started_at": entry.at - before_s if before_s is not None else None,
        "evidence_since_s_before": before_s,
        "detection_at": entry.at,
        "swap_us": None,
        "confirmed_ms": None,
        "generation": data["generation"],
        "requests": evidence.get("requests"),
        "errors": evidence.get("errors"),
        "rescued": evidence.get("rescued"),
        "affected": evidence.get("affected"),
        "standby_size": evidence.get("standby_size"),
        "manual": not data["automatic"],
        "actor": entry.actor,
        "proposal": data.get("proposal"),
    }


def opens(entry: Entry) -> bool:
    """Return whether `entry` opens an incident: a rollback, or one recovered from shared memory."""
    return entry.type in (entry_types.ROLLED_BACK, entry_types.RECOVERED) and bool(entry.data.get("incident"))


def incidents_after(incidents: list[dict[str, Any]], entry: Entry) -> list[dict[str, Any]]:
    """Return the incidents of a service after `entry`, oldest first; at most INCIDENTS_MAX."""
    if opens(entry):
        return [*incidents, incident(entry)][-INCIDENTS_MAX:]
    if entry.type == entry_types.CONFIRMED:
        generation = entry.data["generation"]
        return [
            confirmed(incident, entry) if incident["generation"] == generation else incident for incident in incidents
        ]
    return incidents


def confirmed(incident: dict[str, Any], entry: Entry) -> dict[str, Any]:
    """Return the incident with the times of its `confirmed` entry."""
    return {**incident, "swap_us": entry.data["swap_us"], "confirmed_ms": entry.data["confirmed_ms"]}
