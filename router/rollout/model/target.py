"""One backend version: label, endpoints, state. Immutable; a change of state is a new record.

The states, and the role that the route gives each:

    registered   none        known, not deployed yet
    verifying    candidate   probed until `warmup_probes` in a row succeeded
    ready        candidate   may be promoted
    failed       none        did not become ready in time
    active       active      serves the traffic
    standby      standby     the warm previous version, the target of a rollback
    unreachable  none        rolled back because no connection was accepted; stays warm, becomes standby after good probes
    draining     none        finishes its requests, gets no new ones
    retired      none        has finished its requests, or was never deployed
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from router.errors import InternalError
from router.rollout.model.rewrite import NO_REWRITE, Rewrite


class State(StrEnum):
    """The state of a version; the values are the spelling in journal and API."""

    REGISTERED = "registered"
    VERIFYING = "verifying"
    READY = "ready"
    FAILED = "failed"
    ACTIVE = "active"
    STANDBY = "standby"
    UNREACHABLE = "unreachable"
    DRAINING = "draining"
    RETIRED = "retired"

    __hash__ = str.__hash__  # that of Enum is a Python function, and every change of roles looks each version up


_S = State
LEGAL: Final = {
    # from            to
    _S.REGISTERED: frozenset({_S.VERIFYING, _S.RETIRED}),
    _S.VERIFYING: frozenset({_S.READY, _S.FAILED, _S.DRAINING}),
    _S.READY: frozenset({_S.ACTIVE, _S.DRAINING}),
    _S.FAILED: frozenset({_S.VERIFYING}),
    _S.ACTIVE: frozenset({_S.STANDBY, _S.UNREACHABLE, _S.DRAINING}),
    _S.STANDBY: frozenset({_S.ACTIVE, _S.DRAINING}),
    _S.UNREACHABLE: frozenset({_S.ACTIVE, _S.STANDBY, _S.VERIFYING, _S.DRAINING}),
    _S.DRAINING: frozenset({_S.VERIFYING, _S.RETIRED}),
    _S.RETIRED: frozenset({_S.VERIFYING}),
}
"""All legal changes of state. The first state is `registered` or `verifying`; of a seed `active` or `standby`."""

CANDIDATES: Final = frozenset({_S.VERIFYING, _S.READY})
ROLES: Final = {_S.ACTIVE: "active", _S.STANDBY: "standby", _S.VERIFYING: "candidate", _S.READY: "candidate"}
WATCHED: Final = frozenset({*ROLES, _S.UNREACHABLE})
"""States in which a version is probed, which keeps it warm."""
PLACED: Final = WATCHED
"""States that need a slot: those with a role in the route, and `unreachable`, which stays warm."""
WITHOUT_SLOT: Final = (_S.REGISTERED, _S.RETIRED)
"""States in which a version holds no slot."""
HURRIED: Final = frozenset({_S.VERIFYING, _S.UNREACHABLE})
"""States that good probes in a row end: a version in them is probed at least once a second."""


@dataclass(frozen=True, slots=True)
class Target:
    """`endpoints` are canonical URLs. Its slot is each router's own matter (placement/slot_table.py).

    `since_ns` is the start of the state (monotonic), `since` the same as wall time (seconds). `bounded`: its drain ends by a cut
    (after a rollback). `drained`: it has failed, and its last request has ended. `deployment`: the
    generation of its last deployment; 0: it came in by the settings. `rewrite`: how its requests differ from the client's.
    """

    version: str
    endpoints: tuple[str, ...]
    state: State
    since_ns: int
    since: float
    bounded: bool = False
    drained: bool = False
    accepted: bool = False
    deployment: int = 0
    rewrite: Rewrite = NO_REWRITE

    @property
    def may_hold_slot(self) -> bool:
        """Whether a router may have requests on it."""
        return not self.drained and self.state not in WITHOUT_SLOT

    def moved(self, state: State, *, at: float, at_ns: int) -> Target:
        """Return the record in `state`; raise InternalError if LEGAL does not contain the change."""
        if state not in LEGAL[self.state]:
            raise InternalError("transition_illegal", f"{self.version}: {self.state} cannot become {state}")
        return self.forced(state, at=at, at_ns=at_ns)

    def forced(self, state: State, *, at: float, at_ns: int) -> Target:
        """Return the record in `state` without a check: shared memory that outlived control overrules LEGAL."""
        return replace(self, state=state, since=at, since_ns=at_ns, bounded=False, drained=False)

    def as_dict(self) -> dict[str, Any]:
        """Return the record as plain data."""
        return {
            "version": self.version,
            "endpoints": list(self.endpoints),
            "state": self.state.value,
            "since_ns": self.since_ns,
            "since": self.since,
            "bounded": self.bounded,
            "drained": self.drained,
            "accepted": self.accepted,
            "deployment": self.deployment,
            "rewrite": self.rewrite.as_dict(),
        }
