"""What the requests to a version came to: its work by bucket, and how long ago an answer was useful.

What is useful: docs/behaviour/judging.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from router.control.core.service_controller import ServiceController
from router.control.core.work_buckets import KnownTimes
from router.control.views.answers import ProgressStatus, WorkStatus
from router.rollout.stats.work_counts import WorkBucket, WorkCounts
from router.rollout.units import SECOND_NS
from router.rollout.work import WORK_ENDS, WorkEnd
from router.runtime.text.plurals import counted, plural

NO_WORK: Final = WorkCounts()


def of_version(service_controller: ServiceController, slot: int, now_ns: int) -> list[WorkStatus]:
    """Return the work of a slot by bucket, inference first."""
    work = service_controller.executor.counters.work(slot)
    names = service_controller.work_buckets.buckets
    limits = service_controller.judge.known_times(now_ns)
    found = [
        _bucket(names[bucket], counts, limits.get(bucket, (None, None)), now_ns)
        for bucket, counts in work.items()
        if bucket in names
    ]
    return sorted(found, key=lambda bucket: not bucket["inference"])


def _bucket(
    bucket: WorkBucket, counts: WorkCounts, times: tuple[float | None, float | None], now_ns: int
) -> WorkStatus:
    return {
        "bucket": bucket.name,
        "inference": bucket.inference,
        "asked": counts.asked,
        "useful": counts.useful,
        "without_use": {
            end.label: counts.ends[end] for end in WORK_ENDS if end is not WorkEnd.USEFUL and counts.ends[end]
        },
        "in_progress": counts.in_progress,
        "waiting": counts.waiting,
        "overdue": counts.overdue,
        "oldest_wait_s": _age_s(counts.oldest_wait_ns, now_ns),
        "last_useful_s": _age_s(counts.last_useful_ns, now_ns),
        "limit_s": times[0],
        "median_s": times[1],
    }


def progress(service_controller: ServiceController, now_ns: int) -> ProgressStatus | None:
    """Return how long the active version has had no useful answer to inference; None before its first request."""
    registry = service_controller.registry
    slot = service_controller.active_slot
    if slot is None:
        return None
    work = service_controller.executor.counters.work(slot)
    buckets = service_controller.work_buckets.buckets
    asked = {bucket: counts for bucket, counts in work.items() if bucket in buckets and buckets[bucket].inference}
    if not asked:
        return None
    unknown_s = service_controller.service.rules.hard_failure.hang_after_max_s
    limit_s = _limit_s(asked, service_controller.judge.known_times(now_ns), unknown_s)
    return progress_of(asked.values(), registry.active_since_ns, limit_s, now_ns)


def progress_of(inference: Iterable[WorkCounts], promoted_ns: int, limit_s: float, now_ns: int) -> ProgressStatus:
    """Return the progress of a version whose inference counts are these; `limit_s`: the longest normal wait.

    Nothing is useful if requests were lost or wait, and no answer was useful for `limit_s` since the version began to serve.
    """
    counts = list(inference)
    last_ns = max(promoted_ns, *(one.last_useful_ns for one in counts))
    since_s = max(0, now_ns - last_ns) / SECOND_NS
    waiting = sum(one.waiting for one in counts)
    moving = sum(one.in_progress for one in counts)
    lost = any(one.lost_requests for one in counts)
    return {
        "nothing_useful": since_s >= limit_s and not moving and (bool(waiting) or lost),
        "wanting": not moving and (bool(waiting) or lost),
        "since_s": round(since_s, 1),
        "limit_s": limit_s,
        "waiting": waiting,
        "useful": sum(one.useful for one in counts),
        "asked": sum(one.asked for one in counts),
    }


def since_useful(service_controller: ServiceController, slot: int, now_ns: int) -> tuple[float | None, int | None]:
    """Return (seconds since the last useful answer of a slot to inference, attempts asked since). Without such an answer
    the first is None; without an attempt the second is.

    The attempts of the second of that answer do not count: samples of work come once a second.
    """
    work, inference = _inference_work(service_controller, slot)
    last_ns = max((work[bucket].last_useful_ns for bucket in inference), default=0)
    if not last_ns:
        return None, sum(work[bucket].asked for bucket in inference) if inference else None
    before: Mapping[int, WorkCounts] = work
    for entry in reversed(service_controller.judge.entries(slot)):
        if entry.at_ns < last_ns:
            break
        before = entry.sample.work or before
    asked = sum(work[bucket].asked - before.get(bucket, NO_WORK).asked for bucket in inference)
    return _age_s(last_ns, now_ns), max(0, asked)


def median_s(service_controller: ServiceController, slot: int, now_ns: int) -> float | None:
    """Return the largest median time to a useful answer of the inference of a slot; None if none is known."""
    _, inference = _inference_work(service_controller, slot)
    times = service_controller.judge.known_times(now_ns)
    return max(
        (median for bucket in inference if (median := times.get(bucket, (None, None))[1]) is not None), default=None
    )


def _inference_work(service_controller: ServiceController, slot: int) -> tuple[Mapping[int, WorkCounts], list[int]]:
    """Return the work of a slot by bucket, and the buckets of inference."""
    work = service_controller.executor.counters.work(slot)
    buckets = service_controller.work_buckets.buckets
    return work, [bucket for bucket in work if bucket in buckets and buckets[bucket].inference]


def _limit_s(asked: Iterable[int], times: KnownTimes, unknown_s: float) -> float:
    limits = [times.get(bucket, (None, None))[0] for bucket in asked]
    return max((limit for limit in limits if limit is not None), default=unknown_s)


def _age_s(moment_ns: int, now_ns: int) -> float | None:
    return round(max(0, now_ns - moment_ns) / SECOND_NS, 3) if moment_ns else None


def sentence(version: str, found: ProgressStatus) -> str:
    """Return "v2 has had no useful answer for 12.0 s: 0 of 24 requests were useful, 5 wait"."""
    return (
        f"{version} has had no useful answer for {found['since_s']:.1f} s: "
        f"{found['useful']} of {counted(found['asked'], 'request')} {plural('was', found['useful'])} useful "
        f"since it was deployed, {found['waiting']} {plural('waits', found['waiting'])}"
    )
