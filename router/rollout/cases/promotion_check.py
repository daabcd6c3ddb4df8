"""Whether a candidate has shown that the service's cases work in it: what stands between it and its promotion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from router.errors import OperatorError
from router.rollout.model.target import Target


@dataclass(frozen=True, slots=True)
class Checked:
    """How a check of all cases ended: of which version, in which incarnation of its slot, against which revision of the suite.
    `failing` names some of the `failed`.
    """

    version: str
    incarnation: int
    revision: str
    cases: int
    failed: int
    failing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PromotionCheck:
    """What is known of one service. `required`: failing cases stop a promotion; `revision` of the suite is "" without cases;
    `checked` by version: the last check of all cases. `stale`: the suite has changed, or there is one, and it was not read
    since: what it asks is not known.
    """

    required: bool = False
    revision: str = ""
    checked: Mapping[str, Checked] = field(default_factory=dict)
    stale: bool = False

    def of(self, target: Target) -> Checked | None:
        """Return the check that counts for this candidate: of this very deployment, against the suite as it is."""
        found = self.checked.get(target.version)
        fits = (
            found is not None
            and not self.stale
            and (found.incarnation, found.revision) == (target.incarnation, self.revision)
        )
        return found if fits else None

    def shown(self, target: Target) -> tuple[bool, str] | None:
        """Return (passed, detail) of the last check of this very deployment, whatever the suite was; None without one."""
        found = self.checked.get(target.version)
        if found is not None and found.incarnation == target.incarnation:
            return not found.failed, f"{found.cases - found.failed} of {found.cases} cases passed"
        return None if self.revision or self.stale else (True, "there are no cases")

    def wanted(self, target: Target) -> bool:
        """Whether this candidate has to be checked still."""
        return (self.stale or bool(self.revision)) and self.of(target) is None

    def refusal(self, target: Target) -> OperatorError | None:
        """Return why the candidate may not be promoted without an override; None if nothing is against it."""
        if not self.required or not (self.revision or self.stale):
            return None
        found = self.of(target)
        if found is None:
            return OperatorError(
                409,
                "cases_pending",
                f"the cases of this service are not checked on {target.version} yet: wait until they are (status shows it), "
                "or override with actor and reason",
                exit_code=9,
            )
        if not found.failed:
            return None
        names = ", ".join(found.failing[:10]) + (", …" if found.failed > 10 else "")
        return OperatorError(
            409,
            "cases_failing",
            f"{found.failed} of {found.cases} cases fail on {target.version}: {names}; repair it and deploy it anew, "
            "remove a case that is wrong, or override with actor and reason",
            exit_code=9,
            facts={"failing": list(found.failing)},
        )
