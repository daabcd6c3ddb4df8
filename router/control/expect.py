"""What the asker of a change believed to be true; the change is refused if it no longer is (RFC 9110 §13.1.1)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Expect:
    """None: whatever it is. `generation` comes from `If-Match` (else 412), `from_version`, the active one, from `from`
    (else 409).
    """

    generation: int | None = None
    from_version: str | None = None
