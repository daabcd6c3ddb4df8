"""Bodies with binary tensors (KServe v2 and Triton, "binary tensor data extension"): JSON, then the data of the tensors.

`Inference-Header-Content-Length` is the length of the JSON in bytes. The data of a tensor counts as its member `data`: if a rule
names that, or if patterns would have to search it as text, the body cannot be redacted and is dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from router.rollout.cases.redaction import Redaction
from router.rollout.json_pointer import start, step

LENGTH_FIELD: Final = "inference-header-content-length"

_NUMBERS: Final = frozenset(
    ("BOOL", "INT16", "INT32", "INT64", "UINT16", "UINT32", "UINT64", "FP16", "FP32", "FP64", "BF16")
)
"""Types whose data is no text. BYTES is text, and so may be 8-bit numbers."""


def json_length(value: str, body_bytes: int) -> int | None:
    """Return the length of the JSON, from the value of the field; None if it does not fit the body."""
    if not value.isascii() or not value.isdecimal() or len(value) > 9:
        return None
    return int(value) if int(value) <= body_bytes else None


def data_may_be_kept(rules: Redaction, document: Any) -> bool:
    """Return whether no rule would have to look at the binary data behind `document`."""
    if not isinstance(document, dict):
        return False
    return not any(_is_covered(rules, place, tensor) for place, tensor in _tensors(document))


def _tensors(document: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for member in ("inputs", "outputs"):
        tensors = document.get(member, [])
        for number, tensor in enumerate(tensors if isinstance(tensors, list) else [None]):
            yield (member, str(number)), tensor


def _is_covered(rules: Redaction, place: tuple[str, ...], tensor: Any) -> bool:
    if not isinstance(tensor, dict) or (rules.patterns and tensor.get("datatype") not in _NUMBERS):
        return True
    return any(_names(path, (*place, "data")) for path in rules.paths)


def _names(path: tuple[str, ...], place: tuple[str, ...]) -> bool:
    """Return whether `path` names `place`, or something around it."""
    reached = start(path)
    for part in place:
        if len(path) in reached:
            return True
        reached = step(path, reached, part)
    return len(path) in reached
