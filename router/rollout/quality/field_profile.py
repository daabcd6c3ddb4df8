"""What one field of the requests is like: how often it is missing, in which range its numbers are, which categories it has.

Learned in two halves. The first one makes the range and the set of categories; the second one says how often even good requests
are outside of them, so that an id, a time or a free text, which always is, accuses nobody. Categories are kept as digests:
the journal holds no values of clients but the two ends of a range.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from router.rollout.stats.bounds import upper_bound

Kind = Literal["number", "category", "any", "auto"]
CATEGORIES_MAX: Final = 64
"""Of one field; with more of them it has none to speak of."""
UNSTEADY_SHARE: Final = 0.25
"""A field that is outside of its own good range so often has none."""
SURE: Final = 0.95
_DIGEST_BYTES: Final = 6


def digest(value: Any) -> str:
    """Return under what a category is known; 1, "1" and true are three."""
    return hashlib.blake2b(f"{type(value).__name__}:{value}".encode(), digest_size=_DIGEST_BYTES).hexdigest()


def is_number(value: Any) -> bool:
    """Whether a JSON value is a number; true is none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


@dataclass(frozen=True, slots=True)
class FieldProfile:
    """`low` and `high` of a number, `categories` (digests) of a category. `usual_missing` and `usual_out` are upper bounds of
    the shares of good requests in which it was missing, or outside of these.
    """

    kind: Kind
    samples: int
    usual_missing: float
    usual_out: float
    low: float | None = None
    high: float | None = None
    categories: frozenset[str] = frozenset()

    @property
    def steady(self) -> bool:
        """Whether being outside says anything."""
        return self.kind in ("number", "category") and self.usual_out <= UNSTEADY_SHARE

    def is_out(self, values: Sequence[Any]) -> bool:
        """Return whether any of the values of one request is not as they were."""
        if self.kind == "number":
            low, high = self.low, self.high
            assert low is not None
            assert high is not None
            return not all(is_number(value) and low <= value <= high for value in values)
        return self.kind == "category" and not self.categories.issuperset(map(digest, values))

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {**asdict(self), "categories": sorted(self.categories)}


def shape_of(plain: dict[str, Any]) -> FieldProfile:
    """Return the shape that `as_dict` wrote."""
    return FieldProfile(**{**plain, "categories": frozenset(plain["categories"])})


class FieldLearner:
    """One field while it is learned."""

    def __init__(self, kind: Kind) -> None:
        self._asked = kind
        self._numbers_only = kind in ("number", "auto")
        self._scalars_only = True
        self._low, self._high = math.inf, -math.inf
        self._categories: set[str] = set()
        self._too_many = False
        self._seen = self._missing = self._out = self._tested = 0
        self._first: FieldProfile | None = None

    def take(self, values: Sequence[Any]) -> None:
        """Take what one good request holds in this field; nothing: it is missing there."""
        self._seen += 1
        if not values:
            self._missing += 1
        elif self._first is None:
            for value in values:
                self._learn(value)
        else:
            self._tested += 1
            self._out += self._first.is_out(values)

    def _learn(self, value: Any) -> None:
        if is_number(value) and math.isfinite(value):
            self._low, self._high = min(self._low, value), max(self._high, value)
        else:
            self._numbers_only = False
        if isinstance(value, (list, dict)):
            self._scalars_only = False
        elif not self._too_many and self._asked != "number":
            self._categories.add(digest(value))
            if len(self._categories) > CATEGORIES_MAX:
                self._too_many = True
                self._categories.clear()

    def halfway(self) -> None:
        """From now on see how often good requests are outside of what was learned."""
        self._first = self._shape(0.0)

    def over(self) -> FieldProfile:
        """Return what was learned."""
        return self._shape(upper_bound(self._out, self._tested, SURE) if self._tested else 1.0)

    def _shape(self, usual_out: float) -> FieldProfile:
        usual_missing = upper_bound(self._missing, self._seen, SURE) if self._seen else 1.0
        kind = self._kind()
        if kind == "number":
            return FieldProfile(kind, self._seen, usual_missing, usual_out, self._low, self._high)
        categories = frozenset(self._categories) if kind == "category" else frozenset[str]()
        return FieldProfile(kind, self._seen, usual_missing, usual_out, categories=categories)

    def _kind(self) -> Kind:
        """What it is: as it was asked for, if it is that; else nothing is said of its values."""
        if self._first is not None:
            return self._first.kind
        if self._numbers_only and self._low <= self._high:
            return "number"
        may_be = self._asked in ("category", "auto") and self._scalars_only and not self._too_many
        return "category" if may_be and self._categories else "any"
