"""The report as a browser, a Markdown reader and an attacker see it."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest

from router.control.incidents import rendering
from router.control.incidents.document import document
from tests.control.incidents.played_incident import TRIGGER, Played
from tests.hostile_text import HOSTILE as UNPRINTABLE
from tests.hostile_text import ORDINARY, found_in
from tests.texts import golden

HOSTILE = "/x?<script>alert(1)</script>|`y`](http://evil)\"'><img src=x onerror=alert(1)>&amp;"


class Page(HTMLParser):
    """What a browser makes of it: elements with attributes, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def failure(**more: Any) -> dict[str, Any]:
    one = {"at": "2026-11-23T04:01:01.000Z", "method": "POST", "path": HOSTILE, "endpoint": HOSTILE}
    return {**one, "outcome": "server_error", "status": 500, **more}


@pytest.fixture(scope="module")
def hostile() -> dict[str, Any]:
    """Whatever clients, alerts or people can write is hostile."""
    played = Played(before_s=20, fail_s=5, after_s=10, trigger={**TRIGGER, "reason": HOSTILE})
    played.edit(set={"owner": HOSTILE, "root_cause": f"{HOSTILE}\n# {HOSTILE}"}, comment=HOSTILE)
    played.edit(add_actions=[{"what": HOSTILE, "kind": "preventive", "owner": HOSTILE, "due": None}])
    return document(played.sources(failures={"known": True, "why": HOSTILE, "items": [failure()] * 3}))


def test_the_page_needs_nothing_else_and_runs_nothing(hostile: dict[str, Any]) -> None:
    page = Page(rendering.html(hostile))
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "img", "iframe", "object", "embed", "link", "form", "a", "base"}
    attributes = {name for _, found in page.elements for name in found}
    assert not {name for name in attributes if name.startswith("on") or name in ("style", "src", "href")}
    assert sum(HOSTILE in text for text in page.texts) >= 9, "it is shown as it is"


def test_the_policy_names_the_style_that_is_there(played: Played) -> None:
    text = rendering.html(document(played.sources()))
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert policy == rendering.policy()
    (meta,) = [found for tag, found in Page(text).elements if found.get("http-equiv") == "Content-Security-Policy"]
    assert meta["content"] == policy
    assert "&" not in style
    assert "<" not in style


def test_the_picture_alone_is_xml_and_hostile_names_are_text(hostile: dict[str, Any]) -> None:
    hostile = {**hostile, "windows": {**hostile["windows"], "left": {**hostile["windows"]["left"], "version": HOSTILE}}}
    picture = rendering.svg(hostile)
    assert picture is not None
    root = ElementTree.fromstring(picture)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert not [one for one in root.iter() if one.tag.endswith(("script", "foreignObject", "a", "image", "use"))]
    assert HOSTILE in "".join(root.itertext())


def test_hostile_text_is_no_markup_in_markdown(hostile: dict[str, Any]) -> None:
    text = rendering.markdown(hostile)
    assert "<script" not in re.sub(r"\\.", "", text)
    assert "](http" not in re.sub(r"\\.", "", text)
    rows = [line for line in text.splitlines() if "server\\_error" in line and line.startswith("| 04:")]
    assert [len(re.findall(r"(?<!\\)\|", row)) for row in rows] == [6, 6, 6]


def test_a_report_without_anything_known_says_so(played: Played) -> None:
    made = document(played.sources(samples=False))
    assert rendering.svg(made) is None
    assert golden("incident.impact_unknown") in rendering.html(made)
    assert golden("incident.impact_unknown") in rendering.markdown(made)
    assert "<svg" not in rendering.html(made)


@pytest.mark.parametrize("automatic", [True, False])
def test_each_kind_of_rollback_can_be_told(automatic: bool) -> None:
    played = Played(before_s=10, fail_s=3, after_s=6)
    if not automatic:
        played = Played(before_s=10, fail_s=3, after_s=6, trigger=None)
    text = rendering.markdown(document(played.sources()))
    reported = "rolled back to fraud-v7 automatically" if automatic else "ann rolled back service fraud from fraud-v8"
    assert reported in text
    assert "None" not in text.replace("None: no failing", "").replace("*None yet:*", "")
    assert "None" not in "".join(Page(rendering.html(document(played.sources()))).texts).replace(
        "None: no", ""
    ).replace("None yet:", "")


def test_the_markdown_of_a_whole_incident(played: Played) -> None:
    lines = rendering.markdown(document(played.sources())).splitlines()
    assert lines[0] == "# fraud-v8 was rolled back to fraud-v7"
    assert golden("incident.chart") in lines
    assert "| Fault → decision | 9.9 s |" in lines
    assert "| fraud-v8 | during | 10 s | 1\u202f000 | 100 | 300 | 30 % | 4.86 ms | 5.12 ms |" in lines
    assert "| error\\_rate | 30 % | 2 % | 0.1 % | 1\u202f000 | 60 s | 9.5 s |" in lines
    assert golden("incident.timeline_row") in lines


def everywhere(text: str) -> dict[str, Any]:
    """Return the document of an incident in which `text` stands wherever strangers or people can write."""
    played = Played(before_s=20, fail_s=5, after_s=10, trigger={**TRIGGER, "reason": text})
    played.edit(set={"owner": text, "root_cause": text}, comment=text)
    played.edit(add_actions=[{"what": text, "kind": "preventive", "owner": text, "due": None}])
    one = failure(path=text, endpoint=text, method=text, outcome=text, status=text)
    made = document(played.sources(failures={"known": True, "why": text, "items": [one]}))
    made["windows"]["left"]["version"] = made["from"] = made["to"] = text
    return made


def test_no_page_holds_what_is_not_printable() -> None:
    made = everywhere(UNPRINTABLE)
    pages = (rendering.html(made), rendering.markdown(made), rendering.svg(made) or "")
    assert [found_in(page) for page in pages] == [[], [], []]
    assert all("u009b" in page for page in pages), "it is shown, not lost"
    ElementTree.fromstring(pages[2])


def test_ordinary_words_stay_on_every_page() -> None:
    text = " ".join(word for word in ORDINARY if word.isalpha() or ord(word[0]) > 0x2000)
    made = everywhere(text)
    assert text in rendering.html(made)
    assert text.replace("\u3000", " ") in rendering.markdown(made), "any space is one space there"
    assert text[:30] in (rendering.svg(made) or "")
