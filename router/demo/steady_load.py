"""Clients that never end: `python -m router.demo.steady_load --url http://127.0.0.1:8080 --requests-per-s 10`.

They send the requests of the demo. Every --every-s seconds a line of JSON on standard output counts how the requests ended and
which version answered them. SIGTERM ends them.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from router.demo.fault import write_event
from router.demo.load import Load, RequestResult
from router.runtime.tasks import Tasks

_GIVE_UP_AFTER_S: Final = 10.0


def summary(results: Sequence[RequestResult]) -> dict[str, Any]:
    """Return how many requests ended in each way, and how many each version answered."""
    return {
        "requests": len(results),
        "ended": dict(Counter(result.kind for result in results)),
        "versions": dict(Counter(result.version for result in results if result.version)),
    }


async def run(load: Load, every_s: float, stop: asyncio.Event) -> None:
    """Send until `stop` is set; write a summary every `every_s` and at the end."""
    tasks = Tasks()
    sending = tasks.spawn(load.run(), "steady load")
    while not stop.is_set():
        try:
            await asyncio.wait_for(stop.wait(), every_s)
        except TimeoutError:
            write_event("summary", **summary(load.take()))
    load.stop()
    await sending
    write_event("summary", **summary(load.take()))


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the command line's values."""
    parser = argparse.ArgumentParser(prog="python -m router.demo.steady_load", description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="the data port of the router")
    parser.add_argument("--requests-per-s", type=float, default=10.0)
    parser.add_argument("--every-s", type=float, default=10.0, help="time between two lines")
    return parser.parse_args(arguments)


async def main(arguments: argparse.Namespace) -> None:
    """Send until SIGTERM or SIGINT."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    load = Load(arguments.url, arguments.requests_per_s, _GIVE_UP_AFTER_S, addresses=(None,))
    await run(load, arguments.every_s, stop)


if __name__ == "__main__":
    asyncio.run(main(parse()))
