"""What the router writes: for each type of fact the members in JSON, in every form that its writers know."""

from __future__ import annotations

from typing import Any, Final

from router.rollout.facts.known import FACTS

TRIGGER: Final = {"kind": "error_rate", "detail": "", "reason": "30 of 100", "value": 0.3, "evidence_since_s": 4.25}
_PLACED: Final = {"version": "v2", "endpoints": ["http://a:1", "http://b:1"]}
_ROUTE: Final = {"generation": 16777219, "base": 16777218}
_SWITCH: Final = {**_ROUTE, "from": "v1", "to": "v2", "states": {"v2": "active", "v1": "standby"}, "reason": "weekly"}
_OVERRIDE: Final = {"override": {"actor": "ann", "reason": "it is known"}, "release": []}
_PLAN: Final = {"drill": "d-1", "mode": "real", "by": "operator", "reason": "", "from": "v1", "to": "v2", "hold_s": 10}
_CRITERION: Final = {"metric": "late_share", "limit": 0.02, "origin": "ann", "reason": "sla"}
_PROPOSAL: Final = {"proposal": "svc-rollback-1", "kind": "rollback", "version": "v2"}
_ITEM: Final = {"cause": "latency", "trigger": TRIGGER, "alert": None, "impact": None}

EXAMPLES: Final[dict[str, list[dict[str, Any]]]] = {
    "boot": [{"boot": 4}],
    "settings_changed": [{"version": 3}],
    "service_added": [{}],
    "service_removed": [{}],
    "drained": [{"states": {"v1": "retired"}, "freed": ["v1"], "after_s": 0.25}, {"states": {}, "after_s": 3}],
    "drain_cut": [{"version": "v1", "after_s": 300.5}],
    "abandoned": [{"abandons": 17}],
    "doubt_decided": [{"change": 9, "type": "switched", "by": "ann", "outcome": "completed"}],
    "imported": [{"copy": "/state/journal.jsonl", "entries": 12}],
    "seeded": [{**_ROUTE, "states": {"v2": "active"}, "target": {**_PLACED, "rewrite": {"host": "model:80"}}}],
    "version_registered": [
        {"states": {"v2": "registered"}, "target": _PLACED, "artifact": "s3://m/2", "source": "models:/m/2"},
        {"target": _PLACED, "artifact": "s3://m/2"},
    ],
    "version_deployed": [
        {**_ROUTE, "states": {"v2": "verifying", "v3": "draining"}, "target": _PLACED, "replaced": "v3"},
        {**_ROUTE, "states": {"v2": "verifying"}, "target": _PLACED, **_OVERRIDE, "lifted_for_s": {"v2": 60}},
    ],
    "version_verified": [
        {"states": {"v2": "ready"}, "good_probes": 5},
        {
            "states": {"v2": "ready"},
            "good_probes": 5,
            "identity": {"v2": {"probe": "GET /", "status": 2, "models": ["m"], "certificate": []}},
        },
    ],
    "version_identified": [
        {"version": "v2", "identity": {"v2": {"probe": "GET /", "status": 2, "models": [], "certificate": ["a"]}}}
    ],
    "version_failed": [{**_ROUTE, "states": {"v2": "failed"}, "reason": "not ready after 60 s"}],
    "retired": [
        {"states": {"v2": "retired"}, "reason": "retired"},
        {**_ROUTE, "states": {"v2": "draining"}, "reason": "retired", "cut": False},
        {"version": "v2", "cut": True, "reason": "retired with cut"},
    ],
    "endpoints_moved": [
        {"from": ["http://c:1"], "target": {**_PLACED, "rewrite": {}}},
        {**_ROUTE, "states": {}, "from": ["http://c:1"], "target": _PLACED},
    ],
    "quarantined": [
        {"quarantine": {"v2": {"reason": "bias", "incident": None}}, "reason": "bias"},
        {
            **_ROUTE,
            "states": {"v2": "draining"},
            "quarantine": {"v2": {"reason": "bias", "incident": None}},
            "reason": "bias",
        },
    ],
    "released": [
        {"release": ["v2"], "reason": "sound"},
        {"release": ["v2"], "reason": "a try", "lifted_for_s": {"v2": 60.5}},
    ],
    "quarantine_returned": [
        {"quarantine": {"v2": {"reason": "bias", "incident": None, "actor": "ann", "at": 5.5}}, "reason": "it is over"}
    ],
    "accepted": [{"version": "v2", "baseline": {"rate": 0.001}}],
    "baseline": [{"version": "v2", "baseline": {"rate": 0.001}}],
    "promoted": [_SWITCH, {**_SWITCH, "from": None, "proposal": "svc-promotion-1"}, {**_SWITCH, **_OVERRIDE}],
    "switched": [_SWITCH],
    "rolled_back": [
        {
            **_SWITCH,
            "incident": "svc-1-3",
            "automatic": True,
            "trigger": TRIGGER,
            "evidence": {"requests": 100},
            "unreachable": False,
            "quarantine": {"v1": {"reason": "weekly", "incident": "svc-1-3"}},
            "bounded": ["v1"],
        },
        {
            **_SWITCH,
            "incident": "svc-1-3",
            "automatic": False,
            "trigger": None,
            "evidence": None,
            "unreachable": True,
            "proposal": "svc-rollback-1",
        },
    ],
    "recovered": [
        {**_ROUTE, "forced": True, "states": {"v2": "active"}, "automatic_left": True, "target": _PLACED},
        {
            **_ROUTE,
            "forced": True,
            "states": {"v2": "active"},
            "automatic_left": False,
            "incident": "svc-1-3",
            "from": "v1",
            "to": "v2",
            "reason": "control died",
            "automatic": True,
            "quarantine": {"v1": {"reason": "control died", "incident": "svc-1-3"}},
            "bounded": ["v1"],
        },
        {**_ROUTE, "forced": True, "states": {"v2": "active"}, "release": [], "reason": "assumed"},
    ],
    "standby_restored": [{**_ROUTE, "states": {"v1": "standby"}, "good_probes": 30}],
    "confirmed": [
        {
            "generation": 16777219,
            "swap_us": 41,
            "confirmed_ms": 1.5,
            "workers_unconfirmed": [],
            "workers_ms": [[0, 0.5], [1, 1.5]],
        },
        {
            "generation": 16777219,
            "swap_us": 41,
            "confirmed_ms": None,
            "workers_unconfirmed": [1],
            "workers_ms": [[0, 1]],
        },
    ],
    "no_better_target": [{"active": "v2", "obstacles": ["there is no standby"], "trigger": TRIGGER}],
    "frozen": [{"reason": ""}, {"reason": "migration"}],
    "unfrozen": [{"reason": ""}],
    "criterion_added": [_CRITERION],
    "criterion_set": [{**_CRITERION, "limit": 1}],
    "criterion_removed": [_CRITERION],
    "alert": [
        {
            "fingerprint": "f1",
            "status": "firing",
            "starts_at": 5.5,
            "kind": "quality",
            "version": None,
            "name": "Drift",
            "summary": "",
            "labels": {"severity": "high"},
            "fate": "counts",
            "detail": "it counts against v2",
            "about": "v2",
        }
    ],
    "inputs_learned": [{"reference": {"version": "v2", "samples": 500}}],
    "inputs_forgotten": [{"reason": "new clients"}],
    "input_drift": [
        {
            "state": "began",
            "version": "v2",
            "action": "observe",
            "reason": "amount is missing",
            "field": "amount",
            "what": "missing",
            "share": 0.5,
            "limit": 0.1,
            "usual": 0.0,
            "samples": 900,
        },
        {"state": "over", "version": "v2"},
    ],
    "drill_started": [_PLAN, {**_PLAN, "mode": "shadow", "hold_s": 2.5}],
    "drill_switched": [{**_SWITCH, "drill": "d-1", "home": False, "reason": ""}],
    "drill_ended": [
        {
            **_PLAN,
            "gate_ms": None,
            "swaps": [{"home": False, "generation": 5, "swap_us": None}],
            "away_s": 10.1,
            "before": {"requests": 5},
            "during": None,
            "clients": None,
            "result": "passed",
            "reasons": [],
        },
        {**_PLAN, "probe_ms": 1.5, "workers_behind": [], "journal_ms": 3.1, "result": "refused", "reasons": ["frozen"]},
    ],
    "drill_refused": [{**_PLAN, "result": "refused", "reasons": ["it is frozen"], "codes": ["frozen"]}],
    "proposed": [
        {
            **_PROPOSAL,
            "number": 1,
            "from": "v2",
            "to": None,
            "reason": "slow",
            "expire_after_s": 1800.0,
            "at_expiry": "hold",
            "evidence": _ITEM,
        },
        {
            **_PROPOSAL,
            "kind": "promotion",
            "number": 2,
            "from": None,
            "to": "v2",
            "reason": "",
            "expire_after_s": 60,
            "at_expiry": "hold",
            "verb": "promoted",
        },
    ],
    "evidence_added": [{"proposal": "svc-rollback-1", "version": "v2", "evidence": _ITEM}],
    "approved": [
        {**_PROPOSAL, **_ROUTE, "states": {}, "reason": "yes"},
        {**_PROPOSAL, **_ROUTE, "states": {}, "reason": "", "override": {"actor": "ann", "reason": "known"}},
    ],
    "denied": [{**_PROPOSAL, "reason": "no", "repeat_after_s": 3600.0, "causes": ["latency"]}],
    "proposal_expired": [
        {**_PROPOSAL, "default": "hold", "repeat_after_s": 60.0},
        {**_PROPOSAL, "default": "rollback"},
    ],
    "withdrawn": [{**_PROPOSAL, "reason": "v2 is no longer active"}],
    "decision_refused": [{"proposal": "svc-rollback-1", "verb": "approve", "code": "four_eyes", "reason": "another"}],
    "cases_frozen": [
        {
            "incident": "svc-1-3",
            "version": "v2",
            "seen": 3,
            "cases": ["a", "b"],
            "dropped": 0,
            "refused": 1,
            "left_out": {"too large": 1},
            "window_s": 300.0,
            "until_s": 0.2,
            "late": 1,
        },
        {"incident": "svc-1-3", "version": "v2", "seen": 0, "cases": [], "dropped": 0, "refused": 0},
    ],
    "cases_checked": [
        {
            "version": "v2",
            "deployment": 16777220,
            "revision": "r1",
            "cases": 2,
            "passed": 1,
            "failed": 1,
            "failing": ["a"],
        }
    ],
    "cases_added": [{"added": ["a"], "known": [], "dropped": []}],
    "cases_removed": [{"count": 1, "cases": ["a"], "why": "removed"}, {"count": 3, "why": "expired"}],
    "incident_edited": [
        {"incident": "svc-1-3", "revision": 1, "edit": "e1", "set": {"owner": None}, "comment": "hm"},
        {
            "incident": "svc-1-3",
            "revision": 2,
            "edit": "e2",
            "add_actions": [{"id": "a1", "what": "a test"}],
            "change_actions": [{"id": "a1", "state": "done"}],
        },
    ],
    "mlflow_told": [{"version": "v2", "token": "1-5", "model": "models:/m/2", "tags": {"a": "b"}, "alias": "moved"}],
    "mlflow_given_up": [{"version": "v2", "token": "1-5", "model": "models:/m/2", "reason": "gone", "after_s": 5.5}],
}
ALL: Final = [(kind, data) for kind, examples in EXAMPLES.items() for data in examples]
assert EXAMPLES.keys() == FACTS.keys()
