"""Open-loop requests that may well fail, a process of its own: `python -m benchmarks.soak.pressure PORT PATH RATE SECONDS`.

Says one line of JSON when the last one has ended: how the requests ended, by outcome.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter

from benchmarks.load import Load
from benchmarks.program import allow_many_files


async def run(port: int, path: str, rate: float, seconds: float) -> None:
    """Load for so long, then wait for what is under way."""
    load = Load(port, path, rate)
    await asyncio.sleep(seconds)
    await load.stop()
    sys.stdout.write(json.dumps(Counter(record.outcome for record in load.records)) + "\n")


if __name__ == "__main__":
    allow_many_files()
    asyncio.run(run(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), float(sys.argv[4])))
