"""Names of versions in a model registry: `models:/fraud/3`, or `models:/fraud@champion` for the version of an alias.

Also decides the label of such a version in this router, and reads its tags (docs/features/versions.md lists the tags).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.rollout.text import shorten_line

SCHEME: Final = "models:/"
TAG_ENDPOINTS: Final = "rollback_router.endpoints"
TAG_LABEL: Final = "rollback_router.version"
TAG_REASON: Final = "rollback.reason"
TAG_INCIDENT: Final = "rollback.incident"
TAG_AT: Final = "rollback.at"
TAG_QUARANTINED: Final = "rollback.quarantined"
_NAMED: Final = re.compile(r"models:/([^/:@]{1,100})(?:/([0-9]{1,9})|@([\w\-]{1,100}))")
REASON_CHARS_MAX: Final = 500
INCIDENT_CHARS_MAX: Final = 128
_NO: Final = frozenset({"false", "no", "0", ""})


@dataclass(frozen=True, slots=True)
class ModelUri:
    """A registered model and either the number of one of its versions or an alias."""

    name: str
    number: str | None = None
    alias: str | None = None

    def __str__(self) -> str:
        return f"{SCHEME}{self.name}" + (f"/{self.number}" if self.number is not None else f"@{self.alias}")


def parse(text: str) -> ModelUri:
    """Return the model version that `text` names; raise Refusal with the right spelling."""
    match = _NAMED.fullmatch(text)
    if match is None:
        detail = f"{text[:200]!r}: write a registered model as models:/NAME/NUMBER or models:/NAME@ALIAS"
        raise Refusal(RefusalCode.MODEL_URI_INVALID, detail)
    number = match[2]
    return ModelUri(match[1], None if number is None else str(int(number)), match[3])


def numbered(source: str | None) -> ModelUri | None:
    """Return the model version that the `source` of a provenance names; None if it names none."""
    match = _NAMED.fullmatch(source or "")
    return ModelUri(match[1], match[2]) if match and match[2] is not None else None


def label(uri: ModelUri, tags: Mapping[str, str]) -> str:
    """Return the version label in this router: the tag if it is set, else NAME-vNUMBER, for example `fraud-v3`."""
    return tags.get(TAG_LABEL, "").strip() or f"{uri.name}-v{uri.number}"


def endpoints(uri: ModelUri, tags: Mapping[str, str]) -> list[str]:
    """Return the URLs of the servers; raise Refusal if the tag is missing."""
    found = [url for url in re.split(r"[\s,]+", tags.get(TAG_ENDPOINTS, "")) if url]
    if not found:
        raise Refusal(
            RefusalCode.ENDPOINTS_NEEDED,
            f"{uri} has no tag {TAG_ENDPOINTS}: set it to the URLs of its servers, with commas between them, or name them",
        )
    return found


def quarantine(tags: Mapping[str, str]) -> dict[str, str | None] | None:
    """Return reason and incident of the quarantine in the model registry; None if the version is not quarantined there.

    A version with a rollback reason is quarantined unless the value of the tag TAG_QUARANTINED is no.
    """
    reason, marked = tags.get(TAG_REASON), tags.get(TAG_QUARANTINED)
    if (marked is None and reason is None) or (marked is not None and marked.strip().lower() in _NO):
        return None
    incident = shorten_line(tags.get(TAG_INCIDENT, ""), INCIDENT_CHARS_MAX)
    return {"reason": shorten_line(reason or "", REASON_CHARS_MAX) or "no reason given", "incident": incident or None}
