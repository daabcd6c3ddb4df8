"""One incident as a document: what the registry, the journal, the samples and people say of it, put together.

What is not known is null, never zero; `record.notes` says why. Times are RFC 3339, `t_s` seconds after the decision.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from router.control.incidents import formatting
from router.control.incidents.context import budget
from router.rollout.incidents.causes import CauseInputs, candidates
from router.rollout.incidents.impact import SampleSnapshot, impact, periods
from router.rollout.incidents.review import Review
from router.rollout.incidents.timeline import Timeline
from router.rollout.model import entry as kinds
from router.rollout.stats.window import SECOND_NS
from router.runtime import clock

FORMAT: Final = 1
"""Of the document and of its file. A reader takes this one and every older one."""
Document = dict[str, Any]
_ONSET_MIN_S: Final = 1.5
"""Points are a second wide: a beginning that lies nearer to the first fault is the first fault."""
SHORT: Final = ("requests", "errors", "rescued")
"""What the list of incidents tells of the cost, too."""
POINT: Final = ("t_s", "seconds", "requests", "faults", "rescued", "p50_ms", "p99_ms")


@dataclass(frozen=True, slots=True)
class Sources:
    """What a document is made of. `told` is the registry's record; `frozen` what the samples said, None if they are lost;
    `story` None if the journal of that time is no longer at hand. `watched`: the time after it is not over.
    """

    told: Document
    review: Review
    story: Timeline | None
    frozen: SampleSnapshot | None
    watched: bool = False


def document(sources: Sources) -> Document:
    """Return the whole incident."""
    told, frozen = sources.told, sources.frozen
    times = _times(sources)
    cost = _impact(sources, times)
    pictured = _windows(sources)
    durations = _durations(told, times)
    return {
        **told,
        **{name: cost[name] for name in SHORT},
        "summary": _summary(told, durations, cost, times["onset"]),
        "started_at": _iso(told["started_at"]),
        "detection_at": _iso(told["detection_at"]),
        "times": {name: _iso(at) for name, at in times.items()},
        "durations": durations,
        "impact": cost,
        "windows": pictured,
        "failures": (frozen or {}).get("failures")
        or {"known": False, "why": "no failing requests were captured", "items": []},
        "candidates": candidates(_scene(sources, times, cost, pictured)),
        "timeline": list(_timeline(sources, times)),
        "timeline_left_out": sources.story.lines.left_out if sources.story else 0,
        "review": _review(sources.review),
        "revision": sources.review.revision,
        "record": {
            "format": FORMAT,
            "complete": bool(frozen and frozen["whole"]),
            "reconstructed": bool(frozen and frozen.get("reconstructed")),
            "notes": list(_notes(sources)),
        },
    }


def _summary(told: Document, durations: Document, cost: Document, onset: float | None) -> str:
    """The incident in a few sentences."""
    left, back = formatting.known(told["from"]), formatting.known(told["to"])
    if told["manual"]:
        said = [
            f"{told['actor']} took {left} out of service {told['service']} and went back to {back}: {told['reason']}."
        ]
    else:
        said = [
            f"{left} failed in service {told['service']} ({told['reason']}); the router went back to {back} by itself."
        ]
    if durations["fault_to_recovered_s"] is not None:
        since = "the first fault" if onset is None else "when faults stayed above the limit"
        said.append(f"It lasted {formatting.seconds(durations['fault_to_recovered_s'])} from {since} to recovery.")
    failed, rescued, gone = cost["failed_max"], cost["rescued"], cost["clients_gone"]
    if failed:
        said.append(f"At most {formatting.count(failed)} request{'' if failed == 1 else 's'} failed for clients.")
    elif failed == 0:
        said.append("No request failed for clients.")
    if gone:
        said.append(f"{formatting.count(gone)} client{' has' if gone == 1 else 's have'} left while waiting.")
    if rescued:
        said.append(f"{formatting.count(rescued)} {'was' if rescued == 1 else 'were'} rescued on {back}.")
    return " ".join(said)


def _iso(at: float | None) -> str | None:
    return None if at is None else clock.iso(at)


def _at(sources: Sources, monotonic_ns: int | None) -> float | None:
    """Return the wall time of a moment on the clock of the decision."""
    if monotonic_ns is None or sources.frozen is None:
        return None
    return float(sources.told["detection_at"] + (monotonic_ns - sources.frozen["decided_ns"]) / SECOND_NS)


def _times(sources: Sources) -> dict[str, float | None]:
    told, story = sources.told, sources.story
    decided, swap_us, confirmed_ms = told["detection_at"], told["swap_us"], told["confirmed_ms"]
    swapped = None if swap_us is None else decided + swap_us / 1e6
    confirmed = None if swapped is None or confirmed_ms is None else swapped + confirmed_ms / 1e3
    return {
        "promoted": story.promoted.at if story and story.promoted else None,
        "started": told["started_at"],
        "onset": _onset(sources),
        "failing_since": _failing_since(told),
        "decided": decided,
        "swapped": swapped,
        "confirmed": confirmed,
        "recovered": _recovered(sources, confirmed),
        "drained": _drained(sources),
    }


def _onset(sources: Sources) -> float | None:
    """Since when it was bad without a pause, if that is not when the first fault was seen."""
    frozen, started = sources.frozen, sources.told["started_at"]
    began = _at(sources, frozen["start_ns"]) if frozen and started is not None else None
    return began if began is not None and began - started > _ONSET_MIN_S else None


def _failing_since(told: Document) -> float | None:
    """Since when the trigger failed without a pass; only for those that have to be sustained."""
    trigger = told["trigger"] or {}
    held_s = trigger.get("sustained_s")
    return told["detection_at"] - held_s if held_s else None


def _recovered(sources: Sources, confirmed: float | None) -> float | None:
    """From then on no request met the failing version's faults: every worker had followed, and the last fault was over."""
    left = _left(sources)
    last = _at(sources, left["fault_ns"]) if left else None
    known = [at for at in (confirmed, last) if at is not None]
    return max(known) if confirmed is not None and known else None


def _left(sources: Sources) -> SampleSnapshot | None:
    found: SampleSnapshot | None = sources.frozen["left"] if sources.frozen else None
    return found


def _drained(sources: Sources) -> float | None:
    """When the version that failed had finished what it had; later facts of the same version are other stories."""
    if sources.story is None:
        return None
    decided = sources.told["detection_at"]
    over = (line.at for line in sources.story.lines.kept if line.kind == kinds.DRAINED and line.at >= decided)
    return next(over, None)


def _durations(told: Document, times: dict[str, float | None]) -> Document:
    fault = "started" if times["onset"] is None else "onset"

    def between(first: str, second: str) -> float | None:
        start, end = times[first], times[second]
        return None if start is None or end is None else round(max(0.0, end - start), 3)

    return {
        "promoted_to_fault_s": between("promoted", fault),
        "fault_to_decision_s": between(fault, "decided"),
        "decision_to_store_us": told["swap_us"],
        "store_to_last_worker_ms": told["confirmed_ms"],
        "fault_to_recovered_s": between(fault, "recovered"),
        "decision_to_drained_s": between("decided", "drained"),
    }


def _impact(sources: Sources, times: dict[str, float | None]) -> Document:
    """What the samples say; else what was known at the decision."""
    told, frozen, left = sources.told, sources.frozen, _left(sources)
    cost = cost_of(told, frozen)
    began, over = times["onset"] or times["started"], times["recovered"]
    # An alert may have begun long before the oldest sample.
    since = (
        began if frozen is None or left is None else _at(sources, max(frozen["start_ns"], left["readings"]["start"][0]))
    )
    return {
        **cost,
        "since": _iso(since),
        "until": _iso(told["detection_at"] if frozen is None or left is None else _at(sources, frozen["until_ns"])),
        "seconds_affected": None if began is None or over is None else round(max(0.0, over - began), 3),
        "clients": (frozen or {}).get("clients"),
        "budget": budget((frozen or {}).get("volume"), cost["failed_max"]),
    }


def cost_of(told: Document, frozen: SampleSnapshot | None) -> Document:
    """Return what an incident cost, for every place that tells it (figures.py, `toll`): what the samples say; where they are
    lost, or not looked at yet, what was counted at the decision.
    """
    cost = impact(frozen["left"], frozen["back"]) if frozen else None
    if cost is not None:
        return cost
    errors = told["errors"]
    seen = None if errors is None else sum(errors.values())
    return {
        **{name: told[name] for name in SHORT},
        "failed": seen,
        "failed_until_decision": seen,
        "clients_gone": None,
        "failed_max": None if seen is None else max(0, seen - (told["rescued"] or 0)),
        "rescue": None,
    }


def _windows(sources: Sources) -> Document | None:
    frozen, told = sources.frozen, sources.told
    if frozen is None or (frozen["left"] is None and frozen["back"] is None):
        return None
    decided_ns = frozen["decided_ns"]
    versions = {}
    for role, version in (("left", told["from"]), ("back", told["to"])):
        course = frozen[role]
        versions[role] = {
            "version": version,
            "periods": periods(course, frozen["start_ns"], decided_ns),
            "points": [
                [round((point[0] - decided_ns) / SECOND_NS, 3), *point[1:]]
                for point in (course["points"] if course else ())
            ],
        }
    return {"columns": list(POINT), **versions}


def _scene(sources: Sources, times: dict[str, float | None], cost: Document, pictured: Document | None) -> CauseInputs:
    told, story, frozen = sources.told, sources.story, sources.frozen or {}
    return CauseInputs(
        version=told["from"],
        other=told["to"],
        fault_at=times["onset"] or times["started"],
        decided_at=told["detection_at"],
        promoted=story.promoted if story else None,
        lines=story.lines.kept if story else (),
        impact=cost,
        trigger=told["trigger"],
        before=pictured["left"]["periods"]["before"] if pictured else None,
        failures=(frozen.get("failures") or {}).get("items", ()),
        endpoints=frozen.get("endpoints", ()),
    )


_DERIVED: Final = {
    "started": "the first fault of the evidence was seen",
    "onset": "the share of faults was above the limit from here on",
    "failing_since": "the trigger failed from here on without a pass",
    "swapped": "the new route was stored: one 64-bit word",
    "recovered": "the last fault of the failing version was over, and every worker on the new route",
}


def _timeline(sources: Sources, times: dict[str, float | None]) -> Iterator[Document]:
    """The journal's lines and the moments between them that nobody journals, in the order of time."""
    decided = sources.told["detection_at"]
    lines: list[Document] = [
        {"at": at, "kind": name, "text": _DERIVED[name], "actor": None, "seq": None}
        for name, at in times.items()
        if name in _DERIVED and at is not None
    ]
    lines += [
        {"at": told.at, "kind": told.kind, "text": told.text, "actor": told.actor, "seq": told.seq or None}
        for told in (sources.story.lines.kept if sources.story else ())
    ]
    lines += _workers(sources, times["swapped"])
    for line in sorted(lines, key=lambda line: float(line["at"])):
        yield {**line, "at": clock.iso(line["at"]), "t_s": round(line["at"] - decided, 4)}


def _workers(sources: Sources, swapped: float | None) -> list[Document]:
    confirmed = (sources.story.confirmed if sources.story else None) or {}
    if swapped is None:
        return []
    return [
        {
            "at": swapped + ms / 1e3,
            "kind": "worker",
            "text": f"worker {index} took the new route",
            "actor": None,
            "seq": None,
        }
        for index, ms in confirmed.get("workers_ms") or ()
    ]


def _review(review: Review) -> Document:
    told = review.as_dict()
    told["comments"] = [{**comment, "at": clock.iso(comment["at"])} for comment in told["comments"]]
    return {**told, "at": _iso(told["at"]), "actions": list(told["actions"])}


def _notes(sources: Sources) -> Iterator[str]:
    """What is missing, and why."""
    told, frozen = sources.told, sources.frozen
    if frozen is None:
        yield "The samples of that time are lost (the router was started anew before they were frozen): windows are unknown."
    elif frozen["left"] is None:
        yield f"The samples of {told['from']} are lost: its slot had been given to another version."
    elif sources.watched:
        yield "The time after the rollback is still being watched: windows and impact grow."
    elif not frozen["whole"]:
        yield "The router was started anew meanwhile: what came later is unknown."
    if frozen and frozen.get("reconstructed"):
        yield "Control died around the swap; its successor put this together from the journal and shared memory."
    if told["trigger"] is None and not told["manual"]:
        yield "The trigger is unknown: control died before its numbers were kept."
    if told["started_at"] is None:
        yield "No beginning of the trouble is known; impact is counted from the promotion, at most 15 minutes back."
    if told["swap_us"] is None:
        yield "How long the swap took is not known (yet)."
    if sources.story is None:
        yield "The journal of that time is no longer at hand: the timeline is unknown."
