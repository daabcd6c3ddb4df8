"""The classes of facts by type, and a fact of any type from JSON. An unknown type becomes OtherFact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from router.rollout.facts import (
    alerts,
    automation,
    cases,
    drills,
    incidents,
    inputs,
    mlflow,
    proposals,
    router_itself,
    switches,
    versions,
)
from router.rollout.facts.fact import Document, Fact, FactInvalid, parsed


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherFact(Fact):
    """A fact of a type that this release does not know, or whose members it cannot read. It changes nothing here, and keeps its
    members.
    """

    kind: str
    data: Document

    @property
    def type(self) -> str:
        """The type of the entry."""
        return self.kind

    def to_data(self) -> Document:
        """Return the members as they were read."""
        return self.data

    @classmethod
    def from_data(cls, data: Document) -> Self:
        """An unknown type has no members of its own: `fact_of` makes it."""
        raise FactInvalid("a fact of an unknown type needs its type")


FACTS: Final[dict[str, type[Fact]]] = {
    known.TYPE: known
    for known in (
        router_itself.Booted,
        router_itself.SettingsChanged,
        router_itself.ServiceAdded,
        router_itself.ServiceRemoved,
        router_itself.Drained,
        router_itself.DrainCut,
        router_itself.Abandoned,
        router_itself.DoubtDecided,
        router_itself.Imported,
        versions.Seeded,
        versions.Registered,
        versions.Deployed,
        versions.Verified,
        versions.Identified,
        versions.Failed,
        versions.Retired,
        versions.EndpointsMoved,
        versions.Quarantined,
        versions.Released,
        versions.QuarantineReturned,
        versions.VersionAccepted,
        versions.BaselineEstimated,
        switches.Promoted,
        switches.Switched,
        switches.RolledBack,
        switches.Recovered,
        switches.StandbyRestored,
        switches.Confirmed,
        switches.NoBetterTarget,
        automation.Frozen,
        automation.Unfrozen,
        automation.CriterionLearned,
        automation.CriterionChosen,
        automation.CriterionDropped,
        alerts.AlertReceived,
        inputs.InputsLearned,
        inputs.InputsForgotten,
        inputs.InputDrift,
        drills.DrillStarted,
        drills.DrillSwitched,
        drills.DrillEnded,
        drills.DrillRefused,
        proposals.Proposed,
        proposals.EvidenceAdded,
        proposals.Approved,
        proposals.Denied,
        proposals.ProposalExpired,
        proposals.Withdrawn,
        proposals.DecisionRefused,
        cases.CasesFrozen,
        cases.CasesChecked,
        cases.SuiteExtended,
        cases.SuiteReduced,
        incidents.IncidentEdited,
        mlflow.MlflowUpdated,
        mlflow.MlflowGivenUp,
    )
}


def fact_of(kind: str, data: Document) -> Fact:
    """Return the fact of type `kind` with the members `data`.

    If they do not fit a known type: raise FactInvalid for one that changes versions, for the state would be another one without
    it. Any other one becomes an OtherFact, for a journal that was edited must not end a start.
    """
    known = FACTS.get(kind)
    if known is None:
        return OtherFact(kind=kind, data=data)
    try:
        return known.from_data(data)
    except FactInvalid:
        if issubclass(known, versions.VersionFact):
            raise
        return OtherFact(kind=kind, data=data)


def fact_of_json(kind: str, text: str | bytes) -> Fact:
    """Return the fact of type `kind` whose members are a JSON text, as `fact_of`; raise FactInvalid if it is no JSON object."""
    if (known := FACTS.get(kind)) is not None:
        try:
            return known.from_json(text)
        except FactInvalid:
            if issubclass(known, versions.VersionFact):
                raise
    return OtherFact(kind=kind, data=parsed(kind, text))
