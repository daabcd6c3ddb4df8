from __future__ import annotations

import pytest

from router import errors
from router.control.store.batch import JournalUnavailable
from router.control.store.in_doubt import InDoubtChange
from router.errors.codes import CommandCode, RefusalCode, StartCode
from router.runtime.exit_codes import ExitCode, exit_code

DOUBT = InDoubtChange(7, 1, 0, "rolled_back", "fraud", "ann", 0.0)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.Refusal(RefusalCode.NO_STANDBY, ""), 9),
        (errors.Refusal(RefusalCode.ENDPOINTS_DIFFER, ""), 7),
        (errors.Refusal(RefusalCode.ENDPOINT_INVALID, ""), 2),
        (JournalUnavailable("full"), 9),
        (JournalUnavailable("slow", doubt=DOUBT), 1),
        (errors.ProblemError(409, {"code": "no_standby"}), 9),
        (errors.ProblemError(409, {"code": "endpoints_differ"}), 7),
        (errors.ProblemError(400, {"code": "request_invalid"}), 2),
        (errors.ProblemError(500, {"code": "internal"}), 10),
        (errors.ProblemError(503, {"code": "journal_unavailable", "in_doubt": True}), 1),
        (errors.ProblemError(409, {"code": "of_a_later_release"}), 9),
        (errors.ProblemError(400, {"code": "of_a_later_release"}), 2),
        (errors.ProblemError(500, {"code": "of_a_later_release"}), 10),
        (errors.ProblemError(500, {}), 10),
        (errors.ProblemError(502, {}), 9),
        (errors.CommandError(CommandCode.USAGE, ""), 2),
        (errors.CommandError(CommandCode.DEPLOY_FAILED, ""), 1),
        (errors.CommandError(CommandCode.ROUTER_UNREACHABLE, ""), 8),
        (errors.StartError(StartCode.PORT_IN_USE, ""), 4),
        (errors.StartError(StartCode.VERSION_UNKNOWN, ""), 2),
        (errors.InternalError("route_invalid", ""), 10),
        (errors.UpstreamError("x", ""), 1),
    ],
    ids=lambda value: str(value),
)
def test_the_exit_code_of_an_error(error: errors.RouterError, expected: int) -> None:
    assert exit_code(error) == expected


def test_every_number_has_a_meaning() -> None:
    assert [code.value for code in ExitCode if code.label and code.meaning.endswith(".")] == list(range(11))
