"""What a thread hands to the event loop arrives there, once, or nowhere if the loop has ended."""

from __future__ import annotations

import asyncio
import threading

import pytest

from router.control.loop_calls import answering, on_loop
from router.errors import InternalError


async def test_a_call_runs_on_the_loop_with_its_arguments() -> None:
    arrived: asyncio.Future[tuple[int, str, bool]] = asyncio.get_running_loop().create_future()

    def call(number: int, *, word: str) -> None:
        arrived.set_result((number, word, threading.current_thread() is threading.main_thread()))

    await asyncio.to_thread(on_loop(asyncio.get_running_loop(), call), 1, word="two")
    assert await asyncio.wait_for(arrived, 5) == (1, "two", True)


async def test_a_call_to_a_loop_that_has_ended_does_nothing() -> None:
    ended = asyncio.new_event_loop()
    ended.close()
    called: list[int] = []
    on_loop(ended, called.append)(1)
    assert called == []


async def test_an_answer_is_a_result_or_an_expected_error() -> None:
    answers: list[asyncio.Future[int]] = [asyncio.get_running_loop().create_future() for _ in range(3)]
    for answer, text in zip(answers, ("7", "x"), strict=False):
        await asyncio.to_thread(answering(answer, lambda text=text: int(text), (ValueError,)))
    assert await asyncio.wait_for(answers[0], 5) == 7
    with pytest.raises(ValueError, match="invalid literal"):
        await asyncio.wait_for(answers[1], 5)
    with pytest.raises(TypeError, match="a bug"):
        await asyncio.to_thread(answering(answers[2], _bug, (ValueError,)))
    with pytest.raises(InternalError, match="call_crashed"):
        await asyncio.wait_for(answers[2], 5)


async def test_a_cancelled_answer_gets_nothing() -> None:
    for function in (lambda: 1, lambda: int("x")):
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        answer.cancel()
        await asyncio.to_thread(answering(answer, function, (ValueError,)))
        await asyncio.sleep(0)
        assert answer.cancelled()


def _bug() -> int:
    raise TypeError("a bug")
