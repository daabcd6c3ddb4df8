"""Idempotency keys: repeated requests, and the bounds of the stored answers."""

from __future__ import annotations

import asyncio

import pytest

from router.control.admin.idempotency import IdempotencyKeys, StoredAnswer, request_key_of
from router.control.store.batch import JournalUnavailable
from router.control.store.in_doubt import STRUCK_OUT, InDoubtChange
from router.control.store.records.earlier_changes import KEPT_S, KEYS_MAX, EarlierChange
from router.control.store.records.request_key import RequestKey
from router.errors import Refusal
from router.rollout.facts.entry import Entry


def key(name: str, request: str = "f") -> RequestKey:
    return RequestKey(name, request)


def no_earlier(change: EarlierChange) -> StoredAnswer:
    pytest.fail("nothing was made before this start")


class Counted:
    """Counts how often it was performed."""

    def __init__(self) -> None:
        self.times = 0

    async def __call__(self) -> StoredAnswer:
        self.times += 1
        return StoredAnswer(200, {"time": self.times})


class Now:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


async def test_an_answer_is_kept_for_a_day() -> None:
    now, perform = Now(), Counted()
    keys = IdempotencyKeys(now_s=now)
    assert await keys.once(key("k"), perform, no_earlier) == (StoredAnswer(200, {"time": 1}), False)
    now.s += KEPT_S - 1
    assert await keys.once(key("k"), perform, no_earlier) == (StoredAnswer(200, {"time": 1}), True)
    now.s += 1
    assert await keys.once(key("k"), perform, no_earlier) == (StoredAnswer(200, {"time": 2}), False)


async def test_the_oldest_key_goes_when_there_are_too_many() -> None:
    perform = Counted()
    keys = IdempotencyKeys(now_s=Now())
    for number in range(KEYS_MAX + 1):
        await keys.once(key(f"k{number}"), perform, no_earlier)
    assert (await keys.once(key("k1"), perform, no_earlier))[1] is True
    assert (await keys.once(key("k0"), perform, no_earlier))[1] is False


async def test_without_a_key_everything_is_performed() -> None:
    perform = Counted()
    keys = IdempotencyKeys(now_s=Now())
    for _ in range(2):
        assert (await keys.once(None, perform, no_earlier))[1] is False
    assert perform.times == 2


async def test_a_repetition_gets_the_answer_of_a_crash_and_a_retry_runs() -> None:
    gate = asyncio.Event()
    keys = IdempotencyKeys(now_s=Now())

    async def crash() -> StoredAnswer:
        await gate.wait()
        raise RuntimeError("bug")

    async with asyncio.TaskGroup() as group:
        first = group.create_task(asyncio.wait_for(_caught(keys, crash), 5))
        await asyncio.sleep(0)
        second = group.create_task(keys.once(key("k"), crash, no_earlier))
        await asyncio.sleep(0)
        gate.set()
    assert first.result() == "bug"
    answer, replayed = second.result()
    assert (answer.status, replayed) == (500, True)
    assert await keys.once(key("k"), Counted(), no_earlier) == (StoredAnswer(200, {"time": 1}), False)


async def _caught(keys: IdempotencyKeys, perform) -> str:
    with pytest.raises(RuntimeError) as caught:
        await keys.once(key("k"), perform, no_earlier)
    return str(caught.value)


@pytest.mark.parametrize("field", ["", "a b", "x" * 256, "ä"])
def test_what_is_no_key_is_refused(field: str) -> None:
    with pytest.raises(Refusal) as refused:
        request_key_of("ops", field, "POST /", b"")
    assert refused.value.code == "request_invalid"


async def test_a_change_in_doubt_gets_the_same_answer_until_it_is_decided() -> None:
    keys, doubt = IdempotencyKeys(now_s=Now()), InDoubtChange(7, 1, 9, "switched", "svc", "ann", 1000.0)
    asked = 0

    async def perform() -> StoredAnswer:
        nonlocal asked
        asked += 1
        return StoredAnswer(503, None, JournalUnavailable("no answer", doubt=doubt))

    first, _ = await keys.once(key("k"), perform, no_earlier)
    assert await keys.once(key("k"), perform, no_earlier) == (first, True)
    assert asked == 1
    doubt.outcome = STRUCK_OUT
    assert (await keys.once(key("k"), Counted(), no_earlier))[1] is False, "it was not made: it may be asked for again"
    assert (await keys.once(key("k"), perform, no_earlier))[1] is True
    assert asked == 1


# -- changes that were made before this start
MADE = Entry.of("promoted", "svc", "ann", {"to": "v2"}, 5000.0, 1, 1, seq=7)


def of_before(change: EarlierChange) -> StoredAnswer:
    return StoredAnswer(200, {"made": change.entry.seq})


async def test_a_change_of_before_is_answered_from_its_record_and_made_once() -> None:
    perform = Counted()
    keys = IdempotencyKeys({"k": EarlierChange("f", MADE)}, Now(), lambda: MADE.at + KEPT_S - 1)
    for _ in range(2):
        assert await keys.once(key("k"), perform, of_before) == (StoredAnswer(200, {"made": 7}), True)
    assert await keys.once(key("other"), perform, of_before) == (StoredAnswer(200, {"time": 1}), False)
    with pytest.raises(Refusal) as refused:
        await keys.once(key("k", "another request"), perform, of_before)
    assert (refused.value.code, perform.times) == ("idempotency_key_reused", 1)


async def test_the_key_of_a_change_of_before_expires_too() -> None:
    keys = IdempotencyKeys({"k": EarlierChange("f", MADE)}, Now(), lambda: MADE.at + KEPT_S)
    assert await keys.once(key("k"), Counted(), of_before) == (StoredAnswer(200, {"time": 1}), False)


def test_a_key_is_of_its_principal_and_of_the_whole_request() -> None:
    def of(principal: str, field: str, target: str, body: bytes) -> RequestKey:
        made = request_key_of(principal, field, target, body)
        assert made is not None
        return made

    first = of("ann", "k", "POST /a", b"{}")
    assert of("ann", "k", "POST /a", b"{}") == first
    for other in (of("bob", "k", "POST /a", b"{}"), of("ann", "l", "POST /a", b"{}")):
        assert (other.key != first.key, other.request) == (True, first.request)
    for other in (of("ann", "k", "POST /b", b"{}"), of("ann", "k", "POST /a", b"[]")):
        assert (other.key, other.request != first.request) == (first.key, True)
    assert request_key_of("ann", None, "POST /a", b"{}") is None
