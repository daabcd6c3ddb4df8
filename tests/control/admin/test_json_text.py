"""What is read as JSON and what is refused, with its place; the healthy twins of tests/control/admin/test_every_route.py."""

from __future__ import annotations

import json
from typing import Any

import pytest

from router.control.admin import json_text
from router.control.admin.json_text import DEPTH_MAX, LARGE, MEMBERS_MAX, ON_LOOP_BYTES_MAX, USUAL, read
from router.errors import OperatorError


def place_of(raw: bytes, **how: Any) -> tuple[str, str]:
    with pytest.raises(OperatorError) as refusal:
        read(raw, **how)
    assert refusal.value.status == 400
    (error,) = refusal.value.facts["errors"]  # type: ignore[misc,attr-defined]
    return refusal.value.code, error["place"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        (b'{"a": 1, "a": 1}', "body.a"),
        (b'{"": 1, "": 2}', "body."),
        (b'{"a": 1, "\\u0061": 1}', "body.a"),
        (b'{"x": {"y": [0, {"z": 1, "z": 2}]}}', "body.x.y.1.z"),
        (b'[{"a": 1}, {"a": 1, "b": 2, "a": 3}]', "body.1.a"),
        (b'{"x": {"a": 1, "a": 2}, "x": 1}', "body.x"),
    ],
)
def test_a_repeated_name_is_named_with_its_place(raw: bytes, place: str) -> None:
    assert place_of(raw) == ("member_repeated", place)


@pytest.mark.parametrize(
    "value",
    [{}, [], None, 1.5, "", {"a": {"a": {"a": 1}}}, [{"a": 1}, {"a": 1}], {"a": "a,[{" * 3000}, "\U0001f600", (1 << 64) - 1,
     -(1 << 63), 1.7e308, {f"k{number}": 0 for number in range(MEMBERS_MAX)}, list(range(11_000))],
)  # fmt: skip
def test_what_is_right_is_read(value: Any) -> None:
    assert read(json.dumps(value).encode()) == value


def test_the_limits() -> None:
    deep = b"[" * (DEPTH_MAX - 1) + b"]" * (DEPTH_MAX - 1)
    assert read(deep)
    for raw in (b"[" + deep + b",[" + deep + b"]]", str(1 << 64).encode(), str(-(1 << 63) - 1).encode(), b"1e400"):
        assert place_of(raw) == ("request_invalid", "body")
    text = json.dumps({"text": "[,{" * 60_000}).encode()
    assert place_of(text, bounds=USUAL) == ("request_invalid", "body")
    assert read(text, LARGE)["text"].startswith("[,{")
    for raw in (json.dumps([0] * 100_001), json.dumps([[]] * 50_001)):
        assert place_of(raw.encode(), bounds=LARGE) == ("request_invalid", "body")


async def test_short_texts_are_read_on_the_loop_and_long_ones_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    beside: list[int] = []

    async def thread(work: Any) -> Any:
        beside.append(1)
        return work()

    monkeypatch.setattr(json_text.asyncio, "to_thread", thread)
    assert (await json_text.aside(ON_LOOP_BYTES_MAX, lambda: 7), beside) == (7, [])
    assert (await json_text.aside(ON_LOOP_BYTES_MAX + 1, lambda: 8), beside) == (8, [1])
