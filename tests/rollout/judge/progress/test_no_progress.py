from __future__ import annotations

import pytest

from router.rollout.judge.probe_evidence import ProbeEvidence
from router.rollout.work import OTHER_INFERENCE, WorkEnd
from tests.rollout.judge.work_model import CHAT, MODELS, WorkHarness, chat_baseline, ends, every, hangs, ok
from tests.texts import golden

PASSED = ProbeEvidence(1, good=1, warmed=True)
RATES = pytest.mark.parametrize(("per_s", "within_s"), [(200.0, 12.0), (20.0, 12.0), (2.0, 20.0), (0.2, 60.0)])


@RATES
def test_a_dead_engine_behind_a_live_api_server(per_s: float, within_s: float) -> None:
    """E1: every POST hangs, GET /v1/models answers at once."""
    harness = WorkHarness().known(60 if per_s > 1 else 150, max(per_s, 1.0))
    harness.run(10 if per_s > 1 else 120, per_s)
    took_s = harness.seconds_to_verdict(90, per_s, hangs(), beside=[(4.0, MODELS, ok(0.01))])
    assert took_s is not None
    assert took_s <= within_s
    assert harness.failing.detail in ("no_progress", "hang")


@RATES
def test_streams_of_keep_alives_only(per_s: float, within_s: float) -> None:
    """E3: the head of a stream begins at once, and nothing in it is useful."""
    harness = WorkHarness().known(60 if per_s > 1 else 150, max(per_s, 1.0))
    harness.run(10 if per_s > 1 else 120, per_s)
    took_s = harness.seconds_to_verdict(90, per_s, hangs(30.0), head=True)
    assert took_s is not None
    assert took_s <= within_s
    assert (harness.failing.detail, harness.failing.limit) == ("no_progress", 10.0)


def test_the_reason_names_bucket_attempts_requests_and_clients() -> None:
    harness = WorkHarness().known()
    harness.run(10, 10.0)
    assert harness.run(30, 10.0, hangs(), head=True) is not None
    assert harness.failing.reason == golden("verdict.no_progress")


def test_a_hang_right_after_the_promotion_is_judged_by_what_is_known() -> None:
    """E5: with baseline and inference probe, with a baseline alone, with neither."""
    for baseline, probe, within_s in ((True, True, 12.0), (True, False, 33.0), (False, False, 52.0)):
        harness = WorkHarness(baseline=chat_baseline() if baseline else None)
        if probe:
            harness.probe = PASSED
        harness.run(1, 2.0)
        took_s = harness.seconds_to_verdict(60, 20.0, hangs(), head=True)
        assert took_s is not None
        assert within_s - 5 < took_s <= within_s


def test_long_answers_are_no_hang_where_they_are_known() -> None:
    """E11: 70 s are normal for the model."""
    harness = WorkHarness()
    harness.probe = PASSED
    harness.known(200, 1.0, 70.0)
    harness.probe = None
    assert harness.run(200, 0.05, ok(70.0)) is None


def test_long_answers_are_no_hang_while_an_inference_probe_passes() -> None:
    harness = WorkHarness()
    harness.probe = PASSED
    assert harness.run(100, 0.1, ok(70.0)) is None
    harness = WorkHarness()
    assert harness.run(100, 0.1, ok(70.0)) is not None
    assert harness.failing.limit == 50.0


@RATES
def test_everything_answers_404_on_probation(per_s: float, within_s: float) -> None:
    """E6: a wrong model name."""
    harness = WorkHarness().known(60 if per_s > 1 else 150, max(per_s, 1.0))
    took_s = harness.seconds_to_verdict(90, per_s, ends(WorkEnd.CLIENT_ERROR))
    assert took_s is not None
    assert took_s <= within_s
    assert harness.failing.detail in ("no_progress", "useful_share")


def test_everything_answers_404_on_an_accepted_version_is_an_alarm() -> None:
    harness = WorkHarness(baseline=chat_baseline())
    harness.accepted = True
    harness.run(60, 10.0)
    assert harness.run(60, 10.0, ends(WorkEnd.CLIENT_ERROR)) is None
    assert "nothing_useful" in harness.notes


def test_404s_of_one_client_among_several_that_are_served_do_not_count() -> None:
    harness = WorkHarness().known()
    for _ in range(60):
        harness.ask(ends(WorkEnd.CLIENT_ERROR), client=9)
        assert harness.run(1, 0) is None


def test_404s_of_the_only_client_count() -> None:
    harness = WorkHarness()
    harness.clients = 1
    harness.known()
    assert harness.run(60, 2.0, ends(WorkEnd.CLIENT_ERROR)) is not None


def test_requests_to_unknown_paths_at_night_do_not_count() -> None:
    harness = WorkHarness()
    harness.clients = 20
    harness.known()
    assert harness.run(300, 1.0, ends(WorkEnd.CLIENT_ERROR), bucket=OTHER_INFERENCE) is None


def test_nearly_all_refused_as_unauthorised_on_both_versions_is_normal() -> None:
    plan = every(100, ok(), ends(WorkEnd.UNAUTHORISED))
    harness = WorkHarness()
    assert harness.run(120, 20.0, plan) is None
    harness.promote()
    assert harness.run(200, 2.0, plan) is None


def test_a_full_queue_is_no_hang() -> None:
    """Four slots with streams of 120 s, 20 requests wait."""
    harness = WorkHarness()
    for promoted in (False, True):
        harness.run(1, 1.0)
        harness.version.counts[CHAT].moving = 4
        harness.run(100, 0.25, ok(2.0))
        if not promoted:
            harness.promote()
    assert harness.run(30, 0.7, hangs(1_000)) is None
    assert harness.run(60, 0) is None
    assert harness.notes["queue_grows"].detail == golden("verdict.queue")
    harness.version.counts[CHAT].moving = 0
    harness.version.counts[CHAT].last_moved_ns = harness.now_ns
    assert harness.run(12, 0) is not None


def test_a_queue_in_which_nothing_is_useful_is_not_called_progress() -> None:
    """It is none before the limit of a wait, and the row says how long it lasts."""
    harness = WorkHarness().known()
    assert harness.run(30, 10.0) is None
    well = harness.result("hard_failure.no_progress")
    assert (well.reason, well.value, well.limit) == (golden("verdict.progress"), None, None)
    assert harness.run(5, 0) is None
    assert harness.result("hard_failure.no_progress") == well, "nothing was asked"
    assert harness.run(30, 10.0) is None
    assert harness.run(5, 10.0, hangs()) is None
    row = harness.result("hard_failure.no_progress")
    assert (row.state, row.limit, row.samples) == ("pass", 10.0, 41)
    assert (row.reason, row.distance) == (golden("verdict.idle"), golden("verdict.idle_distance"))
    took_s = harness.seconds_to_verdict(10, 10.0, hangs())
    assert took_s is not None
    assert row.value is not None
    assert row.limit is not None
    assert abs(took_s - (row.limit - row.value)) <= 1


def test_a_body_that_moves_while_others_wait_is_progress() -> None:
    harness = WorkHarness().known()
    assert harness.run(30, 10.0) is None
    harness.version.counts[CHAT].moving = 4
    assert harness.run(5, 10.0, hangs()) is None
    assert harness.result("hard_failure.no_progress").reason == golden("verdict.progress")


def test_the_first_answers_of_a_cold_version_are_no_hang() -> None:
    """20 answers take 25 s each, then 0.2 s."""
    harness = WorkHarness(baseline=chat_baseline())
    assert harness.run(50, 0.4, ok(25.0)) is None
    assert harness.run(120, 2.0) is None


def test_impatient_clients_are_no_hang() -> None:
    """Half of the clients give up at half the median."""
    harness = WorkHarness().known(120, 2.0, 10.0)
    plan = every(2, hangs(5.0), ok(10.0))
    assert harness.run(300, 0.5, plan) is None


def test_throttling_for_ever_with_nothing_under_way_is_a_failure() -> None:
    harness = WorkHarness().known()
    harness.run(30, 10.0)
    took_s = harness.seconds_to_verdict(120, 10.0, ends(WorkEnd.THROTTLED))
    assert took_s is not None
    assert 60 <= took_s <= 65


def test_throttling_beside_work_is_none() -> None:
    harness = WorkHarness().known()
    plan = every(20, ok(5.0), ends(WorkEnd.THROTTLED))
    assert harness.run(300, 10.0, plan) is None


@pytest.mark.parametrize("per_s", [200.0, 20.0, 2.0, 0.2])
def test_independent_faults_are_none(per_s: float) -> None:
    harness = WorkHarness(baseline=chat_baseline(0.05))
    harness.run(60, 10.0)
    numbers = iter(range(10**9))
    # a fixed sequence without a pattern: about one in twenty
    plan = every(1, lambda _: (WorkEnd.FAULT if pow(7, next(numbers), 10_007) % 20 == 0 else WorkEnd.USEFUL, 0.2), ok())
    assert harness.run(30 if per_s > 100 else 200, per_s, plan) is None


@pytest.mark.parametrize(("usual", "acts"), [(0.05, False), (0.0, True)])
def test_a_run_of_ends_that_a_well_version_shows_is_a_chance(usual: float, acts: bool) -> None:
    """Four faults in a row, which is fewer than a streak: at 5 % of natural faults they come by chance."""
    harness = WorkHarness(baseline=chat_baseline(usual))
    harness.run(60, 2.0)
    numbers = iter(range(10**9))
    plan = every(1, lambda _: (WorkEnd.FAULT if next(numbers) < 4 else WorkEnd.USEFUL, 0.2), ok())
    assert (harness.run(24, 0.2, plan) is not None) is acts


def test_one_poison_request_alone_is_an_alarm() -> None:
    harness = WorkHarness().known()
    harness.bodies = harness.clients = 1
    harness.version.good.clear()
    assert harness.run(120, 1 / 3, ends(WorkEnd.FAULT)) is None
    assert "poison_request" in harness.notes


def test_a_small_dead_bucket_of_an_accepted_version_is_a_question() -> None:
    for accepted in (False, True):
        harness = WorkHarness()
        harness.buckets[2] = type(harness.buckets[CHAT])("POST /v1/embeddings", True)
        harness.run(60, 20.0, beside=[(1.0, 2, ok())])
        harness.promote()
        harness.run(60, 20.0, beside=[(1.0, 2, ok())])
        harness.accepted = accepted
        acted = harness.run(30, 20.0, beside=[(1.0, 2, hangs())], head=False)
        assert (acted is not None) is not accepted
        if accepted:
            assert harness.result("hard_failure.no_progress").action == "ask"


@pytest.mark.parametrize(("clients", "rolled_back"), [(1, False), (2, True)])
def test_one_client_alone_does_not_act_while_others_are_served(clients: int, rolled_back: bool) -> None:
    """At night three others send a request each 15 s, and nothing is useful in between."""
    harness = WorkHarness().known()
    harness.run(10, 1.0)
    acted = False
    for second in range(60):
        harness.ask(ends(WorkEnd.FAULT), body=1_000 + second, client=90 + second % clients)
        if second in (1, 2) or second % 15 == 0:
            harness.ask(ok(), client=1 + second % 4)
        acted = acted or harness.run(1, 0) is not None
    assert acted is rolled_back
    assert ("one_client_fails" in harness.notes) is not rolled_back
