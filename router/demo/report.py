"""The result of the demo: figures from the journal, the incident and the clients, and whether all of them agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final

from router.demo.load import RequestResult
from router.runtime.text.plurals import counted

_GROUP_OF_OUTCOME: Final = {"ok": "ok", "client_gone": "gave_up"}
"""The client counts every other outcome as failed."""


@dataclass(frozen=True, slots=True)
class Counts:
    """The same requests, counted by the clients and by the router. `in_flight` is the router's."""

    clients: dict[str, int]
    router: dict[str, int]
    in_flight: int

    @property
    def agree(self) -> bool:
        """Whether both sides count the same requests with the same results, and none is in flight."""
        return self.clients == self.router and self.in_flight == 0


def counts(results: Iterable[RequestResult], exchanges: dict[str, Any]) -> Counts:
    """Return both sides' counts; `exchanges` is that member of the service's document.

    A request that could not reach the router is left out of the clients' counts: the router cannot count it.
    """
    clients: Counter[str] = Counter(accepted=0, ok=0, gave_up=0, failed=0)
    for result in results:
        if result.kind != "unreachable":
            clients["accepted"] += 1
            clients[result.kind if result.kind in ("ok", "gave_up") else "failed"] += 1
    router: Counter[str] = Counter(accepted=exchanges["accepted"], ok=0, gave_up=0, failed=0)
    for outcome, number in exchanges["ended"].items():
        router[_GROUP_OF_OUTCOME.get(outcome, "failed")] += number
    return Counts(dict(clients), dict(router), exchanges["in_flight"])


@dataclass(frozen=True, slots=True)
class DemoReport:
    """The result of one demo. A time is None if its event did not happen; `settings` are the rules that are not defaults."""

    fault: str
    rolled_back: bool
    healthy_again: bool
    from_version: str | None
    to_version: str | None
    trigger: str | None
    trigger_detail: str | None
    reason: str | None
    fault_to_detection_s: float | None
    detection_to_confirmed_ms: float | None
    fault_to_healthy_s: float | None
    swap_us: int | None
    generation: int | None
    requests: int
    client_errors: int
    late_answers: int
    rescued: int
    counts: Counts
    settings: dict[str, Any]

    @property
    def good(self) -> bool:
        """Whether every event happened that the demo has to show."""
        return self.rolled_back and self.healthy_again and self.counts.agree

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON document, whose `from` and `to` are version labels."""
        document = asdict(self)
        both = document.pop("counts")
        return {
            "rolled_back": document.pop("rolled_back"),
            "from": document.pop("from_version"),
            "to": document.pop("to_version"),
            **document,
            "counts_agree": self.counts.agree,
            "counts": both,
        }

    def sentence(self) -> str:
        """Return the events as text, with the reason, the number of affected clients and the times."""
        errors = f"{self.client_errors:,} of {counted(self.requests, 'request', ',')} failed for their client"
        errors += f" and {self.late_answers:,} were answered late" if self.late_answers else ""
        if not self.rolled_back:
            return f"No rollback within the time allowed (fault: {self.fault}); {errors}."
        sentence = (
            f"{self.from_version} was rolled back to {self.to_version} {self.fault_to_detection_s:.1f} s after the fault began, "
            f"because of {self.trigger}{f' ({self.trigger_detail})' if self.trigger_detail else ''}: {self.reason}. "
            f"In all, {errors}, {self.rescued:,} were rescued on {self.to_version}. "
            f"Every worker followed {self.detection_to_confirmed_ms:.1f} ms after the verdict."
        )
        if not self.healthy_again:
            sentence += " Traffic did not become healthy again."
        if not self.counts.agree:
            sentence += (
                f" The clients counted {self.counts.clients}, the router {self.counts.router}: they do not agree."
            )
        return sentence
