from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client.core import GaugeMetricFamily

from router.control.cases.addon import TIDY_EVERY_NS
from router.control.cases.builder import HOLD_NS
from router.control.cases.redaction_process import RedactionResult
from router.errors import Refusal
from router.rollout.facts.entry import Entry
from router.rollout.model.events import Override
from router.runtime import clock
from tests import entry_types
from tests.control.cases.case_examples import written_case
from tests.control.cases.conftest import CasesHarness
from tests.control.cases.model_server import model_server
from tests.control.cases.test_captures import attempt, record
from tests.texts import golden

Begin = Callable[..., Any]


def unless(body: bytes) -> Callable[[bytes], tuple[int, bytes]]:
    return lambda sent: (500, b"no") if sent == body else (200, b"{}")


async def add(harness: CasesHarness, *numbers: int, by: str = "ann") -> list[str]:
    documents = [written_case(number) | {"by": by} for number in numbers]
    added: list[str] = (await harness.case_operations.add("svc", documents, "ann"))["added"]
    await harness.until(lambda: harness.status()["count"] >= len(numbers))
    return added


async def promote(harness: CasesHarness, **more: Any) -> dict[str, Any]:
    return await harness.operations.promote(service="svc", version="v3", actor="ann", **more)


async def refusal(harness: CasesHarness) -> tuple[str, str]:
    with pytest.raises(Refusal) as caught:
        await promote(harness)
    active = harness.service_controller.registry.active
    assert active is not None
    assert active.version == "v1"
    return caught.value.code, caught.value.detail


async def test_a_candidate_that_passes_all_cases_may_be_promoted(start_harness: Begin) -> None:
    harness = await start_harness()
    async with model_server() as server:
        await add(harness, 1, 2, 3)
        await harness.candidate(server.url)
        assert await refusal(harness) == (
            "cases_pending",
            golden("cases.not_checked"),
        )
        assert harness.status()["pending"]
        await harness.until(lambda: not harness.status()["pending"])
        assert len(server.requests) == 3
    document = harness.status()
    assert (document["check"]["state"], document["check"]["passed"], document["failing"]) == ("passed", 3, [])
    assert (await promote(harness))["active"] == "v3"


async def test_a_candidate_that_fails_a_case_is_refused_by_name_unless_a_person_overrides(start_harness: Begin) -> None:
    harness = await start_harness()
    async with model_server(unless(b'{"x": 7}')) as server:
        bad = (await add(harness, 1, 7))[1]
        await harness.candidate(server.url)
        await harness.until(lambda: not harness.status()["pending"])
        code, detail = await refusal(harness)
        assert (code, detail) == (
            "cases_failing",
            golden("cases.failing", bad=bad),
        )
        assert harness.status()["failing"] == [bad]
        (journalled,) = await harness.journal(entry_types.CASES_CHECKED)
        assert (
            journalled["version"],
            journalled["cases"],
            journalled["passed"],
            journalled["failed"],
            journalled["failing"],
        ) == (
            "v3",
            2,
            1,
            1,
            [bad],
        )
        assert (await promote(harness, override=Override("ann", "it is urgent")))["active"] == "v3"


async def test_a_case_that_is_removed_or_added_is_looked_at_again(start_harness: Begin) -> None:
    harness = await start_harness()
    async with model_server(unless(b'{"x": 7}')) as server:
        bad = (await add(harness, 1, 7))[1]
        await harness.candidate(server.url)
        await harness.until(lambda: harness.status()["failing"])
        await harness.case_operations.remove("svc", bad, "ann")
        await harness.until(lambda: harness.status()["count"] == 1 and not harness.status()["pending"])
        assert harness.status()["failing"] == []
        await harness.case_operations.add("svc", [written_case(7)], "ann")
        await harness.until(lambda: harness.status()["failing"] == [bad])
        assert (await refusal(harness))[0] == "cases_failing"


async def test_a_suite_that_was_not_read_since_it_changed_lets_nobody_pass(start_harness: Begin) -> None:
    """A rollback builds cases, and the next version is ready before the add-on has read the changed suite."""
    harness = await start_harness()
    async with model_server() as server:
        await harness.candidate(server.url)
        await harness.until(lambda: not harness.status()["pending"])
        journalled = {"incident": "svc-1-9", "version": "v9", "seen": 1, "cases": ["x"], "dropped": 0, "refused": 0}
        harness.addon.on_entry(Entry.of(entry_types.CASES_FROZEN, "svc", "control", journalled, 1.0, 2, 1, 99))
        assert ((await refusal(harness))[0], harness.status()["pending"]) == ("cases_pending", True)
        await harness.until(lambda: not harness.status()["pending"])
        assert (await promote(harness))["active"] == "v3"


@pytest.mark.parametrize(("mode", "checks"), [("report", 1), ("off", 0)])
async def test_where_cases_are_not_required_they_stop_nobody(start_harness: Begin, mode: str, checks: int) -> None:
    harness = await start_harness(cases={"on_promote": mode})
    async with model_server(unless(b'{"x": 7}')) as server:
        await add(harness, 7)
        await harness.candidate(server.url)
        harness.tick(2)
        await harness.until(lambda: not harness.status()["pending"])
        assert len(await harness.journal(entry_types.CASES_CHECKED)) == checks
        assert (await promote(harness))["active"] == "v3"


async def test_without_cases_nothing_is_asked_of_a_candidate(start_harness: Begin) -> None:
    harness = await start_harness()
    harness.tick(2)
    await harness.candidate("http://127.0.0.1:9")
    assert (await promote(harness))["active"] == "v3"
    harness.tick(2)
    assert harness.status()["check"] is None


async def test_what_was_shown_is_known_after_a_restart_of_control(start_harness: Begin) -> None:
    first = await start_harness()
    async with model_server() as server:
        await add(first, 1)
        await first.candidate(server.url)
        await first.until(lambda: not first.status()["pending"])
        await first.settle()
        await first.end()
        second = await start_harness()
        await second.until(lambda: second.status()["count"])
        assert (second.status()["pending"], len(server.requests)) == (False, 1)
        second.control.probe("v3", times=5)
        assert (await promote(second))["active"] == "v3"


async def test_a_rollback_is_never_held_up_by_cases(start_harness: Begin) -> None:
    harness = await start_harness()
    await add(harness, 1)
    assert (await harness.rollback())["active"] == "v2"


async def test_a_candidate_that_is_replaced_is_checked_no_more(start_harness: Begin) -> None:
    harness = await start_harness()
    async with model_server() as hanging, model_server() as server:
        hanging.hangs = True
        await add(harness, 1)
        await harness.candidate(hanging.url)
        await harness.until(lambda: hanging.requests)
        await harness.candidate(server.url, "v4")
        await harness.until(lambda: harness.status()["check"] and harness.status()["check"]["version"] == "v4")
        await harness.until(lambda: not harness.status()["pending"])
    assert [check.state for check in harness.addon.checks.of("svc")] == ["passed", "cancelled"]
    assert [journalled["version"] for journalled in await harness.journal(entry_types.CASES_CHECKED)] == ["v4"]


async def test_captured_posts_are_sent_only_where_the_service_allows_it(start_harness: Begin) -> None:
    harness = await start_harness()
    async with model_server() as server:
        await add(harness, 1, by="rollback")
        await harness.candidate(server.url)
        await harness.until(lambda: not harness.status()["pending"])
        assert (server.requests, harness.status()["check"]["skipped"]) == ([], 1)
        assert (await promote(harness))["active"] == "v3", "what cannot be tried stops nobody"


async def test_expired_cases_are_deleted_and_that_is_a_fact(start_harness: Begin) -> None:
    harness = await start_harness(cases={"expire_after_s": 0.001})
    documents = [written_case(1) | {"by": "rollback"}, written_case(2)]
    await harness.case_operations.add("svc", documents, "ann")
    harness.control.now_ns += TIDY_EVERY_NS
    await harness.until(lambda: harness.status()["count"] == 1)
    (journalled,) = await harness.journal(entry_types.CASES_REMOVED)
    assert (journalled["count"], journalled["why"], journalled["actor"]) == (1, "expired", "control")


async def test_a_suite_that_cannot_be_read_is_alarmed_and_stops_no_promotion(start_harness: Begin) -> None:
    harness = await start_harness()
    harness.addon.store.path.mkdir()
    await harness.until(lambda: {"cases_unavailable", "cases_not_deleted"} <= set(harness.alarms()))
    await harness.candidate("http://127.0.0.1:9")
    assert (await promote(harness))["active"] == "v3"


async def test_an_unreadable_file_is_put_aside_with_an_alarm(start_harness: Begin) -> None:
    harness = await start_harness()
    harness.addon.store.path.write_bytes(b"no database" * 999)
    await harness.until(lambda: "cases_unreadable" in harness.alarms())


async def test_metrics(start_harness: Begin) -> None:
    harness = await start_harness()
    async with model_server(unless(b'{"x": 7}')) as server:
        await add(harness, 1, 7)
        await harness.candidate(server.url)
        await harness.until(lambda: harness.status()["failing"])
        found = {
            (metric.name, *sample.labels.values()): sample.value
            for metric in harness.addon.metrics()
            if isinstance(metric, GaugeMetricFamily)
            for sample in metric.samples
        }
    assert found == {("rollback_router_cases", "svc"): 2.0, ("rollback_router_cases_failing", "svc", "v3"): 1.0}


async def test_a_disk_that_hangs_holds_up_no_tick(start_harness: Begin) -> None:
    harness = await start_harness()
    stuck = threading.Event()
    harness.control_loop.tasks.spawn(harness.addon.store.call(lambda _: stuck.wait()), "a disk that hangs")
    harness.fail()
    assert (await harness.rollback())["confirmed"]
    began_ns = clock.now_ns()
    harness.tick(5)
    assert (clock.now_ns() - began_ns) / 50 < 20_000_000, "milliseconds a tick, on a busy machine"
    stuck.set()


FAILED = record(b'{"x": 7}', attempts=[attempt("v1")])


async def promotable(harness: CasesHarness) -> str:
    """Promote v3 if that is allowed; return what it was refused with, "" if it was promoted."""
    try:
        await promote(harness)
    except Refusal as error:
        return str(error.code)
    return ""


@pytest.mark.parametrize("slow", ["nothing", "reading", "storing", "loading"])
async def test_no_candidate_is_promoted_between_a_rollback_and_its_check_with_the_cases_of_it(
    start_harness: Begin, monkeypatch: pytest.MonkeyPatch, slow: str
) -> None:
    """With a delay at each step: always a promotion is refused, until the candidate has failed or passed the new case."""
    harness = await start_harness(replay="always")
    addon, go_on = harness.addon, asyncio.Event()
    failures, call = addon.captured.failures, addon.store.call

    async def slowly_read(*arguments: Any) -> Any:
        await go_on.wait()
        return await failures(*arguments)

    async def slowly_stored(operation: Any) -> Any:
        if slow == "storing" or addon.rollbacks("svc")[0]["made"] is not None:
            await go_on.wait()
        return await call(operation)

    async with model_server(unless(b'{"x": 7}')) as server:
        await harness.candidate(server.url)
        await harness.until(lambda: not harness.status()["pending"])
        harness.fail(FAILED)
        await harness.rollback()
        if slow == "reading":
            monkeypatch.setattr(addon.captured, "failures", slowly_read)
        elif slow != "nothing":
            monkeypatch.setattr(addon.store, "call", slowly_stored)
        codes = []
        for turn in range(120):
            codes.append(await promotable(harness))
            harness.tick()
            await asyncio.sleep(0)
            if turn == 90:
                go_on.set()
        await harness.until(lambda: not harness.status()["pending"])
        codes.append(await promotable(harness))
    assert set(codes[:-1]) <= {"cases_pending", "cases_failing"}, codes
    assert (codes[0], codes[-1]) == ("cases_pending", "cases_failing")


async def test_the_refusal_names_the_cases_that_are_still_made(start_harness: Begin) -> None:
    harness = await start_harness()
    async with model_server() as server:
        await harness.candidate(server.url)
        await harness.rollback()
        with pytest.raises(Refusal) as caught:
            await promote(harness)
        assert (caught.value.code, caught.value.detail) == ("cases_pending", golden("cases.making"))
        assert harness.status()["pending"]
        assert (await promote(harness, override=Override("ann", "it is urgent")))["active"] == "v3"


async def test_a_rollback_that_makes_no_case_holds_up_nobody_for_long(start_harness: Begin) -> None:
    harness = await start_harness()
    async with model_server() as server:
        await harness.candidate(server.url)
        await harness.rollback()
        await harness.until(lambda: not harness.status()["pending"])
        assert (await promote(harness))["active"] == "v3"


@pytest.mark.parametrize("cases", [{"capture": False}, {"on_promote": "report"}, {"on_promote": "off"}])
async def test_where_no_cases_are_made_or_required_a_rollback_holds_up_nobody(
    start_harness: Begin, cases: dict[str, Any]
) -> None:
    harness = await start_harness(cases=cases)
    async with model_server() as server:
        await harness.candidate(server.url)
        await harness.rollback()
        assert (await promote(harness))["active"] == "v3"


async def test_a_build_that_never_succeeds_holds_up_promotions_for_ten_minutes(
    start_harness: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = await start_harness()
    async with model_server() as server:
        await harness.candidate(server.url)
        await harness.until(lambda: not harness.status()["pending"])
        incident = (await harness.rollback())["incident"]
        await harness.until(lambda: incident in harness.addon.builder.pending)
        build = harness.addon.builder.pending[incident]
        build.next_ns = 1 << 62
        build.rolled_back_ns = clock.now_ns() - HOLD_NS + 10**9
        assert await promotable(harness) == "cases_pending"
        build.rolled_back_ns -= 2 * 10**9
        assert await promotable(harness) == ""


async def test_a_pattern_that_takes_ages_raises_an_alarm_that_ends_when_it_is_gone(start_harness: Begin) -> None:
    harness = await start_harness(cases={"redact_patterns": ["(a+)+$"]})
    harness.fail(record(b'{"t":"%bb"}' % (b"a" * 40), attempts=[attempt("v1")]))
    await harness.rollback()
    await harness.until(lambda: harness.status()["count"] == 1)
    (alarm,) = [one for one in harness.control_loop.alarms.listing() if one["code"] == "redaction_slow"]
    assert (golden("cases.slow_pattern"), alarm["service"]) == (alarm["detail"], "svc")
    (stored,) = await harness.addon.store.call(lambda file: file.suite("svc"))
    assert stored.case.request.body == '{"t":"[redacted]"}'
    harness.addon._redacted("svc", RedactionResult([], [], ""))
    assert "redaction_slow" not in harness.alarms()
