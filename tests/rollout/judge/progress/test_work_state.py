from __future__ import annotations

from router.rollout.judge.progress.work_state import WorkState
from router.rollout.work import WorkEnd
from tests.rollout.judge.work_model import BUCKETS, CHAT, MODELS, WorkHarness, ends, hangs, ok


def state_of(harness: WorkHarness) -> WorkState:
    active = harness.judge._active
    assert active is not None
    assert active.work is not None
    return active.work


def test_buckets_that_were_useful_are_judged_alone_and_all_of_inference_together() -> None:
    harness = WorkHarness().known(20, 10.0)
    harness.run(2, 1.0, beside=[(1.0, MODELS, ok())])
    scopes = state_of(harness).scopes()
    assert [(scope.name, scope.buckets) for scope in scopes] == [
        (BUCKETS[CHAT].name, (CHAT,)),
        ("all inference", (CHAT,)),
    ]


def test_the_warm_up_lengthens_the_limit_of_a_wait_until_twenty_answers() -> None:
    harness = WorkHarness().known(20, 10.0)
    harness.run(2, 1.0)
    state = state_of(harness)
    assert (state.limits[CHAT], state.fast_limits[CHAT]) == (30.0, 10.0)
    harness.run(5, 10.0)
    assert state_of(harness).limits[CHAT] == 10.0


def test_the_times_for_the_work_table() -> None:
    harness = WorkHarness()
    harness.run(3, 1.0)
    assert harness.judge.known_times(harness.now_ns)[CHAT] == (None, None)
    harness.run(20, 10.0)
    limit_s, median_s = harness.judge.known_times(harness.now_ns)[CHAT]
    assert (limit_s, 0.1 < (median_s or 0) < 0.3) == (10.0, True)


def test_the_clients_of_both_versions_are_served() -> None:
    harness = WorkHarness().known(20, 10.0)
    harness.clients = 2
    harness.run(5, 2.0, ends(WorkEnd.CLIENT_ERROR))
    assert state_of(harness).served().count == 4


def test_a_hang_of_waits_in_a_bucket_that_moves_is_a_queue() -> None:
    harness = WorkHarness()
    harness.run(1, 1.0)
    harness.version.counts[CHAT].moving = 4
    harness.run(60, 0.4)
    harness.run(20, 0.5, hangs(100.0))
    assert state_of(harness).waits_are_queued
    assert harness.result("hard_failure.hang").state == "pass"


def test_a_restarted_judge_goes_on_with_the_work_it_is_given() -> None:
    harness = WorkHarness().known(20, 10.0)
    harness.run(30, 10.0)
    before = state_of(harness)
    entries = harness.judge.entries(0), harness.judge.entries(1)
    judge = type(harness.judge)(harness.judge._rules, 600.0)
    for slot, found in enumerate(entries):
        judge.restore(slot, "second", [entry.sample for entry in found if entry.sample.work is not None])
    judge.evaluate(harness.inputs(), harness.now_ns)
    assert judge._active is not None
    after = judge._active.work
    assert after is not None
    assert (after.work, after.limits) == (before.work, before.limits)
