"""Counts wrong credentials (tokens, sessions, identities, signatures of alerts and links) and throttles addresses that send many.

Only wrong credentials are throttled. A request with a valid token from the same address is served, so clients that share an
address (NAT, a reverse proxy) with a guessing one are not locked out. Guessing is hopeless in any case, as tokens and
signatures have 256 bits: the limits bound the log, and the load of a sender with a wrong configuration.
"""

from __future__ import annotations

import ipaddress
import logging
import math
from collections import OrderedDict
from typing import Final

from router.control.token_bucket import TokenBucket
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.runtime.logs import LogThrottle

log = logging.getLogger(__name__)
BURST: Final = 30
"""Wrong credentials that one address may send at once; each is answered 401 (a link: 404)."""
REFILL_S: Final = 2.0
"""Seconds after which the address may send one more."""
ADDRESSES_MAX: Final = 4096
LOG_EVERY_S: Final = 60.0
WRONG: Final = ("identity_untrusted", "link_invalid", "session_invalid", "signature_invalid", "token_invalid")
THROTTLED: Final = "throttled"


class CredentialAttempts:
    """A token bucket for each address (IPv6: each /64).

    `counts`: wrong credentials since control began, by kind; `throttled` of them were answered 429.
    """

    def __init__(self) -> None:
        self.counts = {THROTTLED: 0, **dict.fromkeys(WRONG, 0)}
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()
        self._log = LogThrottle(LOG_EVERY_S)
        self._logged_total = 0

    def __len__(self) -> int:
        return len(self._buckets)

    def throttle(self, address: str | None, refusal: Refusal, now_s: float) -> Refusal:
        """Return the refusal to send: `refusal`, or a 429 if its credentials are wrong and the address has sent too
        many.
        """
        if refusal.code not in WRONG:
            return refusal
        self.counts[refusal.code] += 1
        place = network(address)
        self._log_wrong(place, refusal.code, now_s)
        bucket = self._buckets.setdefault(place, TokenBucket(BURST, 1 / REFILL_S, now_s))
        self._buckets.move_to_end(place)
        if len(self._buckets) > ADDRESSES_MAX:
            self._buckets.popitem(last=False)
        if not (wait_s := bucket.take(1, now_s)):
            return refusal
        self.counts[THROTTLED] += 1
        return _throttled(max(1, math.ceil(wait_s)))

    def _log_wrong(self, place: str, code: str, now_s: float) -> None:
        if self._log.due(now_s):
            total = sum(self.counts[wrong] for wrong in WRONG)
            log.warning(
                "admin port: %d wrong credentials since the last such line, the last (%s) from %s",
                total - self._logged_total,
                code,
                place,
            )
            self._logged_total = total


def network(address: str | None) -> str:
    """Return the key under which an address is counted: itself, its /64 for IPv6, one name for every Unix peer."""
    try:
        known = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return "a Unix socket"
    if isinstance(known, ipaddress.IPv6Address):
        if known.ipv4_mapped is not None:
            return str(known.ipv4_mapped)
        return str(ipaddress.ip_network((known, 64), strict=False))
    return str(known)


def _throttled(after_s: int) -> Refusal:
    detail = f"too many wrong credentials came from this address; send the right one, or wait {after_s} s"
    return Refusal(RefusalCode.CREDENTIALS_THROTTLED, detail, facts={"retry_after_s": after_s})
