"""Parses JSON bodies strictly: one meaning for each text, limits before objects are made, errors that name their place.

RFC 8259 leaves open what a repeated name means, how large a number may be and whether a lone surrogate is a character. Texts
that parsers read differently are refused, as I-JSON (RFC 7493) requires.

Why: docs/decisions.md#admin-bodies-are-read-twice.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from router.control.admin import problems
from router.errors import Refusal
from router.errors.codes import RefusalCode

DEPTH_MAX: Final = 64
MEMBERS_MAX: Final = 256
"""Members of one object. Each unknown member costs an error of its own, 4 us each."""
BYTES_MAX: Final = 1 << 18
VALUES_MAX: Final = 12_000
"""More than any useful body has; webhooks and files of cases have other bounds."""
ON_LOOP_BYTES_MAX: Final = 1 << 15
"""Longer texts are parsed in a thread, so that the loop waits for a part of the time only."""
_INTEGER_MAX: Final = 1 << 63
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_BOM: Final = b"\xef\xbb\xbf"
_BOMS_16: Final = (b"\xff\xfe", b"\xfe\xff")
_GZIP: Final = b"\x1f\x8b"
Model = TypeVar("Model", bound=BaseModel)
Result = TypeVar("Result")


class _Repeated(dict[str, Any]):
    """An object in which a name is repeated."""

    name = ""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of a text: its bytes, the members of one object, all values, and the objects and lists among them.

    Values are counted by commas and brackets outside of strings. `long_integers`: integers of more than 64 bits pass, because
    the caller refuses them with a better place.
    """

    members_max: int = MEMBERS_MAX
    bytes_max: int = BYTES_MAX
    values_max: int = VALUES_MAX
    containers_max: int = VALUES_MAX
    long_integers: bool = False


USUAL: Final = Bounds()
HOOK: Final = Bounds(bytes_max=1 << 20, values_max=50_000, containers_max=12_000)
"""Limits of webhooks: 1,000 alerts, the maximum, are 3,000 objects and, with 20 labels each, some 30,000 values."""
WEBHOOK: Final = Bounds(bytes_max=1 << 20, values_max=100_000, containers_max=100_000)
"""Limits of a text that is read value by value: they bound the time for one value, which may be all of the text."""
LARGE: Final = Bounds(bytes_max=1 << 50, values_max=100_000, containers_max=50_000)
"""Limits of files of cases: 10,000 cases of 1 MiB have 10 values each."""


def read(raw: bytes, bounds: Bounds = USUAL) -> Any:
    """Return the value of a JSON text; raise Refusal 400 that names the problem and its place.

    Numbers are finite and within 64 bits, texts are Unicode.
    """
    if len(raw) > bounds.bytes_max:
        raise _invalid(f"has {len(raw)} bytes, {bounds.bytes_max} is the most that this route has use for")
    _count(raw, bounds)
    text = _decoded(raw)
    repeated: list[_Repeated] = []

    def made(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(pairs) > bounds.members_max:
            raise ValueError(f"an object has {len(pairs)} members, {bounds.members_max} is the most")
        made = dict(pairs)
        if len(made) < len(pairs):
            made = _Repeated(made)
            repeated.append(made)
            seen: set[str] = set()
            made.name = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        return made

    try:
        value = json.loads(text, object_pairs_hook=made, parse_constant=_constant)
    except RecursionError:
        raise _invalid(f"is nested deeper than {DEPTH_MAX}") from None
    except ValueError as error:
        raise _invalid(f"is no JSON: {_reason(error)}") from None
    if repeated:
        raise _twice(value)
    _limits(value, bounds, texts=_SURROGATE.search(raw) is not None)
    return value


def parse(raw: bytes, model: type[Model], bounds: Bounds = USUAL, what: str = "body") -> Model:
    """Return a JSON text as a `model`; raise Refusal 400 that names each wrong place, up to a limit."""
    value = read(raw, bounds)
    if model.model_config.get("extra") == "forbid" and isinstance(value, dict):
        _refuse_unknown(value, model, what)
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        raise problems.from_validation(error, what) from None


async def off_loop(size_bytes: int, work: Callable[[], Result]) -> Result:
    """Return the result of `work` on a text of `size_bytes`; run it in a thread if it would block the loop."""
    if size_bytes <= ON_LOOP_BYTES_MAX:
        return work()
    return await asyncio.to_thread(work)


def _count(raw: bytes, bounds: Bounds) -> None:
    containers = raw.count(b"[") + raw.count(b"{")
    values = containers + raw.count(b",")
    if values <= bounds.values_max and containers <= bounds.containers_max:
        return
    if bounds is USUAL:  # no string of a usual body is so long that it matters
        raise _invalid(f"has more than {bounds.values_max} values")
    # A regular expression for strings would block the interpreter, and so the loop, for 30 ms. Each of these takes 2 ms.
    bare = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    if bare.count(b'"') > 4 * (bounds.values_max + 1):  # each value is at most a name and a text
        raise _invalid(f"has more than {bounds.values_max} values")
    outside = b"".join(bare.split(b'"')[::2])
    containers = outside.count(b"[") + outside.count(b"{")
    if containers > bounds.containers_max:
        raise _invalid(f"has more than {bounds.containers_max} objects and lists")
    if containers + outside.count(b",") > bounds.values_max:
        raise _invalid(f"has more than {bounds.values_max} values")


def decoded_leniently(raw: bytes) -> str:
    """Return the text of a body of another system; raise Refusal 400 if it is no UTF-8 at all, or has more values than `WEBHOOK`.

    A byte order mark is left out. Bytes that are no UTF-8 become surrogates, which the caller replaces.
    """
    _refuse_other_codings(raw)
    _count(raw, WEBHOOK)
    return raw.removeprefix(_BOM).decode(errors="surrogateescape")


def _refuse_other_codings(raw: bytes) -> None:
    if raw.startswith(_GZIP):
        raise _invalid("is compressed (gzip): send it as it is")
    if raw.startswith(_BOMS_16) or 0 in raw[:4]:
        raise _invalid("is in UTF-16 or UTF-32: send it in UTF-8")


def _decoded(raw: bytes) -> str:
    _refuse_other_codings(raw)
    if raw.startswith(_BOM):
        raise _invalid("begins with a byte order mark (RFC 8259 §8.1): leave it out")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise _invalid(f"is no UTF-8: byte {error.start} is {raw[error.start]:#04x}") from None


def _refuse_unknown(value: dict[str, Any], model: type[BaseModel], what: str) -> None:
    known = {field.alias or name for name, field in model.model_fields.items()}
    unknown = [name for name in value if name not in known]
    if len(unknown) > problems.ERRORS_SHOWN_MAX:
        raise problems.unknown_members(unknown, what)


def _limits(value: Any, bounds: Bounds, *, texts: bool) -> None:
    """Check every value, level by level."""
    level: list[Any] = [value]
    for _ in range(DEPTH_MAX):
        below: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is dict:
                below += item.values()
                if texts:
                    _characters(item)
            elif kind is list:
                below += item
            elif kind is float and not math.isfinite(item):
                raise _invalid("holds a number beyond 1.8e308")
            elif kind is int and not bounds.long_integers and not -_INTEGER_MAX <= item < 2 * _INTEGER_MAX:
                raise _invalid("holds an integer of more than 64 bits")
            elif texts and kind is str:
                _characters((item,))
        if not below:
            return
        level = below
    raise _invalid(f"is nested deeper than {DEPTH_MAX}")


def _characters(texts: Iterable[str]) -> None:
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            lone = f"\\u{ord(text[error.start]):04x}"
            raise _invalid(f"holds {lone}, half of a surrogate pair, which is no character") from None


def _twice(value: Any) -> Refusal:
    """Return the refusal that names the place of the repeated name."""
    waiting: list[tuple[str, Any]] = [("body", value)]
    while waiting:
        place, item = waiting.pop()
        if isinstance(item, _Repeated):
            return problems.wrong(
                RefusalCode.MEMBER_REPEATED, f"{place}.{item.name}", "the member is given more than once"
            )
        if isinstance(item, dict):
            waiting += [(f"{place}.{name}", inner) for name, inner in item.items()]
        elif isinstance(item, list):
            waiting += [(f"{place}.{number}", inner) for number, inner in enumerate(item)]
    return _invalid("has a member that is given more than once, within a value that is itself given twice")


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _reason(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at line {error.lineno} column {error.colno}"
    return "an integer has too many digits" if "limit" in str(error) and "digits" in str(error) else str(error)


def _invalid(problem: str) -> Refusal:
    return problems.wrong(RefusalCode.REQUEST_INVALID, "body", problem)
