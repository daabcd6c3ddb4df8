"""One incident as a document, put together from the registry, the journal, the samples and the operators' review.

An unknown value is null, never zero; `record.notes` gives the reason. Times are RFC 3339, `t_s` is in seconds after the
decision.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from router.control.addon import Document
from router.control.incidents import formatting
from router.control.incidents.context import budget
from router.rollout.facts.router_itself import Drained
from router.rollout.incidents.causes import CauseInputs, candidates
from router.rollout.incidents.impact import SampleSnapshot, impact, periods
from router.rollout.incidents.review import Review
from router.rollout.incidents.timeline import Timeline
from router.rollout.stats.breadth import COUNT_MAX
from router.rollout.units import SECOND_NS
from router.runtime import clock
from router.runtime.text.plurals import counted, plural

FORMAT: Final = 1
"""Version of the document and of its file. A reader accepts this version and every older one."""
_ONSET_MIN_S: Final = 1.5
"""Points are a second wide, so an onset closer to the first fault than this is the first fault."""
SHORT: Final = ("requests", "errors", "rescued")
"""The members of the cost that the list of incidents shows, too."""
COLUMNS: Final = ("t_s", "seconds", "requests", "faults", "rescued", "p50_ms", "p99_ms")


@dataclass(frozen=True, slots=True)
class Sources:
    """The inputs of a document. `record` is the registry's record of the incident. `samples` is None if they are lost.

    `timeline` is None if the journal of that time no longer exists. `watched`: `incidents.after_s` has not passed.
    """

    record: Document
    review: Review
    timeline: Timeline | None
    samples: SampleSnapshot | None
    watched: bool = False


def document(sources: Sources) -> Document:
    """Return the whole incident."""
    record, samples = sources.record, sources.samples
    times = _times(sources)
    cost = _impact(sources, times)
    windows = _windows(sources)
    durations = _durations(record, times)
    return {
        **record,
        **{name: cost[name] for name in SHORT},
        "summary": _summary(record, durations, cost, times["onset"]),
        "nothing_useful": (record["trigger"] or {}).get("detail") == "no_progress",
        "started_at": _iso(record["started_at"]),
        "detection_at": _iso(record["detection_at"]),
        "times": {name: _iso(at) for name, at in times.items()},
        "durations": durations,
        "impact": cost,
        "windows": windows,
        "failures": (samples or {}).get("failures")
        or {"known": False, "why": "no failing requests were captured", "items": []},
        "candidates": candidates(_cause_inputs(sources, times, cost, windows)),
        "timeline": list(_timeline(sources, times)),
        "timeline_left_out": sources.timeline.lines.left_out if sources.timeline else 0,
        "review": _review(sources.review),
        "revision": sources.review.revision,
        "record": {
            "format": FORMAT,
            "complete": bool(samples and samples["whole"]),
            "reconstructed": bool(samples and samples.get("reconstructed")),
            "notes": list(_notes(sources)),
        },
    }


def _summary(record: Document, durations: Document, cost: Document, onset: float | None) -> str:
    """Return the incident in a few sentences."""
    left, back = formatting.known(record["from"]), formatting.known(record["to"])
    if record["manual"]:
        sentences = [
            f"{record['actor']} rolled back service {record['service']} from {left} to {back}: {record['reason']}."
        ]
    else:
        sentences = [
            f"{left} failed in service {record['service']} ({record['reason']}); the router rolled back to {back} automatically."
        ]
    if durations["fault_to_recovered_s"] is not None:
        since = "the first fault" if onset is None else "when faults stayed above the limit"
        sentences.append(f"It lasted {formatting.seconds(durations['fault_to_recovered_s'])} from {since} to recovery.")
    failed, rescued, gone = cost["failed_max"], cost["rescued"], cost["clients_gone"]
    if failed:
        sentences.append(f"At most {formatting.count(failed)} {plural('request', failed)} failed for clients.")
    elif failed == 0:
        sentences.append("No request failed for clients.")
    if (who := record.get("affected")) is not None:
        sentences.append(
            f"The failures are {_most(who['requests'], 'distinct request')} of {_most(who['clients'], 'client')}."
        )
    if gone:
        sentences.append(f"{formatting.count(gone)} {plural('client', gone)} {plural('has', gone)} left while waiting.")
    if rescued:
        sentences.append(f"{formatting.count(rescued)} {plural('was', rescued)} rescued on {back}.")
    size = record.get("standby_size")
    if size is not None and size["good"] < size["endpoints"]:
        sentences.append(
            f"{size['good']} of {counted(size['endpoints'], 'endpoint')} of {back} "
            f"{plural('was', size['good'])} good at the decision."
        )
    return " ".join(sentences)


def _most(count: int, noun: str) -> str:
    text = f"more than {COUNT_MAX}" if count > COUNT_MAX else str(count)
    return f"{text} {plural(noun, count)}"


def _iso(at: float | None) -> str | None:
    return None if at is None else clock.iso(at)


def _at(sources: Sources, monotonic_ns: int | None) -> float | None:
    """Return the wall time of a moment on the monotonic clock of the decision."""
    if monotonic_ns is None or sources.samples is None:
        return None
    return float(sources.record["detection_at"] + (monotonic_ns - sources.samples["decided_ns"]) / SECOND_NS)


def _times(sources: Sources) -> dict[str, float | None]:
    record, timeline = sources.record, sources.timeline
    decided, swap_us, confirmed_ms = record["detection_at"], record["swap_us"], record["confirmed_ms"]
    swapped = None if swap_us is None else decided + swap_us / 1e6
    confirmed = None if swapped is None or confirmed_ms is None else swapped + confirmed_ms / 1e3
    return {
        "promoted": timeline.promoted.at if timeline and timeline.promoted else None,
        "started": record["started_at"],
        "onset": _onset(sources),
        "failing_since": _failing_since(record),
        "decided": decided,
        "swapped": swapped,
        "confirmed": confirmed,
        "recovered": _recovered(sources, confirmed),
        "drained": _drained(sources),
    }


def _onset(sources: Sources) -> float | None:
    """Return since when the faults went on without a pause; None if that is the time of the first fault."""
    samples, started = sources.samples, sources.record["started_at"]
    began = _at(sources, samples["start_ns"]) if samples and started is not None else None
    return began if began is not None and began - started > _ONSET_MIN_S else None


def _failing_since(record: Document) -> float | None:
    """Return since when the trigger failed without a pass; None for triggers that need not be sustained."""
    trigger = record["trigger"] or {}
    sustained_s = trigger.get("sustained_s")
    return record["detection_at"] - sustained_s if sustained_s else None


def _recovered(sources: Sources, confirmed: float | None) -> float | None:
    """Return when the last fault was over and every worker was on the new route; None if unknown."""
    left = _left(sources)
    last = _at(sources, left["fault_ns"]) if left else None
    known = [at for at in (confirmed, last) if at is not None]
    return max(known) if confirmed is not None and known else None


def _left(sources: Sources) -> SampleSnapshot | None:
    found: SampleSnapshot | None = sources.samples["left"] if sources.samples else None
    return found


def _drained(sources: Sources) -> float | None:
    """Return when the failed version had finished its requests. Later drains of the version belong to other incidents."""
    if sources.timeline is None:
        return None
    decided = sources.record["detection_at"]
    over = (line.at for line in sources.timeline.lines.kept if line.kind == Drained.TYPE and line.at >= decided)
    return next(over, None)


def _durations(record: Document, times: dict[str, float | None]) -> Document:
    fault = "started" if times["onset"] is None else "onset"

    def between(first: str, second: str) -> float | None:
        start, end = times[first], times[second]
        return None if start is None or end is None else round(max(0.0, end - start), 3)

    return {
        "promoted_to_fault_s": between("promoted", fault),
        "fault_to_decision_s": between(fault, "decided"),
        "decision_to_store_us": record["swap_us"],
        "store_to_last_worker_ms": record["confirmed_ms"],
        "fault_to_recovered_s": between(fault, "recovered"),
        "decision_to_drained_s": between("decided", "drained"),
    }


def _impact(sources: Sources, times: dict[str, float | None]) -> Document:
    """Return the impact according to the samples; without samples, the impact that was known at the decision."""
    record, samples, left = sources.record, sources.samples, _left(sources)
    cost = cost_of(record, samples)
    began, over = times["onset"] or times["started"], times["recovered"]
    # An alert may have begun long before the oldest sample.
    since = (
        began
        if samples is None or left is None
        else _at(sources, max(samples["start_ns"], left["readings"]["start"][0]))
    )
    return {
        **cost,
        "since": _iso(since),
        "until": _iso(record["detection_at"] if samples is None or left is None else _at(sources, samples["until_ns"])),
        "seconds_affected": None if began is None or over is None else round(max(0.0, over - began), 3),
        **_who(record),
        "budget": budget((samples or {}).get("volume"), cost["failed_max"]),
    }


def _who(record: Document) -> Document:
    """Return the clients and the distinct requests that failed until the decision; None if unknown."""
    affected = record.get("affected")
    if affected is None:
        return {"clients": None, "distinct_requests": None}
    basis = "until the decision, by the address or name that the access log has; from 4 on an estimate within about 5 %"
    return {"clients": {"count": affected["clients"], "basis": basis}, "distinct_requests": affected["requests"]}


def cost_of(record: Document, samples: SampleSnapshot | None) -> Document:
    """Return the cost of an incident, for every place that shows it (figures.py, `toll`).

    It comes from the samples; if they are lost or not summarized yet, from the counts at the decision.
    """
    cost = impact(samples["left"], samples["back"]) if samples else None
    if cost is not None:
        return cost
    errors = record["errors"]
    seen = None if errors is None else sum(errors.values())
    return {
        **{name: record[name] for name in SHORT},
        "failed": seen,
        "failed_until_decision": seen,
        "clients_gone": None,
        "failed_max": None if seen is None else max(0, seen - (record["rescued"] or 0)),
        "rescue": None,
    }


def _windows(sources: Sources) -> Document | None:
    samples, record = sources.samples, sources.record
    if samples is None or (samples["left"] is None and samples["back"] is None):
        return None
    decided_ns = samples["decided_ns"]
    versions = {}
    for role, version in (("left", record["from"]), ("back", record["to"])):
        course = samples[role]
        versions[role] = {
            "version": version,
            "periods": periods(course, samples["start_ns"], decided_ns),
            "points": [
                [round((point[0] - decided_ns) / SECOND_NS, 3), *point[1:]]
                for point in (course["points"] if course else ())
            ],
        }
    return {"columns": list(COLUMNS), **versions}


def _cause_inputs(
    sources: Sources, times: dict[str, float | None], cost: Document, windows: Document | None
) -> CauseInputs:
    record, timeline, samples = sources.record, sources.timeline, sources.samples or {}
    return CauseInputs(
        version=record["from"],
        other=record["to"],
        fault_at=times["onset"] or times["started"],
        decided_at=record["detection_at"],
        promoted=timeline.promoted if timeline else None,
        lines=timeline.lines.kept if timeline else (),
        impact=cost,
        trigger=record["trigger"],
        before=windows["left"]["periods"]["before"] if windows else None,
        failures=(samples.get("failures") or {}).get("items", ()),
        endpoints=samples.get("endpoints", ()),
    )


_DERIVED: Final = {
    "started": "the first fault of the evidence",
    "onset": "the share of faults was above the limit from here on",
    "failing_since": "the trigger failed from here on without a pass",
    "swapped": "the new route was stored: one 64-bit word",
    "recovered": "the last fault of the failing version had ended, and every worker had the new route",
}


def _timeline(sources: Sources, times: dict[str, float | None]) -> Iterator[Document]:
    """Yield the journal's lines and the derived moments between them, in the order of time."""
    decided = sources.record["detection_at"]
    lines: list[Document] = [
        {"at": at, "kind": name, "text": _DERIVED[name], "actor": None, "seq": None}
        for name, at in times.items()
        if name in _DERIVED and at is not None
    ]
    lines += [
        {"at": entry.at, "kind": entry.kind, "text": entry.text, "actor": entry.actor, "seq": entry.seq or None}
        for entry in (sources.timeline.lines.kept if sources.timeline else ())
    ]
    lines += _workers(sources, times["swapped"])
    for line in sorted(lines, key=lambda line: float(line["at"])):
        yield {**line, "at": clock.iso(line["at"]), "t_s": round(line["at"] - decided, 4)}


def _workers(sources: Sources, swapped: float | None) -> list[Document]:
    confirmed = sources.timeline.confirmed if sources.timeline else None
    if swapped is None or confirmed is None:
        return []
    return [
        {
            "at": swapped + ms / 1e3,
            "kind": "worker",
            "text": f"worker {index} adopted the new route",
            "actor": None,
            "seq": None,
        }
        for index, ms in confirmed.workers_ms or ()
    ]


def _review(review: Review) -> Document:
    document = review.as_dict()
    document["comments"] = [{**comment, "at": clock.iso(comment["at"])} for comment in document["comments"]]
    return {**document, "at": _iso(document["at"]), "actions": list(document["actions"])}


def _notes(sources: Sources) -> Iterator[str]:
    """Yield a sentence for each part that the document lacks, with the reason."""
    record, samples = sources.record, sources.samples
    if samples is None:
        yield "The samples of that time are lost (the router was restarted before they were saved): windows are unknown."
    elif samples["left"] is None:
        yield f"The samples of {record['from']} are lost: its slot had been given to another version."
    elif sources.watched:
        yield "The time after the rollback is still being watched: windows and impact grow."
    elif not samples["whole"]:
        yield "The router was restarted meanwhile: later facts are unknown."
    if samples and samples.get("reconstructed"):
        yield "Control died around the swap; the restarted control has reconstructed this from the journal and shared memory."
    if record["trigger"] is None and not record["manual"]:
        yield "The trigger is unknown: control died before its numbers were kept."
    if record["started_at"] is None:
        yield "The start of the failure is unknown; impact is counted from the promotion, at most 15 minutes back."
    if record["swap_us"] is None:
        yield "The duration of the swap is not known (yet)."
    if sources.timeline is None:
        yield "The journal of that time is no longer kept: the timeline is unknown."
