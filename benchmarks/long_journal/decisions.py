"""What operators decide: marks, freezes, criteria, drills, proposals; and what is only told."""

from __future__ import annotations

from typing import Any

from benchmarks.long_journal.history import WAITING
from benchmarks.long_journal.switches import Switches


class Decisions(Switches):
    """The acts of operators and their tools."""

    # -- marks
    def _quarantines(self) -> None:
        known = [
            v
            for v in self._recent()
            if v.state != "active" and v.name not in self._blocked.keys() | self._lifted.keys()
        ]
        if not known or self._drill is not None:
            return
        version = self._pick(known)
        mark = {"reason": "trained on leaked labels", "incident": None}
        self._blocked[version.name] = mark
        data = {"quarantine": {version.name: mark}, "reason": mark["reason"]}
        if version.state in WAITING:
            self._out(version, "quarantined", "ann", **data)
        else:
            self._emit("quarantined", "ann", **data)

    def _releases(self) -> None:
        if not self._blocked:
            return
        name = self._pick(list(self._blocked))
        data: dict[str, Any] = {"release": [name], "reason": "the labels were sound"}
        self._unblock(name, data)
        self._emit("released", "bob", **data)

    def _returns(self) -> None:
        if not self._lifted or self._drill is not None:
            return
        name = self._pick(list(self._lifted))
        mark = self._blocked[name] = self._lifted.pop(name)
        data = {"quarantine": {name: mark}, "reason": "the time for which its quarantine was lifted is over"}
        version = self._versions[name]
        if version.state in WAITING:
            self._out(version, "quarantine_returned", "control", **data)
        else:
            self._emit("quarantine_returned", "control", **data)

    def _freezes(self) -> None:
        self._frozen = not self._frozen
        kind, reason = ("frozen", "a migration") if self._frozen else ("unfrozen", "it is over")
        self._emit(kind, "bob", reason=reason)

    def _accepts(self) -> None:
        if (version := self._one("active")) is None:
            return
        kind = "baseline" if version.accepted else "accepted"
        baseline: dict[str, Any] = {"requests": 500 + len(self.lines), "rate": 0.01, "faults": 5.0}
        baseline |= {"lower": 0.0, "upper": 0.02, "first_byte": {}, "first_useful": {}, "duration": {}, "abandoned": {}}
        baseline["work"] = {}
        self._emit(kind, "control", version=version.name, baseline=baseline)
        version.accepted = True

    def _criterion(self) -> None:
        if self._criteria and self._chance(0.4):
            metric = self._pick(list(self._criteria))
            self._emit(
                "criterion_removed", "ann", metric=metric, limit=self._criteria.pop(metric), origin="ann", reason="over"
            )
        else:
            metric, limit = self._pick(["fault_share", "late_share"]), round(self._random.random(), 4)
            self._criteria[metric] = limit
            self._emit("criterion_set", "ann", metric=metric, limit=limit, origin="ann", reason="agreed")

    # -- drills
    def _drills(self) -> None:
        active, standby = self._one("active"), self._one("standby")
        self._numbers["drill"] += 1
        name = f"{self._service}-drill-{self._numbers['drill']}"
        if active is None or standby is None or self._drill is not None or standby.name in self._blocked:
            self._emit("drill_refused", "schedule", drill=name, by="schedule", mode="real", reasons=["no standby"])
            return
        plan = {"drill": name, "mode": "real", "from": active.name, "to": standby.name, "hold_s": 10.0}
        plan |= {"by": "operator", "reason": ""}
        if self._chance(0.3):
            plan["mode"] = "shadow"
            self._emit("drill_started", "ann", **plan)
            self._emit("drill_ended", "control", **plan, result="passed", reasons=[], journal_ms=2.1)
            return
        self._drill, self._away = plan, False
        self._emit("drill_started", "ann", **plan)
        if self._chance(0.9):
            self._swaps(home=False)

    def _swaps(self, *, home: bool, reason: str = "") -> None:
        active, standby = self._one("active"), self._one("standby")
        assert active is not None
        assert standby is not None
        assert self._drill is not None
        states = {standby.name: "active", active.name: "standby"}
        data = {"from": active.name, "to": standby.name, "drill": self._drill["drill"], "home": home, "reason": reason}
        self._emit("drill_switched", "drill", generation=self._generation + 1, states=states, **data)
        self._enter(**states)
        self._away = not home
        self._confirms()

    def _ends_drill(self) -> None:
        if self._drill is None:
            return
        if self._away and self._chance(0.9):
            self._swaps(home=True, reason="" if self._chance(0.8) else "10 of 10 requests failed")
        ended = {"result": self._pick(["passed", "aborted", "stopped"]), "reasons": [], "swaps": [], "away_s": 1.5}
        self._emit("drill_ended", "control", **self._drill, **ended)
        self._drill = None

    # -- proposals
    def _proposes(self) -> None:
        active, ready, standby = self._one("active"), self._one("ready"), self._one("standby")
        kind = "promotion" if ready is not None and self._chance(0.3) else "rollback"
        about = ready if kind == "promotion" else active
        if about is None or active is None or self._drill is not None:
            return
        item = {"cause": self._pick(["latency", "business:Churn"]), "alert": None, "impact": {"requests": 3}}
        item["trigger"] = self._trigger("latency", "", "half of them are late", 1.0)
        known = next((p for p in self._proposals.values() if (p["kind"], p["version"]) == (kind, about.name)), None)
        if known is not None:
            if kind == "rollback":
                self._emit("evidence_added", "verdict", proposal=known["proposal"], version=about.name, evidence=item)
            return
        self._numbers[kind] += 1
        name = f"{self._service}-{kind}-{self._numbers[kind]}"
        data: dict[str, Any] = {"proposal": name, "number": self._numbers[kind], "kind": kind, "version": about.name}
        to = about.name if kind == "promotion" else standby.name if standby else None
        data |= {"from": active.name, "to": to, "reason": "half of them are late", "expire_after_s": 1800.0}
        data |= {"at_expiry": "hold" if kind == "promotion" or self._chance(0.5) else "rollback"}
        data |= {"verb": "promoted"} if kind == "promotion" else {"evidence": item}
        self._emit("proposed", "verdict" if kind == "rollback" else "bob", **data)
        self._proposals[name] = data

    def _decides(self) -> None:
        if not self._proposals or self._drill is not None:
            return
        name = self._pick(list(self._proposals))
        asked = self._proposals[name]
        about = {"proposal": name, "kind": asked["kind"], "version": asked["version"]}
        active = self._one("active")
        fits = active is not None and active.name == asked["from"]
        draw = self._random.random()
        if draw < 0.1:
            self._emit(
                "decision_refused", "ann", **about, verb="approve", code="standby_unfit", reason="it is no better"
            )
            return
        if draw < 0.25 or not fits:
            self._emit("withdrawn", "control", **about, reason=f"{asked['from']} is no longer active")
        elif draw < 0.35:
            causes = [asked["evidence"]["cause"]] if "evidence" in asked else []
            self._emit("denied", "ann", **about, reason="a campaign", repeat_after_s=3600.0, causes=causes)
        elif draw < 0.5:
            more = {"repeat_after_s": 3600.0} if asked["at_expiry"] == "hold" else {}
            self._emit("proposal_expired", "control", **about, default=asked["at_expiry"], **more)
            if not more and not self._back(automatic=True, proposal=name):
                return
        elif not self._approves(asked, about):
            return
        del self._proposals[name]

    def _approves(self, asked: dict[str, Any], about: dict[str, Any]) -> bool:
        if asked["kind"] == "rollback":
            if not self._back(automatic=False, proposal=asked["proposal"]):
                return False
        else:
            version = self._versions[asked["version"]]
            if version.state != "ready" or version.name in self._blocked:
                return False
            self._forward(version, "promoted", "ann", reason="approved", proposal=asked["proposal"])
        same = {"generation": self._generation, "base": self._generation, "states": {}}
        self._emit("approved", "ann", **about, reason="customers leave", **same)
        return True

    # -- what is only told
    def _alerts(self) -> None:
        active = self._one("active")
        about = {"about": active.name if active else None, "version": None, "fate": "counts", "detail": "it counts"}
        labels = {"alertname": "RefundsHigh", "signal": "business"}
        data = {"name": "RefundsHigh", "kind": "business", "fingerprint": "a1", "summary": "refunds are up"}
        status = self._pick(["firing", "resolved"])
        self._emit("alert", "alertmanager", **data, **about, labels=labels, status=status, starts_at=self._at - 30)

    def _edits(self) -> None:
        if self._incidents:
            made = {"incident": self._pick(self._incidents[-20:]), "edit": f"{len(self.lines):032x}", "revision": 1}
            self._emit("incident_edited", "ann", **made, set={"severity": "sev2"}, comment="agreed")

    def _notes(self) -> None:
        active = self._one("active")
        version = active.name if active else "v1"
        reference: dict[str, Any] = {
            "version": version,
            "samples": 500,
            "asked": [],
            "shapes": {},
            "usual_rejected": 0.0,
        }
        checked = {"version": version, "incarnation": active.incarnation if active else 1, "revision": "6-4f29bc5a"}
        update = {"version": version, "token": f"rolled_back {len(self.lines)}", "model": "fraud"}
        notes: list[tuple[str, str, dict[str, Any]]] = [
            ("no_better_target", "verdict", {"active": version, "obstacles": ["there is no standby"], "trigger": None}),
            ("settings_changed", "operator", {"version": len(self.lines)}),
            ("inputs_learned", "control", {"reference": reference}),
            ("inputs_forgotten", "ann", {"reason": "other inputs"}),
            ("input_drift", "control", {"state": "over", "version": version}),
            ("mlflow_told", "control", {**update, "tags": {}, "alias": "moved"}),
            ("mlflow_given_up", "control", {**update, "reason": "it answered 404", "after_s": 86_400.0}),
            ("cases_checked", "control", {**checked, "cases": 6, "passed": 6, "failed": 0, "failing": []}),
            ("cases_added", "ann", {"added": ["202b1cce1280"], "dropped": [], "known": []}),
            ("cases_removed", "control", {"count": 1, "why": "expired"}),
            (
                *("doubt_decided", "control"),
                {"change": len(self.lines), "type": "frozen", "by": "ann", "outcome": "completed"},
            ),
            ("service_removed", "operator", {}),
            ("service_added", "operator", {}),
        ]
        kind, actor, data = self._pick(notes)
        self._emit(kind, actor, **data)
