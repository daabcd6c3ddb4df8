"""One finding of `doctor`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DoctorCheck:
    """One finding. `remedy` is empty if the check is good. `warning`: it works, and may be blind to something."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    warning: bool = False

    @property
    def mark(self) -> str:
        """`ok`, `warn` or `fail`."""
        return "warn" if self.warning else "ok" if self.ok else "fail"


def warned(name: str, detail: str, remedy: str) -> DoctorCheck:
    """Return a warning: it works, and the remedy is worth it."""
    return DoctorCheck(name, True, detail, remedy, warning=True)
