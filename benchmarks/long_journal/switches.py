"""Versions come and go: deploy, verify, promote, roll back, drain, retire, move."""

from __future__ import annotations

from typing import Any

from benchmarks.long_journal.history import ROLES, WAITING, History, Version


class Switches(History):
    """The acts that change the state of a version."""

    def _registers(self) -> None:
        version = self._new()
        more = {"artifact": f"s3://models/{version.name}"} if self._chance(0.5) else {}
        states = {version.name: "registered"}
        self._emit("version_registered", "ci", states=states, target=self._target(version), **more)

    def _deploys(self) -> None:
        known = [v for v in self._recent() if v.state not in ROLES and v.name not in self._lifted]
        version = self._pick(known) if known and self._chance(0.3) else None
        if (version is None or version.slot is None) and len(
            self._states(*WAITING, "active", "draining", "failed")
        ) > 30:
            return
        slot = self._free() if version is None or version.slot is None else version.slot
        if slot is None:
            return
        data: dict[str, Any] = {"generation": self._generation + 1}
        if version is None:
            version = self._new()
            if self._chance(0.2):
                data["source"] = f"models:/fraud/{version.name}"
        if version.slot is None:
            version.slot, version.incarnation = slot, self._incarnations[slot]
        more = {"rewrite": {"host": f"{version.name}.example"}} if self._chance(0.1) else {}
        data["target"] = self._target(version, **more)
        states = {version.name: "verifying"}
        replaced = self._one("verifying", "ready")
        if replaced is not None:
            states[replaced.name] = "draining"
            data["replaced"] = replaced.name
        if version.name in self._blocked:
            data |= {"override": {"actor": "ann", "reason": "to compare it"}, "release": [version.name]}
            self._unblock(version.name, data)
        self._emit("version_deployed", "ci", states=states, **data)
        self._enter(**states)

    def _unblock(self, name: str, data: dict[str, Any]) -> None:
        mark = self._blocked.pop(name)
        if self._chance(0.4):
            data["lifted_for_s"] = {name: 3600.0}
            self._lifted[name] = {"actor": "ann", "at": self._at, **mark}

    def _verifies(self) -> None:
        if (version := self._one("verifying")) is None:
            return
        probe = {"probe": "GET /health", "status": 2, "models": [], "certificate": []}
        identity = {"identity": {version.name: probe}} if self._chance(0.8) else {}
        self._emit("version_verified", "control", states={version.name: "ready"}, good_probes=5, **identity)
        self._enter(**{version.name: "ready"})

    def _fails(self) -> None:
        if (version := self._one("verifying")) is None:
            return
        states = {version.name: "failed"}
        reason = "not ready after 900 s: connection refused"
        self._emit("version_failed", "control", generation=self._generation + 1, states=states, reason=reason)
        self._enter(**states)

    def _identifies(self) -> None:
        if (version := self._one("active", "standby")) is not None:
            probe = {"probe": "GET /ready", "status": 2, "models": ["fraud"], "certificate": []}
            self._emit("version_identified", "control", version=version.name, identity={version.name: probe})

    def _promotes(self) -> None:
        found = [v for v in self._states("ready", "standby", "unreachable") if v.name not in self._blocked]
        ready = [version for version in found if version.state == "ready"]
        if found and self._drill is None:
            chosen = ready[0] if ready and self._chance(0.8) else self._pick(found)
            self._forward(chosen, self._pick(["promoted", "switched"]), "bob", reason="the weekly release")

    def _forward(self, named: Version, kind: str, actor: str, /, **more: Any) -> None:
        left = self._one("active")
        states = {named.name: "active"}
        if left is not None:
            states[left.name] = "standby"
        if named.state != "standby":
            for other in self._states("standby", "unreachable"):
                states.setdefault(other.name, "draining")
        data = {"from": left.name if left else None, "to": named.name, **more}
        self._emit(kind, actor, generation=self._generation + 1, states=states, **data)
        self._enter(**states)
        self._automatic_left = True
        self._confirms()

    def _confirms(self) -> None:
        if self._chance(0.9):
            times = {"swap_us": 900, "confirmed_ms": 1.5, "workers_ms": [[0, 1.0]], "workers_unconfirmed": []}
            self._emit("confirmed", "control", generation=self._generation, **times)

    def _rolls_back(self) -> None:
        if self._drill is None:
            self._back(automatic=self._automatic_left and self._chance(0.6))

    def _back(self, *, automatic: bool, proposal: str | None = None) -> bool:
        left, standby = self._one("active"), self._one("standby")
        if left is None or standby is None or standby.name in self._blocked:
            return False
        away = automatic and proposal is None and self._chance(0.4)
        incident = f"{self._service}-{self._boot}-{(self._generation + 1) & 0xFFFFFF}"
        reason = "10 of 10 requests failed"
        trigger = self._trigger("hard_failure", "errors", reason, 3.0)
        evidence = {"requests": 40, "errors": {"server_error": 40}, "rescued": 4, "seconds": 2.3}
        data: dict[str, Any] = {"from": left.name, "to": standby.name, "reason": reason, "incident": incident}
        data |= {"automatic": automatic, "unreachable": away, "trigger": trigger if automatic else None}
        data |= {"evidence": evidence if automatic else None}
        data |= {"proposal": proposal} if proposal else {}
        states = {standby.name: "active", left.name: "unreachable" if away else "draining"}
        if not away:
            mark = {"reason": reason, "incident": incident}
            data |= {"quarantine": {left.name: mark}, "bounded": [left.name]}
            self._blocked[left.name] = mark
            self._lifted.pop(left.name, None)
        for other in self._states("unreachable") if away else ():
            states[other.name] = "draining"
        self._emit(
            "rolled_back", "verdict" if automatic else "ann", generation=self._generation + 1, states=states, **data
        )
        self._enter(**states)
        left.bounded = not away
        self._automatic_left = self._automatic_left and not automatic
        self._incidents.append(incident)
        self._after(left, incident)
        return True

    def _after(self, left: Version, incident: str) -> None:
        self._confirms()
        if self._chance(0.5):
            limit = round(0.01 + self._random.random() / 10, 4)
            self._emit(
                "criterion_added", "control", metric="fault_share", limit=limit, origin=incident, reason="rolled back"
            )
            self._criteria["fault_share"] = min(limit, self._criteria.get("fault_share", 1.0))
        if self._chance(0.5):
            data = {"incident": incident, "version": left.name, "cases": ["59076d2655d0"], "seen": 45, "refused": 0}
            self._emit("cases_frozen", "control", until_ns=self._ns, window_s=300.0, dropped=0, left_out={}, **data)

    def _restores(self) -> None:
        version = self._one("unreachable")
        if version is not None and not self._states("standby") and version.name not in self._blocked:
            states = {version.name: "standby"}
            self._emit("standby_restored", "control", generation=self._generation + 1, states=states, good_probes=30)
            self._enter(**states)

    def _drains(self) -> None:
        for version in [v for v in self._states("draining", "failed") if v.slot is not None][:2]:
            states = {version.name: "retired"} if version.state == "draining" else {}
            self._emit("drained", "control", states=states, freed=[version.name], after_s=0.108)
            self._enter(**states)
            version.slot = None

    def _cuts(self) -> None:
        for version in [v for v in self._states("draining") if v.bounded][:1]:
            self._emit("drain_cut", "control", version=version.name, after_s=300.1)

    def _retires(self) -> None:
        known = [v for v in self._recent() if v.state in (WAITING | {"registered"})]
        if not known or self._drill is not None:
            return
        version = self._pick(known)
        self._out(version, "retired", "ann", reason="retired", cut=self._chance(0.3))

    def _out(self, version: Version, kind: str, actor: str, /, **data: Any) -> None:
        states = {version.name: "retired" if version.state == "registered" else "draining"}
        more = {"generation": self._generation + 1} if version.state in ROLES else {}
        self._emit(kind, actor, states=states, **more, **data)
        self._enter(**states)

    def _moves(self) -> None:
        known = [v for v in self._recent() if v.state != "retired"]
        if not known:
            return
        version = self._pick(known)
        before = list(version.endpoints)
        version.endpoints = [f"{self._endpoint}{int(self._random.random() * 10)}"]
        more = {"rewrite": {"host": "moved.example", "path_prefix": "/v2"}} if self._chance(0.3) else {}
        data: dict[str, Any] = {"from": before, "target": self._target(version, **more)}
        if version.slot is not None:
            data |= {"generation": self._generation + 1, "states": {}}
        self._emit("endpoints_moved", "bob", **data)
