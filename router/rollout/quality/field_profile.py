"""The profile of one field of requests: how often it is missing, the range of its numbers, its categories.

It is learned in two halves. The first half gives the range and the categories. The second half gives how often good requests
are outside of them: fields that good requests often fill with unseen values (ids, times, free text) are excluded from drift
detection. Categories are stored as digests, so the journal has no values of clients except the two ends of a range.
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
"""Categories of one field; with more the field has no categories."""
UNSTEADY_SHARE: Final = 0.25
"""A field whose good requests are outside its range this often is not checked."""
CONFIDENCE: Final = 0.95
_DIGEST_BYTES: Final = 6


def digest(value: Any) -> str:
    """Return the digest of a category; 1, "1" and true are different categories."""
    return hashlib.blake2b(f"{type(value).__name__}:{value}".encode(), digest_size=_DIGEST_BYTES).hexdigest()


def is_number(value: Any) -> bool:
    """Whether a JSON value is a number; true and false are not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


@dataclass(frozen=True, slots=True)
class FieldProfile:
    """`low` and `high` of a number, `categories` (digests) of a category. `usual_missing` and `usual_out` are upper bounds of the
    shares of good requests without the field, and with values outside.
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
        """Whether values outside the profile are a finding."""
        return self.kind in ("number", "category") and self.usual_out <= UNSTEADY_SHARE

    def is_out(self, values: Sequence[Any]) -> bool:
        """Return whether any value of one request is outside the profile."""
        if self.kind == "number":
            low, high = self.low, self.high
            assert low is not None
            assert high is not None
            return not all(is_number(value) and low <= value <= high for value in values)
        return self.kind == "category" and not self.categories.issuperset(map(digest, values))

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {**asdict(self), "categories": sorted(self.categories)}


def profile_from_dict(plain: dict[str, Any]) -> FieldProfile:
    """Return the profile that `as_dict` wrote."""
    return FieldProfile(**{**plain, "categories": frozenset(plain["categories"])})


class FieldLearner:
    """Learns the profile of one field."""

    def __init__(self, kind: Kind) -> None:
        self._requested_kind = kind
        self._numbers_only = kind in ("number", "auto")
        self._scalars_only = True
        self._low, self._high = math.inf, -math.inf
        self._categories: set[str] = set()
        self._too_many = False
        self._samples = self._missing = self._out = self._tested = 0
        self._first: FieldProfile | None = None

    def take(self, values: Sequence[Any]) -> None:
        """Add the values of the field in one good request; empty: the field is missing."""
        self._samples += 1
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
        elif not self._too_many and self._requested_kind != "number":
            self._categories.add(digest(value))
            if len(self._categories) > CATEGORIES_MAX:
                self._too_many = True
                self._categories.clear()

    def start_second_half(self) -> None:
        """Start the second half: count good requests outside the profile."""
        self._first = self._profile(0.0)

    def profile(self) -> FieldProfile:
        """Return the learned profile."""
        return self._profile(upper_bound(self._out, self._tested, CONFIDENCE) if self._tested else 1.0)

    def _profile(self, usual_out: float) -> FieldProfile:
        usual_missing = upper_bound(self._missing, self._samples, CONFIDENCE) if self._samples else 1.0
        kind = self._kind()
        if kind == "number":
            return FieldProfile(kind, self._samples, usual_missing, usual_out, self._low, self._high)
        categories = frozenset(self._categories) if kind == "category" else frozenset[str]()
        return FieldProfile(kind, self._samples, usual_missing, usual_out, categories=categories)

    def _kind(self) -> Kind:
        """Return the requested kind if the values fit it, else `any`."""
        if self._first is not None:
            return self._first.kind
        if self._numbers_only and self._low <= self._high:
            return "number"
        may_be = self._requested_kind in ("category", "auto") and self._scalars_only and not self._too_many
        return "category" if may_be and self._categories else "any"
