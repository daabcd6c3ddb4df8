"""Which version has which state: found once for each change of the versions, because every tick asks several times."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from router.rollout.model.target import CANDIDATES, PLACED, WITHOUT_SLOT, State, Target

_AWAITED: Final = frozenset({State.VERIFYING, State.DRAINING, State.FAILED})


class Roles:
    """The roles among `targets`, in their order. Of a state with several, the last one counts. Retired versions have none."""

    def __init__(self, targets: Mapping[str, Target]) -> None:
        # The fold of a long journal asks at each change of roles, and most versions are retired: one pass, without calls.
        holding = [t for t in targets.values() if t.state not in WITHOUT_SLOT and not t.drained]
        self.holding = tuple(holding)
        """Those that a router may have requests on."""
        self.by_state = {target.state: target for target in holding}
        self.active = self.by_state.get(State.ACTIVE)
        self.standby = self.by_state.get(State.STANDBY)
        self.candidate = next((target for target in reversed(holding) if target.state in CANDIDATES), None)
        self.placed = tuple(target for target in holding if target.state in PLACED)
        """Those that need a slot: with a role in the route, or unreachable, which stay warm."""
        self.draining = tuple(target for target in holding if target.state not in PLACED)
        """Those that get no new requests, and may have some."""
        self.awaited = tuple(target for target in holding if target.bounded or target.state in _AWAITED)
        """Those that change, or are cut, by time alone."""
