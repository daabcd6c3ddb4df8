"""Which version has which state and slot: found once for each change of the versions, because every tick asks several times."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from router.rollout.model.target import CANDIDATES, State, Target

_AWAITED: Final = frozenset({State.VERIFYING, State.DRAINING, State.FAILED})


class Roles:
    """The roles among `targets`, in their order. A role has at most one version; of a state with several, the last one counts."""

    def __init__(self, targets: Mapping[str, Target]) -> None:
        self.by_state = {target.state: target for target in targets.values()}
        self.active = self.by_state.get(State.ACTIVE)
        self.standby = self.by_state.get(State.STANDBY)
        self.candidate = next((target for target in reversed([*targets.values()]) if target.state in CANDIDATES), None)
        held = [target for target in targets.values() if target.slot is not None]
        self.holders = tuple(sorted(held, key=lambda target: target.slot or 0))
        """The versions that hold a slot, by slot."""
        self.draining = tuple(target for target in self.holders if target.role == "draining")
        self.awaited = tuple(target for target in self.holders if target.bounded or target.state in _AWAITED)
        """Those that change, or are cut, by time alone."""
