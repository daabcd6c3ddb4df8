import pytest

from router.rollout.outcome import FAULTS, OUTCOMES, Outcome, of_status


def test_numbers_are_offsets_without_gaps() -> None:
    assert [int(outcome) for outcome in OUTCOMES] == list(range(13))


def test_labels() -> None:
    assert [outcome.label for outcome in OUTCOMES] == [
        "ok",
        "client_error",
        "throttled",
        "server_error",
        "connect_failed",
        "timed_out",
        "truncated",
        "invalid",
        "client_gone",
        "saturated",
        "refused",
        "cut",
        "router_fault",
    ]


def test_only_what_the_target_caused_is_a_fault() -> None:
    assert {outcome.label for outcome in FAULTS} == {
        "server_error",
        "connect_failed",
        "timed_out",
        "truncated",
        "invalid",
    }


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.OK),
        (399, Outcome.OK),
        (400, Outcome.CLIENT_ERROR),
        (428, Outcome.CLIENT_ERROR),
        (429, Outcome.THROTTLED),
        (499, Outcome.CLIENT_ERROR),
        (500, Outcome.SERVER_ERROR),
        (599, Outcome.SERVER_ERROR),
    ],
)
def test_of_status(status: int, outcome: Outcome) -> None:
    assert of_status(status) is outcome
