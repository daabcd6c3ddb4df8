from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client.core import GaugeMetricFamily

from router.control.cases import addon as case_addon
from router.errors import OperatorError
from router.rollout.model import entry as kinds
from router.rollout.model.entry import Entry
from router.rollout.model.events import Override
from router.runtime import clock
from tests.control.cases.case_examples import written_case
from tests.control.cases.conftest import Clinic
from tests.control.cases.model_server import model_server

Begin = Callable[..., Any]


def unless(body: bytes) -> Callable[[bytes], tuple[int, bytes]]:
    return lambda asked: (500, b"no") if asked == body else (200, b"{}")


async def add(clinic: Clinic, *numbers: int, by: str = "ann") -> list[str]:
    documents = [written_case(number) | {"by": by} for number in numbers]
    added: list[str] = (await clinic.desk.add("svc", documents, "ann"))["added"]
    await clinic.until(lambda: clinic.status()["count"] >= len(numbers))
    return added


async def promote(clinic: Clinic, **more: Any) -> dict[str, Any]:
    return await clinic.operations.promote(service="svc", version="v3", actor="ann", **more)


async def refusal(clinic: Clinic) -> tuple[str, str]:
    with pytest.raises(OperatorError) as caught:
        await promote(clinic)
    assert (caught.value.status, clinic.service_controller.registry.active.version) == (409, "v1")
    return caught.value.code, caught.value.detail


async def test_a_candidate_that_passes_all_cases_may_be_promoted(clinics: Begin) -> None:
    clinic = await clinics()
    async with model_server() as server:
        await add(clinic, 1, 2, 3)
        await clinic.candidate(server.url)
        assert await refusal(clinic) == (
            "cases_pending",
            "the cases of this service are not checked on v3 yet: wait until they are (status shows it), "
            "or override with actor and reason",
        )
        assert clinic.status()["pending"]
        await clinic.until(lambda: not clinic.status()["pending"])
        assert len(server.requests) == 3
    told = clinic.status()
    assert (told["check"]["state"], told["check"]["passed"], told["failing"]) == ("passed", 3, [])
    assert (await promote(clinic))["active"] == "v3"


async def test_a_candidate_that_fails_a_case_is_refused_by_name_unless_a_person_overrides(clinics: Begin) -> None:
    clinic = await clinics()
    async with model_server(unless(b'{"x": 7}')) as server:
        bad = (await add(clinic, 1, 7))[1]
        await clinic.candidate(server.url)
        await clinic.until(lambda: not clinic.status()["pending"])
        code, detail = await refusal(clinic)
        assert (code, detail) == (
            "cases_failing",
            f"1 of 2 cases fail on v3: {bad}; repair it and deploy it anew, remove a case that is wrong, or override with "
            "actor and reason",
        )
        assert clinic.status()["failing"] == [bad]
        (fact,) = await clinic.journal(kinds.CASES_CHECKED)
        assert (fact["version"], fact["cases"], fact["passed"], fact["failed"], fact["failing"]) == (
            "v3",
            2,
            1,
            1,
            [bad],
        )
        assert (await promote(clinic, override=Override("ann", "it is urgent")))["active"] == "v3"


async def test_a_case_that_is_removed_or_added_is_looked_at_again(clinics: Begin) -> None:
    clinic = await clinics()
    async with model_server(unless(b'{"x": 7}')) as server:
        bad = (await add(clinic, 1, 7))[1]
        await clinic.candidate(server.url)
        await clinic.until(lambda: clinic.status()["failing"])
        await clinic.desk.remove("svc", bad, "ann")
        await clinic.until(lambda: clinic.status()["count"] == 1 and not clinic.status()["pending"])
        assert clinic.status()["failing"] == []
        await clinic.desk.add("svc", [written_case(7)], "ann")
        await clinic.until(lambda: clinic.status()["failing"] == [bad])
        assert (await refusal(clinic))[0] == "cases_failing"


async def test_a_suite_that_was_not_read_since_it_changed_lets_nobody_pass(clinics: Begin) -> None:
    """A rollback freezes cases, and the next version is ready a moment later: before the office has looked again."""
    clinic = await clinics()
    async with model_server() as server:
        await clinic.candidate(server.url)
        await clinic.until(lambda: not clinic.status()["pending"])
        fact = {"incident": "svc-1-9", "version": "v9", "seen": 1, "cases": ["x"], "dropped": 0, "refused": 0}
        clinic.office.on_entry(Entry(kinds.CASES_FROZEN, "svc", "control", fact, 1.0, 2, 1, 99))
        assert ((await refusal(clinic))[0], clinic.status()["pending"]) == ("cases_pending", True)
        await clinic.until(lambda: not clinic.status()["pending"])
        assert (await promote(clinic))["active"] == "v3"


@pytest.mark.parametrize(("mode", "checks"), [("report", 1), ("off", 0)])
async def test_where_cases_are_not_required_they_stop_nobody(clinics: Begin, mode: str, checks: int) -> None:
    clinic = await clinics(cases={"on_promote": mode})
    async with model_server(unless(b'{"x": 7}')) as server:
        await add(clinic, 7)
        await clinic.candidate(server.url)
        clinic.tick(2)
        await clinic.until(lambda: not clinic.status()["pending"])
        assert len(await clinic.journal(kinds.CASES_CHECKED)) == checks
        assert (await promote(clinic))["active"] == "v3"


async def test_without_cases_nothing_is_asked_of_a_candidate(clinics: Begin) -> None:
    clinic = await clinics()
    clinic.tick(2)
    await clinic.candidate("http://127.0.0.1:9")
    assert (await promote(clinic))["active"] == "v3"
    clinic.tick(2)
    assert clinic.status()["check"] is None


async def test_what_was_shown_is_known_after_a_restart_of_control(clinics: Begin) -> None:
    first = await clinics()
    async with model_server() as server:
        await add(first, 1)
        await first.candidate(server.url)
        await first.until(lambda: not first.status()["pending"])
        await first.settle()
        await first.end()
        second = await clinics()
        await second.until(lambda: second.status()["count"])
        assert (second.status()["pending"], len(server.requests)) == (False, 1)
        second.life.probe("v3", times=5)
        assert (await promote(second))["active"] == "v3"


async def test_a_rollback_is_never_held_up_by_cases(clinics: Begin) -> None:
    clinic = await clinics()
    await add(clinic, 1)
    assert (await clinic.rollback())["active"] == "v2"


async def test_a_candidate_that_is_replaced_is_checked_no_more(clinics: Begin) -> None:
    clinic = await clinics()
    async with model_server() as hanging, model_server() as server:
        hanging.hangs = True
        await add(clinic, 1)
        await clinic.candidate(hanging.url)
        await clinic.until(lambda: hanging.requests)
        await clinic.candidate(server.url, "v4")
        await clinic.until(lambda: clinic.status()["check"] and clinic.status()["check"]["version"] == "v4")
        await clinic.until(lambda: not clinic.status()["pending"])
    assert [check.state for check in clinic.office.checks.of("svc")] == ["passed", "cancelled"]
    assert [fact["version"] for fact in await clinic.journal(kinds.CASES_CHECKED)] == ["v4"]


async def test_captured_posts_are_sent_only_where_the_service_allows_it(clinics: Begin) -> None:
    clinic = await clinics()
    async with model_server() as server:
        await add(clinic, 1, by="rollback")
        await clinic.candidate(server.url)
        await clinic.until(lambda: not clinic.status()["pending"])
        assert (server.requests, clinic.status()["check"]["skipped"]) == ([], 1)
        assert (await promote(clinic))["active"] == "v3", "what cannot be tried stops nobody"


async def test_expired_cases_are_deleted_and_that_is_a_fact(clinics: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(case_addon, "TIDY_EVERY_NS", 0)
    clinic = await clinics(cases={"expire_after_s": 0.001})
    documents = [written_case(1) | {"by": "rollback"}, written_case(2)]
    await clinic.desk.add("svc", documents, "ann")
    await clinic.until(lambda: clinic.status()["count"] == 1)
    (fact,) = await clinic.journal(kinds.CASES_REMOVED)
    assert (fact["count"], fact["why"], fact["actor"]) == (1, "expired", "control")


async def test_a_suite_that_cannot_be_read_is_alarmed_and_stops_no_promotion(clinics: Begin) -> None:
    clinic = await clinics()
    clinic.office.store._path.mkdir()
    await clinic.until(lambda: {"cases_unavailable", "cases_not_deleted"} <= set(clinic.alarms()))
    await clinic.candidate("http://127.0.0.1:9")
    assert (await promote(clinic))["active"] == "v3"


async def test_an_unreadable_file_is_put_aside_with_an_alarm(clinics: Begin) -> None:
    clinic = await clinics()
    clinic.office.store._path.write_bytes(b"no database" * 999)
    await clinic.until(lambda: "cases_unreadable" in clinic.alarms())


async def test_metrics(clinics: Begin) -> None:
    clinic = await clinics()
    async with model_server(unless(b'{"x": 7}')) as server:
        await add(clinic, 1, 7)
        await clinic.candidate(server.url)
        await clinic.until(lambda: clinic.status()["failing"])
        found = {
            (metric.name, *sample.labels.values()): sample.value
            for metric in clinic.office.metrics()
            if isinstance(metric, GaugeMetricFamily)
            for sample in metric.samples
        }
    assert found == {("rollback_router_cases", "svc"): 2.0, ("rollback_router_cases_failing", "svc", "v3"): 1.0}


async def test_a_disk_that_hangs_holds_up_no_tick(clinics: Begin) -> None:
    clinic = await clinics()
    stuck = threading.Event()
    clinic.control_loop.tasks.spawn(clinic.office.store.call(lambda _: stuck.wait()), "a disk that hangs")
    clinic.fail()
    assert (await clinic.rollback())["confirmed"]
    began_ns = clock.now_ns()
    clinic.tick(5)
    assert (clock.now_ns() - began_ns) / 50 < 20_000_000, "milliseconds a tick, on a busy machine"
    stuck.set()
