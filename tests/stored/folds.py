"""What the folds of stored and of long generated journals were when commit 43fbe49 folded them, and what they are now.

    python -m tests.stored.folds

writes the files of tests/stored/folds that are missing. A file is written once and kept: a change of the code must not change
what an old journal means. The fold of a stored journal is kept as it is. Of a long one the digest of each member is kept, at each
2,500th entry.

Left out is what a router knows only of itself: slots and their incarnations, and monotonic times, which mean nothing elsewhere.
Left out, too, are members of a version that commit had not: `drained` and `deployment`.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from benchmarks.long_journal.long_journal import LongJournal
from router.control.store.journal_rows import verified
from router.control.store.records.effective import effective_entries, effective_of
from router.rollout.facts.entry import Entry
from router.rollout.incidents.timeline_text import describe
from router.rollout.machine.registry import Registry
from router.rollout.machine.replay import rebuild
from tests import entry_types
from tests.stored.state import FOLDER

FOLDS: Final = FOLDER / "folds"
LONG_SEEDS: Final = (1, 2)
LONG_ENTRIES: Final = 10_000
STEP: Final = 2_500
"""Entries of a long journal between two digests."""
_LOCAL: Final = frozenset(("slot", "incarnation", "incarnations", "roleless_generation", "evidence_since_s"))
_LATER: Final = frozenset(("drained", "deployment"))
Document = dict[str, Any]


def shared(value: Any) -> Any:
    """Return plain data without what only one router knows: slots, and stamps of its monotonic clock."""
    if isinstance(value, dict):
        return {
            name: [until[:2] for until in member.values()] if name == "muted" else shared(member)
            for name, member in value.items()
            if name not in _LOCAL | _LATER and not name.endswith("_ns")
        }
    return [shared(member) for member in value] if isinstance(value, list | tuple) else value


def stored_entries(name: str) -> list[Entry]:
    """Return the entries of the journal of the set `name`; nothing is written beside the file."""
    file = FOLDER / name / "journal.sqlite"
    database = sqlite3.connect(f"{file.as_uri()}?immutable=1", uri=True)
    try:
        return verified(database)
    finally:
        database.close()


def long_entries(seed: int, count: int = LONG_ENTRIES) -> list[Entry]:
    """Return the entries of a generated journal of the service `default`."""
    lines = LongJournal(seed).write(count)
    return [
        Entry.of(line.type, line.service, line.actor, line.data, line.at, line.monotonic_ns, line.boot, line.seq)
        for line in lines
    ]


def fold(entries: list[Entry]) -> Document:
    """Return the registry of each service, and how each entry is told."""
    services = sorted({entry.service for entry in entries if entry.service})
    registries = {service: shared(rebuild(service, effective_of(service, entries)).as_dict()) for service in services}
    texts = [describe(entry).text for entry in entries]
    plain: Document = json.loads(json.dumps({"registries": registries, "texts": texts}))
    return plain


def digests(entries: list[Entry]) -> Document:
    """Return the digest of each member of the registry after each STEP entries."""
    found: Document = {}
    registry = Registry("default")
    effective = effective_entries(entries)
    for number, entry in enumerate(effective, 1):
        registry.apply(entry)
        if number % STEP == 0 or number == len(effective):
            found[str(number)] = {name: _digest(member) for name, member in shared(registry.as_dict()).items()}
    return {"registry": found, "texts": _digest([describe(entry).text for entry in entries])}


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def kinds(entries: Iterable[Entry]) -> set[str]:
    """Return the types that occur."""
    return {entry.type for entry in entries}


def known_kinds() -> set[str]:
    """Return all types of entries that there are."""
    return {value for name, value in vars(entry_types).items() if name.isupper() and isinstance(value, str)}


def sets() -> list[str]:
    """Return the names of the stored sets."""
    return sorted(path.parent.name for path in FOLDER.glob("*/journal.sqlite"))


def _missing() -> Iterator[tuple[Path, Document]]:
    for name in sets():
        if not (path := FOLDS / f"{name}.json").exists():
            yield path, fold(stored_entries(name))
    for seed in LONG_SEEDS:
        if not (path := FOLDS / f"long_{seed}.json").exists():
            yield path, digests(long_entries(seed))


def main() -> None:
    """Write the files that are missing."""
    FOLDS.mkdir(exist_ok=True)
    for path, document in _missing():
        path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", "utf-8")
        print(path)


if __name__ == "__main__":
    main()
