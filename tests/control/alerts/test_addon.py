"""Alerts become facts and triggers: which act, which only stand in the journal, and what a restart and a full disk change."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from router.control.alerts.addon import UNUSABLE_ALARM_NS, AlertsAddon
from router.control.alerts.keys import HookKeys
from router.rollout.alerts.alert import RawAlert
from router.rollout.facts.entry import Entry
from router.runtime import clock
from tests import entry_types
from tests.control.hook_harness import OPEN, QUALITY, TOKEN, HookHarness, firing, hook_harness, told, webhook

AM = "/v1/hooks/alertmanager"


async def results(hooks: HookHarness, *alerts: dict[str, Any]) -> list[str]:
    status, document = await hooks.post(AM, webhook(*alerts))
    assert status == 200, document
    return [alert["result"] for alert in document["alerts"]]


async def entries(hooks: HookHarness, kind: str) -> list[Any]:
    return [entry for entry in (await hooks.get("/v1/journal?limit=1000"))["entries"] if entry["type"] == kind]


async def test_a_quality_alert_rolls_the_active_version_back(tmp_path: Path) -> None:
    async with hook_harness(tmp_path) as hooks:
        hooks.warm()
        assert await results(hooks, firing()) == ["counts"]
        hooks.control.tick(1)
        assert hooks.control.states() == {"v1": "draining", "v2": "active"}
        await hooks.control.until_idle()
        (rolled,) = await entries(hooks, entry_types.ROLLED_BACK)
        trigger = rolled["data"]["trigger"]
        assert (trigger["kind"], trigger["detail"], trigger["value"], trigger["limit"]) == (
            "quality",
            "alert",
            1.0,
            0.0,
        )
        assert rolled["data"]["reason"] == "alert Drift: PSI 0.41 > 0.25"
        assert list(rolled["data"]["quarantine"]) == ["v1"]
        (alert,) = await entries(hooks, entry_types.ALERT)
        assert alert["actor"] == "am"
        assert alert["data"]["fate"] == "counts"
        assert alert["seq"] < rolled["seq"]


async def test_it_acts_once_and_stands_against_nobody_else(tmp_path: Path) -> None:
    async with hook_harness(tmp_path) as hooks:
        hooks.warm()
        alert = firing()
        assert await results(hooks, alert) == ["counts"]
        hooks.control.tick(1)
        assert await results(hooks, alert) == ["duplicate"]
        hooks.control.probe("v2", times=3)
        hooks.control.tick(20)
        assert hooks.control.states() == {"v1": "retired", "v2": "active"}
        assert len(await entries(hooks, entry_types.ALERT)) == 1
        # The same disease while the other version is active: another start, and it counts; but there is no way back.
        assert await results(hooks, firing()) == ["counts"]
        hooks.control.tick(3)
        assert hooks.control.service_controller.machine.blocked_reason is not None


def recorded() -> list[tuple[str, dict[str, Any], str]]:
    return [
        ("a version that is gone", firing("f1", version="v0"), "version_inactive"),
        ("the standby", firing("f2", version="v2"), "version_inactive"),
        ("stale", firing("f3", ago_s=700), "stale"),
        ("began before", firing("f4", ago_s=300), "before_promotion"),
        ("resolved", {**firing("f5"), "status": "resolved"}, "resolved"),
        ("unmapped", firing("f6", signal="other"), "unmapped"),
        ("no service", firing("f7", service=""), "service_missing"),
        ("an unknown service", firing("f8", service="other"), "service_unknown"),
    ]


async def test_what_is_recorded_and_acts_not(tmp_path: Path) -> None:
    async with hook_harness(tmp_path) as hooks:
        hooks.warm()
        kept = []
        for what, alert, result in recorded():
            assert (what, await results(hooks, alert)) == (what, [result])
            hooks.control.tick(12)
            assert (what, hooks.control.states()) == (what, {"v1": "active", "v2": "standby"})
            assert ("alert_unusable" in hooks.alarms()) == result.startswith("service_")
            kept += [] if result == "unmapped" or result.startswith("service_") else [result]
        assert [entry["data"]["fate"] for entry in await entries(hooks, entry_types.ALERT)] == kept


async def test_resolved_ends_it_and_switches_nothing(tmp_path: Path) -> None:
    async with hook_harness(tmp_path) as hooks:  # the standby has not been probed: the gate holds
        alert = firing()
        assert await results(hooks, alert) == ["counts"]
        hooks.control.tick(3)
        assert hooks.control.service_controller.machine.blocked_reason is not None
        states = (await hooks.get("/v1/services/svc"))["alerts"]
        assert [(found["name"], found["status"]) for found in states] == [("Drift", "firing")]
        assert await results(hooks, {**alert, "status": "resolved"}) == ["resolved"]
        hooks.warm()
        hooks.control.tick(20)
        assert hooks.control.states() == {"v1": "active", "v2": "standby"}
        assert (await hooks.get("/v1/services/svc"))["alerts"] == []
        assert await results(hooks, {**alert, "status": "resolved"}, alert) == ["duplicate", "duplicate"]


async def test_a_held_alert_acts_once_the_gate_opens(tmp_path: Path) -> None:
    async with hook_harness(tmp_path) as hooks:
        assert await results(hooks, firing()) == ["counts"]
        hooks.control.tick(12)
        assert hooks.control.states() == {"v1": "active", "v2": "standby"}
        hooks.control.probe("v2", times=3)
        hooks.control.tick(12)
        assert hooks.control.states() == {"v1": "draining", "v2": "active"}


async def test_a_freeze_holds_it(tmp_path: Path) -> None:
    async with hook_harness(tmp_path) as hooks:
        hooks.warm()
        await hooks.control.operations.freeze(service="svc", actor="ann", reason="look")
        assert await results(hooks, firing()) == ["counts"]
        hooks.control.tick(20)
        assert hooks.control.states() == {"v1": "active", "v2": "standby"}
        assert "automation_frozen" in hooks.alarms()


async def test_observe_only_says_so(tmp_path: Path) -> None:
    async with hook_harness(tmp_path, rules={"quality": {"action": "observe"}}) as hooks:
        hooks.warm()
        await results(hooks, firing())
        hooks.control.tick(3)
        assert hooks.control.states() == {"v1": "active", "v2": "standby"}
        assert "would_roll_back" in hooks.alarms()


async def test_a_business_alert_never_acts_by_itself(tmp_path: Path) -> None:
    async with hook_harness(tmp_path) as hooks:
        hooks.warm()
        assert await results(hooks, firing(signal="business")) == ["counts"]
        hooks.control.tick(20)
        assert hooks.control.states() == {"v1": "active", "v2": "standby"}
        explained = await hooks.get("/v1/services/svc/explain")
        (proposal,) = hooks.control.service_controller.registry.proposals.pending()
        assert (proposal.version, proposal.to, proposal.opened_by) == ("v1", "v2", "am")
        assert proposal.evidence[0]["cause"] == "business:Drift"
        assert proposal.evidence[0]["alert"]["summary"] == "PSI 0.41 > 0.25"
        states = {(found["kind"], found["state"], found["action"]) for found in explained["triggers"][-2:]}
        assert states == {("quality", "pass", "rollback"), ("business", "fail", "ask")}


async def test_each_alert_that_asks_is_evidence_of_its_own(tmp_path: Path) -> None:
    async with hook_harness(tmp_path, rules={"quality": {"action": "ask"}}) as hooks:
        hooks.warm()
        await results(
            hooks, firing("f1", signal="business"), firing("f2", signal="business", alertname="Sales"), firing("f3")
        )
        for _ in range(3):
            hooks.control.tick(10)
            hooks.addon.on_second(0)
        assert hooks.control.states() == {"v1": "active", "v2": "standby"}
        (proposal,) = hooks.control.service_controller.registry.proposals.pending()
        causes = [item["cause"] for item in proposal.evidence]
        assert causes == ["quality:Drift", "business:Drift", "business:Sales"]


async def test_a_restart_remembers(tmp_path: Path) -> None:
    async with hook_harness(tmp_path) as hooks:
        alert = firing()
        assert await results(hooks, alert) == ["counts"]
        assert (await hooks.get("/v1/alerts"))["remembered"] == 1
    async with hook_harness(tmp_path) as hooks:
        assert await results(hooks, alert) == ["duplicate"]
        hooks.control.tick(1)
        assert hooks.control.service_controller.verdict.failing is not None, "it stands on: nobody has resolved it"
        (shown,) = (await hooks.get("/v1/alerts?limit=5"))["alerts"]
        assert (shown["fate"], shown["status"], shown["sender"], shown["about"]) == ("counts", "firing", "am", "v1")


async def test_a_full_disk_holds_nothing_up_and_the_sender_comes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hook_harness(tmp_path, limits={"append_timeout_s": 0.02}) as hooks:
        hooks.warm()
        await hooks.control.until_idle()
        took: list[Any] = []
        monkeypatch.setattr(
            hooks.control.journal, "submit", lambda entry, on_done: took.append((entry, on_done)) or True
        )
        alert = firing()
        for result in ("counts", "duplicate"):
            status, problem = await hooks.post(AM, webhook(alert))
            assert (status, problem["code"]) == (503, "journal_unavailable")
            (told,) = problem["alerts"]
            assert (told["result"], told["outcome"], told["code"]) == (result, "later", "journal_unavailable")
        hooks.control.tick(1)
        assert hooks.control.states()["v2"] == "active", "the alert counts although no disk has it"
        monkeypatch.undo()
        for entry, done in took:
            hooks.control.journal.submit(entry, on_done=done)
        await hooks.control.until_idle()
        assert await results(hooks, alert) == ["duplicate"]
        assert [entry["type"] for entry in (await hooks.get("/v1/journal"))["entries"]].count(entry_types.ALERT) == 1


async def test_an_end_that_no_disk_has_is_sent_again_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with hook_harness(tmp_path, limits={"append_timeout_s": 0.5}) as hooks:
        alert = firing()
        assert await results(hooks, alert) == ["counts"]
        monkeypatch.setattr(hooks.control.journal, "submit", lambda entry, on_done: True)
        for _ in range(2):
            status, problem = await hooks.post(AM, webhook({**alert, "status": "resolved"}))
            assert (status, problem["code"]) == (503, "journal_unavailable")
        assert (await hooks.get("/v1/services/svc"))["alerts"] == [], "it is over although no disk has its end"


async def test_what_a_full_queue_did_not_keep_is_kept_at_the_repeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hook_harness(tmp_path, limits={"append_timeout_s": 0.5}) as hooks:
        hooks.warm()
        monkeypatch.setattr(hooks.control.journal, "submit", lambda entry, on_done: False)
        alert = firing()
        for _ in range(2):
            status, problem = await hooks.post(AM, webhook(alert))
            assert (status, problem["code"]) == (503, "journal_unavailable")
        assert "journal_overflow" in hooks.alarms()
        assert len(hooks.addon.recent(9)["alerts"]) == 1, "it counts all the same"
        monkeypatch.undo()
        assert await results(hooks, alert) == ["counts"]
        assert await results(hooks, alert) == ["duplicate"]
        assert len(await entries(hooks, entry_types.ALERT)) == 1


async def test_the_same_alert_twice_in_a_webhook(tmp_path: Path) -> None:
    async with hook_harness(tmp_path) as hooks:
        alert = firing("f1")  # one that begins later is another one
        assert await results(hooks, alert, alert, firing("f2")) == ["counts", "duplicate", "counts"]
        over = {**firing("f3"), "status": "resolved"}
        assert await results(hooks, over, {**over, "status": "firing"}) == ["resolved", "duplicate"], "an end is an end"
        alert = firing("f4")
        assert await results(hooks, alert, {**alert, "status": "resolved"}) == ["counts", "resolved"]


async def test_an_alert_of_an_edited_journal_costs_no_start(tmp_path: Path) -> None:
    async with hook_harness(tmp_path) as hooks:
        entry = Entry.of(entry_types.ALERT, "svc", "am", {"fate": "counts"}, clock.wall_s(), 0, 1, 9)
        addon = AlertsAddon(hooks.control.control_loop, hooks.control.settings, [entry])
        assert addon.recent(9)["alerts"] == []


async def test_other_settings(tmp_path: Path) -> None:
    async with hook_harness(tmp_path, {"map": [QUALITY]}) as hooks:
        hooks.control.tick(1)
        states = {result.name: result.state for result in hooks.control.service_controller.verdict.results[-2:]}
        assert states == {"quality.alert": "not_configured", "business.alert": "not_configured"}
        missing = {"tokens": [TOKEN], "hmac_secret_file": str(tmp_path / "none"), "map": []}
        hooks.addon.reconfigure(told(tmp_path, missing))
        await hooks.control.until_idle()
        assert hooks.alarms() == ["alerts_secret_unusable"]
        assert await results(hooks, firing()) == ["unmapped"]
        hooks.addon.reconfigure(told(tmp_path, OPEN))
        await hooks.control.until_idle()
        assert hooks.alarms() == []
        assert await results(hooks, firing()) == ["counts"]


async def test_a_secret_on_a_disk_that_hangs_holds_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    monkeypatch.setattr(HookKeys, "load", lambda keys: go_on.wait())
    secret = str(tmp_path / "secret")
    configured = {**OPEN, "hmac_secret_file": secret}
    async with hook_harness(tmp_path, configured, limits={"secret_wait_s": 0.02}) as hooks:
        assert await results(hooks, firing()) == ["counts"]
        await hooks.control.until_idle()
        (alarm,) = hooks.control.control_loop.alarms.listing()
        assert (alarm["code"], alarm["detail"]) == (
            "alerts_secret_unusable",
            f"alerts.hmac_secret_file {secret} is being read",
        )
        go_on.set()


async def test_the_alarm_of_unusable_alerts_goes_after_an_hour(tmp_path: Path) -> None:
    async with hook_harness(tmp_path) as hooks:
        await results(hooks, firing(service="other"))
        hooks.addon.on_second(clock.now_ns())
        assert hooks.alarms() == ["alert_unusable"]
        hooks.addon.on_second(clock.now_ns() + UNUSABLE_ALARM_NS + 1)
        assert hooks.alarms() == []


async def test_the_routers_own_observers_may_raise_alerts(tmp_path: Path) -> None:
    async with hook_harness(tmp_path, {}) as hooks:
        hooks.warm()
        report = RawAlert("drift-amount", "firing", None, {}, "far out of range", "quality", "svc", "v1")
        (outcome,) = (await hooks.addon.take([report], "control")).results
        assert outcome.result == "counts"
        hooks.control.tick(1)
        assert hooks.control.states()["v2"] == "active"


async def test_figures(tmp_path: Path) -> None:
    async with hook_harness(tmp_path) as hooks:
        await results(hooks, firing("f1"), firing("f2", version="v0"), firing(signal="other"))
        families = {family.name: family for family in hooks.addon.metrics()}
        came = {tuple(sample.labels.values()): sample.value for sample in families["rollback_router_alerts"].samples}
        assert came == {("svc", "counts"): 1, ("svc", "version_inactive"): 1, ("", "unmapped"): 1}
        standing = families["rollback_router_alerts_standing"].samples
        assert {sample.labels["kind"]: sample.value for sample in standing} == {"quality": 1, "business": 0}
