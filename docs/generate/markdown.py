"""Markdown that the pages share: tables, identifiers as code, the note that a page is generated."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

GENERATED: Final = "<!-- Generated from the code by `python -m docs.generate`. Do not edit. -->\n"
_CODE: Final = re.compile(r'(`[^`]*`|"[^"\s]+"|(?<![\w./`-])[a-z][a-z0-9]*(?:[._][a-z0-9_]+)*_[a-z0-9_.]*[a-z0-9]\b)')


def page(title: str, *parts: str) -> str:
    """Return a page: its title, then its parts, with an empty line between them."""
    return "\n\n".join((GENERATED + f"\n# {title}", *(part.strip("\n") for part in parts))) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def code(text: str) -> str:
    """Return `text` as code; empty text stays empty."""
    return f"`{text}`" if text else ""


def prose(text: str) -> str:
    """Return a docstring as Markdown: identifiers with underscores, and quoted values, become code."""
    return _CODE.sub(lambda match: match[0] if match[0].startswith("`") else code(match[0]), text).replace("* ", r"\* ")
