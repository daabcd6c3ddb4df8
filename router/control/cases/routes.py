"""The routes of cases and of their checks. Every role may list them; only operators see the contents of requests."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from router.control.addon import Document
from router.control.admin.bodies import Actor, ChangeQuery, Version
from router.control.admin.json_text import LARGE
from router.control.admin.operation import Call, Operation
from router.control.cases.answers import CaseDocument, CasesAdded, CasesList, CasesRemoved, CheckDocument, ChecksList
from router.control.cases.operations import CaseOperations
from router.control.views.addon_answers import CheckProgress
from router.settings.sections.admin import RANKS

CASES_MAX: Final = 10_000
_BOUNDS: Final = replace(LARGE, members_max=CASES_MAX, long_integers=True)
_SERVICE: Final = "/v1/services/{service}"
CaseId = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]


class _CaseBody(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    actor: Actor | None = None
    """The name of the operator. It is used only if no tokens are configured; otherwise the token's name is used."""


class AddCases(_CaseBody):
    """Cases in the form of a file of cases, without its first line."""

    cases: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=CASES_MAX, fail_fast=True)]


class RemoveCase(_CaseBody):
    """The actor only."""


class CancelCheck(_CaseBody):
    """The actor only."""


class CheckCases(_CaseBody):
    """`replay_all`: send also requests that the service's replay rule would not resend. `cases`: only these."""

    version: Version
    cases: Annotated[list[CaseId], Field(max_length=CASES_MAX, fail_fast=True)] = []
    replay_all: bool = False


class CasesQuery(BaseModel):
    """`full`: with header fields and bodies, for operators only."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    full: bool = False


def operations(cases: CaseOperations) -> tuple[Operation, ...]:
    """Return the routes of cases."""

    def full(call: Call) -> bool:
        requested = call.query_as(CasesQuery).full
        if requested:
            call.access_policy.authorize(call.request, "operator")
        return requested

    async def listing(call: Call) -> Document:
        return await cases.listing(call.service, full=full(call))

    async def one(call: Call) -> Document:
        return await cases.one(call.service, call.request.match_info["case"], full=full(call))

    async def add(call: Call) -> Document:
        return await cases.add(call.service, call.body_as(AddCases).cases, call.actor(), dry_run=call.dry_run)

    async def remove(call: Call) -> Document:
        return await cases.remove(call.service, call.request.match_info["case"], call.actor())

    async def check(call: Call) -> CheckProgress:
        body = call.body_as(CheckCases)
        return await cases.check(call.service, body.version, call.actor(), names=body.cases, replay_all=body.replay_all)

    async def checks(call: Call) -> Document:
        return cases.checks(call.service)

    async def check_named(call: Call) -> Document:
        full = RANKS[call.principal.role] >= RANKS["operator"]
        return cases.check_named(call.service, call.request.match_info["check"], full=full)

    async def cancel(call: Call) -> CheckProgress:
        return cases.cancel(call.service, call.request.match_info["check"])

    return (
        Operation("GET", f"{_SERVICE}/cases", listing, "Regression cases of a service, newest first", query=CasesQuery,
                  name="listCases", answer=CasesList),
        Operation("POST", f"{_SERVICE}/cases", add, "Add cases, all or none", "operator", AddCases, ChangeQuery,
                  bounds=_BOUNDS, name="addCases", answer=CasesAdded),
        Operation("GET", f"{_SERVICE}/cases/{{case}}", one, "One case", query=CasesQuery, name="getCase",
                  answer=CaseDocument),
        Operation("DELETE", f"{_SERVICE}/cases/{{case}}", remove, "Remove a case for good", "operator", RemoveCase,
                  name="removeCase", answer=CasesRemoved),
        Operation("POST", f"{_SERVICE}/check", check, "Replay the cases against a version", "operator", CheckCases,
                  status=202, name="startCheck", answer=CheckProgress),
        Operation("GET", f"{_SERVICE}/checks", checks, "Running checks, and the last ones that ended", name="listChecks",
                  answer=ChecksList),
        Operation("GET", f"{_SERVICE}/checks/{{check}}", check_named, "One check with its results", name="getCheck",
                  answer=CheckDocument),
        Operation("DELETE", f"{_SERVICE}/checks/{{check}}", cancel, "Cancel a check", "operator", CancelCheck,
                  name="cancelCheck", answer=CheckProgress),
    )  # fmt: skip
