from __future__ import annotations

from router.rollout.judge.progress.losses import Losses, losses, usual_share
from router.rollout.judge.progress.work_state import WorkScope, WorkState
from router.rollout.stats.work_counts import NO_ENDS
from router.rollout.units import SECOND_NS
from router.rollout.work import WorkEnd
from tests.rollout.judge.work_model import CHAT, WorkHarness, ends, hangs


def run_of(harness: WorkHarness) -> Losses:
    active = harness.judge._active
    assert active is not None
    state = active.work
    assert isinstance(state, WorkState)
    return losses(state, WorkScope("chat", (CHAT,)))


def test_a_useful_answer_ends_the_run() -> None:
    harness = WorkHarness().known(20, 10.0)
    harness.run(5, 10.0)
    assert run_of(harness).ended == 0
    harness.run(5, 2.0, ends(WorkEnd.EMPTY))
    run = run_of(harness)
    assert (run.ended >= 5, run.waits, run.clients) == (True, 0, 4)
    harness.run(2, 10.0)
    assert run_of(harness).ended == 0


def test_waits_and_clients_that_leave_are_one_run() -> None:
    harness = WorkHarness().known(20, 10.0)
    harness.run(5, 10.0)
    harness.run(8, 1.0, hangs(3.0))
    assert run_of(harness).waits == 0  # they may be a queue: the bucket moved a moment ago
    harness.run(8, 1.0, hangs(3.0))
    run = run_of(harness)
    assert run.ended == run.left
    assert (run.left >= 5, run.waits >= 1, 10 <= run.lasted_s() <= 16) == (True, True, True)


def test_a_run_ages() -> None:
    run = Losses(since_ns=1, until_ns=30 * SECOND_NS, stalled_ns=5 * SECOND_NS)
    assert run.is_fresh(40 * SECOND_NS)
    assert not run.is_fresh(41 * SECOND_NS)
    assert not Losses().is_fresh(0)
    assert (round(run.lasted_s()), round(run.lasted_s(with_stalls=True))) == (25, 30)


def test_the_chance_of_a_run() -> None:
    assert not Losses(useful_share=(0.95, 0.01)).is_unlikely(4)
    assert Losses(useful_share=(0.95, 0.01)).is_unlikely(5)
    assert not Losses(useful_share=(0.95, 0.01)).is_unlikely(1_000, client_errors=True)


def test_the_usual_share_of_useful_answers() -> None:
    found = list(NO_ENDS)
    found[WorkEnd.USEFUL], found[WorkEnd.FAULT], found[WorkEnd.CLIENT_ERROR] = 900, 100, 9_000
    assert 0.87 < (usual_share(tuple(found), (WorkEnd.FAULT,)) or 0) < 0.9
    assert 0.08 < (usual_share(tuple(found), (WorkEnd.FAULT, WorkEnd.CLIENT_ERROR)) or 0) < 0.09
    assert usual_share(NO_ENDS, (WorkEnd.FAULT,)) is None
