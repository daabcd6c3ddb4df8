"""Templates of similar heads: the bytes that are equal in all of them, and the values that differ.

Clients, balancers and backends send heads that differ only in a few values: identifiers, traces, lengths, dates, addresses.
A template has the literal bytes of such heads, the kind of each value between them, and the pieces of text that the values are
inserted between. The compiled form compares the literals and looks up each octet of a value in a table. In pure Python a regular
expression does the same faster. A compiled translation takes 0.5 to 0.8 µs; the slow path takes 4 to 9 µs.

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

A value cannot contain the CR that follows it, and the groups of the expression are possessive, so both forms are linear in the
size of the head. `tests/proxy/http1/test_head_template.py` compares both forms and the slow path over generated heads, valid and
invalid.

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
"""Values of one template: two heads with more differences are hardly similar."""
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
_ANY, _DIGITS, _IDENT = 1, 2, 4
"""The kinds of values: a field value, a length in bytes, and an identifier of a request."""
_LENGTH_VALUE: Final = rb"[0-9]{1,18}+"
_IDENT_VALUE: Final = rb"[\x21-\x7e]{1,128}+"
_ANY_VALUE: Final = rb"[\t -~\x80-\xff]*+"
_GRAMMAR: Final = {_ANY: _ANY_VALUE, _DIGITS: _LENGTH_VALUE, _IDENT: _IDENT_VALUE}
_DIGITS_MAX = 18
_IDENT_BYTES_MAX = 128
_PERMITS = bytes(
    sum(kind for kind, grammar in _GRAMMAR.items() if re.fullmatch(grammar, bytes((octet,)))) for octet in range(256)
)
"""For each octet, the kinds of values that it may be part of."""
_COMPILED = not __file__.endswith((".py", ".pyc"))
_KINDS: Final = {b"content-length": _DIGITS, b"x-request-id": _IDENT}
_TEXTS: Final = frozenset(("upstream", "downstream"))
_MARK: Final = b"1%03d70518293746"
"""Digits, so that a length may be one; 16 of them."""
_MARKED: Final = re.compile(_MARK.replace(b"%03d", rb"(\d{3})"))


class HeadTemplate:
    """Translates similar heads; `translate` returns None for any other head.

    `literals` and `values` alternate and make up such a head; `texts` and the shown values alternate in its translation.
    """

    __slots__ = (
        "_fullmatch",
        "_ident_at",
        "_kinds",
        "_length_at",
        "_literals",
        "_request",
        "_response",
        "_shown",
        "_texts",
    )

    def __init__(self, literals: list[bytes], values: list[tuple[int, bool]], texts: list[bytes], head: Head) -> None:
        self._literals = literals
        self._kinds = bytes(kind for kind, _ in values)
        self._shown = bytes(shown for _, shown in values)
        self._texts = texts
        self._request = head if isinstance(head, RequestHead) else None
        self._response = None if isinstance(head, RequestHead) else head
        shown_kinds = [kind for kind, shown in values if shown]
        self._length_at = shown_kinds.index(_DIGITS) if _DIGITS in shown_kinds else -1
        self._ident_at = shown_kinds.index(_IDENT) if _IDENT in shown_kinds else -1
        groups = [(b"(" if shown else b"(?:") + _GRAMMAR[kind] + b")" for kind, shown in values]
        pieces = [piece for pair in zip(map(re.escape, literals), [*groups, b""], strict=True) for piece in pair]
        self._fullmatch = re.compile(b"".join(pieces), re.DOTALL).fullmatch

    def translate(self, raw: bytes) -> Any:
        """Return the translation of a complete head if it matches, else None."""
        values = self.scanned(raw) if _COMPILED else self.matched(raw)
        if values is None:
            return None
        length_at, ident_at = self._length_at, self._ident_at
        pieces = [self._texts[0]]
        for number in range(len(values)):
            pieces.append(values[number])
            pieces.append(self._texts[number + 1])
        text = b"".join(pieces)
        request = self._request
        if request is not None:
            return request.with_values(
                text,
                int(values[length_at]) if length_at >= 0 else request.length,
                values[ident_at] if ident_at >= 0 else None,
            )
        response = self._response
        assert response is not None
        return response.with_values(text, int(values[length_at]) if length_at >= 0 else response.length, None)

    def matched(self, raw: bytes) -> list[bytes] | None:
        """Return the shown values, found by a regular expression: the faster form in pure Python."""
        found = self._fullmatch(raw)
        return None if found is None else list(found.groups())

    def scanned(self, raw: bytes) -> list[bytes] | None:
        """Return the shown values, found by comparing the literals and looking up each octet between them: the faster form if
        it is compiled.
        """
        values: list[bytes] = []
        octets, permits, kinds, shown = raw, _PERMITS, self._kinds, self._shown
        at, end, last = 0, len(raw), len(self._kinds)
        for number in range(last):
            literal = self._literals[number]
            if not raw.startswith(literal, at):
                return None
            at += len(literal)
            begin, kind = at, kinds[number]
            while at < end and permits[octets[at]] & kind:
                at += 1
            if kind == _DIGITS and not 0 < at - begin <= _DIGITS_MAX:
                return None
            if kind == _IDENT and not 0 < at - begin <= _IDENT_BYTES_MAX:
                return None
            if shown[number]:
                values.append(raw[begin:at])
        literal = self._literals[last]
        return values if end - at == len(literal) and raw.startswith(literal, at) else None


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
    literals, values = [start + b"\r\n"], []
    for number, (line, name) in enumerate(zip(lines, names, strict=True)):
        if number not in variables:
            literals[-1] += line + b"\r\n"
            continue
        literals[-1] += line[: _value_at(line, name)]
        literals.append(b"\r\n")
        values.append((_KINDS.get(name, _ANY), number in kept))
    literals[-1] += b"\r\n"
    return HeadTemplate(literals, values, _MARKED.split(text)[::2], head)


def _value_at(line: bytes, name: bytes) -> int:
    """Return where the differing value begins: behind the colon; for the two interpreted fields, at its first byte."""
    if name in _SINGLE:
        return len(line) - len(line[len(name) + 1 :].lstrip(b"\t "))
    return len(name) + 1


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
