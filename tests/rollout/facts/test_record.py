from __future__ import annotations

from router.rollout.facts.automation import Frozen
from router.rollout.facts.record import record_of
from router.rollout.model.commands import Record


def test_a_fact_is_recorded_with_its_members() -> None:
    assert record_of(Frozen(reason="x"), "ann") == Record("frozen", "ann", {"reason": "x"})
