from __future__ import annotations

import pytest

from router.rollout.judge.probe_evidence import ProbeEvidence


@pytest.mark.parametrize(("number", "expected"), [(0, False), (1, False), (2, False), (3, True), (4, True)])
def test_more_than_half_of_the_endpoints_decide(number: int, expected: bool) -> None:
    found = ProbeEvidence(4, good=number), ProbeEvidence(4, bad=number), ProbeEvidence(4, failing=number)
    assert (found[0].passes, found[1].red, found[2].fails) == (expected, expected, expected)
