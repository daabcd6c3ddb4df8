"""Decides which addresses of a version get no requests for a while (outlier ejection). Values and `now` in, decisions out.

An address is ejected if one of these holds, and something bad has come from it since its last ejection ended:

1. IN_A_ROW_MIN faults without a good answer in between, of at least two different requests;
2. OVERDUE_MIN waits beyond the limit of their work bucket without a good answer in between, while another address was good;
3. SHARE_MAX of at least ATTEMPTS_MIN attempts of the last PERIOD_S failed;
4. control's probe of it fails, and it has given no good answer since.

An ejection lasts EJECTED_S × 2ⁿ, at most EJECTED_MAX_S; n counts the ejections that followed one another within
FORGOTTEN_S. At most half of the addresses (rounded down) are kept out at once. If more are bad, the worst ones are kept
out, and the version is judged by the others (docs/behaviour/replicas.md).

All workers decide by the same sums over all workers, so they need no leader.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from router.rollout.units import SECOND_NS

IN_A_ROW_MIN: Final = 5
REQUESTS_MIN: Final = 2
OVERDUE_MIN: Final = 3
ATTEMPTS_MIN: Final = 10
SHARE_MAX: Final = 0.5
PERIOD_S: Final = 10
EJECTED_S: Final = 5
EJECTED_MAX_S: Final = 60
FORGOTTEN_S: Final = 60


@dataclass(frozen=True, slots=True)
class AddressState:
    """One address of a version, summed over the workers. Times are monotonic nanoseconds, 0: never.

    `in_a_row`: faults since the last good answer; `requests`: different requests among them (2: two or more). `overdue`: waits
    since the last good answer that exceeded their limit. `attempts` and `faults` are those of the last PERIOD_S.
    `bad_ns`: the last fault or overdue wait. `red`: control's probe fails.
    """

    key: int
    in_a_row: int = 0
    requests: int = 0
    overdue: int = 0
    attempts: int = 0
    faults: int = 0
    good_ns: int = 0
    bad_ns: int = 0
    red: bool = False
    until_ns: int = 0
    ejections: int = 0

    def is_ejected(self, now_ns: int) -> bool:
        """Whether its ejection lasts; it may get requests all the same if too many are ejected."""
        return self.until_ns > now_ns


def reason(state: AddressState, others_good_ns: int, now_ns: int) -> str | None:
    """Return why the address should be ejected now; None if it should not.

    `others_good_ns`: the last good answer of any other address.
    """
    if state.is_ejected(now_ns):
        return None
    if state.red and state.good_ns <= now_ns - PERIOD_S * SECOND_NS:
        return "its probe fails"
    if state.bad_ns <= state.until_ns:
        return None
    if state.in_a_row >= IN_A_ROW_MIN and state.requests >= REQUESTS_MIN:
        return f"{state.in_a_row} faults in a row"
    if state.overdue >= OVERDUE_MIN and others_good_ns > state.good_ns:
        return f"{state.overdue} requests wait too long, and other addresses answer"
    if state.attempts >= ATTEMPTS_MIN and state.faults >= SHARE_MAX * state.attempts:
        return f"{state.faults} of {state.attempts} attempts failed in {PERIOD_S} s"
    return None


def ejected(state: AddressState, now_ns: int) -> tuple[int, int]:
    """Return (end of the ejection that begins now, ejections in succession)."""
    if state.red:  # control probes it each second, so there is no need to wait for longer each time
        return now_ns + EJECTED_S * SECOND_NS, state.ejections
    forgotten = now_ns - state.until_ns > FORGOTTEN_S * SECOND_NS
    before = 0 if forgotten else state.ejections
    lasts_s = min(EJECTED_S << min(before, 8), EJECTED_MAX_S)
    return now_ns + lasts_s * SECOND_NS, before + 1


def kept_out(states: Sequence[AddressState], now_ns: int) -> frozenset[int]:
    """Return the keys of the addresses that get no requests: the worst of the ejected ones, at most half of all."""
    out = sorted((state for state in states if state.is_ejected(now_ns)), key=_badness, reverse=True)
    return frozenset(state.key for state in out[: len(states) // 2])


def _badness(state: AddressState) -> tuple[int, int, int, int]:
    return state.ejections, state.in_a_row + state.overdue, state.faults, state.key
