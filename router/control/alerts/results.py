"""What became of each alert of a request, for its sender: the outcome, and whether sending it again helps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from router.control.alerts.answers import AlertReceipt
from router.control.store.journal_file import APPEND_TIMEOUT_S, JournalUnavailable
from router.errors import Refusal
from router.errors.codes import RefusalCode

Outcome = Literal["taken", "ignored", "refused", "later"]
UNUSABLE: Final = "invalid"
"""The result of an alert that cannot be read."""
RETRY_AFTER_S_MAX: Final = 60.0
_UNWRITTEN: Final = "the alert counts nevertheless, and is written as soon as the disk takes it"


@dataclass(frozen=True, slots=True)
class AlertResult:
    """The result of one alert: its disposition, `duplicate`, or the code of a refusal (`invalid` if it cannot be read).

    `outcome`: "taken" by the router; "ignored", because no map fits; "refused" for good; "later": send it again. `code` is that
    of the refusal, and of what to wait for. `cut`: its texts that are not kept to their end.
    """

    fingerprint: str
    result: str
    detail: str
    service: str | None = None
    name: str = ""
    outcome: Outcome = "taken"
    code: RefusalCode | None = None
    cut: tuple[str, ...] = ()

    @property
    def unusable(self) -> bool:
        """Whether the alert is lost because of a mistake in the settings or at the sender."""
        return self.outcome == "refused"

    def receipt(self, index: int) -> AlertReceipt:
        """Return the member of the answer for this alert, which is number `index` of its request."""
        return {
            "index": index,
            "fingerprint": self.fingerprint,
            "name": self.name,
            "service": self.service,
            "result": self.result,
            "outcome": self.outcome,
            "code": self.code,
            "detail": self.detail,
            "cut": list(self.cut),
        }

    def unwritten(self) -> AlertResult:
        """Return the result of an alert that counts, and that the disk does not have yet."""
        return replace(self, outcome="later", code=RefusalCode.JOURNAL_UNAVAILABLE, detail=_UNWRITTEN)


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The results of the alerts of one request, in its order. `retry_after_s`: when sending it again helps."""

    results: Sequence[AlertResult] = field(default_factory=list)
    retry_after_s: int = 1

    def receipts(self) -> list[AlertReceipt]:
        """Return the members of the answer."""
        return [result.receipt(index) for index, result in enumerate(self.results)]

    def postponed(self) -> Refusal | None:
        """Return the refusal (503) that makes the sender send the request again; None if that would change nothing."""
        waiting = [result for result in self.results if result.outcome == "later"]
        if not waiting:
            return None
        unwritten = next((result for result in waiting if result.code is RefusalCode.JOURNAL_UNAVAILABLE), None)
        if unwritten is not None:
            why = f"no answer from the disk within {APPEND_TIMEOUT_S:g} s"
            return JournalUnavailable(why, consequence=unwritten.detail)
        code = waiting[0].code
        assert code is not None
        detail = waiting[0].detail
        if len(self.results) > 1:
            detail = f"{len(waiting)} of {len(self.results)} alerts are not taken yet: {detail}"
        return Refusal(code, detail, facts={"retry_after_s": self.retry_after_s})
