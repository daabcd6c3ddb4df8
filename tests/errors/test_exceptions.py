from __future__ import annotations

import pytest

from router import errors
from router.errors.codes import CommandCode, RefusalCode, StartCode


@pytest.mark.parametrize(
    "error",
    [
        errors.DownstreamError(400, "bad_request", "two Host fields"),
        errors.UpstreamError("upstream_broken", "two lengths"),
        errors.Refusal(RefusalCode.VERIFYING, "v2 is being verified", facts={"version": "v2"}),
        errors.ProblemError(409, {"code": "verifying", "detail": "v2 is being verified"}),
        errors.CommandError(CommandCode.USAGE, "--set and --remove exclude each other"),
        errors.StartError(StartCode.PORT_IN_USE, "listen"),
        errors.InternalError("route_invalid", "slot 9"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_error_has_a_code_for_machines_and_a_detail_for_people(error: errors.RouterError) -> None:
    assert isinstance(error, errors.RouterError)
    assert str(error) == f"{error.code}: {error.detail}"


def test_a_refusal_has_facts() -> None:
    error = errors.Refusal(RefusalCode.GENERATION_STALE, "…", facts={"generation": 7})
    assert (error.code, error.facts, error.in_doubt) == ("generation_stale", {"generation": 7}, False)
    assert errors.Refusal(RefusalCode.NO_STANDBY, "y").facts == {}


@pytest.mark.parametrize(
    ("document", "code", "detail"),
    [
        ({"code": "no_standby", "detail": "none"}, "no_standby", "none"),
        ({"title": "Bad Gateway"}, "http_502", "Bad Gateway"),
        ({}, "http_502", "the router answered 502"),
    ],
)
def test_a_problem_document_is_an_error(document: dict[str, object], code: str, detail: str) -> None:
    error = errors.ProblemError(502, document)
    assert (error.code, error.detail, error.facts) == (code, detail, document)
