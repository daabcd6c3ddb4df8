from __future__ import annotations

from dataclasses import replace

from router.rollout.judge.active.judge_inputs import JudgeInputs
from router.rollout.judge.criteria import Acceptance
from router.rollout.judge.probation import Probation
from router.rollout.outcome import Outcome
from tests.rollout.simulator import START_NS, JudgeHarness, Version, seconds

ASKED = Acceptance(after_s=20.0, requests_min=100)


class DrilledJudge(JudgeHarness):
    """A court in which a drill may be away: the version in slot 1 serves, and that in slot 0 was promoted."""

    def __init__(self) -> None:
        self.away = False
        super().__init__(acceptance=ASKED)

    def facts(self) -> JudgeInputs:
        return replace(super().facts(), probation_since_ns=START_NS, in_drill=self.away)

    def drill(self, for_s: float, faults: float = 0.0) -> None:
        """Let another version serve for a while, and take the first one back."""
        first = self.version
        self.away = True
        self.promote(Version(at_ns=first.at_ns), 1)
        self.run(for_s, faults=faults, go_on=True)
        first.at_ns = self.version.at_ns
        self.away = False
        self.promote(first, 0)
        self.tick()


def test_time_counts_but_for_drills() -> None:
    probation = Probation((0, 1, START_NS), 0.0)
    assert probation.clean_s(seconds(5)) == 5.0
    probation.pause(seconds(5))
    probation.pause(seconds(9))
    assert probation.clean_s(seconds(15)) == 5.0
    probation.resume(seconds(15))
    assert probation.clean_s(seconds(16)) == 6.0
    probation.failed(seconds(20))
    assert probation.clean_s(seconds(21)) == 1.0


def test_a_drill_neither_ends_a_probation_nor_begins_it_anew() -> None:
    harness = DrilledJudge()
    harness.run(15)
    requests, clean_s = harness.judge.acceptance(harness.now_ns)
    harness.drill(10)
    after_requests, after_s = harness.judge.acceptance(harness.now_ns)
    assert (after_requests - requests) < 20
    assert 0 <= after_s - clean_s < 0.5
    accepted = next(tick for tick in range(100) if harness.run(0.1) is None and harness.verdict.accepted)
    assert 40 <= accepted <= 55


def test_no_version_is_accepted_and_no_baseline_learned_during_a_drill() -> None:
    harness = DrilledJudge()
    harness.run(1)
    harness.away = True
    harness.promote(Version(at_ns=harness.version.at_ns), 1)
    for _ in range(400):
        harness.run(0.1)
        assert harness.verdict.accepted is None
    assert harness.judge.baseline is None


def test_faults_during_a_drill_do_not_end_a_probation() -> None:
    harness = DrilledJudge()
    harness.run(15)
    harness.drill(3, faults=1.0)
    assert harness.judge.acceptance(harness.now_ns)[1] > 14.0


def test_a_failing_trigger_begins_it_again() -> None:
    harness = DrilledJudge()
    harness.run(15)
    harness.version.fail(20, Outcome.SERVER_ERROR)
    harness.run(3, faults=1.0, go_on=True)
    assert harness.verdict.failing
    assert harness.judge.acceptance(harness.now_ns) == (0, 0.0)
