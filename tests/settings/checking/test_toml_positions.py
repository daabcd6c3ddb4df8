"""Every key, table and item of a TOML document is found where it stands; random documents are compared with tomllib."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from router.settings.checking.toml_positions import Place, positions

TEXT = '''
# a comment = 1
workers = 2   # another
"a b".'c.d' = "x # no comment, no [table]"
[services.fraud]  # a table
active = { version = "v1", endpoints = ["http://h:1", "http://h:2"] }
  hosts = [
    "a",   # first
    "b, ]",
  ]
text = """
[no.table]
x = 1 \\""" """
raw = \'\'\'
y = 2
\'\'\'
[services.fraud.rules.latency]
slo_ms = 250
[[notify]]
name = "a"
[[notify]]
name = "b"
[notify.inner]
at = 1979-05-27 07:32:00
'''


def test_the_place_of_each_key() -> None:
    found = positions(TEXT)
    assert tomllib.loads(TEXT)
    wanted = {
        ("workers",): (3, 1),
        ("a b",): (4, 1),
        ("a b", "c.d"): (4, 7),
        ("services",): (5, 2),
        ("services", "fraud"): (5, 11),
        ("services", "fraud", "active"): (6, 1),
        ("services", "fraud", "active", "version"): (6, 12),
        ("services", "fraud", "active", "endpoints", 1): (6, 55),
        ("services", "fraud", "hosts", 0): (8, 5),
        ("services", "fraud", "hosts", 1): (9, 5),
        ("services", "fraud", "raw"): (14, 1),
        ("services", "fraud", "rules", "latency", "slo_ms"): (18, 1),
        ("notify", 0, "name"): (20, 1),
        ("notify", 1): (21, 3),
        ("notify", 1, "name"): (22, 1),
        ("notify", 1, "inner", "at"): (24, 1),
    }
    assert {place: found[place] for place in wanted} == wanted
    assert ("no",) not in found
    assert ("y",) not in found
    assert set(found) == set(places(tomllib.loads(TEXT)))


def test_lines_that_end_as_on_windows() -> None:
    assert positions('a = 1\r\n[b]\r\nc = "x"\r\n') == {("a",): (1, 1), ("b",): (2, 2), ("b", "c"): (3, 1)}


def places(value: Any, place: Place = ()) -> Iterator[Place]:
    if place:
        yield place
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, (*place, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from places(item, (*place, number))


KEYS = st.one_of(st.sampled_from(["a", "b-c", "d_1"]), st.text("a.\"'\\#[]{}= é", max_size=4))
LEAVES = st.one_of(
    st.integers(-9, 9), st.booleans(), st.floats(allow_nan=False, allow_infinity=False),
    st.text("ab\"'\\#[]{},=\n\té", max_size=6)
)  # fmt: skip
VALUES = st.recursive(
    LEAVES, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)), max_leaves=8
)


def quoted(text: str) -> str:
    return "".join(f"\\u{ord(char):04X}" if ord(char) < 32 or char in '"\\' else char for char in text).join('""')


def inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + " , ".join(f"{quoted(key)}={inline(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[ " + ", # x ]\n ".join(inline(item) for item in value) + ("\n]" if value else "]")
    if isinstance(value, str):
        return f"'{value}'" if "'" not in value and value.isprintable() else quoted(value)
    return str(value).lower() if isinstance(value, bool) else repr(value)


@given(st.dictionaries(KEYS, VALUES, max_size=4), st.dictionaries(KEYS, VALUES, max_size=2))
def test_random_documents(top: dict[str, Any], table: dict[str, Any]) -> None:
    lines = [f"{quoted(key)} = {inline(value)} # end" for key, value in top.items()]
    for _ in range(2):
        lines.append('[["the list".x]]')
        lines += [f"{quoted(key)} = {inline(value)}" for key, value in table.items()]
    text = "\n".join(lines)
    document = tomllib.loads(text)
    found = positions(text)
    assert set(found) == set(places(document))
    rows = text.split("\n")
    for place, (line, column) in found.items():
        at = rows[line - 1][column - 1 :]
        if isinstance(place[-1], str):
            assert at.startswith((quoted(place[-1]), place[-1]))
