"""The pages of the documents, and the fenced blocks and links in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent.parent
_FENCE: Final = re.compile(
    r"^(?P<indent> *)```(?P<language>[\w+-]*)[^\n]*\n(?P<text>.*?)^(?P=indent)```$", re.DOTALL | re.MULTILINE
)
_FILE: Final = re.compile(r"# (?P<name>[\w.-]+\.(?:toml|yaml|yml|json|py))")
_CODE: Final = re.compile(r"`[^`\n]*`")
_LINK: Final = re.compile(r"!?\[(?:[^\[\]]|\[[^\[\]]*\])*\]\(\s*<?(?P<to>[^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
_SOURCE: Final = re.compile(r"<(?:img|source|a)\b[^>]*?(?:src|srcset|href)=\"(?P<to>[^\"]+)\"")
_HEADING: Final = re.compile(r"^#{1,6} +(?P<text>.+?) *#*$", re.MULTILINE)
_ANCHOR: Final = re.compile(r"<a (?:id|name)=\"(?P<name>[^\"]+)\"")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: the line of its fence (from 1), its language (may be empty) and its text."""

    line: int
    language: str
    text: str

    @property
    def file_name(self) -> str | None:
        """The name of the file that the first line of the block gives, if it gives one: `# router.toml`."""
        found = _FILE.fullmatch(self.text.partition("\n")[0].strip())
        return found["name"] if found else None


@dataclass(frozen=True, slots=True)
class Command:
    """A command of a `console` block, and the output that the page shows for it (empty if it shows none)."""

    line: int
    text: str
    output: str


def pages() -> list[Path]:
    """Return the pages that users read, README first."""
    first = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "THREATS.md")
    return [*(ROOT / name for name in first), *sorted((ROOT / "docs").rglob("*.md"))]


def name_of(page: Path) -> str:
    """Return the path of a page inside the project."""
    return str(page.relative_to(ROOT))


def blocks(text: str) -> list[Block]:
    """Return the fenced blocks of a page, top to bottom; their indentation is removed."""
    found = []
    for match in _FENCE.finditer(text):
        indent = len(match["indent"])
        lines = (line[indent:] for line in match["text"].splitlines(keepends=True))
        found.append(Block(text.count("\n", 0, match.start()) + 1, match["language"], "".join(lines)))
    return found


def commands(block: Block) -> list[Command]:
    """Return the commands of a `console` block. A command that ends with a backslash, or in a here-document, goes on."""
    found: list[Command] = []
    open_until = ""
    for number, line in enumerate(block.text.splitlines(), block.line + 1):
        if open_until:
            found[-1] = Command(found[-1].line, f"{found[-1].text}\n{line}", "")
            if line == open_until or (open_until == "\\" and not line.endswith("\\")):
                open_until = ""
        elif line.startswith("$ "):
            found.append(Command(number, line[2:], ""))
            here = re.search(r"<<-?'?(\w+)'?", line)
            open_until = here[1] if here else "\\" if line.endswith("\\") else ""
        elif found:
            found[-1] = Command(found[-1].line, found[-1].text, f"{found[-1].output}{line}\n")
        else:
            raise ValueError(f"line {number}: a console block begins with a command: {line!r}")
    return found


def without_blocks(text: str) -> str:
    """Return a page without its fenced blocks."""
    return _FENCE.sub("", text)


def prose(text: str) -> str:
    """Return a page without its fenced blocks and without code in backticks."""
    return _CODE.sub("", _FENCE.sub("", text))


def links(text: str) -> list[str]:
    """Return where the links and pictures of a page lead."""
    readable = prose(text)
    return [match["to"] for match in (*_LINK.finditer(readable), *_SOURCE.finditer(readable))]


def anchors(text: str) -> set[str]:
    """Return the anchors of a page, by the rule by which GitHub makes them of headings."""
    found: set[str] = set()
    outside = _FENCE.sub("", text)
    for match in _HEADING.finditer(outside):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", match["text"]).replace("`", "")
        slug = re.sub(r"[^\w\- ]", "", shown.strip().lower()).replace(" ", "-")
        repeated = next(number for number in range(1000) if (f"{slug}-{number}" if number else slug) not in found)
        found.add(f"{slug}-{repeated}" if repeated else slug)
    return found | {match["name"] for match in _ANCHOR.finditer(outside)}
