"""What may be printed, and that JSON keeps its value."""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import router
from router.runtime.printable import printable, printable_lines
from router.runtime.printable_json import json_bytes
from tests.hostile_text import ESCAPED, ORDINARY, is_harmless

TEXTS = st.text(st.characters(codec=None, categories=None))


@pytest.mark.parametrize("code", ESCAPED)
def test_what_is_not_printable_is_escaped_as_in_json(code: int) -> None:
    shown = printable(f"a{chr(code)}b")
    assert shown.isascii()
    assert shown.isprintable()
    assert json.loads(f'"{shown}"') == f"a{chr(code)}b"


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_stays(text: str) -> None:
    assert printable(text) == text
    assert json_bytes({"text": text}) == json.dumps({"text": text}, ensure_ascii=False, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    "text", ["a\u200db", "\u200d", "👩\u200d", "👩\u200dx", "x\ufe0f", "\ufe0f", "1\ufe0f", "👩\u200d\u200d💻"]
)
def test_a_joiner_or_selector_without_its_emoji_is_escaped(text: str) -> None:
    assert not {"\u200d", "\ufe0f"} & {*printable(text)}


def test_every_character_of_unicode() -> None:
    """Against the categories of Unicode: nothing of C, Zl, Zp is left, and nothing else is changed but what leaves no mark."""
    kinds: dict[str, int] = {}
    for code in range(0x110000):
        char = chr(code)
        kind = unicodedata.category(char)
        shown = printable(char)
        if kind[0] == "C" or kind in ("Zl", "Zp"):
            assert shown != char, hex(code)
            assert shown.isascii(), hex(code)
        elif shown != char:
            kinds[kind] = kinds.get(kind, 0) + 1
    assert kinds == {"Mn": 263, "Lo": 4, "So": 1}


@given(TEXTS)
def test_any_text_is_printable_and_shown_twice_is_shown_once(text: str) -> None:
    shown = printable(text)
    assert is_harmless(shown)
    assert "\n" not in shown
    assert printable(shown) == shown
    assert is_harmless(printable_lines(text))


@given(
    st.recursive(
        TEXTS | st.integers(-(1 << 53), 1 << 53) | st.none(),
        lambda inner: st.dictionaries(TEXTS, inner) | st.lists(inner),
    )
)
def test_json_is_printable_and_keeps_its_value(value: object) -> None:
    made = json_bytes(value)
    assert is_harmless(made.decode())
    assert json.loads(made) == json.loads(json.dumps(value))


def test_a_long_hostile_text_takes_no_longer_than_its_length() -> None:
    assert printable("\u200d" * 100_000) == "\\u200d" * 100_000


PRINTS = re.compile(
    r"(?<![\w.])print\(|std(?:out|err)\.(?:buffer\.)?write\(|(?<![\w])Console\(|html import escape|\becho\("
)
PRINTERS = {
    "cli/output.py": "the place",
    "cli/app.py": "the version",
    "demo/fault.py": "json_bytes, read by the demo",
    "control/history/advice_process.py": "a document for its parent; an error, escaped",
    "control/cases/redaction_process.py": "a document for its parent",
}


def test_only_these_modules_print() -> None:
    root = Path(router.__file__).parent
    found = {str(path.relative_to(root)) for path in root.rglob("*.py") if PRINTS.search(path.read_text("utf-8"))}
    assert found == set(PRINTERS)


def test_the_admin_api_and_messages_write_json_in_one_way() -> None:
    root = Path(router.__file__).parent / "control"
    modules = [*(root / "admin").glob("*.py"), *(root / "notify").glob("*.py")]
    found = {
        path.name
        for path in modules
        if re.search(r"orjson\.dumps|json_response|[^.]json\.dumps", path.read_text("utf-8"))
    }
    assert found == {"connections.py"}, "a constant"
