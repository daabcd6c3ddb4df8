from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from router.control.cases import builder
from router.rollout.model import entry as kinds
from router.rollout.model.entry import Entry
from router.shm import layout as at
from router.shm.capture_ring import CaptureRing
from tests.control.cases.conftest import Clinic, bodies
from tests.control.cases.test_captures import attempt, record

Begin = Callable[..., Any]
FAILED = [record(b'{"x": %d}' % number, attempts=[attempt("v1")]) for number in range(3)]


async def frozen(clinic: Clinic) -> list[dict[str, Any]]:
    return await clinic.journal(kinds.CASES_FROZEN)


async def test_what_the_version_failed_at_becomes_cases_a_moment_after_the_rollback(clinics: Begin) -> None:
    clinic = await clinics()
    clinic.fail(*FAILED, record(b'{"x": 9}', attempts=[attempt("v2")]))
    incident = (await clinic.rollback())["incident"]
    clinic.tick(1.5)
    clinic.fail(record(b'{"x": 7}', attempts=[attempt("v1")]))  # was under way at the rollback
    assert clinic.office.store._jobs.empty()
    await clinic.until(lambda: clinic.status()["count"] == 4)
    suite = await clinic.office.store.call(lambda file: file.suite("svc"))
    assert bodies(suite) == [0, 1, 2, 7]
    assert {(one.case.incident, one.case.version, one.case.by) for one in suite} == {(incident, "v1", "rollback")}
    (fact,) = await frozen(clinic)
    assert sorted(fact.pop("cases")) == sorted(one.case.id for one in suite)
    assert fact == {
        "type": "cases_frozen", "actor": "control", "incident": incident, "version": "v1",
        "seen": 4, "dropped": 0, "refused": 0, "left_out": {}, "window_s": 300.0,
    }  # fmt: skip
    assert clinic.alarms() == []


async def test_a_control_that_was_killed_right_after_the_swap_leaves_that_to_its_successor(clinics: Begin) -> None:
    first = await clinics()
    first.fail(*FAILED)
    await first.rollback()
    await first.end()  # nothing was frozen: no tick came after the rollback
    second = await clinics()
    await second.until(lambda: second.status()["count"] == 3)
    assert len(await frozen(second)) == 1
    await second.end()
    third = await clinics()
    third.tick(5)
    await third.settle()
    assert len(await frozen(third)) == 1, "once is enough"


async def test_after_a_new_boot_nothing_is_due(clinics: Begin) -> None:
    first = await clinics()
    await first.rollback()
    await first.end()
    first.life.segment.words[at.H_BOOT] = 0
    second = await clinics()
    second.tick(5)
    await second.settle()
    assert (await frozen(second), second.office._builder.due) == ([], {})


async def test_a_change_that_was_struck_out_is_no_rollback(clinics: Begin) -> None:
    first = await clinics()
    await first.rollback()
    (rolled,) = [one for one in await first.life.journal.entries(0, 1000) if one.type == kinds.ROLLED_BACK]
    abandoned = Entry(kinds.ABANDONED, "svc", "control", {"abandons": rolled.seq}, 0.0, 0, rolled.boot, 99)
    first.office._builder.due.clear()
    first.office._builder.look_back([rolled, abandoned])
    assert first.office._builder.due == {}
    first.office._builder.look_back([rolled])
    assert len(first.office._builder.due) == 1


async def test_without_capture_nothing_is_due(clinics: Begin) -> None:
    clinic = await clinics(cases={"capture": False})
    await clinic.rollback()
    clinic.tick(3)
    await clinic.settle()
    assert await frozen(clinic) == []


async def test_old_failures_are_not_of_this_incident(clinics: Begin) -> None:
    clinic = await clinics(cases={"freeze_window_s": 0.001})
    CaptureRing(clinic.life.segment, 0, at.CAPTURE_FAILURES).write(clinic.now_ns - 10**9, 0, FAILED[0])
    await clinic.rollback()
    clinic.tick()
    await clinic.until(lambda: not clinic.office._builder.due)
    assert [fact["seen"] for fact in await frozen(clinic)] == [0]


async def test_a_disk_that_takes_nothing_holds_up_no_rollback_and_is_tried_again(
    clinics: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builder, "RETRY_NS", 0)
    clinic = await clinics()
    clinic.office.store._path.mkdir()
    clinic.fail(*FAILED)
    assert (await clinic.rollback())["active"] == "v2"
    await clinic.until(lambda: "cases_not_kept" in clinic.alarms())
    clinic.office.store._path.rmdir()
    await clinic.until(lambda: clinic.status()["count"] == 3)
    await clinic.until(lambda: not clinic.alarms())


async def test_one_incident_does_not_fill_the_suite(clinics: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builder, "CASES_MAX", 2)
    clinic = await clinics()
    clinic.fail(*FAILED)
    await clinic.rollback()
    await clinic.until(lambda: clinic.status()["count"])
    assert [(fact["seen"], len(fact["cases"])) for fact in await frozen(clinic)] == [(3, 2)]


@pytest.mark.parametrize(
    ("records", "made", "left_out", "why"),
    [
        ([], 0, {}, "no regression case was made: no failing request of v1 was captured"),
        (
            [record(b"{}", attempts=[attempt("v1", outcome="connect_failed")]) for _ in range(3)], 0, {"could not connect": 3},
            "0 regression cases were made of 3 failing requests of v1; no case: 3 could not connect",
        ),
        (
            [FAILED[0], FAILED[0]], 1, {},
            "1 regression case was made of 2 failing requests of v1; no case: 1 like another one, or beyond the limit",
        ),
        (FAILED, 3, {}, "3 regression cases were made of 3 failing requests of v1"),
    ],
    ids=["nothing failed", "nobody could connect", "the same twice", "all of them"],
)  # fmt: skip
async def test_the_list_of_cases_says_what_a_rollback_made(
    clinics: Begin, records: list[bytes], made: int, left_out: dict[str, int], why: str
) -> None:
    """Also to the one who asks too early, and after control was killed."""
    clinic = await clinics()
    for one in records:
        clinic.fail(one)
    incident = (await clinic.rollback())["incident"]
    (early,) = (await clinic.desk.listing("svc", full=False))["rollbacks"]
    assert (early["incident"], early["seen"], early["why"][:17]) == (incident, None, "not looked at yet")
    await clinic.until(lambda: clinic.office.rollbacks("svc")[0]["seen"] is not None)
    expected = {
        "incident": incident, "version": "v1", "seen": len(records), "made": made, "left_out": left_out, "why": why,
    }  # fmt: skip
    listed = await clinic.desk.listing("svc", full=False)
    assert (listed["rollbacks"], len(listed["cases"])) == ([expected], made)
    await clinic.settle()
    await clinic.end()
    second = await clinics()
    assert (await second.desk.listing("svc", full=False))["rollbacks"] == [expected]


async def test_without_capture_the_list_of_cases_says_so(clinics: Begin) -> None:
    clinic = await clinics(cases={"capture": False})
    await clinic.rollback()
    clinic.tick(5)
    (told,) = (await clinic.desk.listing("svc", full=False))["rollbacks"]
    assert told["why"] == "nothing was captured: [cases] capture is off"


async def test_after_a_new_boot_the_list_of_cases_says_that_requests_are_lost(clinics: Begin) -> None:
    first = await clinics()
    await first.rollback()
    await first.end()
    first.life.segment.words[at.H_BOOT] = 0
    second = await clinics()
    (told,) = (await second.desk.listing("svc", full=False))["rollbacks"]
    assert (told["made"], told["why"][:44]) == (None, "no cases were made: the router ended before ")
