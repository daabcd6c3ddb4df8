"""The rollout of one service as a state machine: (event, now) → commands.

Theory. The registry is the state; it is the fold of journal entries. `handle` reads the registry and returns commands. At most
one of them is a `Record` that changes roles; the route follows from the record (effects.py). `handle` itself changes no role:
the executor applies the record in its order (for an operator's change: journal, apply, store; for a verdict:
apply, store, journal). So a refused event and a failed command change nothing. A failure comes back as an event
(`StandbyChecked(ok=False)`) or is raised to the caller (the journal cannot be written). State of the machine outside the
registry (probe streaks, a pending check, a blocked rollback) may be lost at any time.

All switches. The named version, the active version and the standby change state in one step or not at all:

    event                  named version  it becomes  the active becomes     the standby becomes
    promote, switch        ready          active      standby                draining
    promote, switch        standby        active      standby                (is the named version)
    promote, switch        unreachable    active      standby                draining
    rollback               standby        active      draining, quarantined  (is the named version)
    rollback, unreachable  standby        active      unreachable            (is the named version)
    drill, both swaps      standby        active      standby                (is the named version)

Automation makes only the two rollbacks, so it only moves from the active version to its standby. (Drills are started by an
operator or a schedule; drills/drill.py decides when to swap.) An automatic rollback needs `registry.automatic_left`: a promotion
or switch by an operator sets it, an automatic rollback clears it. So there is at most one automatic rollback per promotion. An
approved proposal is a switch of this table, too (proposal_rules.py). While a drill has swapped the roles, a verdict against the
serving version swaps them back instead.

Why: docs/decisions.md#one-automatic-rollback-per-promotion.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from router.errors import InternalError, Refusal
from router.errors.codes import RefusalCode
from router.rollout.cases.promotion_check import PromotionCheck
from router.rollout.facts.drills import DrillSwitched
from router.rollout.facts.record import Command, Record
from router.rollout.facts.switches import NoBetterTarget, Promoted, RolledBack, Switched, SwitchFact
from router.rollout.facts.versions import BaselineEstimated, VersionAccepted, VersionFact
from router.rollout.incidents.incident import incident_id
from router.rollout.machine import proposal_rules
from router.rollout.machine.gate import RollbackGate
from router.rollout.machine.lifecycle import Lifecycle
from router.rollout.machine.limits import RolloutLimits
from router.rollout.machine.pairs import vetoed
from router.rollout.machine.probe_streaks import ProbeStreaks
from router.rollout.machine.proposal_rules import FORWARD
from router.rollout.machine.registry import Registry
from router.rollout.machine.version_rules import VersionRules, overridden, quarantined
from router.rollout.model import events as ev
from router.rollout.model.commands import CheckStandby, ClearAlarm, RaiseAlarm
from router.rollout.model.route import successor
from router.rollout.model.target import ROLES, State, Target
from router.rollout.proposals.proposal import Proposal
from router.rollout.units import SECOND_NS


@dataclass(frozen=True, slots=True)
class Move:
    """The new states of the named version, the active version and the standby; None: the standby keeps its state."""

    named: State
    active: State
    standby: State | None


_FORWARD: Final = Move(State.ACTIVE, State.STANDBY, State.DRAINING)
_CHANGE_OVER: Final = Move(State.ACTIVE, State.STANDBY, None)
MOVES: Final = {
    (Promoted.TYPE, State.READY): _FORWARD,
    (Promoted.TYPE, State.STANDBY): _CHANGE_OVER,
    (Promoted.TYPE, State.UNREACHABLE): _FORWARD,
    (Switched.TYPE, State.READY): _FORWARD,
    (Switched.TYPE, State.STANDBY): _CHANGE_OVER,
    (Switched.TYPE, State.UNREACHABLE): _FORWARD,
    (RolledBack.TYPE, State.STANDBY): Move(State.ACTIVE, State.DRAINING, None),
    ("rolled_back_away", State.STANDBY): Move(State.ACTIVE, State.UNREACHABLE, None),
    (DrillSwitched.TYPE, State.STANDBY): _CHANGE_OVER,
}


@dataclass(slots=True)
class _Check:
    cause: ev.VerdictReached | ev.DrillMoveAsked
    generation: int
    since_ns: int


class Machine:
    """The state machine of one service. `issued` is the newest generation in any command, stored or not."""

    def __init__(self, registry: Registry, limits: RolloutLimits) -> None:
        self.registry = registry
        self.limits = limits
        self.streaks = ProbeStreaks()
        self.issued = registry.generation
        self._generation_step = 1
        self._promotion_check: Callable[[], PromotionCheck] = PromotionCheck
        self.blocked_reason: str | None = None
        """Why an automatic rollback that is due is blocked; None if none is due."""
        self.drill_blocked_reason: str | None = None
        """Why the swap of a drill that is due is blocked; None if none is due, or it is not blocked."""
        self._alarm: str | None = None
        self._check: _Check | None = None
        self._recheck_ns = 0
        self._failing_ns = 0
        self._cuts: set[tuple[str, int]] = set()

    @property
    def gate(self) -> RollbackGate:
        """The conditions for a rollback to the standby now."""
        return RollbackGate(self.registry, self.streaks, self.limits)

    def promotion_check(self) -> PromotionCheck:
        """Return the present result of the captured cases on the candidate."""
        return self._promotion_check()

    def set_promotion_check(self, source: Callable[[], PromotionCheck]) -> None:
        """Ask `source` for the result of the captured cases on the candidate; without it there are no cases."""
        self._promotion_check = source

    def reconfigure(self, limits: RolloutLimits) -> None:
        """Apply other limits."""
        self.limits = limits

    def count_by(self, step: int) -> None:
        """Let each record count the generation up by `step` (model/route.py); 1 without this call."""
        self._generation_step = step

    def reserve(self, *generations: int) -> None:
        """Count generations as issued: no generation is issued twice, even if its route is never stored."""
        self.issued = max((self.issued, *generations))

    def handle(self, event: ev.Event, now_ns: int) -> list[Command]:
        """Return the commands; raise Refusal or InternalError, and change nothing, if the event is not legal."""
        match event:
            case ev.Ticked():  # ten times a second
                return self._ticked(event, now_ns)
            case ev.ProbeCompleted():
                return self._lifecycle().probed(event)
            case ev.VerdictReached():
                return self._verdict(event, now_ns)
            case ev.StandbyChecked():
                return self._checked(event, now_ns)
            case ev.SwitchAsked():
                return self._switch(event, now_ns)
            case ev.RollbackAsked():
                return self._rollback(event.reason, event.actor, None)
            case ev.ProposalDue():
                return proposal_rules.due(self.registry, self.limits.proposals, event, now_ns)
            case ev.ProposalDecided():
                return self._decided(event, now_ns)
            case ev.DrillMoveAsked():
                return self._drill(event, now_ns)
            case ev.Accepted():
                return self._accepted(event)
            case _:
                return VersionRules(self.registry, self._next()).handle(event, now_ns)

    # -- switches
    def _switch(self, event: ev.SwitchAsked, now_ns: int) -> list[Command]:
        target = self.registry.known(event.to)
        if target.state is State.ACTIVE:
            return []
        if (quarantine := self.registry.quarantine_of(target.version, now_ns)) is not None and event.override is None:
            raise quarantined(target.version, quarantine)
        move = MOVES.get((event.verb, target.state))
        if move is None:
            todo = (
                "wait until it is ready" if target.state is State.VERIFYING else "deploy it and wait until it is ready"
            )
            raise Refusal(
                RefusalCode.VERSION_NOT_READY,
                f"version {target.version} is {target.state.value}: {todo}",
                facts={"state": target.state.value, "quarantined": quarantine is not None},
            )
        self._refuse_unfit(target, event)
        rules = self.limits.proposals
        if rules.promote_needs_approval and target.state in FORWARD and not (event.approved or event.override):
            return proposal_rules.promotion(self.registry, rules, event)
        fact = (Promoted if event.verb == Promoted.TYPE else Switched)(
            to=target.version,
            reason=event.reason,
            proposal=event.approved or None,
            **(overridden(self.registry, target.version, event.override) if event.override else {}),
        )
        return [self._move(fact, event.actor, target, move)]

    def _refuse_unfit(self, target: Target, event: ev.SwitchAsked) -> None:
        """Raise Refusal for an unreachable version, and for one whose last probes all failed, unless overridden."""
        if event.override:
            return
        if target.state is State.UNREACHABLE and not event.checked:
            raise Refusal(
                RefusalCode.VERSION_UNREACHABLE, f"version {target.version} was rolled back as unreachable and still is"
            )
        if target.state in ROLES and self.streaks.all_failing(target):
            raise Refusal(
                RefusalCode.VERSION_NOT_READY,
                f"version {target.version} is {target.state.value}, but its last probes failed: "
                f"{self.streaks.detail(target.version)}; repair it, or override with actor and reason",
                facts={"state": target.state.value},
            )
        if target.state is State.READY and (refusal := self.promotion_check().refusal(target)) is not None:
            raise refusal

    def _move(self, fact: SwitchFact | DrillSwitched, actor: str, named: Target, move: Move) -> Record:
        """Return the record of `fact` with the generation of its route, the version that is left, and the new states."""
        active, standby = self.registry.active, self.registry.standby
        states = {named.version: move.named}
        if active is not None:
            states[active.version] = move.active
        for other in (standby, self.registry.of_state(State.UNREACHABLE)):
            if move.standby is not None and other is not None and other.version not in states:
                states[other.version] = move.standby
        left = active.version if active else None
        return Record(replace(fact, generation=self._next(), left=left, states=states), actor)

    def _rollback(
        self, reason: str, actor: str, verdict: ev.VerdictReached | None, members: dict[str, Any] | None = None
    ) -> list[Command]:
        active, standby = self.registry.active, self.registry.standby
        if active is None or standby is None:
            raise Refusal(RefusalCode.NO_STANDBY, f"nothing to roll back to: {self.registry.missing_standby()}")
        quarantine = self.registry.quarantines.get(standby.version)
        if quarantine is not None and standby.version not in (members or {}).get("release", ()):
            raise quarantined(standby.version, quarantine)
        incident = incident_id(self.registry.service, self._next())
        away = verdict is not None and verdict.unreachable
        fact = RolledBack(
            to=standby.version,
            reason=reason,
            incident=incident,
            automatic=verdict is not None,
            trigger=verdict.trigger if verdict else None,
            evidence=verdict.evidence if verdict else None,
            unreachable=away,
            proposal=(verdict.proposal or None) if verdict else None,
            quarantine={} if away else {active.version: {"reason": reason, "incident": incident}},
            bounded=() if away else (active.version,),
        )
        move = MOVES["rolled_back_away" if away else RolledBack.TYPE, standby.state]
        return [self._move(replace(fact, **(members or {})), actor, standby, move)]

    def _next(self) -> int:
        return successor(max(self.issued, self.registry.generation), self._generation_step)

    # -- proposals
    def _decided(self, event: ev.ProposalDecided, now_ns: int) -> list[Command]:
        proposal = proposal_rules.decidable(self.registry, event, now_ns)
        if event.verb == "deny":
            return [proposal_rules.denied(proposal, self.limits.proposals, event)]
        commands = self._approved(proposal, event, now_ns)
        switched = next(command.fact for command in commands if isinstance(command, Record))
        generation = switched.generation if isinstance(switched, VersionFact) else None
        return [*commands, proposal_rules.approved(proposal, event, generation)]

    def _approved(self, proposal: Proposal, event: ev.ProposalDecided, now_ns: int) -> list[Command]:
        """Return the commands of the switch. A freeze stops only automation; objections to the standby stop operators, too."""
        if proposal.kind == "promotion":
            verb, reason = proposal.verb, proposal.reason
            switch = ev.SwitchAsked(
                proposal.version, event.actor, reason, verb, event.override, event.checked, proposal.id
            )
            return self._switch(switch, now_ns)
        objections = self.gate.standby_objections(event.shares)
        if objections and event.override is None:
            raise proposal_rules.unfit(objections)
        members = {"proposal": proposal.id, "trigger": proposal.evidence[0]["trigger"], "evidence": event.impact}
        if event.override is not None and (standby := self.registry.standby) is not None:
            members |= overridden(self.registry, standby.version, event.override)
        return self._rollback(proposal.reason, event.actor, None, members)

    # -- automation
    def _verdict(self, event: ev.VerdictReached, now_ns: int) -> list[Command]:
        self._failing_ns = now_ns
        if self._check_pending(now_ns) and self._check is not None and isinstance(self._check.cause, ev.VerdictReached):
            return []
        self._check = None
        if self.blocked_reason is not None and now_ns < self._recheck_ns:
            return []
        if objections := self.gate.objections(event.shares):
            return self._block(objections, event, now_ns)
        return self._check_standby(event, now_ns) or self._roll_back(event)

    def _check_standby(self, cause: ev.VerdictReached | ev.DrillMoveAsked, now_ns: int) -> list[Command]:
        """Return the command for a fresh inference probe of the standby; nothing if the service has no inference probe."""
        standby = self.registry.standby
        if standby is None:
            raise InternalError("gate_passed_without_standby", self.registry.service)
        if not self.limits.inference:
            return []
        self._check = _Check(cause, self.registry.generation, now_ns)
        return [CheckStandby(standby.version, self.registry.generation, self.limits.gate_timeout_s)]

    def _check_pending(self, now_ns: int) -> bool:
        limit_ns = 3 * self.limits.gate_timeout_s * SECOND_NS
        return self._check is not None and now_ns - self._check.since_ns < limit_ns

    def _block(self, objections: list[str], event: ev.VerdictReached, now_ns: int) -> list[Command]:
        """Block the rollback, raise the alarm once, and check again each second.

        A freeze by an operator has its own alarm: it is intended, and not an objection to the standby.
        """
        detail = "; ".join(objections)
        both_fail = "both_fail" if vetoed(event.shares) else "no_better_target"
        code = "automation_frozen" if self.registry.frozen else both_fail
        first, self.blocked_reason, self._alarm = self._alarm != code, detail, code
        self._recheck_ns = now_ns + int(self.limits.recheck_s * SECOND_NS)
        if not first:
            return []
        active = self.registry.active
        if code == "automation_frozen":
            return [RaiseAlarm(code, f"the active version fails and nothing is done about it: {detail}")]
        version = active.version if active else None
        return [
            Record(NoBetterTarget(active=version, obstacles=tuple(objections), trigger=event.trigger), "verdict"),
            RaiseAlarm(code, f"the active version fails and nothing better exists: {detail}"),
        ]

    def _checked(self, event: ev.StandbyChecked, now_ns: int) -> list[Command]:
        check = self._check
        if check is None or event.generation != check.generation or check.generation != self.registry.generation:
            return []
        self._check, cause = None, check.cause
        failed = [] if event.ok else [f"its fresh inference probe failed: {event.detail}"]
        if isinstance(cause, ev.DrillMoveAsked):
            return self._drill_swap(cause, failed)
        if self._was_denied(cause):
            return []
        objections = self.gate.objections(cause.shares) + failed
        return self._block(objections, cause, now_ns) if objections else self._roll_back(cause)

    def _was_denied(self, verdict: ev.VerdictReached) -> bool:
        """Return whether an operator denied this proposal while its standby probe was running."""
        known = self.registry.proposals.known.get(verdict.proposal or "")
        return known is not None and not known.pending

    def _roll_back(self, verdict: ev.VerdictReached) -> list[Command]:
        reason = str(verdict.trigger.get("reason") or verdict.trigger.get("kind"))
        if self.registry.in_drill and self.registry.drill is not None:
            home = ev.DrillMoveAsked(self.registry.drill["drill"], True, reason)
            return [*self._drill_swap(home, []), *self._unblock()]
        commands = self._rollback(reason, "verdict", verdict)
        return [*commands, *self._unblock()]

    # -- drills
    def _drill(self, event: ev.DrillMoveAsked, now_ns: int) -> list[Command]:
        """Swap the roles for a drill, if the gate of an automatic rollback allows it."""
        if self._check_pending(now_ns):
            return []
        self._check = None
        objections = self._drill_objections(event)
        return [] if objections else self._check_standby(event, now_ns) or self._drill_swap(event, [])

    def _drill_objections(self, event: ev.DrillMoveAsked) -> list[str]:
        """Return, and keep in `drill_blocked_reason`, why the swap is blocked: an unfit standby, a freeze, or other roles."""
        registry = self.registry
        drill, active = registry.drill, registry.active
        left = drill and drill["to" if event.home else "from"]
        if drill is None or drill["drill"] != event.drill or active is None or active.version != left:
            found = [f"drill {event.drill} is not under way from {active.version if active else 'no version'}"]
        else:
            found = [registry.freeze_text] if registry.frozen and not event.home else []
            found += self.gate.swap_objections()
        self.drill_blocked_reason = "; ".join(found) or None
        return found

    def _drill_swap(self, event: ev.DrillMoveAsked, failed: list[str]) -> list[Command]:
        """Swap the two roles. Responses that have begun continue; requests that wait on a failing version are re-dispatched."""
        standby = self.registry.standby
        if found := self._drill_objections(event) + failed:
            self.drill_blocked_reason = "; ".join(found)
        if found or standby is None:
            return []
        fact = DrillSwitched(to=standby.version, drill=event.drill, home=event.home, reason=event.reason)
        return [self._move(fact, "drill", standby, MOVES[DrillSwitched.TYPE, standby.state])]

    def _unblock(self) -> list[Command]:
        if self.blocked_reason is None:
            return []
        self.blocked_reason = self._alarm = None
        return [ClearAlarm("no_better_target"), ClearAlarm("both_fail"), ClearAlarm("automation_frozen")]

    def _accepted(self, event: ev.Accepted) -> list[Command]:
        active = self.registry.active
        if active is None:
            return []
        fact = BaselineEstimated if active.accepted else VersionAccepted
        return [Record(fact(version=active.version, baseline=event.baseline), "control")]

    # -- probes and time
    def _ticked(self, event: ev.Ticked, now_ns: int) -> list[Command]:
        if self.blocked_reason is not None and now_ns - self._failing_ns > self.limits.unblock_after_s * SECOND_NS:
            return self._unblock()
        proposals = proposal_rules.tick(self.registry, self.limits.proposals, now_ns)
        if proposals or not (self.registry.roles.awaited or self.registry.temporary_releases):
            return proposals
        return self._lifecycle().ticked(event, now_ns)

    def _lifecycle(self) -> Lifecycle:
        return Lifecycle(self.registry, self.streaks, self.limits, self._next(), self._cuts)
