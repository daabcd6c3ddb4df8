"""Decides whether a candidate may be promoted as far as the captured cases decide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.rollout.model.target import Target
from router.runtime.text.plurals import counted, plural


@dataclass(frozen=True, slots=True)
class SuiteResult:
    """The result of all cases on one deployment of a version, for one revision of the suite. `failing` has the ids of some failed
    cases. `deployment` is Target.deployment; None: an entry of an older release does not say it.
    """

    version: str
    deployment: int | None
    revision: str
    cases: int
    failed: int
    failing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PromotionCheck:
    """The state for one service. `required`: failing cases prevent a promotion; `revision` of the suite is "" without cases;
    `checked`: the last result by version. `stale`: the suite has changed and was not read since. `making`: a rollback has just
    happened, and its cases are still made.
    """

    required: bool = False
    revision: str = ""
    checked: Mapping[str, SuiteResult] = field(default_factory=dict)
    stale: bool = False
    making: bool = False

    @property
    def unsettled(self) -> bool:
        """Whether the present suite is not known."""
        return self.stale or self.making

    def of(self, target: Target) -> SuiteResult | None:
        """Return the result for this deployment of the candidate and the present suite; None without one."""
        found = self.checked.get(target.version)
        fits = (
            found is not None
            and not self.unsettled
            and (found.deployment, found.revision) == (target.deployment, self.revision)
        )
        return found if fits else None

    def last_result(self, target: Target) -> tuple[bool, str] | None:
        """Return (passed, detail) of the last result for this deployment, for any revision of the suite; None without one."""
        found = self.checked.get(target.version)
        if found is not None and found.deployment in (None, target.deployment):
            return not found.failed, f"{found.cases - found.failed} of {counted(found.cases, 'case')} passed"
        return None if self.revision or self.unsettled else (True, "there are no cases")

    def is_pending(self, target: Target) -> bool:
        """Whether the cases must still be run on this candidate."""
        return (self.unsettled or bool(self.revision)) and self.of(target) is None

    def refusal(self, target: Target) -> Refusal | None:
        """Return the refusal of a promotion without an override; None if it is allowed."""
        if not self.required or not (self.revision or self.unsettled):
            return None
        found = self.of(target)
        if self.making:
            return Refusal(
                RefusalCode.CASES_PENDING,
                f"the cases of the last rollback are still made, so {target.version} is not checked with them yet: wait until "
                "it is (status shows it), or override with actor and reason",
            )
        if found is None:
            return Refusal(
                RefusalCode.CASES_PENDING,
                f"the cases of this service are not checked on {target.version} yet: wait until they are (status shows it), "
                "or override with actor and reason",
            )
        if not found.failed:
            return None
        names = ", ".join(found.failing[:10]) + (", …" if found.failed > 10 else "")
        return Refusal(
            RefusalCode.CASES_FAILING,
            f"{found.failed} of {counted(found.cases, 'case')} {plural('fails', found.failed)} on {target.version}: {names}; "
            "repair it and deploy it anew, remove a case that is wrong, or override with actor and reason",
            facts={"failing": list(found.failing)},
        )
