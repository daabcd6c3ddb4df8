"""`failover --cases`: what public reports say of model servers, with real processes: what goes back, how soon, and what stays.

A run copies a stored journal with a baseline, which the benchmark has made with the shipped program, and starts the router on it.
It deploys a version on fresh backend processes, promotes it, lets it work, and switches the fault on in the backends.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.failover import Backend
from benchmarks.load import INFERENCE, OK, Load
from benchmarks.program import BenchmarkError, allow_many_files
from benchmarks.results import table, write
from benchmarks.subject import Router, service_toml

WORKERS: Final = 2
RATES: Final = (200.0, 2.0, 0.2)
PATH: Final = "/v1/chat/completions"
LEARNING: Final = (
    "[services.default.acceptance]\nafter_s = 5.0\nrequests_min = 300\n[services.default.rules]\nwarmup_s = 1.0\n"
)
"""Settings with which the stored journal is made: its baseline needs seconds instead of ten minutes."""
LEARNING_RATE: Final = 100.0
LEARN_TIMEOUT_S: Final = 60.0
HOLD_S: Final = 40.0
"""A version that must stay is watched for so long."""
SOON: Final = {200.0: 12.0, 2.0: 20.0, 0.2: 60.0}
QUICK: Final = {200.0: 4.0, 2.0: 20.0, 0.2: 60.0}


@dataclass(frozen=True, slots=True)
class Case:
    """`order` is the command to the first `bad` of `endpoints` backends. `within_s`: by rate, the limit of the rollback after it;
    empty: the version stays. `well`: the behaviour before, of both versions. `failures_max`: share of client failures after the
    fault, for versions that stay.
    """

    name: str
    order: str
    within_s: Mapping[float, float] = field(default_factory=dict)
    well: str = "healthy"
    endpoints: int = 1
    bad: int = 1
    settings: str = ""
    patience_s: float = 20.0
    one_client: bool = False
    poison: bool = False
    failures_max: float = 1.0
    hold_s: float = HOLD_S


CASES: Final = (
    Case("hang", "hang", SOON),
    Case("E1 dead engine, GET stays 200", "dead", SOON),
    Case("E1 behind one gateway", "dead", SOON, one_client=True),
    Case("E1 clients leave after 5 s", "dead", SOON, patience_s=5.0),
    Case("E3 keep-alive comments", "comments", SOON, "stream"),
    Case("E4 head, then silence", "silent", SOON, "stream"),
    Case("E6 404 to everything", "status 404", SOON),
    Case("E7 error as first event", "error-event", QUICK, "stream"),
    Case("E7 error after a token", "late-error", QUICK, "stream"),
    Case("errors 100 %", "errors 1.0", QUICK),
    Case("two replicas bad of three", "errors 1.0", {200.0: 60.0}, endpoints=3, bad=2),
    Case("E8 one replica of four fails", "errors 1.0", endpoints=4, failures_max=0.01),
    Case("E8 one replica of four hangs", "dead", endpoints=4, failures_max=0.01),
    Case("E8 one replica of four is slow", "slow 3.0", endpoints=4, failures_max=0.01),
    Case("E10 poison requests of one client", "poison", poison=True),
    Case("E11 answers take 7 s, as before", "slow 7.0", well="slow 7.0", patience_s=60.0),
    Case("E12 503 with Retry-After for 8 s", "status 503", hold_s=8.0),
    Case("E12 503 with Retry-After for ever", "status 503", {200.0: 75.0}),
    Case("E13 clients leave at once", "slow 1.0", patience_s=0.5),
)


@dataclass(slots=True)
class CaseRun:
    """One run. `after_s`: seconds from the fault to the decision to go back; None: the version stayed."""

    case: str
    rate: float
    number: int
    after_s: float | None
    trigger: str
    reason: str
    clients: dict[str, int]
    alarms: list[str]
    complaint: str | None


def run(quick: bool, runs: int | None, rate: float, only: str) -> None:
    """Run the cases, print the table, write results/failover-cases.json."""
    allow_many_files()
    chosen = [case for case in CASES if only in case.name]
    found: list[CaseRun] = []
    with tempfile.TemporaryDirectory(prefix="rollback-router-cases-") as name:
        for case in chosen:
            if case.within_s and rate not in case.within_s:
                continue
            found += asyncio.run(_runs(Path(name), case, rate, runs or (1 if quick else 5)))
    path = write(
        "failover-cases" if rate == RATES[0] else f"failover-cases-{rate:g}",
        quick,
        {"workers": WORKERS, "requests_per_s": rate},
        {"runs": [asdict(one) for one in found]},
    )
    print(show(found))
    print(f"\nwritten: benchmarks/{path.parent.name}/{path.name}")


def show(found: list[CaseRun]) -> str:
    """Return the table."""
    head = ["case", "requests/s", "run", "rolled back after, s", "by", "failed clients", "wrong"]
    rows = [
        [
            one.case,
            f"{one.rate:g}",
            one.number,
            "-" if one.after_s is None else f"{one.after_s:.1f}",
            one.trigger or "-",
            sum(count for ending, count in one.clients.items() if ending != OK),
            one.complaint or "",
        ]
        for one in found
    ]
    return table("model servers as reported, real processes", head, rows)


async def _runs(folder: Path, case: Case, rate: float, runs: int) -> list[CaseRun]:
    """Make the journal of this case's healthy behaviour once, then run."""
    good = [await Backend.start(seed) for seed in (1, 2)]
    store = folder / case.name.replace(" ", "-").replace("/", "-")
    try:
        for backend in good:
            await backend.change(case.well)
        await _learn(store, case, good)
        found = []
        for number in range(1, runs + 1):
            found.append(await _one(store, store / f"run{number}", case, rate, number, good))
            shutil.rmtree(store / f"run{number}")
        return found
    finally:
        for backend in good:
            await backend.stop()


def _settings(case: Case, good: list[Backend]) -> str:
    return service_toml("default", ("v0", good[0].port), more=case.settings.splitlines())


async def _learn(store: Path, case: Case, good: list[Backend]) -> None:
    """Promote v1 and wait until it is accepted: its baseline stands in the journal."""
    router = await asyncio.to_thread(Router, store, _settings(case, good) + LEARNING, workers=WORKERS)
    load = Load(router.port, PATH, LEARNING_RATE, timeout_s=60.0)
    try:
        await _promote(router, "v1", good[1:])
        await _until(lambda: _service(router)["accepted"], "accept v1", LEARN_TIMEOUT_S)
    finally:
        await load.stop()
        await asyncio.to_thread(router.stop)


async def _one(store: Path, folder: Path, case: Case, rate: float, number: int, good: list[Backend]) -> CaseRun:
    folder.mkdir()
    shutil.copytree(store / "state", folder / "state")
    router = await asyncio.to_thread(Router, folder, _settings(case, good), workers=WORKERS)
    backends = [await Backend.start(100 * number + seed) for seed in range(case.endpoints)]
    for backend in backends:
        await backend.change(case.well)
    addresses = ("127.0.0.2",) if case.one_client else tuple(f"127.0.0.{last}" for last in range(2, 8))
    load = Load(router.port, PATH, rate, timeout_s=case.patience_s, addresses=addresses)
    poison: Load | None = None
    try:
        await _promote(router, "v2", backends)
        await asyncio.sleep(max(5.0, 25 / rate))
        if case.poison:
            poison = Load(
                router.port, PATH, 0.5, body=INFERENCE[:-1] + b',"poison":1}', addresses=("127.0.0.9",), variants=1
            )
        faults = [await backend.change(case.order) for backend in backends[: case.bad]]
        return await _watch(router, load, case, rate, number, faults[-1])
    finally:
        for backend in backends:
            await backend.stop()
        for one in (load, poison):
            if one is not None:
                await one.stop()
        await asyncio.to_thread(router.stop)


async def _watch(router: Router, load: Load, case: Case, rate: float, number: int, fault_ns: int) -> CaseRun:
    limit_s = case.within_s.get(rate)
    deadline = time.monotonic() + (case.hold_s if limit_s is None else 2 * limit_s + 10)
    entry: dict[str, Any] | None = None
    while entry is None and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
        entry = await asyncio.to_thread(_rollback, router)
    alarms = [alarm["code"] for alarm in (await asyncio.to_thread(router.admin.get, "/v1/status"))["alarms"]]
    records = [record for record in load.records if record.begun_ns >= fault_ns and record.ended_ns]
    clients = dict(Counter(record.outcome for record in records).most_common())
    after_s = None if entry is None else (entry["monotonic_ns"] - fault_ns) / 1e9
    trigger = {} if entry is None else entry["data"]["trigger"]
    name = " ".join(filter(None, (trigger.get("kind"), trigger.get("detail"))))
    complaint = _complaint(case, limit_s, after_s, name, clients)
    print(f"{case.name}, {rate:g}/s, {number}: {name or 'stays'} {after_s or 0:.1f} s {complaint or ''}", flush=True)
    return CaseRun(case.name, rate, number, after_s, name, trigger.get("reason", ""), clients, alarms, complaint)


def _complaint(
    case: Case, limit_s: float | None, after_s: float | None, trigger: str, clients: Mapping[str, int]
) -> str | None:
    failed, asked = sum(count for ending, count in clients.items() if ending != OK), sum(clients.values())
    if limit_s is not None:
        return None if after_s is not None and after_s <= limit_s else f"right is within {limit_s:g} s"
    if after_s is not None:
        return f"rolled back by {trigger}"
    return f"{failed} of {asked} failed" if failed > case.failures_max * max(asked, 1) else None


def _rollback(router: Router) -> dict[str, Any] | None:
    entries = router.admin.get("/v1/journal?limit=1000")["entries"]
    found = [one for one in entries if one["type"] == "rolled_back" and one["data"]["from"] == "v2"]
    return found[0] if found else None


def _service(router: Router) -> dict[str, Any]:
    found = router.service()
    active = next(target for target in found["targets"] if target["version"] == found["active"])
    return {**found, "accepted": found["active"] == "v1" and active.get("accepted", False)}


async def _promote(router: Router, version: str, backends: list[Backend]) -> None:
    urls = [f"http://127.0.0.1:{backend.port}" for backend in backends]
    await asyncio.to_thread(lambda: router.admin.post("/v1/services/default/deploy", version=version, endpoints=urls))

    def ready() -> bool:
        return any(
            target["version"] == version and target["ready"] and target["role"] == "candidate"
            for target in router.service()["targets"]
        )

    await _until(ready, f"find {version} ready", 30.0)
    await asyncio.to_thread(lambda: router.admin.post("/v1/services/default/promote", version=version))


async def _until(holds: Callable[[], Any], what: str, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not await asyncio.to_thread(holds):
        if time.monotonic() > deadline:
            raise BenchmarkError(f"the router did not {what} in {timeout_s:g} s")
        await asyncio.sleep(0.1)
