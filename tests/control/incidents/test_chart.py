from __future__ import annotations

import re
from xml.etree import ElementTree

from router.control.incidents.chart import HEIGHT, WIDTH, ChartData, ChartMark, Point, binned, chart

SVG = "{http://www.w3.org/2000/svg}"


def point(at_s: float, requests: float = 10, faults: float = 0, ms: float | None = 5.0, seconds: float = 1.0) -> Point:
    return Point(at_s, seconds, requests, faults, ms, ms)


def drawn(
    left: list[Point], back: list[Point], *marks: ChartMark, since_s: float = -10, until_s: float = 10
) -> ElementTree.Element:
    picture = ChartData("A < B", ("v8 & co", left), ("v7", back), marks, since_s, until_s, (-3.0, 1.0))
    return ElementTree.fromstring(chart(picture, alone=True))


def texts(root: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in root.iter(f"{SVG}text")]


def test_it_has_a_name_a_description_axes_with_units_and_both_versions() -> None:
    root = drawn([point(-2), point(-1)], [point(1)], ChartMark(0.0, "decision", strong=True))
    assert (root.get("role"), root.get("viewBox")) == ("img", f"0 0 {WIDTH} {HEIGHT}")
    assert root.get("aria-labelledby") == "windows-title windows-desc"
    assert root.findtext(f"{SVG}title") == "A < B"
    assert "Marks: decision at +0.0 s." in (root.findtext(f"{SVG}desc") or "")
    shown = texts(root)
    assert {"requests/s", "faults, % of requests", "first byte, ms: p99, dashed p50", "time from the decision"} <= set(
        shown
    )
    assert {"v8 & co (rolled back)", "v7 (rolled back to)", "decision", "0", "+10 s"} <= set(shown)


def test_every_place_lies_in_the_picture() -> None:
    root = drawn(
        [point(-40, 5000, 50, 9000.0, 20.0), point(-1, 0, 0, None)], [point(9, 1, 1, 0.01)], ChartMark(99.0, "away")
    )
    for path in root.iter(f"{SVG}path"):
        places = [float(number) for number in re.findall(r"-?[0-9.]+", path.get("d") or "")]
        assert all(0 <= place <= WIDTH for place in places)
    assert "away" not in texts(root)


def test_a_line_is_interrupted_where_nothing_is_known() -> None:
    root = drawn([point(-5), point(-4), point(-3, ms=None), point(-2), point(4)], [])
    slow = [path.get("d") or "" for path in root.iter(f"{SVG}path") if path.get("class") == "left"][-1]
    assert (slow.count("M"), slow.count("L")) == (3, 1)


def test_without_any_values_a_panel_says_so() -> None:
    assert texts(drawn([], [])).count("no data") == 3


def test_few_requests_are_put_together_until_a_rate_means_something() -> None:
    ones = [point(float(at), requests=1, faults=at % 2, ms=float(at + 10)) for at in range(10)]
    assert [(one.at_s, one.seconds, one.requests, one.faults, one.p99_ms) for one in binned(ones, 5)] == [
        (4.0, 5.0, 5, 2, 14.0),
        (9.0, 5.0, 5, 3, 19.0),
    ]
    assert binned([point(0.0), point(60.0)], 5) == [point(0.0), point(60.0)], "never over a gap"


def test_names_of_marks_do_not_lie_on_each_other() -> None:
    marks = [
        ChartMark(-0.2, "first fault"),
        ChartMark(0.0, "decision", strong=True),
        ChartMark(0.1, "recovered"),
        ChartMark(-9.0, "promoted"),
    ]
    root = drawn([point(-1)], [], *marks)
    rows = {text.text: (text.get("y"), text.get("text-anchor")) for text in root.iter(f"{SVG}text")}
    assert [rows[mark.label] for mark in marks] == [("40", "end"), ("40", "start"), ("54", "start"), ("40", "end")]
