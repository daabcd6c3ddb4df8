from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from router.control.cases.builder import CASES_MAX, LATE_NS
from router.rollout.facts.cases import CasesFrozen
from router.rollout.facts.entry import Entry
from router.shm import layout as at
from router.shm.capture_ring import CaptureRing
from tests import entry_types
from tests.control.cases.conftest import CasesHarness, bodies
from tests.control.cases.test_captures import attempt, record
from tests.texts import golden

Begin = Callable[..., Any]
FAILED = [record(b'{"x": %d}' % number, attempts=[attempt("v1")]) for number in range(3)]


async def frozen(harness: CasesHarness) -> list[dict[str, Any]]:
    await harness.settle()
    found = [entry for entry in await harness.control.journal.entries(0, 1000) if isinstance(entry.fact, CasesFrozen)]
    return [{"type": e.type, "actor": e.actor, "monotonic_ns": e.monotonic_ns, **e.fact.to_data()} for e in found]


async def test_what_the_version_failed_at_becomes_cases_a_moment_after_the_rollback(start_harness: Begin) -> None:
    harness = await start_harness()
    harness.fail(*FAILED, record(b'{"x": 9}', attempts=[attempt("v2")]))
    incident = (await harness.rollback())["incident"]
    harness.tick(1.5)
    harness.fail(record(b'{"x": 7}', attempts=[attempt("v1")]))  # was under way at the rollback
    assert harness.addon.store.waiting == 0
    await harness.until(lambda: harness.status()["count"] == 4)
    suite = await harness.addon.store.call(lambda file: file.suite("svc"))
    assert bodies(suite) == [0, 1, 2, 7]
    assert {(one.case.incident, one.case.version, one.case.by) for one in suite} == {(incident, "v1", "rollback")}
    (journalled,) = await frozen(harness)
    build = harness.addon.builder.late[incident]
    assert journalled.pop("monotonic_ns") - round(journalled.pop("until_s") * 1e9) == build.since_ns - 1
    assert sorted(journalled.pop("cases")) == sorted(one.case.id for one in suite)
    assert journalled == {
        "type": "cases_frozen", "actor": "control", "incident": incident, "version": "v1",
        "seen": 4, "dropped": 0, "refused": 0, "left_out": {}, "window_s": 300.0,
    }  # fmt: skip
    assert harness.alarms() == []


async def test_a_control_that_was_killed_right_after_the_swap_leaves_that_to_its_successor(
    start_harness: Begin,
) -> None:
    first = await start_harness()
    first.fail(*FAILED)
    await first.rollback()
    await first.end()  # nothing was frozen: no tick came after the rollback
    second = await start_harness()
    await second.until(lambda: second.status()["count"] == 3)
    assert len(await frozen(second)) == 1
    await second.end()
    third = await start_harness()
    third.tick(5)
    await third.settle()
    assert len(await frozen(third)) == 1, "once is enough"


async def test_after_a_new_boot_nothing_is_due(start_harness: Begin) -> None:
    first = await start_harness()
    await first.rollback()
    await first.end()
    first.control.segment.words[at.H_BOOT] = 0
    second = await start_harness()
    second.tick(5)
    await second.settle()
    assert (await frozen(second), second.addon.builder.pending) == ([], {})


async def test_a_change_that_was_struck_out_is_no_rollback(start_harness: Begin) -> None:
    first = await start_harness()
    await first.rollback()
    (rolled,) = [one for one in await first.control.journal.entries(0, 1000) if one.type == entry_types.ROLLED_BACK]
    abandoned = Entry.of(entry_types.ABANDONED, "svc", "control", {"abandons": rolled.seq}, 0.0, 0, rolled.boot, 99)
    first.addon.builder.pending.clear()
    first.addon.builder.restore([rolled, abandoned])
    assert first.addon.builder.pending == {}
    first.addon.builder.restore([rolled])
    assert len(first.addon.builder.pending) == 1


async def test_without_capture_nothing_is_due(start_harness: Begin) -> None:
    harness = await start_harness(cases={"capture": False})
    await harness.rollback()
    harness.tick(3)
    await harness.settle()
    assert await frozen(harness) == []


async def test_old_failures_are_not_of_this_incident(start_harness: Begin) -> None:
    harness = await start_harness(cases={"freeze_window_s": 0.001})
    CaptureRing(harness.control.segment, 0, at.CAPTURE_FAILURES).write(harness.control.now_ns - 10**9, 0, FAILED[0])
    await harness.rollback()
    harness.tick()
    await harness.until(lambda: not harness.addon.builder.pending)
    assert [entry["seen"] for entry in await frozen(harness)] == [0]


async def test_a_disk_that_takes_nothing_holds_up_no_rollback_and_is_tried_again(start_harness: Begin) -> None:
    harness = await start_harness()
    harness.addon.store.path.mkdir()
    harness.fail(*FAILED)
    assert (await harness.rollback())["active"] == "v2"
    await harness.until(lambda: "cases_not_kept" in harness.alarms())
    harness.addon.store.path.rmdir()
    await harness.until(lambda: harness.status()["count"] == 3)
    await harness.until(lambda: not harness.alarms())


async def test_one_incident_does_not_fill_the_suite(start_harness: Begin) -> None:
    harness = await start_harness()
    harness.fail(*(record(b'{"x": %d}' % number, attempts=[attempt("v1")]) for number in range(CASES_MAX + 1)))
    await harness.rollback()
    await harness.until(lambda: harness.status()["count"])
    assert [(journalled["seen"], len(journalled["cases"])) for journalled in await frozen(harness)] == [
        (CASES_MAX + 1, CASES_MAX)
    ]


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
            "1 regression case was made of 2 failing requests of v1; no case: 1 duplicate, or above the limit",
        ),
        (FAILED, 3, {}, "3 regression cases were made of 3 failing requests of v1"),
    ],
    ids=["nothing failed", "nobody could connect", "the same twice", "all of them"],
)  # fmt: skip
async def test_the_list_of_cases_says_what_a_rollback_made(
    start_harness: Begin, records: list[bytes], made: int, left_out: dict[str, int], why: str
) -> None:
    """Also if the question comes too early, and after control was killed."""
    harness = await start_harness()
    for one in records:
        harness.fail(one)
    incident = (await harness.rollback())["incident"]
    (early,) = (await harness.case_operations.listing("svc", full=False))["rollbacks"]
    assert (early["incident"], early["seen"], early["why"][:17]) == (incident, None, "not processed yet")
    await harness.until(lambda: harness.addon.rollbacks("svc")[0]["seen"] is not None)
    expected = {
        "incident": incident, "version": "v1", "seen": len(records), "made": made, "left_out": left_out, "why": why,
    }  # fmt: skip
    listed = await harness.case_operations.listing("svc", full=False)
    assert (listed["rollbacks"], len(listed["cases"])) == ([expected], made)
    await harness.settle()
    await harness.end()
    second = await start_harness()
    assert (await second.case_operations.listing("svc", full=False))["rollbacks"] == [expected]


async def test_without_capture_the_list_of_cases_says_so(start_harness: Begin) -> None:
    harness = await start_harness(cases={"capture": False})
    await harness.rollback()
    harness.tick(5)
    (document,) = (await harness.case_operations.listing("svc", full=False))["rollbacks"]
    assert document["why"] == golden("cases.capture_off")


async def test_after_a_new_boot_the_list_of_cases_says_that_requests_are_lost(start_harness: Begin) -> None:
    first = await start_harness()
    await first.rollback()
    await first.end()
    first.control.segment.words[at.H_BOOT] = 0
    second = await start_harness()
    (document,) = (await second.case_operations.listing("svc", full=False))["rollbacks"]
    assert (document["made"], document["why"][:44]) == (None, golden("cases.none_made"))


def in_flight(number: int, generation: int = 9) -> bytes:
    """A request that began on v1, and times out late."""
    timed_out = attempt("v1", "timed_out", status=None, generation=generation)
    return record(b'{"x": %d}' % number, attempts=[timed_out])


async def first_cases(harness: CasesHarness, *records: bytes) -> str:
    """Roll back, and return the incident when its first cases are made."""
    harness.fail(*records)
    incident: str = (await harness.rollback())["incident"]
    await harness.until(lambda: incident in harness.addon.builder.late)
    return incident


def fail_at(harness: CasesHarness, at_ns: int, one: bytes) -> None:
    CaptureRing(harness.control.segment, 0, at.CAPTURE_FAILURES).write(at_ns, 0, one)


@pytest.mark.parametrize("late_s", [4.5, 30.0, 300.0, 600.0])
async def test_a_request_that_times_out_long_after_the_rollback_becomes_a_case_of_it(
    start_harness: Begin, late_s: float
) -> None:
    harness = await start_harness()
    incident = await first_cases(harness, FAILED[0])
    build = harness.addon.builder.late[incident]
    fail_at(harness, build.rolled_back_ns + int(late_s * 1e9), in_flight(7))
    fail_at(harness, build.rolled_back_ns + int(late_s * 1e9), in_flight(8, generation=1 << 50))
    harness.tick(late_s)
    await harness.until(lambda: harness.status()["count"] == 2)
    suite = await harness.addon.store.call(lambda file: file.suite("svc"))
    assert (bodies(suite), {one.case.incident for one in suite}) == ([0, 7], {incident})
    first, second = await frozen(harness)
    assert (first["seen"], len(first["cases"]), "late" in first) == (1, 1, False)
    assert (second["seen"], len(second["cases"]), second["late"]) == (2, 2, 1)
    until = [journalled["monotonic_ns"] - round(journalled["until_s"] * 1e9) for journalled in (first, second)]
    assert until[1] > until[0]
    assert harness.addon.rollbacks("svc")[0]["why"] == golden("cases.made_late")


async def test_after_eleven_minutes_nothing_is_waited_for(start_harness: Begin) -> None:
    harness = await start_harness()
    incident = await first_cases(harness, FAILED[0])
    build = harness.addon.builder.late[incident]
    fail_at(harness, build.rolled_back_ns + LATE_NS + 10**9, in_flight(7))
    harness.tick(LATE_NS / 1e9)
    await harness.until(lambda: harness.addon.builder.late == {})
    assert (harness.status()["count"], len(await frozen(harness))) == (1, 1)


async def test_late_requests_that_make_no_case_are_counted_in_the_end(start_harness: Begin) -> None:
    harness = await start_harness()
    incident = await first_cases(harness, FAILED[0])
    build = harness.addon.builder.late[incident]
    unknown = record(request_whole=False, attempts=[attempt("v1", "timed_out")])
    fail_at(harness, build.rolled_back_ns + 30 * 10**9, unknown)
    harness.tick(LATE_NS / 1e9)
    await harness.until(lambda: harness.addon.builder.late == {})
    *_, last = await frozen(harness)
    assert (last["seen"], len(last["cases"]), last["late"]) == (2, 1, 1)
    assert last["left_out"] == {golden("cases.not_whole"): 1}


async def test_a_control_that_was_killed_goes_on_waiting_and_brings_back_no_removed_case(start_harness: Begin) -> None:
    first = await start_harness()
    incident = await first_cases(first, *FAILED)
    build = first.addon.builder.late[incident]
    await first.settle()
    for stored in await first.addon.store.call(lambda file: file.suite("svc")):
        await first.case_operations.remove("svc", stored.case.id, "ann")
    fail_at(first, build.rolled_back_ns + 20 * 10**9, in_flight(7))
    await first.settle()
    await first.end()
    second = await start_harness()
    second.tick(40)
    await second.until(lambda: second.status()["count"] == 1)
    (stored,) = await second.addon.store.call(lambda file: file.suite("svc"))
    assert bodies([stored]) == [7]
    await second.case_operations.remove("svc", stored.case.id, "ann")
    await second.settle()
    await second.end()
    third = await start_harness()
    third.tick(LATE_NS / 1e9)
    await third.until(lambda: third.addon.builder.late == {})
    assert third.status()["count"] == 0


async def test_late_requests_do_not_exceed_the_limit_of_an_incident(start_harness: Begin) -> None:
    harness = await start_harness()
    many = [record(b'{"x": %d}' % number, attempts=[attempt("v1")]) for number in range(CASES_MAX - 1)]
    incident = await first_cases(harness, *many)
    build = harness.addon.builder.late[incident]
    for number in range(3):
        fail_at(harness, build.rolled_back_ns + 20 * 10**9, in_flight(1000 + number))
    harness.tick(30)
    await harness.until(lambda: harness.status()["count"] == CASES_MAX)
    assert len((await frozen(harness))[-1]["cases"]) == CASES_MAX
