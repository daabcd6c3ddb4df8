from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from router.control.cases import operations
from router.control.store import case_format
from router.errors import Refusal
from router.rollout.cases.case import Case, Request
from tests import entry_types
from tests.control.cases.case_examples import written_case
from tests.control.cases.conftest import CasesHarness
from tests.control.cases.model_server import model_server

Begin = Callable[..., Any]
CASE = Case(Request("POST", "/score", body='{"x": 1}'))


async def ended(harness: CasesHarness, check: dict[str, Any]) -> dict[str, Any]:
    await harness.until(lambda: harness.case_operations.check_named("svc", check["id"])["state"] != "running")
    return harness.case_operations.check_named("svc", check["id"])


async def test_a_written_case_is_signed_listed_and_removed(start_harness: Begin) -> None:
    harness = await start_harness()
    assert await harness.case_operations.add("svc", [written_case()], "ann", dry_run=True) == {
        "service": "svc", "added": [CASE.id], "known": [], "dropped": [], "dry_run": True,
    }  # fmt: skip
    assert (await harness.case_operations.listing("svc", full=True))["cases"] == []
    await harness.case_operations.add("svc", [written_case(status="2xx")], "ann")
    (document,) = (await harness.case_operations.listing("svc", full=True))["cases"]
    assert (document["id"], document["by"], document["request"]["body"], document["expect"]) == (
        CASE.id,
        "ann",
        '{"x": 1}',
        {"status": "2xx"},
    )
    assert (document["expires_at"], document["sendable"]) == (None, True)
    assert (await harness.case_operations.one("svc", CASE.id, full=False))["request"] == {
        "method": "POST",
        "target": "/score",
    }
    assert await harness.case_operations.remove("svc", CASE.id, "bob") == {"service": "svc", "removed": [CASE.id]}
    journalled = await harness.journal(entry_types.CASES_ADDED, entry_types.CASES_REMOVED)
    assert [(journalled["type"], journalled["actor"]) for journalled in journalled] == [
        ("cases_added", "ann"),
        ("cases_removed", "bob"),
    ]


async def test_a_captured_case_says_when_it_goes(start_harness: Begin) -> None:
    harness = await start_harness(cases={"expire_after_s": 86_400.0})
    await harness.case_operations.add("svc", [written_case() | {"by": "rollback"}], "ann")
    document = await harness.case_operations.one("svc", CASE.id, full=False)
    assert (document["by"], document["expires_at"] > document["added_at"]) == ("rollback", True)


async def test_a_file_full_of_cases_is_looked_at_aside(start_harness: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    harness = await start_harness()
    seen: list[threading.Thread] = []

    def parsed(document: object, place: str) -> Case:
        seen.append(threading.current_thread())
        return case_format.parsed(document, place)

    monkeypatch.setattr(operations, "parsed", parsed)
    await harness.case_operations.add("svc", [written_case()], "ann")
    assert [thread is threading.main_thread() for thread in seen] == [False]


async def test_what_is_wrong_is_named_and_nothing_is_added(start_harness: Begin) -> None:
    harness = await start_harness(cases={"cases_max": 1})
    with pytest.raises(Refusal) as caught:
        await harness.case_operations.add("svc", [written_case(), {"request": {"method": "GET"}}], "ann")
    assert (caught.value.code, caught.value.detail) == ("case_invalid", "cases.1: request.target: Field required")
    with pytest.raises(Refusal, match="cases_full"):
        await harness.case_operations.add("svc", [written_case(1), written_case(2)], "ann")
    assert (await harness.case_operations.listing("svc", full=True))["cases"] == []
    assert await harness.journal(entry_types.CASES_ADDED) == []


@pytest.mark.parametrize(
    ("verb", "code"),
    [
        ("one", "case_unknown"),
        ("remove", "case_unknown"),
        ("check", "case_unknown"),
        ("check_named", "check_unknown"),
        ("version", "version_unknown"),
        ("service", "service_unknown"),
    ],
)
async def test_what_is_unknown(start_harness: Begin, verb: str, code: str) -> None:
    harness = await start_harness()
    with pytest.raises(Refusal) as caught:
        match verb:
            case "one":
                await harness.case_operations.one("svc", "0" * 12, full=False)
            case "remove":
                await harness.case_operations.remove("svc", "0" * 12, "ann")
            case "check":
                await harness.case_operations.check("svc", "v1", "ann", names=["0" * 12])
            case "check_named":
                harness.case_operations.check_named("svc", "1-1")
            case "version":
                await harness.case_operations.check("svc", "v9", "ann")
            case _:
                await harness.case_operations.listing("nobody", full=False)
    assert caught.value.code == code


async def test_a_check_of_any_version_tells_each_case(start_harness: Begin) -> None:
    harness = await start_harness()
    async with model_server(lambda body: (500 if b"7" in body else 200, b"{}")) as server:
        await harness.candidate(server.url)
        await harness.case_operations.add("svc", [written_case(number) for number in (1, 7)], "ann")
        begun = await harness.case_operations.check("svc", "v3", "ann")
        assert (begun["state"], begun["by"], begun["automatic"]) == ("running", "ann", False)
        document = await ended(harness, begun)
    assert (document["state"], document["passed"], document["failed"]) == ("failing", 1, 1)
    assert sorted((result["state"], *result["problems"]) for result in document["results"]) == [
        ("fail", "status 500, expected below 500"),
        ("pass",),
    ]


async def test_named_cases_prove_nothing_for_a_promotion_and_all_of_them_do(start_harness: Begin) -> None:
    harness = await start_harness(cases={"on_promote": "report"})
    async with model_server() as server:
        await harness.candidate(server.url)
        await harness.case_operations.add("svc", [written_case(1), written_case(2)], "ann")
        document = await ended(harness, await harness.case_operations.check("svc", "v3", "ann", names=[CASE.id]))
        assert (
            document["total"],
            [
                journalled["cases"]
                for journalled in await harness.journal(entry_types.CASES_CHECKED)
                if journalled["actor"] == "ann"
            ],
        ) == (
            1,
            [],
        )
        await ended(harness, await harness.case_operations.check("svc", "v3", "ann"))
        assert [
            journalled["cases"]
            for journalled in await harness.journal(entry_types.CASES_CHECKED)
            if journalled["actor"] == "ann"
        ] == [2]


async def test_a_person_may_have_everything_sent(start_harness: Begin) -> None:
    harness = await start_harness(cases={"on_promote": "off"})
    async with model_server() as server:
        await harness.candidate(server.url)
        await harness.case_operations.add("svc", [written_case() | {"by": "rollback"}], "ann")
        assert (await ended(harness, await harness.case_operations.check("svc", "v3", "ann")))["skipped"] == 1
        assert (await ended(harness, await harness.case_operations.check("svc", "v3", "ann", replay_all=True)))[
            "passed"
        ] == 1


async def test_a_check_is_cancelled(start_harness: Begin) -> None:
    harness = await start_harness(cases={"on_promote": "off"})
    async with model_server() as server:
        server.hangs = True
        await harness.candidate(server.url)
        await harness.case_operations.add("svc", [written_case()], "ann")
        begun = await harness.case_operations.check("svc", "v3", "ann")
        await harness.until(lambda: server.requests)
        harness.case_operations.cancel("svc", begun["id"])
        assert (await ended(harness, begun))["state"] == "cancelled"
    assert [check["id"] for check in harness.case_operations.checks("svc")["checks"]] == [begun["id"]]
    assert await harness.journal(entry_types.CASES_CHECKED) == []
