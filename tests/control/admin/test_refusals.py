"""When a refusal is a page instead of a problem document."""

from __future__ import annotations

import pytest

from router.control.admin.refusals import wants_page


@pytest.mark.parametrize(
    ("accept", "page"),
    [("", False), ("*/*", False), ("application/json", False), ("text/html", True), ("application/xhtml+xml;q=0.9", True),
     ("application/json, TEXT/HTML ; q=0.2", True), ("text/html;q=0", False), ("text/html;q=0.000, */*", False),
     ("text/htmlx", False), (", ;,", False), ("a/b," * 1000 + "text/html", False)],
)  # fmt: skip
def test_a_page_needs_html_in_accept(accept: str, page: bool) -> None:
    assert wants_page(accept) is page
