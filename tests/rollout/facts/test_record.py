from __future__ import annotations

import pytest

from router.rollout.facts.automation import Frozen
from router.rollout.facts.fact import FactInvalid
from router.rollout.facts.record import Record


def test_a_record_has_a_fact_and_its_actor() -> None:
    assert Record.of("frozen", "ann", {"reason": "x"}) == Record(Frozen(reason="x"), "ann")
    with pytest.raises(FactInvalid):
        Record.of("switched", "ann", {"to": 5})
