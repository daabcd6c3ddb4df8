"""One journal entry: a fact in its envelope. The state of a service is the fold of its entries (machine/registry.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from router.rollout.facts.fact import Document, Fact
from router.rollout.facts.known import fact_of, fact_of_json
from router.rollout.facts.versions import VersionFact


@dataclass(frozen=True, slots=True)
class Entry:
    """`at` is the wall time of the fact in seconds, for people.

    `monotonic_ns` is no part of the fact: it is the stamp that this router gave it when it arrived, on the monotonic clock of
    `boot`. Deadlines and waits count from it. `service` is "" for facts of the whole router. `seq` is 0 until the journal
    assigns it.
    """

    fact: Fact
    service: str
    actor: str
    at: float
    monotonic_ns: int
    boot: int
    seq: int = 0

    @classmethod
    def of(
        cls,
        type: str,  # the name of the member in a copy of the journal
        service: str,
        actor: str,
        data: Document,
        at: float,
        monotonic_ns: int,
        boot: int,
        seq: int = 0,
    ) -> Entry:
        """Return the entry of plain JSON members; raise FactInvalid if `data` does not fit the type."""
        fact = fact_of(type, data).at_ns(monotonic_ns)
        return cls(fact, service, actor, at, monotonic_ns, boot, seq)

    @classmethod
    def of_json(
        cls,
        type: str,
        service: str,
        actor: str,
        data: str | bytes,
        at: float,
        monotonic_ns: int,
        boot: int,
        seq: int = 0,
    ) -> Entry:
        """Return the entry whose fact is the JSON text `data`, as `of`."""
        return cls(fact_of_json(type, data).at_ns(monotonic_ns), service, actor, at, monotonic_ns, boot, seq)

    @property
    def type(self) -> str:
        """The type of its fact."""
        return self.fact.type

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON data: the members that `of` takes."""
        return {
            "type": self.type,
            "service": self.service,
            "actor": self.actor,
            "data": self.fact.to_data(),
            "at": self.at,
            "monotonic_ns": self.monotonic_ns,
            "boot": self.boot,
            "seq": self.seq,
        }


def route_generation(entry: Entry) -> int | None:
    """Return the generation of the route that `entry` publishes; None for an entry that changes no route."""
    fact = entry.fact
    return fact.generation if isinstance(fact, VersionFact) and fact.publishes else None
