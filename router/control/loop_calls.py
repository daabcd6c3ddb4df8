"""Calls from another thread to the event loop. They do nothing once the loop has ended, because no caller waits then."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from router.errors import InternalError

P = ParamSpec("P")
Result = TypeVar("Result")


def on_loop(loop: asyncio.AbstractEventLoop, call: Callable[P, object]) -> Callable[P, None]:
    """Return a function for other threads: it returns at once, and `call` runs on `loop` with its arguments."""

    def hand_over(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            loop.call_soon_threadsafe(lambda: call(*args, **kwargs))
        except RuntimeError:  # the loop has ended, so no caller waits
            pass

    return hand_over


def answering(
    answer: asyncio.Future[Result], function: Callable[[], Result], expected: tuple[type[Exception], ...]
) -> Callable[[], None]:
    """Return a function for another thread: it calls `function`, and `answer` gets the result or the `expected` error.

    Any other error is a bug: it leaves the returned function, and `answer` gets an InternalError. A cancelled `answer` gets
    nothing.
    """

    def set_result(result: Result) -> None:
        if not answer.done():
            answer.set_result(result)

    def set_error(error: Exception) -> None:
        if not answer.done():
            answer.set_exception(error)

    def work() -> None:
        loop = answer.get_loop()
        try:
            result = function()
        except expected as error:
            on_loop(loop, set_error)(error)
        except BaseException:  # raised again; only the caller must not wait for ever
            name = threading.current_thread().name
            on_loop(loop, set_error)(InternalError("call_crashed", f"{name}: the log has its traceback"))
            raise
        else:
            on_loop(loop, set_result)(result)

    return work
