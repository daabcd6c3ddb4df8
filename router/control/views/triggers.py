"""The triggers as `explain` shows them: with the unit of their figures, the clients behind them, how near they are to acting."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final, Literal

from typing_extensions import TypedDict

from router.control.core.service_controller import ServiceController
from router.rollout.judge.judge import Judge
from router.rollout.judge.rules import Action
from router.rollout.judge.verdict import Detail, Kind, State, TriggerResult
from router.rollout.stats.epoch_history import AffectedPeriod
from router.rollout.stats.figures import unit
from router.rollout.units import SECOND_NS

NEAREST: Final = 0.99
"""`nearness` of a trigger at its limit that does not act yet."""


class TriggerDocument(TypedDict):
    """One trigger. `value`, `limit` and `baseline` have the `unit`; null is no number, never zero. `samples`: the requests,
    faults, waits, attempts or alerts behind the result.
    """

    kind: Kind
    detail: Detail
    state: State
    action: Action
    reason: str
    distance: str
    """The evidence that is missing until the trigger decides, or acts."""
    failing: bool
    """The trigger fails and the failure is sustained: the action is due now."""
    value: float | None
    limit: float | None
    baseline: float | None
    samples: int
    window_s: float | None
    sustained_s: float
    sustained_needed_s: float
    evidence_since_ns: int | None
    """Monotonic time of the first fault, or of the first wait, in the evidence."""
    unit: Literal["share", "seconds", "count"]
    clients: int | None
    """Distinct clients that were answered usefully, failed or were lost in the window, in whole ten seconds; 501: more than 500.
    Null for a trigger without a window.
    """
    nearness: float | None
    """Value ÷ limit, limit ÷ value for a share of useful answers: 0 to 1, and 1 only if the action is due. Null while the value
    is unknown, or rests on too few requests.
    """
    acts_in_s: float | None
    """Seconds until the action is due at the earliest, if this goes on; 0 if it is due. Null if it is unknown."""


def explained(service_controller: ServiceController, now_ns: int) -> list[TriggerDocument]:
    """Return the triggers of the active version."""
    slot = service_controller.active_slot
    seen: dict[float, int | None] = {}
    for window_s in {result.window_s for result in service_controller.verdict.results}:
        if window_s is not None and slot is not None:
            seen[window_s] = _clients(service_controller.judge, slot, now_ns - int(window_s * SECOND_NS))
    return [
        document(result, seen.get(result.window_s) if result.window_s is not None else None)
        for result in service_controller.verdict.results
    ]


def document(result: TriggerResult, clients: int | None) -> TriggerDocument:
    """Return one trigger, of whose window `clients` are known."""
    plain: dict[str, Any] = {field.name: getattr(result, field.name) for field in fields(result)}
    found: TriggerDocument = {
        **plain,  # type: ignore[typeddict-item]  # the members of TriggerResult
        "unit": unit(plain),
        "clients": clients,
        "nearness": nearness(result),
        "acts_in_s": acts_in_s(result),
    }
    return found


def nearness(result: TriggerResult) -> float | None:
    """Return how near a trigger is to its limit."""
    if result.failing:
        return 1.0
    if result.value is None or not result.limit or result.state == "not_configured":
        return None
    if result.state == "inconclusive" and unit({"kind": result.kind, "detail": result.detail}) == "share":
        return None  # a share of few requests says nothing
    value = max(result.value, 0.0)
    if result.detail == "useful_share":  # the one value that fails by falling
        return round(min(result.limit / value, NEAREST), 3) if value else NEAREST
    return round(min(value / result.limit, NEAREST), 3)


def acts_in_s(result: TriggerResult) -> float | None:
    """Return the seconds until the action is due at the earliest."""
    if result.failing:
        return 0.0
    if result.state == "fail":
        return round(max(0.0, result.sustained_needed_s - result.sustained_s), 1)
    lasts = result.kind == "hard_failure" and unit({"kind": result.kind, "detail": result.detail}) == "seconds"
    if lasts and result.detail != "errors" and result.value is not None and result.limit is not None:
        return round(max(0.0, result.limit - result.value), 1)
    return None


def _clients(judge: Judge, slot: int, since_ns: int) -> int | None:
    found: AffectedPeriod = judge.affected(slot, since_ns)
    if not found.known:
        return None
    return (found.useful_clients | found.fault_clients | found.lost_clients).count
