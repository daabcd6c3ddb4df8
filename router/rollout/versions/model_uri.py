"""Names of versions in a model registry, as MLflow writes them.

    models:/fraud/3                   version 3 of the registered model `fraud`
    models:/fraud@champion            the version that an alias points to
    models:/fraud/latest              the newest version; models:/fraud/Production: the newest of a stage
    models:/m-1c2d3e…                 a logged model of MLflow 3, by its id

The name of a registered model is text: MLflow refuses only `/`, `:`, and names that are no plain file name (`..`). Nothing is
percent-decoded, as in MLflow. Also decides the label of such a version in this router, and reads its tags
(docs/features/versions.md lists the tags).
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.rollout.text import shorten_line

SCHEME: Final = "models:/"
NAME_CHARS_MAX: Final = 256
"""MLflow's column for the name of a registered model."""
ALIAS_CHARS_MAX: Final = 255
URI_CHARS_MAX: Final = len(SCHEME) + NAME_CHARS_MAX + 1 + ALIAS_CHARS_MAX
LABEL_NAME_CHARS_MAX: Final = 100
"""A longer name is cut in the label of its versions. A label has at most 128 characters."""
HASH_CHARS: Final = 10
TAG_ENDPOINTS: Final = "rollback_router.endpoints"
TAG_LABEL: Final = "rollback_router.version"
TAG_REASON: Final = "rollback.reason"
TAG_INCIDENT: Final = "rollback.incident"
TAG_AT: Final = "rollback.at"
TAG_QUARANTINED: Final = "rollback.quarantined"
LATEST: Final = "latest"
STAGES: Final = {stage.lower(): stage for stage in ("Production", "Staging", "Archived", "None")}
FORMS: Final = "models:/NAME/NUMBER, models:/NAME@ALIAS, models:/NAME/latest, models:/NAME/Production or models:/m-ID"
_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_ALIAS: Final = re.compile(rf"[\w\-]{{1,{ALIAS_CHARS_MAX}}}")
_NUMBER_AS_ALIAS: Final = re.compile(r"[vV][0-9]+")
_MODEL_ID: Final = re.compile(r"m-[A-Za-z0-9_\-]{1,254}")
_PLAIN_NAME: Final = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._@\-]{{0,{LABEL_NAME_CHARS_MAX - 1}}}")
"""A name that is used in a label as it is. It has no `+`, which marks a label with a hash."""
REASON_CHARS_MAX: Final = 500
INCIDENT_CHARS_MAX: Final = 128
_NO: Final = frozenset({"false", "no", "0", ""})


@dataclass(frozen=True, slots=True)
class ModelUri:
    """A registered model and one of: the number of a version, an alias, a stage (or LATEST). Or a logged model: `model_id`."""

    name: str
    number: str | None = None
    alias: str | None = None
    stage: str | None = None
    model_id: str | None = None

    def __str__(self) -> str:
        if self.model_id is not None:
            return f"{SCHEME}{self.model_id}"
        return f"{SCHEME}{self.name}" + (
            f"@{self.alias}" if self.alias is not None else f"/{self.number or self.stage}"
        )


def is_uri(text: str) -> bool:
    """Return whether `text` is meant as a URI of a model registry, and not as a label."""
    return text[:7].lower() == "models:"


def parse(text: str) -> ModelUri:
    """Return the model version that `text` names; raise Refusal with the reason and the right spelling."""
    try:
        return _parsed(text)
    except ValueError as error:
        shown = shorten_line(text, 200)
        detail = f"'{shown}' names no version of a registered model: {error}; write {FORMS}"
        raise Refusal(RefusalCode.MODEL_URI_INVALID, detail) from None


def _parsed(text: str) -> ModelUri:
    if text[: len(SCHEME)].lower() != SCHEME:
        raise ValueError("it does not begin with models:/")
    path = text[len(SCHEME) :]
    if path.startswith("/"):
        raise ValueError("another registry in the URI is not supported, mlflow.tracking_uri is used")
    name, slash, suffix = path.partition("/")
    if slash:
        return _suffixed(registered_name(name), suffix)
    if "@" in path:
        name, _, alias = path.rpartition("@")
        return ModelUri(registered_name(name), alias=alias_name(alias))
    if not _MODEL_ID.fullmatch(path):
        raise ValueError("a number, an alias or a stage is missing behind the name")
    return ModelUri("", model_id=path)


def _suffixed(name: str, suffix: str) -> ModelUri:
    if _NUMBER.fullmatch(suffix):
        return ModelUri(name, str(int(suffix)))
    if suffix.lower() == LATEST:
        return ModelUri(name, stage=LATEST)
    if suffix.lower() in STAGES:
        return ModelUri(name, stage=STAGES[suffix.lower()])
    if "/" in suffix:
        raise ValueError("MLflow's names have no /, and nothing follows the number")
    if not suffix.strip():
        raise ValueError("a number is missing behind the name")
    stages = ", ".join(STAGES.values())
    raise ValueError(f"'{shorten_line(suffix, 40)}' is no number (up to 9 digits), not latest, and no stage ({stages})")


def registered_name(name: str) -> str:
    """Return `name` if MLflow takes it as the name of a registered model; raise ValueError with the reason."""
    if not name.strip():
        raise ValueError("the name is empty")
    if len(name) > NAME_CHARS_MAX:
        raise ValueError(f"the name has {len(name)} characters, MLflow keeps {NAME_CHARS_MAX}")
    for character in name:
        if character in "/:":
            raise ValueError(f"MLflow takes no {character} in a name")
        if character == "\0" or unicodedata.category(character) == "Cs":
            raise ValueError(f"the name has the character U+{ord(character):04X}, which no database keeps")
    if name == "." or name.startswith(".."):
        raise ValueError("MLflow takes no name that is a path")
    return name


def alias_name(alias: str) -> str:
    """Return `alias` if MLflow takes it as an alias; raise ValueError with the reason."""
    if alias.lower() == LATEST:
        raise ValueError("latest is no alias: it stands behind a /")
    if _NUMBER_AS_ALIAS.fullmatch(alias):
        raise ValueError(f"MLflow reserves the alias {alias}: a number stands behind a /")
    if not _ALIAS.fullmatch(alias):
        limit = f"at most {ALIAS_CHARS_MAX} letters, digits, _ and -"
        raise ValueError(f"'{shorten_line(alias, 40)}' is no alias: {limit}")
    return alias


def exact(source: str | None) -> ModelUri | None:
    """Return the one model version that the `source` of a provenance names; None if it names none, or one that can change."""
    if source is None or not is_uri(source):
        return None
    try:
        uri = _parsed(source)
    except ValueError:
        return None
    return uri if uri.number is not None or uri.model_id is not None else None


def label(uri: ModelUri, tags: Mapping[str, str]) -> str:
    """Return the version label in this router: the tag if it is set, else NAME-vNUMBER, for example `fraud-v3`.

    A name that is no label is written with the characters that a label may have, and a hash of the name behind a `+`:
    `Fraud-Model-v3+1f5e6a8b90`. So different names have different labels, and the label of a version is always the same.
    The label of a logged model is its id.
    """
    if tagged := tags.get(TAG_LABEL, "").strip():
        return tagged
    if uri.model_id is not None:
        return uri.model_id[:128]
    if _PLAIN_NAME.fullmatch(uri.name):
        return f"{uri.name}-v{uri.number}"
    digest = hashlib.sha256(uri.name.encode()).hexdigest()[:HASH_CHARS]
    return f"{_plain(uri.name)}-v{uri.number}+{digest}"


def _plain(name: str) -> str:
    ascii_only = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    written = re.sub(r"[^A-Za-z0-9._]+", "-", ascii_only).strip("-._")
    return written[:LABEL_NAME_CHARS_MAX].rstrip("-._") or "model"


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
