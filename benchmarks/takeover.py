"""Take-overs under load with clients that never retry: what they lose, and how long each step takes.

Clients keep their connection and are idle for about a second between two requests, so that idle connections exist at every
moment of a take-over. Hogs make the machine busy. A request is lost if it was sent and not answered with 200; a connection is
refused if it was not let in.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import ssl
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.build import Build
from benchmarks.figures import quantile
from benchmarks.program import BenchmarkError, Program, allow_many_files, installed
from benchmarks.results import table, write
from benchmarks.soak.process import LoadProcess
from benchmarks.subject import Router, service_toml

TAKE_OVERS: Final = 50
CLIENTS: Final = 150
HOGS: Final = 5
HOGS_MAX: Final = 16
HOG_LASTS_S: Final = 1800
"""A hog ends by itself after this time."""
PAUSE_S: Final = (0.9, 1.1)
APART_S: Final = (0.2, 1.2)
"""Between two take-overs, so that they meet the clients at ever other moments."""
LIMIT_S: Final = 120.0
REQUESTS_MIN: Final = 20_000
STEP: Final = re.compile(r"take-over: ((?!done)\w+) after ([\d.]+) s")
DONE: Final = re.compile(r"taken over from process \d+ within ([\d.]+) s")
REQUEST: Final = b"POST /infer HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\n{}"
ANSWER_TIMEOUT_S: Final = 30.0


@dataclass(slots=True)
class Counts:
    """What became of the clients' requests: `lost` by how, `closed` connections that the router closed while they were idle."""

    answered: int = 0
    announced: int = 0
    closed: int = 0
    refused: int = 0
    lost: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "answered": self.answered,
            "lost": self.lost.total(),
            "how": dict(self.lost),
            "refused": self.refused,
            "announced_closes": self.announced,
            "idle_closes": self.closed,
        }


def run(quick: bool, take_overs: int | None, hogs: int, tls: bool, before: str | None) -> None:
    """Measure, print the tables, write results/takeover.json (with TLS: takeover-tls.json); fail if a request was lost.

    With `before`, a revision, routers of that revision and of this one take over from each other in turn.
    """
    allow_many_files()
    number = take_overs or (3 if quick else TAKE_OVERS)
    if number < 1 or not 0 <= hogs <= HOGS_MAX:
        raise BenchmarkError(f"--take-overs {number} --hogs {hogs}: at least 1, and 0 to {HOGS_MAX}")
    with tempfile.TemporaryDirectory(prefix="rollback-router-takeover-") as name, busy(hogs):
        pythons = (str(Build(before).python) if before else sys.executable, sys.executable)
        figures = asyncio.run(_measure(Path(name), number, tls, pythons))
    settings = {"take_overs": number, "clients": CLIENTS, "pause_s": PAUSE_S, "hogs": hogs, "workers": 2, "tls": tls}
    kind = "takeover-before" if before else "takeover"
    path = write(f"{kind}-tls" if tls else kind, quick, {**settings, "before": before}, figures)
    print(show(figures, number, hogs))
    print(f"\nwritten: benchmarks/{path.parent.name}/{path.name}")
    clients = figures["clients"]
    if clients["lost"] or clients["refused"]:
        raise BenchmarkError(f"{clients['lost']} requests were lost ({clients['how']}), {clients['refused']} refused")
    if take_overs is None and not quick and clients["answered"] < REQUESTS_MIN:
        raise BenchmarkError(f"{clients['answered']} requests are fewer than {REQUESTS_MIN}: the machine was too slow")


def show(figures: dict[str, Any], number: int, hogs: int) -> str:
    """Return both tables."""
    clients = figures["clients"]
    rows = [[name.replace("_", " "), value] for name, value in clients.items() if name != "how"]
    steps = [
        [step, *(f"{one[name]:.2f}" for name in ("min", "p50", "max"))] for step, one in figures["steps_s"].items()
    ]
    title = f"{number} take-overs, {CLIENTS} clients that never retry, idle for about a second, beside {hogs} hogs"
    title += f" (load average {figures['load_average']['p50']:g})"
    return table(title, ["", "number"], rows) + "\n" + table("seconds until", ["", "min", "p50", "max"], steps)


def steps_of(log: str) -> dict[str, float]:
    """Return the steps of one take-over in the new router's log, in seconds since its request for the sockets."""
    found = {step: float(after_s) for step, after_s in STEP.findall(log)}
    if done := DONE.search(log):
        found["yours"] = float(done[1])
    return found


def spread(runs: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Return min, median and max of each step over the runs that have it."""
    names = list(dict.fromkeys(name for one in runs for name in one))
    values = {name: [one[name] for one in runs if name in one] for name in names}
    return {
        name: {"min": min(some), "p50": quantile(some, 0.5), "max": max(some)} for name, some in values.items() if some
    }


@contextmanager
def busy(number: int) -> Iterator[None]:
    """While entered, `number` processes use all CPU that they get."""
    code = f"import time\nend = time.monotonic() + {HOG_LASTS_S}\nwhile time.monotonic() < end: pass"
    running = [subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.DEVNULL) for _ in range(number)]
    try:
        yield
    finally:
        for hog in running:
            hog.kill()
            hog.wait()


async def _measure(folder: Path, number: int, tls: bool, pythons: tuple[str, str]) -> dict[str, Any]:
    trust, more = _certificate(folder) if tls else (None, "")
    with LoadProcess("backend", 1) as backend:
        services = service_toml("default", ("v1", backend.line()["port"]))
        router = await asyncio.to_thread(Router, folder, more + services, workers=2, python=pythons[0])
        running = [router.program]
        counts, until = Counts(), asyncio.Event()
        runs: list[dict[str, float]] = []
        loads: list[float] = []
        draw = random.Random(1)
        clients = [asyncio.create_task(_client(router.port, trust, counts, until)) for _ in range(CLIENTS)]
        try:
            for turn in range(number):
                await asyncio.sleep(draw.uniform(*APART_S))
                new, steps = await _take_over(folder, running[-1], turn, pythons[(turn + 1) % 2])
                running.append(new)
                runs.append(steps)
                loads.append(os.getloadavg()[0])
            await asyncio.sleep(2 * PAUSE_S[1])
        finally:
            until.set()
            await asyncio.gather(*clients)
            await asyncio.to_thread(_stop, running)
    load = spread([{"load": round(one, 1)} for one in loads])["load"]
    return {"clients": counts.as_dict(), "load_average": load, "steps_s": spread(runs), "runs": runs}


async def _take_over(folder: Path, old: Program, turn: int, python: str) -> tuple[Program, dict[str, float]]:
    """Start another router in the place of `old`; return it, and how long each step took from its start on."""
    command = [python, "-P", "-m", "router", "run", "--config", str(folder / "router.toml"), "--take-over"]
    began_s = time.monotonic()
    new = await asyncio.to_thread(Program, command, folder / f"take-over-{turn}.log")
    owned_s = None
    while old.process.poll() is None or owned_s is None:
        await asyncio.sleep(0.01)
        new.check_alive()
        if owned_s is None and DONE.search(new.log.read_text(errors="replace")):
            owned_s = time.monotonic() - began_s
        if time.monotonic() - began_s > LIMIT_S:
            raise BenchmarkError(f"take-over {turn} is not over after {LIMIT_S:g} s:\n{new.log.read_text()[-2000:]}")
    left_s = time.monotonic() - began_s
    if old.process.returncode:
        raise BenchmarkError(f"the old router left with {old.process.returncode}:\n{old.log.read_text()[-2000:]}")
    steps_s = steps_of(new.log.read_text(errors="replace"))
    started_s = owned_s - steps_s["yours"]
    steps = {"asked for the sockets": started_s, **{name: started_s + after_s for name, after_s in steps_s.items()}}
    return new, {name: round(value, 3) for name, value in {**steps, "the old router left": left_s}.items()}


def _stop(running: list[Program]) -> None:
    for program in reversed(running):
        program.stop()


async def _client(port: int, trust: ssl.SSLContext | None, counts: Counts, until: asyncio.Event) -> None:
    draw = random.Random()
    await asyncio.sleep(draw.uniform(0, PAUSE_S[1]))
    while not until.is_set():
        try:
            reader, writer = await asyncio.wait_for(
                asyncio.open_connection("127.0.0.1", port, ssl=trust), ANSWER_TIMEOUT_S
            )
        except (OSError, TimeoutError):
            counts.refused += 1
            await asyncio.sleep(0.1)
            continue
        try:
            while await _ask(reader, writer, counts) and not until.is_set():
                await asyncio.sleep(draw.uniform(*PAUSE_S))
        finally:
            writer.close()


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, counts: Counts) -> bool:
    """Send one request and count what becomes of it; return whether the connection may be used again."""
    if reader.at_eof():
        counts.closed += 1
        return False
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            writer.write(REQUEST)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(head.partition(b"content-length: ")[2].split(b"\r\n")[0]))
    except (OSError, EOFError, TimeoutError) as error:
        counts.lost[type(error).__name__] += 1
        return False
    if not head.startswith(b"http/1.1 200 "):
        counts.lost[head[9:12].decode()] += 1
        return False
    counts.answered += 1
    close = b"\r\nconnection: close\r\n" in head
    counts.announced += close
    return not close


def _certificate(folder: Path) -> tuple[ssl.SSLContext, str]:
    """Make a self-signed certificate; return a context that trusts it, and the router's settings."""
    pair = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            *(installed("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-out", str(pair[0]), "-keyout", str(pair[1])),
        ],
        check=True,
        capture_output=True,
    )
    return ssl.create_default_context(cafile=str(pair[0])), f'[tls]\ncertificate = "{pair[0]}"\nkey = "{pair[1]}"\n\n'
