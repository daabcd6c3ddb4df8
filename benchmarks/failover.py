"""Fault to healthy: how long, and what clients see, when the version just promoted crashes, errs or hangs.

One router with two workers and two services, each under its own open-loop load all the time: one takes the crashes and
the errors, one the hangs (the shipped rules judge a hang only 30 s after a promotion, so both lines run side by side).
A run deploys a fresh version on a fresh backend process, promotes it, lets it work, switches the fault on in the
backend, which notes the time, and waits until the router has rolled back and clients are well again. *Healthy* is the
moment from which every request that begins succeeds for HEALTHY_S. The router gets no commands but deploy and promote.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import quantile
from benchmarks.load import OK, PENDING, TIMEOUT_S, Load, Record
from benchmarks.program import BenchmarkError, allow_many_files
from benchmarks.results import table, write
from benchmarks.subject import Router, service_toml

WORKERS: Final = 2
GOOD: Final = "good"
"""The version that serves before each run and after each rollback."""
UNCHECKED: Final = 'cases = { on_promote = "off" }'
"""Each run promotes a version right after a rollback, whose cases would have to be checked first."""
RATE: Final = 200.0
HEALTHY_S: Final = 5.0
PENDING_IS_BAD_S: Final = 1.0
"""While we watch, a request that has waited so long does not count as a success."""
DEADLINE_S: Final = 90.0


@dataclass(frozen=True, slots=True)
class Fault:
    """The command to the backend, and how long the version works well before."""

    name: str
    order: str
    settle_s: float
    linger: bool = False
    """Keep the failed backend until its waiting clients have ended."""


LINES: Final = {
    "first": [
        Fault("crash", "crash", 3.0),
        Fault("errors-100", "errors 1.0", 3.0),
        Fault("errors-30", "errors 0.3", 3.0),
    ],
    "second": [Fault("hang", "hang", 32.0, linger=True)],
}


@dataclass(slots=True)
class Outcome:
    """One run. Times in seconds since the backend changed; `clients` counts the requests that the fault may have met.

    Those are the requests under way at the fault or begun between fault and healthy, by what their client got.
    """

    fault: str
    number: int
    healthy_s: float
    rolled_back_s: float
    """The time of the rollback's decision in the journal entry (same monotonic clock)."""
    trigger: str
    swap_us: float
    confirmed_ms: float
    rescued: int
    """Requests begun on the failing version and answered well by the standby."""
    clients: dict[str, int]

    @property
    def client_errors(self) -> int:
        return sum(count for outcome, count in self.clients.items() if outcome != OK)


def run(quick: bool, runs: int | None, replay: str, only: str | None) -> None:
    """Measure, print the table, write results/failover.json (with replay other than the default: failover-REPLAY)."""
    allow_many_files()
    runs = runs or (2 if quick else 20)
    lines = {name: [f for f in faults if only in (None, f.name)] for name, faults in LINES.items()}
    with tempfile.TemporaryDirectory(prefix="rollback-router-failover-") as name:
        outcomes, lateness_s = asyncio.run(_all(Path(name), {k: v for k, v in lines.items() if v}, runs, replay))
    names = [fault.name for faults in lines.values() for fault in faults]
    figures = {name: summary([one for one in outcomes if one.fault == name]) for name in names}
    settings = {
        "workers": WORKERS,
        "requests_per_s_each_service": RATE,
        "healthy_s": HEALTHY_S,
        "client_timeout_s": TIMEOUT_S,
        "replay": replay,
        "load_lateness_max_ms": round(lateness_s * 1000, 1),
    }
    result = "failover" if replay == "unsent" else f"failover-{replay}"
    path = write(result, quick, settings, {**figures, "runs": [asdict(one) for one in outcomes]})
    print(show(figures, replay))
    print(f"\nwritten: benchmarks/{path.parent.name}/{path.name}")


def healthy_since_ns(records: Sequence[Record], fault_ns: int, now_ns: int) -> int | None:
    """Return when the first request of the unbroken row of successes up to now began, None if it is under HEALTHY_S.

    `records` are in the order of beginning. Requests younger than PENDING_IS_BAD_S that are still under way decide nothing.
    """
    since = last = None
    for record in reversed(records):
        if record.begun_ns < fault_ns:
            break
        if record.outcome == PENDING and now_ns - record.begun_ns < PENDING_IS_BAD_S * 1e9:
            continue
        if record.outcome != OK:
            break
        since = record.begun_ns
        last = last or record.begun_ns
    return since if since is not None and last is not None and last - since >= HEALTHY_S * 1e9 else None


def met_by(records: Sequence[Record], fault_ns: int, healthy_ns: int) -> dict[str, int]:
    """Return how the requests ended that were under way at the fault or begun between fault and healthy."""
    met = [r for r in records if r.begun_ns < healthy_ns and (r.outcome == PENDING or r.ended_ns >= fault_ns)]
    return dict(Counter(record.outcome for record in met).most_common())


def rescued(records: Sequence[Record], fault_ns: int, rolled_back_ns: int) -> int:
    """Return how many requests that met the fault before the route had changed were answered well by `good`."""
    return sum(
        record.outcome == OK and record.served == GOOD and record.ended_ns >= fault_ns
        for record in records
        if record.begun_ns < rolled_back_ns
    )


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the figures of one fault over its runs."""
    clients: Counter[str] = Counter()
    for one in outcomes:
        clients.update(one.clients)
    return {
        "runs": len(outcomes),
        **{
            name: {"p50": round(statistics.median(values), 3), "max": round(quantile(values, 1.0), 3)}
            for name, values in (
                ("healthy_s", [one.healthy_s for one in outcomes]),
                ("rolled_back_s", [one.rolled_back_s for one in outcomes]),
                ("confirmed_ms", [one.confirmed_ms for one in outcomes]),
                ("client_errors", [one.client_errors for one in outcomes]),
                ("rescued", [one.rescued for one in outcomes]),
            )
        },
        "triggers": dict(Counter(one.trigger for one in outcomes)),
        "clients": dict(clients.most_common()),
    }


def show(figures: dict[str, Any], replay: str) -> str:
    """Return the tables."""

    def pair(one: dict[str, Any], name: str) -> str:
        return f"{one[name]['p50']:g} / {one[name]['max']:g}"

    rows = [
        [name, one["runs"], *(pair(one, key) for key in ("healthy_s", "rolled_back_s", "client_errors", "rescued"))]
        for name, one in figures.items()
    ]
    title = f'p50 / max per run, {RATE:g} requests/s, replay = "{replay}"'
    head = ["fault", "runs", "fault → healthy, s", "fault → rolled back, s", "client errors", "rescued"]
    kinds = [
        [f"{name}: {outcome}", count] for name, one in figures.items() for outcome, count in one["clients"].items()
    ]
    return table(title, head, rows) + table(
        "\nrequests under way at the fault or begun before healthy, all runs",
        ["what the client got", "requests"],
        kinds,
    )


async def _all(folder: Path, lines: dict[str, list[Fault]], runs: int, replay: str) -> tuple[list[Outcome], float]:
    good = {name: await Backend.start(seed) for seed, name in enumerate(lines)}
    more = {name: [f'path_prefix = "/{name}"', f'replay = "{replay}"'] for name in lines}
    services = "".join(service_toml(name, (GOOD, good[name].port), more=[*more[name], UNCHECKED]) for name in lines)
    router = await asyncio.to_thread(Router, folder / "router", services, workers=WORKERS)
    try:
        work = [Line(router, name, faults, runs).run() for name, faults in lines.items()]
        done = await asyncio.gather(*work)
    finally:
        await asyncio.to_thread(router.stop)
        for backend in good.values():
            await backend.stop()
    outcomes = [one for outcomes, _ in done for one in outcomes]
    return outcomes, max(lateness for _, lateness in done)


class Line:
    """The runs of one service, one after another, under one load."""

    def __init__(self, router: Router, service: str, faults: list[Fault], runs: int) -> None:
        self._router = router
        self._service = service
        self._path = f"/v1/services/{service}"
        self._plan = [(fault, number) for fault in faults for number in range(1, runs + 1)]
        self._load: Load
        self._seen_seq = 0

    async def run(self) -> tuple[list[Outcome], float]:
        """Return the outcomes and how late the load ever was, in seconds."""
        self._load = Load(self._router.port, f"/{self._service}/v2/models/fraud/infer", RATE)
        finishing: list[asyncio.Task[Outcome]] = []
        coming = asyncio.create_task(self._bring(0))
        for position in range(len(self._plan)):
            backend = await coming
            finish, coming = await self._one(position, backend)
            finishing.append(asyncio.create_task(finish))
        outcomes = [await task for task in finishing]
        await (await coming).stop()
        await self._load.stop()
        return outcomes, self._load.lateness_max_s

    async def _bring(self, position: int) -> Backend:
        """Start the backend of a run and deploy it as candidate, ready to be promoted; past the last run: a bare backend."""
        backend = await Backend.start(1000 + position)
        if position < len(self._plan):
            version = self._version(position)
            endpoint = f"http://127.0.0.1:{backend.port}"
            await self._post("deploy", version=version, endpoints=[endpoint])
            await self._until(lambda service: _is_ready(service, version), f"find {version} ready", 30.0)
        return backend

    async def _one(self, position: int, backend: Backend) -> tuple[Any, asyncio.Task[Backend]]:
        fault, number = self._plan[position]
        version = self._version(position)
        await self._post("promote", version=version, reason="benchmark")
        await asyncio.sleep(fault.settle_s)
        fault_ns = await backend.change(fault.order)
        await self._until(lambda service: service["active"] == GOOD, f"roll {version} back", DEADLINE_S)
        coming = asyncio.create_task(self._bring(position + 1))
        healthy_ns = await self._healthy(fault_ns)
        met = self._may_have_met(fault_ns)
        incident = await self._incident(version)
        entry = await self._journalled(version)
        rolled_back_ns = entry["monotonic_ns"]
        print(f"{fault.name} {number}: healthy after {(healthy_ns - fault_ns) / 1e9:.3f} s", flush=True)

        async def finish() -> Outcome:
            if fault.linger:
                await asyncio.sleep(TIMEOUT_S + 1)
            await backend.stop()
            return Outcome(
                fault=fault.name,
                number=number,
                healthy_s=(healthy_ns - fault_ns) / 1e9,
                rolled_back_s=(rolled_back_ns - fault_ns) / 1e9,
                trigger=" ".join(filter(None, (incident["trigger"]["kind"], incident["trigger"]["detail"]))),
                swap_us=incident["swap_us"],
                confirmed_ms=incident["confirmed_ms"],
                rescued=rescued(met, fault_ns, rolled_back_ns),
                clients=met_by(met, fault_ns, healthy_ns),
            )

        return finish(), coming

    def _may_have_met(self, fault_ns: int) -> list[Record]:
        """Return the records that can have met the fault: from one client timeout before it until now."""
        oldest_ns = fault_ns - int(TIMEOUT_S * 1e9)
        return [record for record in self._load.records if record.begun_ns >= oldest_ns]

    async def _healthy(self, fault_ns: int) -> int:
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            since = healthy_since_ns(self._load.records, fault_ns, time.monotonic_ns())
            if since is not None:
                return since
            await asyncio.sleep(0.1)
        raise BenchmarkError(f"{self._service}: clients were not well {DEADLINE_S:g} s after the rollback")

    async def _incident(self, version: str) -> dict[str, Any]:
        found = await self._read("incidents")
        mine = [one for one in found["incidents"] if (one["service"], one["from"]) == (self._service, version)]
        return self._only(mine, f"incidents of {version}")

    async def _journalled(self, version: str) -> dict[str, Any]:
        """Return the journal's entry of the rollback from `version`, which is newer than all that were looked at before."""
        page = await self._read(f"journal?limit=1000&service={self._service}&after={self._seen_seq}")
        entries = page["entries"]
        self._seen_seq = entries[-1]["seq"] if entries else self._seen_seq
        mine = [one for one in entries if one["type"] == "rolled_back" and one["data"]["from"] == version]
        return self._only(mine, f"entries of the rollback from {version}")

    async def _read(self, path: str) -> dict[str, Any]:
        return await asyncio.to_thread(self._router.admin.get, f"/v1/{path}")

    def _only(self, found: list[dict[str, Any]], what: str) -> dict[str, Any]:
        if len(found) != 1:
            raise BenchmarkError(f"{self._service}: {len(found)} {what} instead of one")
        return found[0]

    async def _until(self, holds: Callable[[dict[str, Any]], bool], what: str, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not holds(service := await self._get()):
            if time.monotonic() > deadline:
                raise BenchmarkError(f"{self._service}: the router did not {what} in {timeout_s:g} s: {service}")
            await asyncio.sleep(0.05)

    async def _get(self) -> dict[str, Any]:
        return await self._read(f"services/{self._service}")

    async def _post(self, verb: str, **members: object) -> None:
        await asyncio.to_thread(lambda: self._router.admin.post(f"{self._path}/{verb}", **members))

    def _version(self, position: int) -> str:
        fault, number = self._plan[position]
        return f"{fault.name}-{number}"


class Backend:
    """A `benchmarks.backend` process and the pipe that tells it what to do."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.port = port
        self._process = process

    @classmethod
    async def start(cls, seed: int) -> Backend:
        """Start one; `seed` decides which requests it fails when it fails a share of them."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "benchmarks.backend",
            str(seed),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=Path(__file__).parent.parent,
        )
        assert process.stdout is not None
        return cls(process, json.loads(await process.stdout.readline())["port"])

    async def change(self, order: str) -> int:
        """Make it behave so from now on; return its own monotonic time (ns) of the change."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(order.encode() + b"\n")
        return int(json.loads(await self._process.stdout.readline())["changed_ns"])

    async def stop(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


def _is_ready(service: dict[str, Any], version: str) -> bool:
    return any(
        target["version"] == version and target["role"] == "candidate" and target["state"] == "ready"
        for target in service["targets"]
    )
