"""The idempotency key of a record: digests of the request that has led to it.

The journal holds digests only: a key may be guessed by its owner's habits, and a body may have what the journal need not have.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RequestKey:
    """SHA-256 in hexadecimal. `key`: of principal and `Idempotency-Key`. `request`: of method, path, query and body."""

    key: str
    request: str


def request_key(principal: str, key: str, target: str, body: bytes) -> RequestKey:
    """Return the digests. `target` is the method with path and query."""
    owner = hashlib.sha256(f"{principal}\n{key}".encode("utf-8", "surrogateescape")).hexdigest()
    return RequestKey(owner, hashlib.sha256(f"{target}\n".encode("utf-8", "surrogateescape") + body).hexdigest())
