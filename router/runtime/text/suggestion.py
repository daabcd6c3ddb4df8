"""The end of an error about an unknown name: the names that there are, the nearest first named."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def known_names(name: str, known: Iterable[str]) -> str:
    """Return "there are: a, b", and before it "did you mean a?" if a known name is near `name`."""
    names = sorted(known)
    by_small = {other.casefold(): other for other in names}
    near = get_close_matches(name.casefold(), by_small, n=1, cutoff=0.6)
    listed = f"there are: {', '.join(names) or 'none'}"
    return f"did you mean {by_small[near[0]]}? {listed}" if near else listed
