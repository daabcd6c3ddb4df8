"""What an error object in a response that began well says: the model server sends it once its head with the 200 has left."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final

from router.proxy.work import work_ends
from router.rollout.outcome import Outcome
from router.rollout.work import WorkEnd

_STATUS_KEYS: Final = ("code", "status", "status_code", "statusCode", "http_status", "http_status_code")
_NAME_KEYS: Final = ("type", "code", "status", "reason", "name")
_PLAIN: Final = re.compile(r"[^a-z0-9]")
_BUSY_NAMES: Final = frozenset((
    "ratelimiterror", "ratelimitexceeded", "ratelimit", "ratelimited", "overloadederror", "overloaded",
    "engineoverloaded", "modeloverloaded", "serveroverloaded", "resourceexhausted", "toomanyrequests", "throttled",
    "throttlingexception", "capacityexceeded", "insufficientquota", "requestsexceeded", "queuefull",
))  # fmt: skip
_UNAUTHORISED_NAMES: Final = frozenset((
    "authenticationerror", "permissionerror", "permissiondeniederror", "invalidapikey", "unauthenticated",
    "permissiondenied",
))  # fmt: skip
_CLIENT_NAMES: Final = frozenset((
    "invalidrequesterror", "badrequesterror", "badrequest", "notfounderror", "notfound", "modelnotfound",
    "requesttoolarge", "invalidprompt", "contextlengthexceeded", "unprocessableentityerror", "invalidargument",
    "failedprecondition", "outofrange", "conflicterror", "contentfilter", "contentpolicyviolation",
))  # fmt: skip
TEXT_CHARS_MAX: Final = 200
"""Of an error's text, in records of failed requests."""


@dataclass(frozen=True, slots=True)
class ErrorObject:
    """What an error object says about the attempt."""

    outcome: Outcome
    end: WorkEnd
    text: str


def judged(error: Any, statuses: Collection[int], texts: Collection[bytes]) -> ErrorObject:
    """Return what an error says: busy, the client's fault, or the version's. A status in it outweighs a name.

    `statuses` and `texts` are the service's `throttled_statuses` and `throttled_texts`.
    """
    fields = error if isinstance(error, dict) else {}
    text = str(fields.get("message") or error)[:TEXT_CHARS_MAX]
    names = {_PLAIN.sub("", value.lower()) for key in _NAME_KEYS if isinstance(value := fields.get(key), str)}
    status = next(_statuses(fields), 0)
    if names & _BUSY_NAMES or work_ends.is_busy(status, False, text.encode(), statuses, texts):
        return ErrorObject(Outcome.THROTTLED, WorkEnd.THROTTLED, text)
    if 400 <= status < 500 or (not status and names & (_CLIENT_NAMES | _UNAUTHORISED_NAMES)):
        unauthorised = status in (401, 403) or names & _UNAUTHORISED_NAMES
        end = WorkEnd.UNAUTHORISED if unauthorised else WorkEnd.CLIENT_ERROR
        return ErrorObject(Outcome.CLIENT_ERROR, end, text)
    return ErrorObject(Outcome.INVALID, WorkEnd.FAULT, text)


def _statuses(fields: dict[str, Any]) -> Iterator[int]:
    for key in _STATUS_KEYS:
        value = fields.get(key)
        if isinstance(value, str) and len(value) == 3 and value.isdecimal():
            value = int(value)
        if isinstance(value, int) and 400 <= value < 600:
            yield value
