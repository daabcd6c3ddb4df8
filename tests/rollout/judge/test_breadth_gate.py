from __future__ import annotations

import pytest

from router.rollout.judge.probe_evidence import ProbeEvidence
from router.rollout.work import WorkEnd
from tests.rollout.judge.work_model import WorkHarness, ends, every, ok

FAULT = ends(WorkEnd.FAULT)


def fail(harness: WorkHarness, requests: int, clients: int, faults: int = 6, every_s: float = 2.5) -> bool:
    """Let this many distinct requests of so many clients fail in a row; return whether the version is rolled back."""
    harness.version.good.clear()
    for number in range(faults):
        harness.ask(FAULT, body=1_000 + number % requests, client=100 + number % clients)
        if harness.run(every_s, 0) is not None:
            return True
    return False


def served() -> WorkHarness:
    return WorkHarness().known(20, 10.0)


@pytest.mark.parametrize(("requests", "rolled_back"), [(1, False), (2, True), (5, True)])
def test_faults_in_a_row_of_several_requests_act(requests: int, rolled_back: bool) -> None:
    harness = served()
    assert fail(harness, requests, min(requests, 2)) is rolled_back
    assert ("poison_request" in harness.notes) is not rolled_back


def test_the_alarm_names_the_fingerprint() -> None:
    harness = served()
    fail(harness, 1, 1)
    assert harness.notes["poison_request"].detail.startswith(f"request {1_000_003 * 1_001:016x} alone fails: ")


def test_one_request_acts_while_the_inference_probe_is_red() -> None:
    harness = served()
    harness.probe = ProbeEvidence(1, bad=1)
    assert fail(harness, 1, 1)


@pytest.mark.parametrize(("requests", "rolled_back"), [(2, False), (4, False), (5, True)])
def test_few_requests_do_not_act_if_an_inference_probe_passed_since(requests: int, rolled_back: bool) -> None:
    harness = served()
    harness.probe = ProbeEvidence(1, good=1, last_good_ns=1 << 62)
    assert fail(harness, requests, 2) is rolled_back


def test_a_request_that_was_useful_before_counts_as_five() -> None:
    harness = WorkHarness()
    harness.bodies = 3
    harness.known(20, 10.0)
    harness.run(10, 10.0)
    harness.probe = ProbeEvidence(1, good=1, last_good_ns=1 << 62)
    assert harness.run(20, 0.5, FAULT) is not None


def test_faults_of_one_client_do_not_act_while_others_are_served() -> None:
    harness = WorkHarness()
    harness.known(20, 10.0)
    harness.run(10, 1.0)
    for number in range(30):
        for repeat in range(9):
            harness.ask(FAULT, body=1_000 + number * 9 + repeat, client=99)
        harness.ask(ok(), client=1 + number % 3)
        assert harness.run(1, 0) is None
    assert "one_client_fails" in harness.notes


def test_a_burst_of_one_client_does_not_act_while_few_others_are_served() -> None:
    """A window of a burst may hold one answer to one other client: those of the last minute are served as well."""
    harness = WorkHarness().known(20, 10.0)
    harness.run(10, 1.0)
    for second in range(60):
        for number in range(20):
            harness.ask(FAULT, body=1_000 + second * 20 + number, client=99)
        if second % 4 == 0:
            harness.ask(ok(), client=1 + second // 4 % 3)
        assert harness.run(1, 0) is None
    assert "one_client_fails" in harness.notes


@pytest.mark.parametrize("failed_before", [True, False])
def test_a_client_that_failed_on_the_version_before_is_no_fault_of_this_one(failed_before: bool) -> None:
    """No other client asks in the first seconds after the promotion."""
    harness = WorkHarness().known(20, 10.0)
    for second in range(10):
        for number in range(20):
            harness.ask(FAULT, body=1_000 + number, client=99 if failed_before else 98)
        harness.ask(ok(), client=1 + second % 3)
        harness.run(1, 0)
    harness.promote()
    acted = False
    for _ in range(5):
        for number in range(20):
            harness.ask(FAULT, body=1_000 + number, client=99)
        acted = acted or harness.run(1, 0) is not None
    assert acted is not failed_before


def test_the_same_faults_of_several_clients_act() -> None:
    harness = WorkHarness()
    harness.known(20, 10.0)
    harness.run(10, 1.0)
    acted = None
    for number in range(30):
        for repeat in range(9):
            harness.ask(FAULT, body=1_000 + number * 9 + repeat, client=90 + repeat)
        harness.ask(ok(), client=1 + number % 3)
        acted = acted or harness.run(1, 0)
    assert acted is not None


def test_poison_among_good_traffic_is_no_regression() -> None:
    """One client sends 3 requests that fail again and again, 10 % of all; a fault in 500 is natural."""
    harness = WorkHarness().known(20, 20.0)
    natural = every(500, FAULT, ok())
    for tick in range(600):
        harness.bodies = 10_000
        for _ in range(2):
            harness.ask(natural)
        if tick % 4 == 0:
            harness.ask(FAULT, body=77_000 + tick % 3, client=99)
        assert harness.tick().failing is None
    assert harness.notes.keys() & {"poison_request", "one_client_fails"}


@pytest.mark.parametrize(
    ("clients", "useful", "rolled_back"), [(1, False, False), (3, False, True), (1, True, True)], ids=str
)
def test_a_natural_fault_beside_one_clients_faults_is_no_regression(
    clients: int, useful: bool, rolled_back: bool
) -> None:
    """One client's requests all fail, 9 % of all; one fault of others is natural. Twins: several, or it is served, too."""
    harness, acted = WorkHarness().known(20, 20.0), False
    for tick in range(450):
        for place in range(2):
            plan = FAULT if (tick, place) == (222, 0) else ok()
            harness.ask(plan, body=tick * 2 + place, client=1 + tick % 7)
        if tick % 5 == 0:
            harness.ask(FAULT, body=77_000 + tick, client=99 + tick // 5 % clients)
        if useful and tick % 10 == 0:
            harness.ask(ok(), body=99_000 + tick, client=99)
        failing = harness.tick().failing
        if failing is not None and failing.name == "error_rate":
            acted = True
            break
    assert acted is rolled_back


def test_without_epochs_the_number_of_faults_decides() -> None:
    harness = WorkHarness()
    harness.version.breadth = False
    harness.known(20, 10.0)
    harness.version.breadth = False
    assert fail(harness, 1, 1)
