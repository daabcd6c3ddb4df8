"""One document a second for all readers: numbers without a gap, and a whole document for a reader that missed one."""

from __future__ import annotations

import json
from typing import Any

from router.control.admin.live.feed import Feed


def told(frame: bytes) -> dict[str, Any]:
    event, data = frame.decode().removesuffix("\n\n").split("\n")
    assert event == "event: status"
    found: dict[str, Any] = json.loads(data.removeprefix("data: "))
    assert found.pop("at").endswith("Z")
    return found


def test_a_whole_document_first_and_then_differences() -> None:
    made: list[dict[str, Any]] = [{"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 2, "b": 1}]
    feed = Feed(lambda: made.pop(0))
    feed.update(10.0)
    assert told(feed.frame(0)) == {"number": 1, "document": {"a": 1, "b": 1}}
    feed.update(11.0)
    assert told(feed.frame(1)) == {"number": 2, "patch": {"a": 2}}
    feed.update(12.0)
    assert told(feed.frame(2)) == {"number": 3, "patch": {}}
    assert told(feed.frame(1)) == told(feed.frame(0)) == {"number": 3, "document": {"a": 2, "b": 1}}


def test_a_second_is_made_once_and_missed_ones_are_skipped() -> None:
    calls: list[int] = []
    feed = Feed(lambda: calls.append(1) or {})  # type: ignore[func-returns-value]
    for now_s in (10.0, 10.2, 10.99, 11.0, 11.5, 500.0, 500.1):
        feed.update(now_s)
    assert (len(calls), feed.number) == (3, 3)
    assert 500.0 < feed.due_s <= 501.0
