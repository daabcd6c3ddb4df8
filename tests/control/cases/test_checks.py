from __future__ import annotations

import asyncio

import pytest

from router.control.cases import checks
from router.control.cases.checks import CheckRun, Checks
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.rollout.cases.comparison import Result
from router.runtime.tasks import Tasks


async def passing(check: CheckRun) -> None:
    check.total = 2
    check.results += [Result("a", "pass", (), 200, 5.0), Result("b", "skipped", ("why",))]


async def failing(check: CheckRun) -> None:
    check.total = 1
    check.results.append(Result("a", "fail", ("status 500",), 500, 5.0))


async def breaking(check: CheckRun) -> None:
    raise Refusal(RefusalCode.CASES_UNAVAILABLE, "no disk")


async def waiting(check: CheckRun) -> None:
    await asyncio.Event().wait()


async def ended(check: CheckRun) -> None:
    assert check.task is not None
    await asyncio.wait([check.task])


@pytest.mark.parametrize(
    ("run", "state", "error"), [(passing, "passed", None), (failing, "failing", None), (breaking, "broken", "no disk")]
)
async def test_how_a_check_ends(run: object, state: str, error: str | None) -> None:
    check = Checks(Tasks()).start("svc", "v3", "ann", run)  # type: ignore[arg-type]
    assert (check.progress()["state"], check.progress()["ended_at"]) == ("running", None)
    await ended(check)
    document = check.progress()
    assert (document["state"], document["error"], document["ended_at"] is not None) == (state, error, True)


async def test_a_check_as_a_document() -> None:
    made = Checks(Tasks())
    check = made.start("svc", "v3", "ann", passing)
    await ended(check)
    document = made.named("svc", check.id).as_dict()
    assert {name: document[name] for name in ("service", "version", "by", "total", "done", "passed", "failed", "skipped")} == {
        "service": "svc", "version": "v3", "by": "ann", "total": 2, "done": 2, "passed": 1, "failed": 0, "skipped": 1,
    }  # fmt: skip
    assert [result["id"] for result in document["results"]] == ["a", "b"]


async def test_a_check_is_cancelled_once() -> None:
    tasks = Tasks()
    made = Checks(tasks)
    check = made.start("svc", "v3", "ann", waiting)
    await asyncio.sleep(0)
    made.cancel(check)
    await ended(check)
    assert check.state == "cancelled"
    made.cancel(check)
    assert check.state == "cancelled"


async def test_no_more_than_so_many_run_and_so_many_are_kept() -> None:
    tasks = Tasks()
    made = Checks(tasks, kept_max=3)
    running = [made.start("svc", "v3", "ann", waiting) for _ in range(checks.RUNNING_MAX)]
    with pytest.raises(Refusal, match="checks_running"):
        made.start("svc", "v3", "ann", waiting)
    other = made.start("another", "v3", "ann", passing)
    await ended(other)
    for check in running:
        made.cancel(check)
        await ended(check)
    last = made.start("svc", "v3", "control", passing, automatic=True)
    await ended(last)
    assert (len(made.of("svc")), made.of("svc")[0], made.automatic("svc")) == (3, last, last)
    assert (made.automatic("another"), made.of("unknown")) == (None, [])
    with pytest.raises(Refusal, match="check_unknown"):
        made.named("svc", "no such")
