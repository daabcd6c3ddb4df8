"""Applies the rules of redaction to a body, as far as they can read it. A body that they cannot read is dropped, with the reason.

    Content-Encoding            gzip and deflate are decoded, and encoded again after a change; others cannot be read
    binary tensors              the JSON is redacted, and its length computed anew (binary_tensors.py)
    JSON                        paths and patterns
    form (x-www-form-urlencoded)  patterns, on the decoded names and values
    other text                  patterns; a change must leave the boundaries of a multipart body
    anything else               cannot be read

Without rules every body is kept to the byte.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_plus

import orjson

from router.rollout.cases import binary_tensors, redaction
from router.rollout.cases.binary_tensors import LENGTH_FIELD
from router.rollout.cases.redaction import TEXT_CHARS_MAX, Redaction

DECODED_BYTES_MAX: Final = 1 << 20
"""A compressed body that is longer than this is not read, and dropped."""

_GZIP: Final = ("gzip", "x-gzip")
_TEXT_CHARSETS: Final = re.compile(r"utf-?8|(?:us-)?ascii|iso-8859-\d{1,2}|latin-?1|(?:windows-|cp)125\d")
"""Charsets in which ASCII is ASCII. In others (UTF-16, UTF-7) a text would not be found."""
_CHARSET: Final = re.compile(r";[ \t]*charset=[ \t]*\"?([^\s\";]+)", re.IGNORECASE)
_BOUNDARY: Final = re.compile(r";[ \t]*boundary=(?:\"([^\"]+)\"|([^\s\";]+))", re.IGNORECASE)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_TRANSFER_ENCODED: Final = re.compile(rb"(?im)^content-transfer-encoding:[ \t]*(?!7bit|8bit|binary)\S")
_TEXT_TYPES: Final = re.compile(
    r"|text/.*|multipart/.*|application/(?:.*\+)?(?:json|xml|yaml|x-yaml|x-ndjson|ndjson|jsonl|json-seq|javascript)"
    r"|application/csv"
)
_FORM: Final = "application/x-www-form-urlencoded"
_ENCODED_TYPE: Final = re.compile(r"application/grpc-web-text.*")


@dataclass(frozen=True, slots=True)
class RedactedBody:
    """`content` is None if the body must not be kept; `why` is the reason. `fields` replace those of the same names."""

    content: bytes | None
    changed: bool = False
    fields: Mapping[str, str] = field(default_factory=dict)
    why: str = ""


def body(rules: Redaction, content: bytes, fields: Mapping[str, str] | None = None) -> RedactedBody:
    """Return the redacted form of a whole body; `fields` are the header fields of its message, with lower-case names."""
    if not rules.rules or not content:
        return RedactedBody(content)
    if rules.hide_all:
        return _dropped("searching it took too long")
    fields = fields or {}
    coding = fields.get("content-encoding", "identity").strip().lower()
    if coding in ("", "identity"):
        return _decoded(rules, content, fields)
    decoded = _uncompressed(content, coding)
    if isinstance(decoded, str):
        return _dropped(decoded)
    found = _decoded(rules, decoded, fields)
    if found.content is None or not found.changed:
        return RedactedBody(None if found.content is None else content, why=found.why)
    encoded = gzip.compress(found.content, mtime=0) if coding in _GZIP else zlib.compress(found.content)
    return RedactedBody(encoded, changed=True, fields=found.fields)


def uncompressed(content: bytes, fields: Mapping[str, str]) -> bytes | None:
    """Return a body without its Content-Encoding; None if that is unknown, or the body is too long or no such body."""
    coding = fields.get("content-encoding", "identity").strip().lower()
    if coding in ("", "identity"):
        return content
    found = _uncompressed(content, coding)
    return found if isinstance(found, bytes) else None


def _dropped(why: str) -> RedactedBody:
    return RedactedBody(None, why=why)


def _uncompressed(content: bytes, coding: str) -> bytes | str:
    """Return the decoded body, or the reason why there is none."""
    if coding in _GZIP:
        wbits = 16 + zlib.MAX_WBITS
    elif coding == "deflate":  # RFC 9110 §8.4.1.2: zlib; some senders leave its header out
        wbits = zlib.MAX_WBITS if content[0] & 0x0F == 8 else -zlib.MAX_WBITS
    else:
        return f"its Content-Encoding {coding[:40]!r} cannot be read"
    decoder = zlib.decompressobj(wbits)
    try:
        decoded = decoder.decompress(content, DECODED_BYTES_MAX)
    except zlib.error:
        return f"it is not {coding}"
    if decoder.eof and not decoder.unused_data:
        return decoded
    return f"it is not one whole {coding} body of at most {DECODED_BYTES_MAX} bytes"


def _decoded(rules: Redaction, content: bytes, fields: Mapping[str, str]) -> RedactedBody:
    if LENGTH_FIELD in fields:
        return _tensors(rules, content, fields[LENGTH_FIELD])
    if (found := _json(rules, content)) is not None:
        return found
    if rules.paths:
        return _dropped("it is no JSON, so redact_paths cannot be applied")
    return _text(rules, content, fields.get("content-type", ""))


def _json(rules: Redaction, content: bytes) -> RedactedBody | None:
    """Return the redacted form of a JSON body; None if it is none."""
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    cleaned, changed = redaction.document(rules, document)
    if not changed:
        return RedactedBody(content)
    try:
        return RedactedBody(orjson.dumps(cleaned), changed=True)
    except orjson.JSONEncodeError:
        return _dropped("its JSON is too deep to be written again")


def _tensors(rules: Redaction, content: bytes, length: str) -> RedactedBody:
    split = binary_tensors.json_length(length, len(content))
    found = None if split is None else _json(rules, content[:split])
    if split is None or found is None:
        return _dropped(f"its Inference-Header-Content-Length {length[:20]!r} does not fit it")
    if found.content is None:
        return found
    if split < len(content) and not binary_tensors.data_may_be_kept(rules, orjson.loads(content[:split])):
        return _dropped("redaction cannot read its binary tensors")
    if not found.changed:
        return RedactedBody(content)
    return RedactedBody(found.content + content[split:], changed=True, fields={LENGTH_FIELD: str(len(found.content))})


def _text(rules: Redaction, content: bytes, content_type: str) -> RedactedBody:
    kind = content_type.partition(";")[0].strip().lower()
    charset = _CHARSET.search(content_type)
    try:
        value = content.decode()
    except UnicodeDecodeError:
        return _dropped("it is neither JSON nor text, so redact_patterns cannot be applied")
    if _CONTROL.search(value) or (charset and not _TEXT_CHARSETS.fullmatch(charset[1].lower())):
        return _dropped("it is neither JSON nor text, so redact_patterns cannot be applied")
    if _ENCODED_TYPE.fullmatch(kind) or _TRANSFER_ENCODED.search(content):
        return _dropped("its text is encoded, so redact_patterns cannot be applied")
    if kind == _FORM:
        cleaned = _form(rules, value)
    elif len(value) > TEXT_CHARS_MAX:
        return _dropped(
            f"it is no JSON and has more than {TEXT_CHARS_MAX} characters, so redact_patterns are not applied"
        )
    else:
        cleaned = redaction.text(rules, value)
    if cleaned == value:
        return RedactedBody(content)
    if cleaned == redaction.REDACTED:
        return _dropped("nothing of it would be left")
    if kind != _FORM and not _TEXT_TYPES.fullmatch(kind):
        return _dropped(f"redaction would break its format {kind[:60]!r}")
    boundary = _BOUNDARY.search(content_type) if kind.startswith("multipart/") else None
    if boundary is not None and _parts(cleaned, boundary) != _parts(value, boundary):
        return _dropped("redaction would change the boundary of its parts")
    return RedactedBody(cleaned.encode(), changed=True)


def _parts(value: str, boundary: re.Match[str]) -> int:
    return value.count(f"--{boundary[1] or boundary[2]}")


def _form(rules: Redaction, value: str) -> str:
    """Return a form with all matches replaced, in names and values as they are meant."""
    return "&".join(
        "=".join(redaction.encoded(rules, part, unquote_plus) for part in pair.split("=", 1))
        for pair in value.split("&")
    )
