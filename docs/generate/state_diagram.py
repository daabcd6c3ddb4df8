"""The states of a version as a Mermaid diagram, and all switches as a table, from the tables of the state machine.

Pages have them between markers; `fill` replaces what stands there.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from router.rollout.machine.machine import MOVES
from router.rollout.model.target import LEGAL, State

DOCS: Final = Path(__file__).parent.parent
PAGES: Final = ("concepts.md", "architecture/state-machine.md")
"""The pages with a generated part, relative to DOCS."""

_BLOCK: Final = re.compile(r"(<!-- generated: (\w+) -->\n\n).*?(\n\n<!-- end -->)", re.DOTALL)


def states() -> str:
    """Return the diagram of all legal changes of state. A change that is a switch has the types of its journal entries."""
    lines = ["```mermaid", "stateDiagram-v2"]
    lines += [f"    [*] --> {state.value}" for state in (State.REGISTERED, State.VERIFYING)]
    for state, after in LEGAL.items():
        for to in sorted(after, key=list(State).index):
            entries = _entries(state, to)
            lines.append(f"    {state.value} --> {to.value}" + (f" : {', '.join(entries)}" if entries else ""))
    return "\n".join([*lines, "```"])


def _entries(state: State, to: State) -> list[str]:
    """Return the types of the entries that change a version from `state` to `to` as a part of a switch."""
    changes = {
        (entry, before, after)
        for (entry, named), move in MOVES.items()
        for before, after in ((named, move.named), (State.ACTIVE, move.active), (State.STANDBY, move.standby))
    }
    return sorted({_type(entry) for entry, before, after in changes if (before, after) == (state, to)})


def _type(entry: str) -> str:
    return entry.replace("rolled_back_away", "rolled_back")


def switches() -> str:
    """Return the table of all switches: what becomes of the named version, the active version and the standby."""
    lines = [
        "| entry | the named version | becomes | the active version becomes | the standby becomes |",
        "|---|---|---|---|---|",
    ]
    for (entry, state), move in MOVES.items():
        standby = move.standby.value if move.standby else "(is the named version)"
        kind = f"`{_type(entry)}`" + (", unreachable" if entry != _type(entry) else "")
        lines.append(f"| {kind} | {state.value} | {move.named.value} | {move.active.value} | {standby} |")
    return "\n".join(lines)


def page(name: str) -> str:
    """Return the text of one of PAGES with its generated parts made anew."""
    return fill((DOCS / name).read_text())


def fill(page: str) -> str:
    """Return the text of a page with its generated parts made anew."""
    parts = {"states": states, "switches": switches}
    return _BLOCK.sub(lambda found: found[1] + parts[found[2]]() + found[3], page)
