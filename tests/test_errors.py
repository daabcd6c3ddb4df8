from __future__ import annotations

import pytest

from router import errors


@pytest.mark.parametrize(
    "error",
    [
        errors.DownstreamError(400, "bad_request", "two Host fields"),
        errors.UpstreamError("upstream_broken", "two lengths"),
        errors.OperatorError(409, "verifying", "v2 is being verified", facts={"version": "v2"}),
        errors.StartError("port_in_use", "listen", 4),
        errors.InternalError("route_invalid", "slot 9"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_error_has_a_code_for_machines_and_a_detail_for_people(error: errors.RouterError) -> None:
    assert isinstance(error, errors.RouterError)
    assert str(error) == f"{error.code}: {error.detail}"


def test_what_an_operator_error_carries() -> None:
    error = errors.OperatorError(412, "generation_stale", "…", facts={"generation": 7})
    assert (error.status, error.exit_code, error.facts) == (412, 1, {"generation": 7})
    assert errors.OperatorError(404, "x", "y").facts == {}
