"""Opens an incident for each rollback, takes sample snapshots until it is over, writes its files, and takes operators' edits.

The first snapshot of the samples around a rollback is taken at once. More follow while the fine-grained samples exist, until
`incidents.after_s` has passed. Everything else comes from the journal. If control dies, its successor restores the incident
from the journal, from the sample ring in shared memory, and from the files that were written.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import orjson
from prometheus_client.metrics_core import Metric

from router.control.addon import Addon, Document
from router.control.core.loop import ControlLoop
from router.control.incidents import rendering
from router.control.incidents.context import IncidentContext
from router.control.incidents.document import FORMAT, SHORT, Sources, cost_of, document
from router.control.incidents.files import READ_TIMEOUT_S, Files, IncidentFiles
from router.control.incidents.snapshots import BEFORE_S, Places, Snapshot, trail_of
from router.control.monitors.alarms import Alarms
from router.control.store.records.effective import effective_entries
from router.control.views import status
from router.control.views.metric_table import gauge
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.rollout.facts.entry import Entry
from router.rollout.facts.record import Record
from router.rollout.facts.switches import RolledBack
from router.rollout.incidents.impact import SampleSnapshot
from router.rollout.incidents.incident import rollback_in
from router.rollout.incidents.review import Edit, Reviews
from router.rollout.incidents.timeline import Timeline, Timelines
from router.rollout.units import SECOND_NS
from router.runtime import clock
from router.runtime.failpoint import FailPoint
from router.runtime.printable_json import json_bytes
from router.settings.settings import Settings
from router.shm import layout as at

log = logging.getLogger(__name__)
SNAPSHOT_TIMES_S: Final = (0.0, 5.0, 15.0, 30.0, 60.0)
"""When snapshots are taken, in seconds after the decision. Then every 60 s, and at the end."""
REMEMBERED_MAX: Final = 50
"""Incidents whose samples are in memory. The samples of the others are read from their files on request."""
HUNG_S: Final = 10.0
"""An alarm is raised if the disk takes longer than this for one incident."""
CONFIRM_WAIT_S: Final = 5.0
"""Added to `confirm_timeout_s`, counted from the decision or from this control's start. After that an incident counts as
complete without a confirmation."""


@dataclass(slots=True)
class _OpenIncident:
    """An incident whose `incidents.after_s` has not passed. `due_ns`: when the next snapshot is taken.

    `places`: the slots of the two versions when it opened; they may get other versions, or the same one anew.
    """

    timeline: Timeline
    due_ns: int
    places: Places


def open_files(state_dir: Path, settings: Settings, alarms: Alarms) -> IncidentFiles:
    """Return the files of a state directory. They raise an alarm while the disk does not take them."""
    return IncidentFiles(state_dir, settings.incidents.kept_max, _disk_alarm(alarms), FailPoint(settings.fail_point))


def _disk_alarm(alarms: Alarms) -> Callable[[str | None], None]:
    detail = "the reports of incidents cannot be written: {}; they are kept in memory and tried again"
    return alarms.reporter("incident_files_unwritable", detail)


class IncidentsAddon(Addon):
    """The incidents of all services. `on_complete` is called with the entry that opened an incident, once it is complete."""

    def __init__(
        self,
        control_loop: ControlLoop,
        settings: Settings,
        files: IncidentFiles,
        entries: Sequence[Entry],
        context: IncidentContext | None = None,
        on_complete: Callable[[Entry], None] = lambda opening: None,
    ) -> None:
        self._control_loop = control_loop
        self._context = context
        self._settings = settings.incidents
        self._on_complete = on_complete
        self.files = files
        self._disk_error = _disk_alarm(control_loop.alarms)
        self._disk_hung = False
        self._timelines = Timelines()
        self._reviews = Reviews()
        self._snapshots: OrderedDict[str, SampleSnapshot] = OrderedDict()
        self._costs: dict[str, Document | None] = {}
        """The cost of each incident in the list; None if no file holds it."""
        self._open_incidents: dict[str, _OpenIncident] = {}
        self._changed: set[str] = set()
        self._since_ns = clock.now_ns()
        self._lock = asyncio.Lock()
        self._snapshotting = asyncio.Lock()
        self._rendering = asyncio.Lock()
        for entry in _effective_entries(entries):
            self._timelines.apply(entry)
            self._reviews.apply(entry)
        control_loop.tasks.spawn(self._resume(list(self._timelines.timelines.values())), "incidents of before")

    # -- the add-on
    def on_entry(self, entry: Entry) -> None:
        """Fold an entry. A rollback opens an incident."""
        changed = self._timelines.apply(entry)
        self._reviews.apply(entry)
        self._changed |= changed
        rollback = rollback_in(entry.fact)
        if rollback is not None and entry.service in self._control_loop.services:
            timeline = self._timelines.timelines[rollback.incident or ""]
            self._open_incidents[timeline.incident] = open_incident = _OpenIncident(
                timeline, entry.monotonic_ns, self._places(timeline)
            )
            # An entry older than this control was stored by its predecessor as a pending entry, and journalled only now.
            self._take_snapshot(
                timeline.incident, open_incident, entry.monotonic_ns, from_memory=entry.monotonic_ns < self._since_ns
            )

    def service_added(self, service: str, entries: Sequence[Entry]) -> None:
        """Go on with the incidents of a service that comes back, as after a restart."""
        timelines = [timeline for timeline in self._timelines.timelines.values() if timeline.service == service]
        self._control_loop.tasks.spawn(self._resume(timelines), f"incidents of {service}")

    def service_removed(self, service: str) -> None:
        """Take no more samples for the incidents of a service; their files stay."""
        for incident, open_incident in list(self._open_incidents.items()):
            if open_incident.timeline.service == service:
                del self._open_incidents[incident]

    def on_second(self, now_ns: int) -> None:
        """Take the snapshots that are due, and write the files of the incidents that have changed."""
        for incident, open_incident in list(self._open_incidents.items()):
            if now_ns >= open_incident.due_ns or open_incident.timeline.closed:
                self._take_snapshot(incident, open_incident, now_ns)
        changed, self._changed = self._changed, set()
        for incident in changed:
            self._write(incident)
        busy_s, hung = self.files.busy_s(), self._disk_hung
        self._disk_hung = busy_s > HUNG_S
        if self._disk_hung:
            self._disk_error(f"no answer from the disk for {busy_s:.0f} s")
        elif hung:
            # IncidentFiles reports only changes of its error, and a disk that hung and then took the files is no change.
            self._disk_error(self.files.error)

    def reconfigure(self, settings: Settings) -> None:
        """Apply changed settings."""
        self._settings = settings.incidents
        self.files.reconfigure(settings.incidents.kept_max)

    def status(self, service: str) -> dict[str, Any]:
        """Return the ids of the incidents of a service that are not closed."""
        return {"incidents_open": self.open_ids(service)}

    def metrics(self) -> Iterable[Metric]:
        """Return the number of open incidents."""
        family = gauge("incidents_open")
        for service in sorted(self._control_loop.services):
            family.add_metric([service], len(self.open_ids(service)))
        return [family]

    async def close(self) -> None:
        """Write the files of all incidents that have changed."""
        for incident in self._changed:
            await self._render(incident)
        await self.files.close()

    def open_ids(self, service: str) -> list[str]:
        """Return the ids of the incidents of a service that are not closed, newest first."""
        records = self._control_loop.services[service].registry.incidents
        return [record["id"] for record in reversed(records) if self._reviews.of(record["id"]).status != "closed"]

    # -- snapshots
    def _take_snapshot(
        self, incident: str, open_incident: _OpenIncident, now_ns: int, *, from_memory: bool = False
    ) -> None:
        """Take a snapshot of the samples. Gathering them takes microseconds; a thread summarizes them."""
        decided_ns = open_incident.timeline.opening.monotonic_ns
        after_ns = int(self._settings.after_s * SECOND_NS)
        passed_s = (now_ns - decided_ns) / SECOND_NS
        following_s = next((at_s for at_s in SNAPSHOT_TIMES_S if at_s > passed_s), (passed_s // 60 + 1) * 60)
        open_incident.due_ns = decided_ns + min(int(following_s * SECOND_NS), after_ns)
        snapshot = self._current_snapshot(open_incident.timeline, now_ns, open_incident.places, from_memory=from_memory)
        if snapshot.whole:
            del self._open_incidents[incident]
        self._control_loop.tasks.spawn(self._snapshot(snapshot), f"samples of {incident}")

    def _places(self, timeline: Timeline) -> Places:
        """Return where the two versions are, or were last."""
        held = self._control_loop.services[timeline.service].executor.held
        left, back = (held.last_place(version) if version is not None else None for version in timeline.ends)
        return left, back

    def _current_snapshot(
        self,
        timeline: Timeline,
        now_ns: int,
        places: Places,
        known: SampleSnapshot | None = None,
        *,
        from_memory: bool = False,
    ) -> Snapshot:
        """Return the samples of now. `from_memory`: read shared memory, too, for samples that this control's judge never saw."""
        service_controller = self._control_loop.services[timeline.service]
        segment = self._control_loop.segment if from_memory else None
        left, back = (trail_of(service_controller, place, segment) for place in places)
        target = service_controller.registry.targets.get(timeline.ends[0] or "")
        over = now_ns - timeline.opening.monotonic_ns >= int(self._settings.after_s * SECOND_NS)
        whole = timeline.closed or (over and not self._awaiting_confirmation(timeline, now_ns))
        endpoints = target.endpoints if target else ()
        return Snapshot(timeline, known, (left, back), endpoints, now_ns, whole, reconstructed=from_memory)

    def _awaiting_confirmation(self, timeline: Timeline, now_ns: int) -> bool:
        """Return whether the workers' confirmation is still to come. A start repeats a confirmation that was not
        journalled.
        """
        if timeline.confirmed is not None or not isinstance(timeline.rollback, RolledBack):
            return False
        wait_s = self._control_loop.settings.timeouts.confirm_timeout_s + CONFIRM_WAIT_S
        return now_ns - max(timeline.opening.monotonic_ns, self._since_ns) < int(wait_s * SECOND_NS)

    async def _snapshot(self, snapshot: Snapshot) -> None:
        async with self._snapshotting:  # one after the other: each continues from the end of the last one
            known = snapshot.known or self._snapshots.get(snapshot.timeline.incident)
            seen = await asyncio.to_thread(replace(snapshot, known=known).samples)
            self._remember(snapshot.timeline.incident, await self._with_context(snapshot, known or {}, seen))
        self._changed.discard(snapshot.timeline.incident)
        await self._render(snapshot.timeline.incident)
        if snapshot.whole:
            self._on_complete(snapshot.timeline.opening)

    async def _with_context(self, snapshot: Snapshot, known: SampleSnapshot, seen: SampleSnapshot) -> SampleSnapshot:
        """Return `seen` with the failing requests and the volume of the service.

        A later snapshot may find fewer failing requests, because workers overwrite the oldest; the larger set is kept. The
        volume is measured in a task of its own, because that reads the disk.
        """
        if self._context is None:
            return seen
        found = await self._context.failures(snapshot.timeline, seen["start_ns"], self._settings.failures_max)
        earlier = known.get("failures")
        if snapshot.whole or not known:
            self._control_loop.tasks.spawn(
                self._measure_volume(snapshot.timeline), f"volume of {snapshot.timeline.incident}"
            )
        failures = earlier if earlier and earlier["seen"] >= found["seen"] else found
        now = self._snapshots.get(snapshot.timeline.incident) or known  # may have its volume by now
        return {**seen, "failures": failures, "volume": now.get("volume")}

    async def _measure_volume(self, timeline: Timeline) -> None:
        """Count the requests in the window of the service's objective."""
        assert self._context is not None
        service_controller = self._control_loop.services.get(timeline.service)
        if service_controller is None:
            return
        service = service_controller.service
        volume = await self._context.volume(timeline.service, service.objective, timeline.opening.at)
        if volume is not None and (samples := self._snapshots.get(timeline.incident)) is not None:
            self._snapshots[timeline.incident] = {**samples, "volume": volume}
            self._changed.add(timeline.incident)

    def _remember(self, incident: str, samples: SampleSnapshot) -> None:
        self._snapshots[incident] = samples
        self._record_cost(incident, samples)
        self._snapshots.move_to_end(incident)
        while len(self._snapshots) > REMEMBERED_MAX:
            self._snapshots.popitem(last=False)

    # -- after a restart
    async def _resume(self, timelines: list[Timeline]) -> None:
        """Continue the work of the predecessor: complete incidents that are not complete, write files that are missing."""
        now_ns, boot = clock.now_ns(), self._control_loop.segment.words[at.H_BOOT]
        written = await self.files.listing()
        for timeline in timelines[-self._settings.kept_max :]:
            record = self._record(timeline.incident)
            if record is None or timeline.incident in self._open_incidents:
                continue
            fresh = timeline.opening.boot == boot and now_ns - timeline.opening.monotonic_ns < BEFORE_S * SECOND_NS
            if fresh:
                await self._continue(timeline)
            elif written is not None and written.get(timeline.incident, 0.0) < self._changed_at(timeline):
                self._changed.add(timeline.incident)

    def _changed_at(self, timeline: Timeline) -> float:
        """Return the wall time (seconds) of the last addition. An older file lacks that addition."""
        return max(timeline.lines.kept[-1].at, self._reviews.of(timeline.incident).at or 0.0)

    async def _continue(self, timeline: Timeline) -> None:
        filed = await self._filed(timeline.incident)
        if filed is not None and filed["whole"]:
            return
        if self._record(timeline.incident) is None:  # its service was removed meanwhile
            return
        now_ns = clock.now_ns()
        places = self._places(timeline)
        await self._snapshot(self._current_snapshot(timeline, now_ns, places, filed, from_memory=True))
        if not self._snapshots[timeline.incident]["whole"]:
            self._open_incidents[timeline.incident] = _OpenIncident(timeline, now_ns, places)

    async def _filed(self, incident: str) -> SampleSnapshot | None:
        """Return the samples in the file of an incident; None if there is no readable file."""
        raw = await self.files.read(incident)
        if raw is None:
            return None
        try:
            filed = orjson.loads(raw)
            newer = filed["record"]["format"] > FORMAT
            samples: SampleSnapshot | None = None if newer else filed["frozen"]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            log.warning("the file of incident %s cannot be used: %r", incident, error)
            return None
        if samples is not None and incident not in self._snapshots:
            self._record_cost(incident, samples)
        return samples

    # -- documents
    def root_cause_known(self) -> set[str]:
        """Return the incidents whose root cause is recorded."""
        return self._reviews.with_root_cause()

    async def listing(self, only: str | None = None) -> Document:
        """Return all incidents in short, newest first, each with the cost that its page shows.

        `only` names a service; Refusal if there is no such one.
        """
        wanted = list(self._control_loop.services) if only is None else [self._control_loop.services[only].name]
        records = [
            record
            for service_controller in self._control_loop.services.values()
            for record in service_controller.registry.incidents
        ]
        records.sort(key=lambda record: -record["detection_at"])
        known = dict.fromkeys(record["id"] for record in records)
        self._costs = {incident: cost for incident, cost in self._costs.items() if incident in known}
        await self._read_costs([incident for incident in known if incident not in self._costs])
        shown = [record for record in records if record["service"] in wanted]
        return {"incidents": [{**status.incident(record), **self._brief(record)} for record in shown]}

    async def _read_costs(self, incidents: Sequence[str]) -> None:
        """Read the costs from files that were not read since the start. Gives up if the disk hangs."""
        written = await self.files.listing() if incidents else None
        if written is None:
            return
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                for incident in incidents:
                    if incident not in written or await self._filed(incident) is None:
                        self._costs.setdefault(incident, None)
        except TimeoutError:
            log.warning("the list of incidents has the facts of the decision only: their files cannot be read in time")

    def _brief(self, record: Document) -> Document:
        """Return the members of the list of incidents: the cost, whether it is complete, and the review."""
        cost, review = self._costs.get(record["id"]), self._reviews.of(record["id"])
        reviewed = {name: getattr(review, name) for name in ("status", "severity", "owner", "revision")}
        return {**(cost or {"complete": False}), **reviewed}

    def _record_cost(self, incident: str, samples: SampleSnapshot) -> None:
        """Keep the cost for the list of incidents: the samples of most incidents are only in files."""
        if (record := self._record(incident)) is not None:
            cost = cost_of(record, samples)
            self._costs[incident] = {**{name: cost[name] for name in SHORT}, "complete": bool(samples["whole"])}

    def _record(self, incident: str) -> Document | None:
        for service_controller in self._control_loop.services.values():
            for record in service_controller.registry.incidents:
                if record["id"] == incident:
                    return record
        return None

    async def document(self, incident: str) -> Document:
        """Return one incident; raise Refusal."""
        return await asyncio.to_thread(document, await self._sources(incident))

    async def _sources(self, incident: str) -> Sources:
        samples = self._snapshots.get(incident)
        if samples is None and self._record(incident) is not None:
            samples = await self._filed(incident)
        if self._record(incident) is None:
            raise Refusal(RefusalCode.INCIDENT_UNKNOWN, f"there is no incident {incident!r}")
        return self._gather(incident, samples)

    def _gather(self, incident: str, samples: SampleSnapshot | None) -> Sources:
        record, timeline = self._record(incident), self._timelines.timelines.get(incident)
        assert record is not None
        copy = replace(timeline, lines=timeline.lines.copy()) if timeline is not None else None
        return Sources(record, self._reviews.of(incident), copy, samples, incident in self._open_incidents)

    def _write(self, incident: str) -> None:
        if self._record(incident) is None:
            return
        self._control_loop.tasks.spawn(self._render(incident), f"files of {incident}")

    async def _render(self, incident: str) -> None:
        """Render an incident and write its files. The samples of an older one are taken from its file."""
        async with self._rendering:  # so that the newest state is written last
            samples = self._snapshots.get(incident) or await self._filed(incident)
            if self._record(incident) is None:  # its service was removed: the files stay as they are
                return
            self.files.put(incident, await asyncio.to_thread(_render_files, self._gather(incident, samples)))

    # -- edits by operators
    async def edit(self, incident: str, edit: Edit, actor: str, revision: int | None) -> Document:
        """Journal an edit and return the incident; raise Refusal if it is refused, without any change.

        `revision`: refuse the edit (412) if the review has another revision by now.
        """
        known = self._record(incident)
        if known is None:
            raise Refusal(RefusalCode.INCIDENT_UNKNOWN, f"there is no incident {incident!r}")
        async with self._lock:
            review = self._reviews.of(incident)
            if revision is not None and revision != review.revision:
                detail = f"incident {incident} is at revision {review.revision}, not {revision}: read it again, then decide again"
                raise Refusal(RefusalCode.REVISION_STALE, detail, facts={"revision": review.revision})
            executor = self._control_loop.services[known["service"]].executor
            record = Record(review.checked(incident, edit), actor)
            for entry in await executor.append_and_apply(record):
                self._reviews.apply(entry)
        return await self.document(incident)


def _render_files(sources: Sources) -> Files:
    """Return the files of an incident. Takes some 40 ms of CPU; call it in a thread."""
    made = document(sources)
    picture = rendering.svg(made)
    files = {
        ".json": json_bytes({**made, "frozen": sources.samples}, orjson.OPT_INDENT_2) + b"\n",
        ".md": rendering.markdown(made).encode(),
        ".html": rendering.html(made).encode(),
    }
    return {**files, ".svg": picture.encode()} if picture else files


def _effective_entries(entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries of all services that took effect, in their order."""
    services = {entry.service for entry in entries}
    found = [entry for name in services for entry in effective_entries([e for e in entries if e.service == name])]
    return sorted(found, key=lambda entry: entry.seq)
