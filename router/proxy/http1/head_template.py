"""Templates of similar heads: the bytes that are equal in all of them, and the values that differ.

Clients, balancers and backends send heads that differ only in a few values: identifiers, traces, lengths, dates, addresses.
A template has two parts: a compiled expression with the literal bytes of such heads and a group for each value, and a form that
the values are inserted into. The match takes 0.5 µs and the form 0.3 µs; the slow path takes 4 to 9 µs.

A template accepts only heads that the slow path accepts, with the same meaning, for these reasons:

1. A head consists of lines that end in CRLF, and neither path reads over the end of a line (obs-fold is refused). A value in a
   template has no CR and no LF. So a matching head has the lines of the template, equal in number and names, and all limits on
   fields hold as they held for the template.
2. A value may differ only in a line whose value the router does not interpret (`_INTERPRETED` names the others of requests,
   `_INTERPRETED_IN_RESPONSES` those of responses). It consists of
   exactly the bytes that llhttp's strict mode accepts in a value: HTAB, 0x20 to 0x7e, 0x80 to 0xff.
3. Two interpreted fields may differ. Content-Length is 1 to 18 digits on both paths (`LENGTH`), and X-Request-ID is 1 to 128
   visible ASCII characters on both paths. Neither is a value of a template if it is repeated, nor a length if anything else
   depends on it (Expect, Upgrade, a status without a body).
4. The place of a value in the translation is found by a trial. The slow path translates a probe in which each value is a mark,
   and the form is cut at the marks of the result. If a mark appears anywhere else, there is no template.

Groups are possessive, and a value cannot contain the bytes that follow it, so the match is linear in the size of the head.
`tests/proxy/http1/test_head_template.py` compares both paths over generated heads, valid and invalid.

Why: docs/decisions.md#templates-of-heads.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import fields
from typing import Any, Final

from router.errors import RouterError
from router.proxy.http1.fields import HOP_BY_HOP
from router.proxy.http1.request_head import RequestHead
from router.proxy.http1.response_head import ResponseHead

Head = RequestHead | ResponseHead

VARIABLES_MAX: Final = 24
"""Values of one template: each costs 0.06 µs, and two heads with more differences are hardly similar."""
_INTERPRETED: Final = HOP_BY_HOP | {b"host", b"transfer-encoding", b"expect", b"max-forwards", b"via"}
"""Fields whose values the router interprets: literal in every template. Content-Length and X-Request-ID: see point 3."""
_INTERPRETED_IN_RESPONSES: Final = _INTERPRETED | {b"content-type", b"content-encoding", b"retry-after"}
_DECIDE_BY_LENGTH: Final = frozenset((b"expect", b"upgrade"))
_SINGLE: Final = (b"content-length", b"x-request-id")
_MEANINGS: Final[dict[type, dict[bytes, str]]] = {
    RequestHead: {b"content-length": "length", b"x-request-id": "request_id"},
    ResponseHead: {b"content-length": "length"},
}
"""The attribute of a head that gets the value of such a field, beside its place in the text."""
_TEXTS: Final = frozenset(("upstream", "downstream"))
_LENGTH_VALUE: Final = rb"[0-9]{1,18}+"
_IDENT_VALUE: Final = rb"[\x21-\x7e]{1,128}+"
_ANY_VALUE: Final = rb"[\t -~\x80-\xff]*+"
_MARK: Final = b"1%03d70518293746"
"""Digits, so that a length may be one; 16 of them."""
_MARKED: Final = re.compile(_MARK.replace(b"%03d", rb"(\d{3})"))


class HeadTemplate:
    """Translates similar heads; `translate` returns None for any other head."""

    __slots__ = ("_form", "_fullmatch", "_head", "_ident_at", "_length_at")

    def __init__(self, pattern: bytes, form: bytes, head: Head, length_at: int, ident_at: int) -> None:
        self._fullmatch = re.compile(pattern, re.DOTALL).fullmatch
        self._form = form
        self._head = head
        self._length_at = length_at
        self._ident_at = ident_at

    def translate(self, raw: bytes) -> Any:
        """Return the translation of a complete head if it matches, else None."""
        found = self._fullmatch(raw)
        if found is None:
            return None
        values = found.groups()
        head = self._head
        length = int(values[self._length_at]) if self._length_at >= 0 else head.length
        ident = values[self._ident_at] if self._ident_at >= 0 else None
        return head.with_values(self._form % values, length, ident)


def names_of(lines: list[bytes]) -> list[bytes]:
    """Return the lower-cased names of the field lines."""
    return [line.partition(b":")[0].lower() for line in lines]


def may_differ(name: bytes, *, response: bool = False) -> bool:
    """Return whether similar heads may differ in the value of this field; the name is in lower case."""
    return name not in (_INTERPRETED_IN_RESPONSES if response else _INTERPRETED)


def compile_template(raw: bytes, variables: Collection[int], parse: Callable[[bytes], Head]) -> HeadTemplate | None:
    """Return the template of heads like `raw`, which `parse` accepts. Their values may differ in the field lines with the
    numbers `variables`. Return None if there can be no template.
    """
    start, *lines = raw[:-4].split(b"\r\n")
    names = names_of(lines)
    if any(names.count(name) > 1 for name in _SINGLE) or any(name in _DECIDE_BY_LENGTH for name in names):
        return None
    if len(variables) > VARIABLES_MAX or not all(
        may_differ(names[number], response=start.startswith(b"HTTP/")) for number in variables
    ):
        return None
    if _MARKED.search(raw):
        return None
    probe = [
        line[: _value_at(line, name)] + _MARK % number if number in variables else line
        for number, (line, name) in enumerate(zip(lines, names, strict=True))
    ]
    try:
        head = parse(b"\r\n".join((start, *probe, b"", b"")))
    except RouterError:
        return None
    text = head.upstream if isinstance(head, RequestHead) else head.downstream
    kept = [int(mark) for mark in _MARKED.findall(text)]
    if kept != sorted(set(kept)) or not _marks_are_consistent(head, names, variables, kept):
        return None
    values = [
        _group(line, name, number in kept) if number in variables else re.escape(line)
        for number, (line, name) in enumerate(zip(lines, names, strict=True))
    ]
    places = {names[number]: place for place, number in enumerate(kept)}
    return HeadTemplate(
        b"\r\n".join((re.escape(start), *values, b"", b"")),
        _MARKED.sub(b"%b", text.replace(b"%", b"%%")),
        head,
        places.get(b"content-length", -1),
        places.get(b"x-request-id", -1) if isinstance(head, RequestHead) else -1,
    )


def _value_at(line: bytes, name: bytes) -> int:
    """Return where the differing value begins: behind the colon; for the two interpreted fields, at its first byte."""
    if name in _SINGLE:
        return len(line) - len(line[len(name) + 1 :].lstrip(b"\t "))
    return len(name) + 1


def _group(line: bytes, name: bytes, kept: bool) -> bytes:
    if name == b"content-length":
        value = _LENGTH_VALUE
    elif name == b"x-request-id":
        value = _IDENT_VALUE
    else:
        value = _ANY_VALUE
    return re.escape(line[: _value_at(line, name)]) + (b"(" if kept else b"(?:") + value + b")"


def _marks_are_consistent(head: Head, names: list[bytes], variables: Collection[int], kept: list[int]) -> bool:
    """Whether the marks appear in the text, and those of the two interpreted fields in their attribute, and nowhere else."""
    if head.upgrade or (isinstance(head, ResponseHead) and (head.status < 200 or head.status == 204)):
        return False
    marks = {names[number]: _MARK % number for number in variables}
    expected = {name: marks[name] for name in _SINGLE if name in marks}
    if any(names.index(name) not in kept for name in expected):
        return False
    found: dict[str, Any] = {}
    for field in fields(head):
        value = getattr(head, field.name)
        if field.name not in _TEXTS and _MARKED.search(repr(value).encode()):
            found[field.name] = value if isinstance(value, bytes) else str(value).encode()
    means = {meaning: expected[name] for name, meaning in _MEANINGS[type(head)].items() if name in expected}
    return found == means
