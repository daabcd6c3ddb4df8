"""Idempotency keys: repeated requests, and the bounds of the stored answers."""

from __future__ import annotations

import asyncio

import pytest

from router.control.admin.idempotency import KEPT_S, KEYS_MAX, IdempotencyKeys, StoredAnswer
from router.control.store.batch import JournalUnavailable
from router.control.store.in_doubt import STRUCK_OUT, InDoubtChange
from router.errors import Refusal


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
    keys = IdempotencyKeys(now)
    assert await keys.once("ops", "k", "f", perform) == (StoredAnswer(200, {"time": 1}), False)
    now.s += KEPT_S - 1
    assert await keys.once("ops", "k", "f", perform) == (StoredAnswer(200, {"time": 1}), True)
    now.s += 1
    assert await keys.once("ops", "k", "f", perform) == (StoredAnswer(200, {"time": 2}), False)


async def test_the_oldest_key_goes_when_there_are_too_many() -> None:
    perform = Counted()
    keys = IdempotencyKeys(Now())
    for number in range(KEYS_MAX + 1):
        await keys.once("ops", f"k{number}", "f", perform)
    assert (await keys.once("ops", "k1", "f", perform))[1] is True
    assert (await keys.once("ops", "k0", "f", perform))[1] is False


async def test_without_a_key_everything_is_performed() -> None:
    perform = Counted()
    keys = IdempotencyKeys(Now())
    for _ in range(2):
        assert (await keys.once("ops", None, "f", perform))[1] is False
    assert perform.times == 2


async def test_a_repetition_gets_the_answer_of_a_crash_and_a_retry_runs() -> None:
    gate = asyncio.Event()
    keys = IdempotencyKeys(Now())

    async def crash() -> StoredAnswer:
        await gate.wait()
        raise RuntimeError("bug")

    async with asyncio.TaskGroup() as group:
        first = group.create_task(asyncio.wait_for(_caught(keys, crash), 5))
        await asyncio.sleep(0)
        second = group.create_task(keys.once("ops", "k", "f", crash))
        await asyncio.sleep(0)
        gate.set()
    assert first.result() == "bug"
    answer, replayed = second.result()
    assert (answer.status, replayed) == (500, True)
    assert await keys.once("ops", "k", "f", Counted()) == (StoredAnswer(200, {"time": 1}), False)


async def _caught(keys: IdempotencyKeys, perform) -> str:
    with pytest.raises(RuntimeError) as caught:
        await keys.once("ops", "k", "f", perform)
    return str(caught.value)


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "ä"])
async def test_what_is_no_key_is_refused(key: str) -> None:
    with pytest.raises(Refusal) as refused:
        await IdempotencyKeys(Now()).once("ops", key, "f", Counted())
    assert refused.value.code == "request_invalid"


async def test_a_change_in_doubt_gets_the_same_answer_until_it_is_decided() -> None:
    keys, doubt = IdempotencyKeys(Now()), InDoubtChange(7, 1, 9, "switched", "svc", "ann", 1000.0)
    asked = 0

    async def perform() -> StoredAnswer:
        nonlocal asked
        asked += 1
        return StoredAnswer(503, None, JournalUnavailable("no answer", doubt=doubt))

    first, _ = await keys.once("ops", "k", "f", perform)
    assert await keys.once("ops", "k", "f", perform) == (first, True)
    assert asked == 1
    doubt.outcome = STRUCK_OUT
    assert (await keys.once("ops", "k", "f", Counted()))[1] is False, "it was not made: it may be asked for again"
    assert (await keys.once("ops", "k", "f", perform))[1] is True
    assert asked == 1
