from __future__ import annotations

import asyncio
import subprocess
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from router.control.history import advice_addon
from router.control.history.addon import HistoryAddon
from router.control.history.advice_addon import BASELINES_MAX, AdviceAddon
from router.control.history.advice_process import decode
from router.control.history.report_addon import ReportAddon
from router.control.store.history_store import HistoryStore
from router.errors import Refusal
from router.rollout.facts.entry import Entry
from router.rollout.outcome import Outcome
from router.runtime import clock
from tests.control.control_harness import ControlHarness
from tests.rollout.simulator import normal
from tests.waiting import until


@pytest.fixture
async def addon(control: ControlHarness) -> AsyncIterator[AdviceAddon]:
    history = HistoryStore(control.folder, 30, 1 << 30)
    success = ReportAddon(control.control_loop, history, [], clock.now_ns())
    made = AdviceAddon(control.control_loop, history, success, [])
    control.control_loop.add_addons(HistoryAddon(control.control_loop, history, clock.now_ns()), success, made)
    yield made
    await history.close()


def accepted(at_s: float, rate: float) -> Entry:
    return Entry.of("accepted", "svc", "judge", {"version": "v1", "baseline": normal(rate).as_dict()}, at_s, 1, 1)


async def test_a_real_process_gives_the_advice(control: ControlHarness, addon: AdviceAddon) -> None:
    control.tick(20, lambda: control.workers.serve(0, Outcome.OK))
    control.control_loop.tick(control.now_ns, 0.0)
    for one in control.control_loop.addons:
        if isinstance(one, HistoryAddon):
            await one.close()
    found = await addon.advise("svc", 1.0, 1.0)
    assert found["service"] == "svc"
    assert set(found["kinds"]) == {"hard_failure", "error_rate", "latency"}
    assert found["settings"] == ""
    assert found["since"] < found["until"]


async def test_the_process_is_told_what_happened(
    control: ControlHarness, addon: AdviceAddon, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = []
    monkeypatch.setattr(
        advice_addon, "_run_process", lambda job: (jobs.append(decode(job.encode())) or {"asked": True}, "")
    )
    for at_s in range(BASELINES_MAX + 5):
        addon.on_entry(accepted(float(at_s), 0.01))
    control.probe("v2", times=3)
    control.tick(10, lambda: control.workers.serve(0, Outcome.OK))
    control.tick(40, lambda: control.workers.serve(0, Outcome.SERVER_ERROR))
    await control.until_idle()
    control.control_loop.tick(control.now_ns, 0.0)
    assert (await addon.advise("svc", 2.0, 0.5))["asked"]
    (job,) = jobs
    assert [(made.left, made.by) for made in job.rollbacks] == [("v1", "hard_failure.errors")]
    assert (len(job.baselines), job.baselines[0][0]) == (BASELINES_MAX, 5_000)
    assert (job.until_ms - job.since_ms, job.per_month_max) == (2 * 86_400_000, 0.5)
    assert job.rules == control.service_controller.service.rules


async def test_one_at_a_time_and_control_goes_on_meanwhile(addon: AdviceAddon, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, release = threading.Event(), threading.Event()

    def hanging(job: object) -> tuple[dict[str, Any], str]:
        begun.set()
        release.wait(10)
        return {}, ""

    monkeypatch.setattr(advice_addon, "_run_process", hanging)
    first = asyncio.ensure_future(addon.advise("svc", 1.0, 1.0))
    await until(begun.is_set)
    with pytest.raises(Refusal, match="another backtest is running") as refused:
        await addon.advise("svc", 1.0, 1.0)
    assert refused.value.code == "advise_busy"
    release.set()
    await first
    assert await addon.advise("svc", 1.0, 1.0)


@pytest.mark.parametrize(
    ("ending", "why"),
    [
        (subprocess.TimeoutExpired("advising", 90), "takes more than 90 s: ask for fewer days"),
        (
            subprocess.CompletedProcess((), 4, b"", b"database disk image is malformed\n"),
            "database disk image is malformed",
        ),
        (subprocess.CompletedProcess((), -14, b"", b""), "exit code -14"),
    ],
)
async def test_a_process_that_fails_is_503_and_says_why(
    addon: AdviceAddon, monkeypatch: pytest.MonkeyPatch, ending: Any, why: str
) -> None:
    def run(*_: object, **__: object) -> Any:
        if isinstance(ending, BaseException):
            raise ending
        return ending

    monkeypatch.setattr(subprocess, "run", run)
    for _ in range(2):
        with pytest.raises(Refusal, match=why) as refused:
            await addon.advise("svc", 1.0, 1.0)
        assert refused.value.code == "history_unavailable"


async def test_nobody_is_advised_on_a_service_that_is_not_there(addon: AdviceAddon) -> None:
    with pytest.raises(Refusal) as refused:
        await addon.advise("nobody", 1.0, 1.0)
    assert refused.value.code == "service_unknown"
