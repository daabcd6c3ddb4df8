"""Heads of one kind: what is the same in all of them, and where their values differ.

Clients, balancers and backends send heads that differ in a few values only: identifiers, traces, lengths, dates, addresses.
A template is one compiled expression, the literal bytes of such heads with a group for each value, and a form into which
the values are put: 0.5 µs for the match and 0.3 for the form, where the careful path takes 4 to 9.

Why what a template accepts is what the careful path accepts, with the same meaning:

1. A head is lines, each ended by CRLF, and no path reads over the end of a line (obs-fold is refused). A value in a
   template has no CR and no LF, so the lines of a matching head are those of the template, in number and in names: no line
   appears, vanishes, or is folded, whatever stands in a value. All limits on fields hold as they held for the template.
2. A value may differ only in a line whose value has no meaning for us (`_INTERPRETED` names the others), and consists of the
   bytes that llhttp's strict mode takes in a value, all of them and no others: HTAB, 0x20 to 0x7e, 0x80 to 0xff.
3. Two fields have a meaning and may differ: Content-Length is 1 to 18 digits here as there (`LENGTH`), and X-Request-ID is
   1 to 128 visible ASCII characters here as there. Neither is a value of a template if it comes twice, nor a length where
   anything else depends on it (Expect, Upgrade, a status without a body).
4. What becomes of a value is not reasoned about, it is tried: the careful path translates a probe in which each value is a
   mark, and the form is cut at the marks of its result. A mark that shows up anywhere else makes no template.

Groups are possessive, and a value cannot contain what follows it: the match is linear in the size of the head.
`tests/proxy/http1/test_head_template.py` holds both paths against each other over generated heads, valid or not.
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
"""Values of one template: each costs 0.06 µs, and past this many two heads are hardly of one kind."""
_INTERPRETED: Final = HOP_BY_HOP | {b"host", b"transfer-encoding", b"expect", b"max-forwards", b"via"}
"""Fields whose values decide something: literal in every template. Content-Length and X-Request-ID are point 3."""
_DECIDE_BY_LENGTH: Final = frozenset((b"expect", b"upgrade"))
_SINGLE: Final = (b"content-length", b"x-request-id")
_MEANINGS: Final[dict[type, dict[bytes, str]]] = {
    RequestHead: {b"content-length": "length", b"x-request-id": "request_id"},
    ResponseHead: {b"content-length": "length"},
}
"""What of a head such a value becomes, beside its place in the text."""
_TEXTS: Final = frozenset(("upstream", "downstream"))
_LENGTH_VALUE: Final = rb"[0-9]{1,18}+"
_IDENT_VALUE: Final = rb"[\x21-\x7e]{1,128}+"
_ANY_VALUE: Final = rb"[\t -~\x80-\xff]*+"
_MARK: Final = b"1%03d70518293746"
"""Digits, so that a length may be one; 16 of them."""
_MARKED: Final = re.compile(_MARK.replace(b"%03d", rb"(\d{3})"))


class HeadTemplate:
    """Takes heads of one kind; `fill` is None for any other."""

    __slots__ = ("_form", "_fullmatch", "_head", "_ident_at", "_length_at")

    def __init__(self, pattern: bytes, form: bytes, head: Head, length_at: int, ident_at: int) -> None:
        self._fullmatch = re.compile(pattern, re.DOTALL).fullmatch
        self._form = form
        self._head = head
        self._length_at = length_at
        self._ident_at = ident_at

    def translate(self, raw: bytes) -> Any:
        """Return the translation of a whole head if it is of this kind, else None."""
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


def may_differ(name: bytes) -> bool:
    """Return whether heads of one kind may differ in the value of this field; the name in lower case."""
    return name not in _INTERPRETED


def compile_template(raw: bytes, variables: Collection[int], parse: Callable[[bytes], Head]) -> HeadTemplate | None:
    """Return the template of heads like `raw`, one that `parse` accepts, whose values may differ in the field lines with
    these numbers; None if there can be none.
    """
    start, *lines = raw[:-4].split(b"\r\n")
    names = names_of(lines)
    if any(names.count(name) > 1 for name in _SINGLE) or any(name in _DECIDE_BY_LENGTH for name in names):
        return None
    if len(variables) > VARIABLES_MAX or not all(may_differ(names[number]) for number in variables):
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
    if kept != sorted(set(kept)) or not _means_what_it_says(head, names, variables, kept):
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
    """Where the value that may differ begins: behind the colon, or, of the two fields with a meaning, at its first byte."""
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


def _means_what_it_says(head: Head, names: list[bytes], variables: Collection[int], kept: list[int]) -> bool:
    """Whether the marks are seen in the text, and those of the two fields with a meaning as what they mean, and nowhere else."""
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
