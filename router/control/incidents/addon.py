"""Opens an incident for each rollback, watches what follows, keeps its files, takes what people add.

The samples around a rollback are frozen at once, and again while the fine ones are still there, until `incidents.after_s`
have passed. All else comes from the journal, so a control that died over it leaves nothing behind that its successor could
not put together: from the journal, from the sample ring in shared memory, and from the files as far as they were written.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from router.control.addon import Addon
from router.control.core.loop import ControlLoop
from router.control.incidents import rendering
from router.control.incidents.context import IncidentContext
from router.control.incidents.document import FORMAT, SHORT, Document, Sources, cost_of, document
from router.control.incidents.files import READ_TIMEOUT_S, Files, IncidentFiles
from router.control.incidents.snapshots import BEFORE_S, Snapshot, trail_of
from router.control.views import status
from router.errors import OperatorError
from router.rollout.incidents.impact import SampleSnapshot
from router.rollout.incidents.incident import opens
from router.rollout.incidents.review import Edit, Reviews
from router.rollout.incidents.timeline import Timeline, Timelines
from router.rollout.machine.replay import effective_entries
from router.rollout.model import entry as kinds
from router.rollout.model.commands import Record
from router.rollout.model.entry import Entry
from router.rollout.stats.window import SECOND_NS
from router.runtime import clock
from router.runtime.printable_json import json_bytes
from router.settings.settings import Settings
from router.shm import layout as at

log = logging.getLogger(__name__)
LOOKS_S: Final = (0.0, 5.0, 15.0, 30.0, 60.0)
"""After the decision; then every 60 s, and at the end."""
REMEMBERED_MAX: Final = 50
"""Incidents whose frozen samples are in memory; the others are read from their files when they are asked for."""
HANGING_S: Final = 10.0
"""A disk that takes longer for one incident is alarmed."""
CONFIRM_WAIT_S: Final = 5.0
"""Beyond `confirm_timeout_s`, since the decision or this control's start: a record without confirmation is complete then."""
_FILES_CODE: Final = "incident_files_unwritable"


@dataclass(slots=True)
class _OpenIncident:
    """An incident whose `after` is not over. `due_ns`: when it is looked at next."""

    story: Timeline
    due_ns: int


class IncidentsAddon(Addon):
    """The incidents of all services."""

    def __init__(
        self,
        control_loop: ControlLoop,
        settings: Settings,
        cabinet: IncidentFiles,
        entries: Sequence[Entry],
        around: IncidentContext | None = None,
    ) -> None:
        self._control_loop = control_loop
        self._context = around
        self._settings = settings.incidents
        self.on_whole: Callable[[Entry], None] = lambda opening: None
        """Told the fact that opened an incident once its record is complete."""
        self._files = cabinet
        cabinet.on_trouble = self._trouble
        self._disk_hangs = False
        self._timelines = Timelines()
        self._reviews = Reviews()
        self._snapshots: OrderedDict[str, SampleSnapshot] = OrderedDict()
        self._costs: dict[str, Document | None] = {}
        """What the list tells of each; None where no file says it."""
        self._open_incidents: dict[str, _OpenIncident] = {}
        self._changed: set[str] = set()
        self._since_ns = clock.now_ns()
        self._lock = asyncio.Lock()
        self._snapshotting = asyncio.Lock()
        self._rendering = asyncio.Lock()
        for entry in _true_ones(entries):
            self._timelines.apply(entry)
            self._reviews.apply(entry)
        control_loop.tasks.spawn(self._take_up(list(self._timelines.timelines.values())), "incidents of before")

    # -- what an office does
    def on_entry(self, entry: Entry) -> None:
        """Fold a fact; a rollback opens an incident."""
        changed = self._timelines.apply(entry)
        self._reviews.apply(entry)
        self._changed |= changed
        if opens(entry):
            story = self._timelines.timelines[entry.data["incident"]]
            self._open_incidents[story.incident] = watch = _OpenIncident(story, entry.monotonic_ns)
            # One that is older than we are was stored by a predecessor, and its note made a fact only now.
            self._look(story.incident, watch, entry.monotonic_ns, kept=entry.monotonic_ns < self._since_ns)

    def on_second(self, now_ns: int) -> None:
        """Look again where it is time, and have written what has changed."""
        for incident, watch in list(self._open_incidents.items()):
            if now_ns >= watch.due_ns or watch.story.closed:
                self._look(incident, watch, now_ns)
        changed, self._changed = self._changed, set()
        for incident in changed:
            self._write(incident)
        busy_s, hung = self._files.busy_s(), self._disk_hangs
        self._disk_hangs = busy_s > HANGING_S
        if self._disk_hangs:
            self._trouble(f"no answer from the disk for {busy_s:.0f} s")
        elif hung:  # the cabinet tells of what failed, and it had nothing to tell if the disk took the files at last
            self._trouble(self._files.trouble)

    def _trouble(self, why: str | None) -> None:
        """The disk does not take the files, or (None) does again."""
        if why is None:
            self._control_loop.alarms.down(_FILES_CODE)
        else:
            told = f"the reports of incidents cannot be written: {why}; they are kept in memory and tried again"
            self._control_loop.alarms.up(_FILES_CODE, told)

    def reconfigure(self, settings: Settings) -> None:
        """Watch and keep by other settings from now on."""
        self._settings = settings.incidents
        self._files.kept_max = settings.incidents.kept_max

    def status(self, service: str) -> dict[str, Any]:
        """Name the incidents of a service that nobody has closed."""
        return {"incidents_open": self._open_ones(service)}

    def metrics(self) -> Iterable[Metric]:
        """How many incidents are open."""
        family = GaugeMetricFamily(
            "rollback_router_incidents_open", "Incidents that nobody has closed.", labels=["service"]
        )
        for service in sorted(self._control_loop.services):
            family.add_metric([service], len(self._open_ones(service)))
        return [family]

    async def close(self) -> None:
        """Have everything written that has changed."""
        for incident in self._changed:
            await self._rendered(incident)
        await self._files.close()

    def _open_ones(self, service: str) -> list[str]:
        told = self._control_loop.services[service].registry.incidents
        return [one["id"] for one in reversed(told) if self._reviews.of(one["id"]).status != "closed"]

    # -- freezing
    def _look(self, incident: str, watch: _OpenIncident, now_ns: int, *, kept: bool = False) -> None:
        """Freeze what the samples say now. Gathering them takes microseconds, what is made of them is a thread's work."""
        decided_ns = watch.story.opening.monotonic_ns
        after_ns = int(self._settings.after_s * SECOND_NS)
        passed_s = (now_ns - decided_ns) / SECOND_NS
        following_s = next((at_s for at_s in LOOKS_S if at_s > passed_s), (passed_s // 60 + 1) * 60)
        watch.due_ns = decided_ns + min(int(following_s * SECOND_NS), after_ns)
        glance = self._current_snapshot(watch.story, now_ns, kept=kept)
        if glance.whole:
            del self._open_incidents[incident]
        self._control_loop.tasks.spawn(self._snapshot(glance), f"samples of {incident}")

    def _current_snapshot(
        self, story: Timeline, now_ns: int, known: SampleSnapshot | None = None, *, kept: bool = False
    ) -> Snapshot:
        """`kept`: look into shared memory, too, for what the judge of this control has not seen."""
        service_controller = self._control_loop.services[story.service]
        segment = self._control_loop.segment if kept else None
        left, back = (trail_of(service_controller, story.places.get(version or ""), segment) for version in story.ends)
        target = service_controller.registry.targets.get(story.ends[0] or "")
        over = now_ns - story.opening.monotonic_ns >= int(self._settings.after_s * SECOND_NS)
        whole = story.closed or (over and not self._confirming(story, now_ns))
        endpoints = target.endpoints if target else ()
        return Snapshot(story, known, (left, back), endpoints, now_ns, whole, reconstructed=kept)

    def _confirming(self, story: Timeline, now_ns: int) -> bool:
        """Whether the workers' confirmation is to come yet: a start makes the one that its predecessor did not journal."""
        if story.confirmed is not None or story.opening.type != kinds.ROLLED_BACK:
            return False
        wait_s = self._control_loop.settings.timeouts.confirm_timeout_s + CONFIRM_WAIT_S
        return now_ns - max(story.opening.monotonic_ns, self._since_ns) < int(wait_s * SECOND_NS)

    async def _snapshot(self, glance: Snapshot) -> None:
        async with self._snapshotting:  # one after the other: each goes on where the last one ended
            known = glance.known or self._snapshots.get(glance.timeline.incident)
            seen = await asyncio.to_thread(replace(glance, known=known).samples)
            self._remember(glance.timeline.incident, await self._joined(glance, known or {}, seen))
        self._changed.discard(glance.timeline.incident)
        await self._rendered(glance.timeline.incident)
        if glance.whole:
            self.on_whole(glance.timeline.opening)

    async def _joined(self, glance: Snapshot, known: SampleSnapshot, seen: SampleSnapshot) -> SampleSnapshot:
        """Return `seen` with what is known of the time around it. Later looks find no more requests than earlier ones, once
        workers have overwritten some; how many a service has in all is asked aside, for it is asked of a disk."""
        if self._context is None:
            return seen
        found = await self._context.failures(glance.timeline, seen["start_ns"], self._settings.failures_max)
        earlier = known.get("failures")
        if glance.whole or not known:
            self._control_loop.tasks.spawn(self._measured(glance.timeline), f"volume of {glance.timeline.incident}")
        kept = earlier if earlier and earlier["seen"] >= found["seen"] else found
        now = self._snapshots.get(glance.timeline.incident) or known  # which may have been measured meanwhile
        return {**seen, "failures": kept, "volume": now.get("volume")}

    async def _measured(self, story: Timeline) -> None:
        """Ask how many requests there are in the window of what was promised."""
        assert self._context is not None
        service = self._control_loop.services[story.service].service
        volume = await self._context.volume(story.service, service.objective, story.opening.at)
        if volume is not None and (frozen := self._snapshots.get(story.incident)) is not None:
            self._snapshots[story.incident] = {**frozen, "volume": volume}
            self._changed.add(story.incident)

    def _remember(self, incident: str, frozen: SampleSnapshot) -> None:
        self._snapshots[incident] = frozen
        self._note_cost(incident, frozen)
        self._snapshots.move_to_end(incident)
        while len(self._snapshots) > REMEMBERED_MAX:
            self._snapshots.popitem(last=False)

    # -- after a restart
    async def _take_up(self, stories: list[Timeline]) -> None:
        """Go on where a predecessor was: complete what is not whole, write what has no file."""
        now_ns, boot = clock.now_ns(), self._control_loop.segment.words[at.H_BOOT]
        written = await self._files.listing()
        for story in stories[-self._settings.kept_max :]:
            told = self._entry_seen(story.incident)
            if told is None or story.incident in self._open_incidents:
                continue
            fresh = story.opening.boot == boot and now_ns - story.opening.monotonic_ns < BEFORE_S * SECOND_NS
            if fresh:
                await self._go_on(story)
            elif written is not None and written.get(story.incident, 0.0) < self._changed_at(story):
                self._changed.add(story.incident)

    def _changed_at(self, story: Timeline) -> float:
        """When something was last added; a file that is older was not written after it."""
        return max(story.lines.kept[-1].at, self._reviews.of(story.incident).at or 0.0)

    async def _go_on(self, story: Timeline) -> None:
        filed = await self._filed(story.incident)
        if filed is not None and filed["whole"]:
            return
        now_ns = clock.now_ns()
        await self._snapshot(self._current_snapshot(story, now_ns, filed, kept=True))
        if not self._snapshots[story.incident]["whole"]:
            self._open_incidents[story.incident] = _OpenIncident(story, now_ns)

    async def _filed(self, incident: str) -> SampleSnapshot | None:
        """Return what the file of an incident keeps of its samples; None if there is none that can be read."""
        raw = await self._files.read(incident)
        if raw is None:
            return None
        try:
            filed = orjson.loads(raw)
            newer = filed["record"]["format"] > FORMAT
            frozen: SampleSnapshot | None = None if newer else filed["frozen"]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            log.warning("the file of incident %s cannot be used: %r", incident, error)
            return None
        if frozen is not None and incident not in self._snapshots:
            self._note_cost(incident, frozen)
        return frozen

    # -- documents
    def understood(self) -> set[str]:
        """Return the incidents of which people have said the root cause."""
        return self._reviews.understood()

    async def listing(self) -> Document:
        """Return all incidents in short, newest first, each with the cost that its page tells."""
        found = [
            told
            for service_controller in self._control_loop.services.values()
            for told in service_controller.registry.incidents
        ]
        found.sort(key=lambda told: -told["detection_at"])
        known = dict.fromkeys(told["id"] for told in found)
        self._costs = {incident: cost for incident, cost in self._costs.items() if incident in known}
        await self._read_costs([incident for incident in known if incident not in self._costs])
        return {"incidents": [{**status.incident(told), **self._in_short(told)} for told in found]}

    async def _read_costs(self, incidents: Sequence[str]) -> None:
        """Find out what the files say that nobody has read since the start. A disk that hangs is not waited for."""
        written = await self._files.listing() if incidents else None
        if written is None:
            return
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                for incident in incidents:
                    if incident not in written or await self._filed(incident) is None:
                        self._costs.setdefault(incident, None)
        except TimeoutError:
            log.warning(
                "the list of incidents tells what was known at the decision: their files cannot be read in time"
            )

    def _in_short(self, told: Document) -> Document:
        """The cost, whether it is complete, and what people have said."""
        cost, review = self._costs.get(told["id"]), self._reviews.of(told["id"])
        said = {name: getattr(review, name) for name in ("status", "severity", "owner", "revision")}
        return {**(cost or {"complete": False}), **said}

    def _note_cost(self, incident: str, frozen: SampleSnapshot) -> None:
        """Keep what the list of incidents tells: frozen samples of most are in files alone."""
        if (told := self._entry_seen(incident)) is not None:
            cost = cost_of(told, frozen)
            self._costs[incident] = {**{name: cost[name] for name in SHORT}, "complete": bool(frozen["whole"])}

    def _entry_seen(self, incident: str) -> Document | None:
        for service_controller in self._control_loop.services.values():
            for told in service_controller.registry.incidents:
                if told["id"] == incident:
                    return told
        return None

    async def document(self, incident: str) -> Document:
        """Return one incident; raise OperatorError (404)."""
        return await asyncio.to_thread(document, await self._sources(incident))

    async def _sources(self, incident: str) -> Sources:
        if self._entry_seen(incident) is None:
            raise OperatorError(404, "incident_unknown", f"there is no incident {incident!r}", exit_code=9)
        frozen = self._snapshots.get(incident) or await self._filed(incident)
        return self._gathered(incident, frozen)

    def _gathered(self, incident: str, frozen: SampleSnapshot | None) -> Sources:
        told, story = self._entry_seen(incident), self._timelines.timelines.get(incident)
        assert told is not None
        still = replace(story, lines=story.lines.copy()) if story is not None else None
        return Sources(told, self._reviews.of(incident), still, frozen, incident in self._open_incidents)

    def _write(self, incident: str) -> None:
        if self._entry_seen(incident) is None:
            return
        self._control_loop.tasks.spawn(self._rendered(incident), f"files of {incident}")

    async def _rendered(self, incident: str) -> None:
        """Of an older one what its file keeps of the samples stays."""
        async with self._rendering:  # so that the files of what was known last are put last
            frozen = self._snapshots.get(incident) or await self._filed(incident)
            self._files.put(incident, await asyncio.to_thread(_files, self._gathered(incident, frozen)))

    # -- what people add
    async def edit(self, incident: str, edit: Edit, actor: str, revision: int | None) -> Document:
        """Journal an edit and return the incident; raise OperatorError, having changed nothing, if it is refused.

        `revision`: only if the review is still that one (412).
        """
        told = self._entry_seen(incident)
        if told is None:
            raise OperatorError(404, "incident_unknown", f"there is no incident {incident!r}", exit_code=9)
        async with self._lock:
            review = self._reviews.of(incident)
            if revision is not None and revision != review.revision:
                detail = f"incident {incident} is at revision {review.revision}, not {revision}: read it again and decide anew"
                raise OperatorError(412, "revision_stale", detail, exit_code=9, facts={"revision": review.revision})
            executor = self._control_loop.services[told["service"]].executor
            record = Record(kinds.INCIDENT_EDITED, actor, {"incident": incident, **review.checked(edit)})
            for entry in await executor.append_and_apply(record):
                self._reviews.apply(entry)
        return await self.document(incident)


def _files(sources: Sources) -> Files:
    """Return everything rendered; some 40 ms of CPU, on a thread."""
    made = document(sources)
    picture = rendering.svg(made)
    files = {
        ".json": json_bytes({**made, "frozen": sources.frozen}, orjson.OPT_INDENT_2) + b"\n",
        ".md": rendering.markdown(made).encode(),
        ".html": rendering.html(made).encode(),
    }
    return {**files, ".svg": picture.encode()} if picture else files


def _true_ones(entries: Sequence[Entry]) -> list[Entry]:
    """Return the facts of all services that became true, in their order."""
    services = {entry.service for entry in entries}
    found = [entry for name in services for entry in effective_entries([e for e in entries if e.service == name])]
    return sorted(found, key=lambda entry: entry.seq)
