"""The types of journal entries. Each has a class of facts (rollout/facts)."""

from __future__ import annotations

from typing import Final

BOOT: Final = "boot"

SEEDED: Final = "seeded"

REGISTERED: Final = "version_registered"

DEPLOYED: Final = "version_deployed"

VERIFIED: Final = "version_verified"

IDENTIFIED: Final = "version_identified"

FAILED: Final = "version_failed"

PROMOTED: Final = "promoted"

SWITCHED: Final = "switched"

ROLLED_BACK: Final = "rolled_back"

CONFIRMED: Final = "confirmed"

INCIDENT_EDITED: Final = "incident_edited"

STANDBY_RESTORED: Final = "standby_restored"

RETIRED: Final = "retired"

DRAINED: Final = "drained"

DRAIN_CUT: Final = "drain_cut"

MOVED: Final = "endpoints_moved"

QUARANTINED: Final = "quarantined"

RELEASED: Final = "released"

QUARANTINE_RETURNED: Final = "quarantine_returned"

FROZEN: Final = "frozen"

UNFROZEN: Final = "unfrozen"

RECOVERED: Final = "recovered"

ABANDONED: Final = "abandoned"

DOUBT_DECIDED: Final = "doubt_decided"

ACCEPTED: Final = "accepted"

BASELINE: Final = "baseline"

NO_BETTER_TARGET: Final = "no_better_target"

SETTINGS_CHANGED: Final = "settings_changed"

SERVICE_ADDED: Final = "service_added"

SERVICE_REMOVED: Final = "service_removed"

IMPORTED: Final = "imported"

ALERT: Final = "alert"

INPUTS_LEARNED: Final = "inputs_learned"

INPUTS_FORGOTTEN: Final = "inputs_forgotten"

INPUT_DRIFT: Final = "input_drift"

DRILL_STARTED: Final = "drill_started"

DRILL_SWITCHED: Final = "drill_switched"

DRILL_ENDED: Final = "drill_ended"

DRILL_REFUSED: Final = "drill_refused"

CRITERION_ADDED: Final = "criterion_added"

CRITERION_SET: Final = "criterion_set"

CRITERION_REMOVED: Final = "criterion_removed"

PROPOSED: Final = "proposed"

EVIDENCE_ADDED: Final = "evidence_added"

APPROVED: Final = "approved"

DENIED: Final = "denied"

PROPOSAL_EXPIRED: Final = "proposal_expired"

WITHDRAWN: Final = "withdrawn"

DECISION_REFUSED: Final = "decision_refused"

MLFLOW_TOLD: Final = "mlflow_told"

MLFLOW_GIVEN_UP: Final = "mlflow_given_up"

CASES_FROZEN: Final = "cases_frozen"

CASES_CHECKED: Final = "cases_checked"

CASES_ADDED: Final = "cases_added"

CASES_REMOVED: Final = "cases_removed"


SWITCHES: Final = frozenset({PROMOTED, SWITCHED, ROLLED_BACK})
