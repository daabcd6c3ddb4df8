"""One rollback over real shared memory and a real journal: every place that shows its figures shows the same, at any time.

Messages to webhooks and Slack, status, explain, report, the list of incidents, and the incident as document, page, Markdown
and on the terminal; also by hand, by an alert, for a version that cannot be reached, and with a control killed in between.
"""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import AsyncIterator, Callable
from html import unescape
from pathlib import Path
from typing import Any

import orjson
import pytest

from router.cli import incidents as command
from router.cli import status as cli_status
from router.cli.report import rows
from router.control.incidents import rendering
from router.control.incidents.addon import IncidentsAddon, open_files
from router.control.notify import messages
from router.control.views import status
from router.rollout.facts.entry import Entry
from router.rollout.facts.switches import Confirmed
from router.rollout.history import service_report
from router.rollout.history.deployment_log import DeploymentLog, Timestamp
from router.rollout.history.period import Period
from router.rollout.judge.verdict import TriggerResult
from router.rollout.notifications.notification import notification_of, record_completed
from router.rollout.outcome import Outcome
from router.rollout.stats.figures import format_value
from router.runtime import clock
from router.runtime.terminal import PrintableConsole
from router.runtime.text.hints import Hints
from router.shm import layout as at
from tests import entry_types
from tests.control.control_harness import ControlHarness, FakeWorkers, new_segment, settings
from tests.waiting import until

ONE = "svc-1-2"
FIGURES = ("requests", "errors", "rescued")


class Scene:
    """Control with the incidents add-on. The next control over the same segment continues where this one ended."""

    def __init__(self, control: ControlHarness, entries: list[Entry]) -> None:
        self.control = control
        files = open_files(control.folder, control.settings, control.control_loop.alarms)
        self.addon = IncidentsAddon(control.control_loop, control.settings, files, entries)
        control.control_loop.add_addons(self.addon)
        self.explained = ""

    async def live(self, for_s: float, each: Callable[[], None] = lambda: None) -> None:
        for _ in range(round(for_s * 10)):
            if self.control.states()["v1"] == "active":
                self.explained = status.explain(self.control.service_controller, self.control.now_ns)["summary"]
            self.control.pass_time(0.1, each)
            await asyncio.sleep(0)  # so that workers confirm a switch as soon as it is made

    def fail(self, outcome: Outcome, count: int, good: int = 0, rescued: int = 0) -> Callable[[], None]:
        """v1 does so while it is active, and one late fault afterwards; v2 answers whatever is rescued, then all."""
        late = [3]

        def each() -> None:
            workers, segment = self.control.workers, self.control.segment
            if self.control.states()["v1"] == "active":
                workers.serve(0, outcome, count)
                workers.serve(0, Outcome.OK, good)
                segment.words[segment.layout.worker_slot(0, 0, 0) + at.L_RESCUED] += rescued
                workers.serve(1, Outcome.OK, rescued)
            else:
                workers.serve(1, Outcome.OK, 10)
                if late[0] > 0 and outcome is not Outcome.OK:
                    late[0] -= 1
                    workers.serve(0, outcome)

        return each

    async def settle(self) -> None:
        for _ in range(2):
            await self.control.until_idle()
            await self.live(0.1)
        await self.control.until_idle()

    async def until_written(self) -> None:
        await until(lambda: not self.addon.files.waiting)


async def errors(scene: Scene) -> None:
    await scene.live(4, scene.fail(Outcome.SERVER_ERROR, 5))


async def rescued(scene: Scene) -> None:
    await scene.live(4, scene.fail(Outcome.TIMED_OUT, 5, rescued=4))


async def unreachable(scene: Scene) -> None:
    await scene.live(4, scene.fail(Outcome.CONNECT_FAILED, 3, rescued=3))


async def low_traffic(scene: Scene) -> None:
    for _ in range(8):
        await scene.live(0.1, scene.fail(Outcome.SERVER_ERROR, 1))
        await scene.live(2.0)


async def some_errors(scene: Scene) -> None:
    """A stray fault is evidence; later a share of requests fails without a pause."""
    await scene.live(0.1, scene.fail(Outcome.SERVER_ERROR, 1, good=9))
    await scene.live(12, scene.fail(Outcome.OK, 0, good=10))
    await scene.live(25, scene.fail(Outcome.SERVER_ERROR, 3, good=7, rescued=1))


async def alert(scene: Scene) -> None:
    await scene.live(3, scene.fail(Outcome.SERVER_ERROR, 1, good=20))
    since_ns = scene.control.now_ns - 2_500_000_000
    found = TriggerResult(
        *("business", "alert", "fail", "rollback", "alert Sales: fewer sales"),
        failing=True, value=1.0, limit=0.0, samples=1, evidence_since_ns=since_ns,
    )  # fmt: skip
    scene.control.service_controller.add_trigger_source(
        lambda _: (found,) if scene.control.states()["v1"] == "active" else ()
    )
    await scene.live(1, scene.fail(Outcome.SERVER_ERROR, 1, good=20))


async def by_hand(scene: Scene) -> None:
    await scene.live(2, scene.fail(Outcome.INVALID, 1, good=9))
    with pytest.MonkeyPatch.context() as patch:  # what people do is told with the time of the clock, not of the judge
        patch.setattr(clock, "now_ns", lambda: scene.control.now_ns)
        await scene.control.operations.rollback(service="svc", actor="ann", reason="2 wrong scores")
    await scene.live(1, scene.fail(Outcome.INVALID, 1, good=9))


EVENTS = {found.__name__: found for found in (errors, rescued, unreachable, low_traffic, some_errors, alert, by_hand)}


@pytest.fixture
async def begin(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """Begin a control; one that is there already is killed: nothing of it is closed but what would leak."""
    segment = new_segment()
    workers = FakeWorkers(segment)
    scenes: list[Scene] = []

    async def begun() -> Scene:
        control = ControlHarness(settings(tmp_path), segment, workers, tmp_path)
        if scenes:
            await scenes[-1].control.end()
            control.now_ns = scenes[-1].control.now_ns
        now_ns = control.now_ns
        await control.begin()
        control.now_ns = now_ns
        scenes.append(Scene(control, await control.journal.entries(0, 1000)))
        return scenes[-1]

    yield begun
    await scenes[-1].control.end()
    for scene in scenes:
        await scene.addon.close()
    workers.close()
    segment.close()


async def played(scene: Scene, event: str) -> None:
    scene.control.probe("v2", times=3)
    await scene.live(5, scene.fail(Outcome.OK, 0, good=10))
    await EVENTS[event](scene)
    assert scene.control.states()["v2"] == "active"


def words(text: str) -> str:
    return " ".join(text.replace("\u202f", "").replace("|", " ").replace("\\", "").split())


def texts(made: dict[str, Any]) -> dict[str, str]:
    console = PrintableConsole(width=300, record=True, file=io.StringIO())
    for part in command._in_full(made, Hints()):
        console.print(part)
    page = unescape(re.sub(r"<svg.*?</svg>|<style.*?</style>|<[^>]+>", " ", rendering.html(made), flags=re.DOTALL))
    found = {"html": page, "md": rendering.markdown(made), "command": console.export_text()}
    return {name: words(text) for name, text in found.items()}


async def same(scene: Scene, at_decision: bool = True) -> dict[str, Any]:
    """Assert that all places agree; return the document."""
    entries = await scene.control.journal.entries(0, 1000)
    (opening,) = [entry for entry in entries if entry.type == entry_types.ROLLED_BACK]
    confirmation = next(entry for entry in entries if entry.type == entry_types.CONFIRMED)
    made = await scene.addon.document(ONE)
    (short,) = (await scene.addon.listing())["incidents"]
    cost = made["impact"]
    assert {name: short[name] for name in FIGURES} == {name: cost[name] for name in FIGURES}
    assert {name: made[name] for name in FIGURES} == {name: cost[name] for name in FIGURES}
    assert short["complete"] == made["record"]["complete"]
    if made["windows"] is not None:
        _periods(made, opening, at_decision)
    _messages(made, opening, confirmation)
    _texts(made)
    _status(scene, made)
    _report(made, entries)
    return made


def _periods(made: dict[str, Any], opening: Entry, at_decision: bool) -> None:
    cost, left = made["impact"], made["windows"]["left"]["periods"]
    during, after = left["during"], left["after"] or {"requests": 0, "faults": 0}
    assert (during["requests"] + after["requests"], during["faults"] + after["faults"]) == (
        cost["requests"],
        cost["failed"],
    )
    assert during["faults"] == cost["failed_until_decision"]
    known = opening.fact.to_data()["evidence"]
    if known and at_decision:
        assert (known["requests"], sum(known["errors"].values())) == (during["requests"], during["faults"])
    counted = made["windows"]["left"]["points"]
    parts = [left[name] or {"requests": 0} for name in ("before", "during", "after")]
    assert sum(part["requests"] for part in parts) == sum(point[2] for point in counted), "each sample once"


def _messages(made: dict[str, Any], opening: Entry, confirmation: Entry) -> None:
    assert isinstance(confirmation.fact, Confirmed)
    rolled, whole = notification_of(opening, confirmation.fact), record_completed(opening, opening.at + 120)
    assert rolled is not None
    page = texts(made)["html"]
    for sent in (rolled, whole):
        facts = dict(sent.facts)
        bodies = [
            orjson.loads(messages.cloud_event(sent, "urn:test", {}))["data"],
            orjson.loads(messages.slack(sent, {})),
        ]
        assert bodies[0]["facts"]["reason"] == facts["Reason"] == made["reason"] == bodies[0]["reason"]
        assert {field["title"]: field["value"] for field in bodies[1]["attachments"][0]["fields"]} == facts
        assert facts["Reason"] in messages.plain(sent, {})
        assert words(facts["Reason"]) in page
        trigger = made["trigger"]
        assert bodies[0]["trigger"] == (trigger and {name: trigger[name] for name in bodies[0]["trigger"]})
        if trigger is not None:
            assert facts["Samples"].split(" ")[0] == str(trigger["samples"])
            _observed(facts, page, trigger)
    taken = dict(rolled.facts)["Time taken"]
    assert f"swap {page.split('swap ')[1].split(' Swap')[0]}" in taken
    assert f"within {page.split('last worker ')[1].split(' ms')[0]} ms" in taken


def _observed(facts: dict[str, str], page: str, trigger: dict[str, Any]) -> None:
    """Value and limit are the same numbers with the same unit on the page and in messages."""
    found = re.fullmatch(r"([\d.]+)(%| s|) against a limit of ([\d.]+)(%| s|)(?:, normal is .*)?", facts["Observed"])
    assert found is not None, facts["Observed"]
    for member, number, unit in (("value", found[1], found[2]), ("limit", found[3], found[4])):
        assert float(number) == pytest.approx(trigger[member] * (100 if unit == "%" else 1), abs=0.06)
        shown = format_value(trigger, member)
        assert f" {shown} " in page
        assert shown.lstrip("0123456789.").strip() == unit.strip()
        assert float(shown.rstrip("% s")) == pytest.approx(float(number), rel=0.006)


def _texts(made: dict[str, Any]) -> None:
    cost = made["impact"]
    for name, text in texts(made).items():
        for found, expected in (
            (r"Faults (\d+), \d+ of them until the decision", cost["failed"]),
            (r"Faults \d+, (\d+) of them until the decision", cost["failed_until_decision"]),
            (r"errors until the decision (\d+)", cost["failed_until_decision"]),
            (r"At most (\d+) requests? failed", cost["failed_max"]),
            (r"[Ff]ailed (?:for clients|as clients saw it),? ?(?:≤|at most)? (\d+)", cost["failed_max"]),
            (r"(\d+) (?:was|were) rescued on", cost["rescued"]),
            (r"[Rr]escued(?: on v2)? (\d+)", cost["rescued"]),
            (r"(?:Attempts on v1|[Rr]equests meanwhile) (\d+)", cost["requests"]),
        ):
            assert set(re.findall(found, text)) <= {str(expected)}, (name, found)
    reason = re.search(r"(\d+) faults in (\d+) requests \(([\d.]+)%\)", made["reason"])
    if reason is not None:
        assert float(reason[3]) == pytest.approx(100 * int(reason[1]) / int(reason[2]), abs=0.051)


def _status(scene: Scene, made: dict[str, Any]) -> None:
    shown = scene.control.queries.service_status("svc")
    assert shown["last_switch"]["reason"] == made["reason"]
    assert shown["incidents_open"] == [ONE]
    assert made["reason"] in words(str(cli_status._service("svc", shown, Hints())[-1]))
    (left,) = [target for target in shown["targets"] if target["version"] == "v1"] or [None]
    if left is not None and made["record"]["complete"] and left["totals"]["rescued"]:
        assert left["totals"]["rescued"] == made["rescued"]


def _report(made: dict[str, Any], entries: list[Entry]) -> None:
    deployment_log = DeploymentLog("svc")
    for entry in entries:
        deployment_log.add(entry)
    period = Period(made_at := entries[0].at - 10, made_at + 10_000)
    now = Timestamp(entries[-1].at, entries[-1].monotonic_ns, entries[-1].boot)
    found = service_report.report(
        "svc", period, service_report.Totals(), deployment_log.summary(), 0.05, service_report.Price(), now
    )
    assert found["rollbacks"]["incidents"] == [ONE]
    assert found["rollbacks"]["manual" if made["manual"] else "automatic"] == 1
    since_s = made["evidence_since_s_before"]
    assert found["time_to_detect"]["median_s"] == (None if since_s is None else pytest.approx(since_s))
    if since_s is not None and made["times"]["onset"] is None:
        assert made["durations"]["fault_to_decision_s"] == pytest.approx(since_s, abs=0.002)
    assert next(row for row in rows(found) if row[0] == "rollbacks")[1] == "1"


@pytest.mark.parametrize("event", EVENTS)
async def test_all_places_tell_the_same_at_every_moment(begin: Callable[..., Any], event: str) -> None:
    scene = await begin()
    await played(scene, event)
    await scene.settle()
    early = await same(scene)
    await scene.live(126, scene.fail(Outcome.OK, 0))
    await scene.settle()
    whole = await same(scene)
    assert whole["record"]["complete"]
    assert whole["impact"]["failed"] >= early["impact"]["failed"] > 0
    await scene.until_written()
    scene.addon._snapshots.clear()  # as of one of many
    scene.addon._costs.clear()
    assert (await same(scene))["impact"] == whole["impact"]


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("when", ["at once", "later"])
async def test_a_control_killed_in_between_changes_no_figure(begin: Callable[..., Any], event: str, when: str) -> None:
    scene = await begin()
    await played(scene, event)
    if when == "later":
        await scene.settle()
        await scene.live(6, scene.fail(Outcome.OK, 0))
        await scene.settle()
    else:
        await scene.control.until_idle()
    before = await same(scene)
    second = await begin()
    await second.settle()
    after = await same(second)
    assert after["impact"]["failed_until_decision"] == before["impact"]["failed_until_decision"]
    assert after["impact"]["failed"] >= before["impact"]["failed"]
    assert (after["reason"], after["trigger"]) == (before["reason"], before["trigger"])
    await second.live(126, second.fail(Outcome.OK, 0))
    await second.settle()
    assert (await same(second))["record"]["complete"]


@pytest.mark.parametrize("event", ["errors", "alert"])
async def test_without_samples_all_tell_what_was_known_at_the_decision(begin: Callable[..., Any], event: str) -> None:
    scene = await begin()
    await played(scene, event)
    await scene.settle()
    await scene.until_written()
    scene.addon._snapshots.clear()
    scene.addon._costs.clear()
    for path in (scene.control.folder / "incidents").iterdir():
        path.write_bytes(b"")
    made = await same(scene)
    assert (made["windows"], made["impact"]["failed"] > 0) == (None, True)


@pytest.mark.parametrize("event", ["errors", "rescued", "some_errors"])
async def test_explain_gave_the_reason_that_the_rollback_was_made_for(begin: Callable[..., Any], event: str) -> None:
    """Explain speaks of now: before the decision it counts the same way, never more than the incident until then."""
    scene = await begin()
    await played(scene, event)
    await scene.settle()
    made = await same(scene)
    found = re.search(r"(\d+) faults in (\d+) requests \(([\d.]+)%\)", scene.explained)
    assert found is not None, scene.explained
    assert int(found[1]) <= int(found[2])
    assert float(found[3]) == pytest.approx(100 * int(found[1]) / int(found[2]), abs=0.051)
    notified_then = re.search(r"(\d+) faults", made["reason"])
    assert notified_then is not None
    assert int(found[1]) <= int(notified_then[1])
