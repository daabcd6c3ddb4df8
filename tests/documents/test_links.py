"""Every link of a page leads to a file, and to a heading, of this project."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.documents.pages import ROOT, anchors, links, name_of, pages


def broken(page: Path, root: Path = ROOT) -> list[str]:
    """Return the links of a page that lead nowhere inside `root`. A link to another site needs https."""
    return [link for link in links(page.read_text("utf-8")) if not _leads_somewhere(page, link, root)]


def _leads_somewhere(page: Path, link: str, root: Path) -> bool:
    parts = urlsplit(link)
    if parts.scheme:
        return parts.scheme in ("https", "mailto")
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if not target.exists() or not target.is_relative_to(root):
        return False
    return not parts.fragment or (target.suffix == ".md" and parts.fragment in anchors(target.read_text("utf-8")))


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    assert broken(page) == []


def test_every_page_of_docs_is_linked_from_another_page() -> None:
    linked = {
        (page.parent / unquote(urlsplit(link).path)).resolve()
        for page in pages()
        for link in links(page.read_text("utf-8"))
    }
    assert [name_of(page) for page in pages() if page.is_relative_to(ROOT / "docs") and page not in linked] == []


def test_broken_links_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One `two`\n[a](#one-two) [b](#three) [c](missing.md) [d](http://example.org) `[e](missing)`\n")
    assert broken(page, tmp_path) == ["#three", "missing.md", "http://example.org"]


def test_anchors_are_made_as_github_makes_them() -> None:
    text = "# Time, and `limits_s`\n## Time, and `limits_s`\n### A [link](x.md) — here\n```\n# no\n```\n"
    assert anchors(text) == {"time-and-limits_s", "time-and-limits_s-1", "a-link--here"}
