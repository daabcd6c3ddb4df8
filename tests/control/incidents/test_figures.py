"""Every text of one incident tells the same figures: the document, the page, the Markdown, what the command prints."""

from __future__ import annotations

import io
import re
from html import unescape
from typing import Any

import pytest

from router.cli import incidents as command
from router.control.incidents import rendering
from router.control.incidents.document import document
from router.runtime.terminal import PrintableConsole
from router.runtime.text.hints import Hints
from tests.control.incidents.played_incident import Played
from tests.texts import golden


def under_way(played: Played) -> None:
    """At the decision a part of what was rescued was not answered yet."""
    for frozen in (played._known["back"],):
        frozen["readings"]["decision"][6] -= 7


def busy_standby(played: Played) -> None:
    """The standby ended what it had before, too."""
    played._known["back"]["readings"]["decision"][6] += 40


def none_else(played: Played) -> None:
    """As it is."""


KINDS: dict[str, tuple[dict[str, Any], Any]] = {
    "rescued": ({}, none_else),
    "not rescued": ({"rescued": False}, none_else),
    "by hand": ({"trigger": None}, none_else),
    "rescued requests under way": ({}, under_way),
    "a standby that had requests": ({}, busy_standby),
}


@pytest.fixture(params=KINDS)
def made(request: pytest.FixtureRequest) -> dict[str, Any]:
    more, change = KINDS[request.param]
    played = Played(before_s=20, fail_s=5, after_s=10, **more)
    change(played)
    return document(played.sources())


def texts(made: dict[str, Any]) -> dict[str, str]:
    """Return what people read, as words separated by single spaces and without thin ones."""
    console = PrintableConsole(width=300, record=True, file=io.StringIO())
    for part in command._in_full(made, Hints()):
        console.print(part)
    page = unescape(re.sub(r"<svg.*?</svg>|<style.*?</style>|<[^>]+>", " ", rendering.html(made), flags=re.DOTALL))
    raw = {
        "html": page,
        "md": rendering.markdown(made).replace("|", " ").replace("\\", ""),
        "command": console.export_text(),
    }
    return {name: " ".join(text.replace("\u202f", "").split()) for name, text in raw.items()}


def test_the_document_adds_up(made: dict[str, Any]) -> None:
    cost, left = made["impact"], made["windows"]["left"]["periods"]
    assert (
        cost["failed"]
        == sum(cost["errors"].values())
        == left["during"]["faults"] + left["after"]["faults"]
        <= cost["requests"]
    )
    assert cost["requests"] == left["during"]["requests"] + left["after"]["requests"]
    assert cost["failed_until_decision"] == left["during"]["faults"]
    assert (made["requests"], made["errors"], made["rescued"]) == (cost["requests"], cost["errors"], cost["rescued"])
    for period in (*left.values(), *made["windows"]["back"]["periods"].values()):
        if period and period["requests"]:
            assert period["fault_rate"] == period["faults"] / period["requests"] <= 1
    if cost["rescue"]:
        parts = dict(cost["rescue"])
        assert parts.pop("rescued") == sum(parts.values()) <= cost["rescued"]


def test_every_text_tells_the_same(made: dict[str, Any]) -> None:
    cost = made["impact"]
    for name, text in texts(made).items():
        found = re.findall(r"Faults (\d+),|errors (\d+) server_error", text)
        assert {int(page or printed) for page, printed in found} == {cost["failed"]}, name
        assert set(re.findall(r"At most (\d+) requests? failed", text)) <= {str(cost["failed_max"])}, name
        assert set(re.findall(r"[Ff]ailed (?:for clients|as clients saw it),? ?(?:≤|at most)? (\d+)", text)) <= {
            str(cost["failed_max"])
        }
        assert set(re.findall(r"(\d+) (?:was|were) rescued on", text)) <= {str(cost["rescued"])}, name
        assert set(re.findall(r"[Rr]escued(?: on fraud-v7)? (\d+)", text)) == {str(cost["rescued"])}, name
        for whole, raw in re.findall(r"(\d+) of them until the decision: ([^|.]*?)(?= Failed| \|)", text):
            assert int(whole) == sum(
                int(part) for part in re.findall(r"(\d+) (?:answered|failed again|otherwise|under)", raw)
            ), name


@pytest.mark.parametrize("left_out", [{"could not connect": 15}, {"failed on the standby too": 2}, {}])
def test_no_cases_are_told_with_a_reason(left_out: dict[str, int]) -> None:
    played = Played(before_s=20, fail_s=5, after_s=10)
    data = {
        "incident": "fraud-3-17",
        "version": "fraud-v8",
        "seen": 15 if left_out else 0,
        "cases": [],
        "left_out": left_out,
    }
    played.tell("cases_frozen", data, 28.0)
    reported = texts(document(played.sources()))["md"]
    expected = (
        f"no case: {' '.join(f'{count} {reason}' for reason, count in left_out.items())}"
        if left_out
        else "no failing request"
    )
    assert expected in reported


def test_the_candidate_speaks_of_the_same_rescued_requests(made: dict[str, Any]) -> None:
    """Also where some of them were under way: of 150, not of those alone that had ended."""
    raw = [text for one in made["candidates"] for text in one["evidence"] if "rescued" in text]
    rescue = made["impact"]["rescue"]
    if not rescue or rescue["answered"] + rescue["failed"] < 5:
        assert raw == []
        return
    assert raw == [
        golden(
            "incident.rescued_figures", rescued=rescue["rescued"], answered=rescue["answered"], failed=rescue["failed"]
        )
    ]
