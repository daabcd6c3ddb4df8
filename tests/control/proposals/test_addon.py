"""Decisions under races and restarts: each proposal is decided once, and what was decided is what is."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.core import GaugeMetricFamily

from router.control.proposals.addon import REFUSALS_MAX, ProposalsAddon
from router.control.proposals.links import ProposalLinks
from router.errors import Refusal
from router.rollout.model.events import Override, ProposalDue, Ticked, VerdictReached
from router.rollout.outcome import Outcome
from router.settings.settings import Settings
from router.shm import layout as at
from router.shm.segment import Segment
from tests import entry_types
from tests.control.control_harness import ControlHarness, FakeWorkers, new_segment, settings
from tests.rollout.playbook import SECOND, TRIGGER
from tests.texts import golden
from tests.waiting import until

SLOW = {"kind": "latency", "detail": "", "reason": "half of them are late", "evidence_since_ns": None}
ID = "svc-rollback-1"
PROMOTION = "svc-promotion-1"
Start = Callable[..., Awaitable[ControlHarness]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Begin a life; with `again` the one before has ended, with `cold` its memory is gone, too."""
    segment = new_segment()
    workers = FakeWorkers(segment)
    lives: list[ControlHarness] = []
    over: list[tuple[Segment, FakeWorkers]] = []

    async def begin(again: bool = False, cold: bool = False, **service: Any) -> ControlHarness:
        nonlocal segment, workers
        if again:
            await lives.pop().end()
        if cold:
            over.append((segment, workers))
            segment = new_segment()
            workers = FakeWorkers(segment)
        control = await ControlHarness(settings(tmp_path, **service), segment, workers, tmp_path).begin()
        lives.append(control)
        control.control_loop.add_addons(new_addon(control))
        control.probe("v2", times=3)
        return control

    yield begin
    for control in lives:
        await control.end()
    for old_segment, old_workers in (*over, (segment, workers)):
        old_workers.close()
        old_segment.close()


def new_addon(control: ControlHarness, document: Settings | None = None) -> ProposalsAddon:
    return ProposalsAddon(
        control.control_loop, control.operations, document or control.settings, ProposalLinks(b"k" * 32)
    )


def ask(control: ControlHarness, cause: str = "latency") -> None:
    control.service_controller.handle(ProposalDue("v1", cause, SLOW), control.now_ns)


async def decide(control: ControlHarness, verb: str, actor: str = "ann", proposal: str = ID, **more: Any) -> str:
    """Return what came of it: `done`, or the code of the refusal."""
    try:
        await new_addon(control).decide(proposal, verb, actor=actor, **more)
    except Refusal as refusal:
        return refusal.code
    return "done"


def state(control: ControlHarness, proposal: str = ID) -> str:
    return control.service_controller.registry.proposals.known[proposal].state


async def journalled(control: ControlHarness, *types: str) -> list[str]:
    await control.until_idle()
    entries = (await control.queries.journal(0, 1000))["entries"]
    return [entry["type"] for entry in entries if entry["type"] in types]


class SlowDisk:
    """The disk takes nothing until `release`; `reached` is set once a person's change waits for it."""

    def __init__(self, control: ControlHarness) -> None:
        self.armed = True
        self.reached = threading.Event()
        self.free = threading.Event()
        control.fail_point.on_hit = self.hit

    def hit(self, name: str) -> None:
        if name == "journal.before" and self.armed:
            self.armed = False
            self.reached.set()
            self.free.wait(5)

    async def waits(self) -> None:
        await until(lambda: self.reached.is_set())


# -- one after the other
async def test_an_approval_is_a_real_rollback(start: Start) -> None:
    control = await start()
    ask(control)
    answer = await new_addon(control).decide(ID, "approve", actor="ann", reason="yes")
    assert control.states() == {"v1": "draining", "v2": "active"}
    assert (answer["active"], answer["confirmed"], answer["changed"]) == ("v2", True, True)
    assert answer["message"] == golden("switch.rolled_back", version="v1", to="v2")
    document = answer["proposal"]
    assert (document["state"], document["decided_by"], document["decision_reason"], document["incident"]) == (
        "approved",
        "ann",
        "yes",
        answer["incident"],
    )
    assert control.service_controller.registry.incidents[-1]["proposal"] == ID
    await control.until_idle()
    entries = (await control.queries.journal(0, 100))["entries"]
    made = {entry["type"]: entry for entry in entries}
    assert made["approved"]["data"]["generation"] == made["rolled_back"]["data"]["generation"]
    assert made["approved"]["seq"] == made["rolled_back"]["seq"] + 1
    assert await decide(control, "approve", "bob") == "proposal_decided"


async def test_a_denial_changes_nothing_and_says_so(start: Start) -> None:
    control = await start()
    ask(control)
    answer = await new_addon(control).decide(ID, "deny", actor="ann", reason="campaign", dry_run=True)
    assert (answer["message"], state(control)) == (golden("proposal.would_deny", proposal=ID), "open")
    answer = await new_addon(control).decide(ID, "deny", actor="ann", reason="campaign")
    assert (answer["changed"], answer["active"], answer["swap_us"]) == (True, "v1", 0)
    assert answer["proposal"]["state"] == "denied"
    assert await journalled(control, "rolled_back", "denied") == ["denied"]


async def test_an_unfit_standby_is_refused_without_a_word_of_the_approver(start: Start) -> None:
    control = await start()
    ask(control)
    control.probe("v2", ok=False)
    assert await decide(control, "approve") == "standby_unfit"
    assert state(control) == "open"
    assert await decide(control, "approve", override=Override("ann", "v1 leaks")) == "done"
    assert await journalled(control, "decision_refused", "approved") == ["decision_refused", "approved"]


async def test_refusals_cannot_fill_the_journal(start: Start) -> None:
    control = await start()
    ask(control)
    await decide(control, "deny")
    for _ in range(2 * REFUSALS_MAX):
        assert await decide(control, "approve") == "proposal_decided"
    assert await decide(control, "approve", proposal="svc-rollback-9") == "proposal_unknown"
    with pytest.raises(Refusal):
        await new_addon(control).decide(ID, "approve", actor="ann", dry_run=True)
    assert len(await journalled(control, "decision_refused")) == 2 * REFUSALS_MAX, "a bucket each"
    same = new_addon(control)
    for _ in range(2 * REFUSALS_MAX):
        with pytest.raises(Refusal):
            await same.decide(ID, "approve", actor="ann")
    assert len(await journalled(control, "decision_refused")) == 3 * REFUSALS_MAX


# -- at the same time
@pytest.mark.parametrize(
    ("verbs", "expected"),
    [
        (("approve", "approve"), ["rolled_back", "approved"]),
        (("deny", "deny"), ["denied"]),
        (("approve", "deny"), ["rolled_back", "approved"]),
        (("deny", "approve"), ["denied"]),
    ],
    ids="-".join,
)
async def test_two_people_decide_at_once(start: Start, verbs: tuple[str, str], expected: list[str]) -> None:
    control = await start()
    ask(control)
    found = await asyncio.gather(decide(control, verbs[0], "ann"), decide(control, verbs[1], "bob"))
    assert found[0] == "done"
    assert found[1] in ("proposal_decided", "lost_race")
    assert await journalled(control, "rolled_back", "approved", "denied") == expected


async def meanwhile(control: ControlHarness, verb: str, do: Callable[[], object]) -> str:
    """Decide, have `do` happen while that waits for the disk, and return what came of the decision."""
    disk = SlowDisk(control)
    deciding = asyncio.ensure_future(decide(control, verb))
    await disk.waits()
    do()
    disk.free.set()
    return await deciding


def expire(control: ControlHarness) -> Callable[[], object]:
    return lambda: control.service_controller.handle(Ticked(), control.now_ns + 1801 * SECOND)


def verdict(control: ControlHarness) -> Callable[[], object]:
    return lambda: control.service_controller.handle(VerdictReached(TRIGGER, False), control.now_ns)


@pytest.mark.parametrize("verb", ["approve", "deny"])
async def test_it_expires_while_a_decision_waits_for_the_disk(start: Start, verb: str) -> None:
    control = await start()
    ask(control)
    assert await meanwhile(control, verb, expire(control)) == "proposal_expired"
    assert (state(control), control.states()) == ("expired", {"v1": "active", "v2": "standby"})
    folded = control.service_controller.registry.as_dict()
    await control.until_idle()
    control = await start(again=True)
    assert control.service_controller.registry.as_dict() == folded, "what is on the disk in vain was struck out"


@pytest.mark.parametrize("verb", ["approve", "deny"])
async def test_another_trigger_rolls_back_while_a_decision_waits_for_the_disk(start: Start, verb: str) -> None:
    control = await start()
    ask(control)
    assert await meanwhile(control, verb, verdict(control)) == "lost_race"
    control.service_controller.handle(Ticked(), control.now_ns)
    assert (state(control), control.states()["v2"]) == ("withdrawn", "active")
    assert [document["actor"] for document in control.service_controller.registry.incidents] == ["verdict"]
    folded = control.service_controller.registry.as_dict()
    await control.until_idle()
    control = await start(again=True)
    assert control.service_controller.registry.as_dict() == folded


async def test_somebody_switches_by_hand_at_the_same_time(start: Start) -> None:
    control = await start()
    ask(control)
    switching = control.operations.switch(service="svc", to="v2", actor="bob")
    _, came = await asyncio.gather(switching, decide(control, "approve"))
    assert came in ("proposal_withdrawn", "lost_race")
    control.service_controller.handle(Ticked(), control.now_ns)
    assert (state(control), control.service_controller.registry.quarantines) == ("withdrawn", {})


async def test_an_approval_comes_before_a_switch_by_hand(start: Start) -> None:
    control = await start()
    ask(control)
    deciding = asyncio.ensure_future(decide(control, "approve"))
    await asyncio.sleep(0)
    with pytest.raises(Refusal) as caught:
        await control.operations.rollback(service="svc", actor="bob")
    assert caught.value.code in ("lost_race", "no_standby")
    assert await deciding == "done"
    assert [document["proposal"] for document in control.service_controller.registry.incidents] == [ID]


# -- time and restarts
def due(control: ControlHarness) -> None:
    """Let the judge's clock pass the expiry."""
    control.now_ns += 1801 * SECOND
    control.tick()


async def test_nobody_decides_and_the_default_goes_through_the_gate(start: Start) -> None:
    control = await start(proposals={"at_expiry": "rollback"})
    ask(control)
    await control.operations.freeze(service="svc", actor="bob", reason="a demo")
    due(control)
    assert (state(control), control.states()["v1"]) == ("due", "active")
    assert {alarm["code"] for alarm in control.control_loop.alarms.listing()} == {
        "automation_frozen",
        "proposal_waiting",
    }
    await control.operations.unfreeze(service="svc", actor="bob")
    control.tick(11)
    assert (state(control), control.states()["v2"]) == ("expired", "active")
    assert control.control_loop.alarms.listing() == []
    assert await journalled(control, "proposal_expired", "rolled_back") == ["proposal_expired", "rolled_back"]


@pytest.mark.parametrize("cold", [False, True], ids=["control restarted", "power cut"])
@pytest.mark.parametrize(
    ("what", "then"),
    [
        ("open", "done"),
        ("approved", "proposal_decided"),
        ("denied", "proposal_decided"),
        ("expired", "proposal_expired"),
    ],
)
async def test_what_was_decided_survives(start: Start, what: str, then: str, cold: bool) -> None:
    control = await start()
    ask(control)
    if what == "expired":
        due(control)
    elif what != "open":
        await decide(control, "approve" if what == "approved" else "deny")
    await control.until_idle()
    states = control.states()
    control = await start(again=True, cold=cold)
    assert (state(control), control.states()) == (what, states)
    assert await decide(control, "approve") == then


async def test_a_start_expires_what_is_over_by_then(start: Start) -> None:
    control = await start(proposals={"expire_after_s": 0.001})
    ask(control)
    await control.until_idle()
    control = await start(again=True, cold=True)
    control.tick()
    assert state(control) == "expired"


# -- rules that ask
async def test_a_rule_that_asks_opens_a_proposal_and_alarms(start: Start) -> None:
    rules = {"hard_failure": {"action": "ask"}, "error_rate": {"rate_floor_without_baseline": 0.9}}
    control = await start(rules=rules)
    control.tick(3)
    control.tick(30, lambda: control.workers.serve(0, Outcome.SERVER_ERROR, 5))
    assert control.states() == {"v1": "active", "v2": "standby"}
    [alarm] = control.control_loop.alarms.listing()
    assert (alarm["code"], alarm["detail"].startswith(f"{ID}: roll back from v1 to v2? ")) == ("proposal_waiting", True)
    assert control.queries.explain("svc")["summary"].endswith(f"; {ID} waits for an operator.")
    [document] = control.queries.service_status("svc")["proposals"]
    assert (document["id"], document["state"], document["at_expiry"], document["opened_by"]) == (
        ID,
        "open",
        "hold",
        "verdict",
    )
    [item] = document["evidence"]
    assert (item["cause"], item["now"], item["trigger"]["kind"]) == ("hard_failure.errors", "fail", "hard_failure")
    assert item["impact"]["errors"] == {"server_error": item["impact"]["requests"]}
    control.tick(250, lambda: control.workers.serve(0, Outcome.OK, 5))
    [document] = control.queries.service_status("svc")["proposals"]
    assert (document["state"], document["evidence"][0]["now"]) == ("open", "pass"), (
        "it passes now, which is for people to weigh"
    )
    assert await journalled(control, "proposed", "evidence_added") == ["proposed"]
    await decide(control, "deny")
    control.tick()
    assert control.control_loop.alarms.listing() == []


# -- promotions
async def with_candidate(start: Start) -> ControlHarness:
    control = await start(promote_needs="approval")
    await control.operations.deploy(service="svc", version="v3", endpoints=["http://127.0.0.1:3"], actor="ann")
    control.probe("v3", times=5)
    return control


async def test_a_promotion_waits_for_another_person(start: Start) -> None:
    control = await with_candidate(start)
    answer = await control.operations.promote(service="svc", version="v3", actor="ann", dry_run=True)
    assert (answer["awaits"], answer["message"]) == (
        PROMOTION,
        golden("proposal.would_wait", proposal=PROMOTION),
    )
    for changed in (True, False):
        answer = await control.operations.promote(service="svc", version="v3", actor="ann")
        assert (answer["awaits"], answer["changed"], answer["active"]) == (PROMOTION, changed, "v1")
        assert answer["message"] == golden("proposal.waits", proposal=PROMOTION)
    assert await decide(control, "approve", "ann", PROMOTION, authenticated=True) == "four_eyes"
    assert await decide(control, "approve", "bob", PROMOTION, authenticated=True) == "done"
    assert control.states() == {"v1": "standby", "v2": "draining", "v3": "active"}


async def test_going_back_and_an_override_are_not_delayed(start: Start) -> None:
    control = await with_candidate(start)
    override = Override("ann", "the old one leaks")
    answer = await control.operations.promote(service="svc", version="v3", actor="ann", override=override)
    assert (answer["awaits"], answer["active"]) == (None, "v3")
    assert (await control.operations.rollback(service="svc", actor="ann"))["active"] == "v1"


# -- reading
async def test_the_listing_is_newest_first_and_can_be_narrowed(start: Start) -> None:
    control = await start()
    addon = new_addon(control)
    assert addon.listing(None, None) == {"proposals": []}
    ask(control)
    await decide(control, "deny")
    ask(control, "business:churn")
    every = [(document["id"], document["state"]) for document in addon.listing(None, None)["proposals"]]
    assert sorted(every) == [(ID, "denied"), ("svc-rollback-2", "open")]
    for narrowed in ("pending", "open"):
        assert [document["id"] for document in addon.listing("svc", narrowed)["proposals"]] == ["svc-rollback-2"]
    assert addon.listing("svc", "expired") == {"proposals": []}
    with pytest.raises(Refusal, match="there is no service"):
        addon.listing("other", None)
    assert addon.document(ID)["decided_by"] == "ann"
    assert addon.document("svc-rollback-2")["left_s"] == pytest.approx(1800, abs=5)
    [family] = addon.metrics()
    assert isinstance(family, GaugeMetricFamily)
    counted = {sample.labels["state"]: sample.value for sample in family.samples}
    assert counted == {"open": 1, "due": 0, "approved": 0, "denied": 1, "expired": 0, "withdrawn": 0}


async def test_no_decision_while_another_router_is_taken_over(start: Start) -> None:
    control = await start()
    ask(control)
    control.segment.words[at.H_TAKING_OVER] = 1
    assert await decide(control, "approve") == "taking_over"
    control.segment.words[at.H_TAKING_OVER] = 0
    assert entry_types.DECISION_REFUSED not in await journalled(control, entry_types.DECISION_REFUSED)
