"""One run: every round starts the peers afresh and gives each work to all of them in turns.

Stages of a round: all peers before the nginx backend (works a, b, c, d, f, g), the same with TLS (k, l, m), before the
streaming backend (e), and at rest (j); then one peer at a time (h with one and with two workers, i from a fresh start). What
fails for a peer is noted with its reason and has no figure; what fails for the router ends the run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from benchmarks.build import Build
from benchmarks.peers import closed_loop, handshakes, header_work, idle, latency, rest, streams, tls
from benchmarks.peers.environment import Environment
from benchmarks.peers.peer import BEFORE, CONF, OURS, PEERS, ROUTER, Peer, Started, start
from benchmarks.peers.work import Work
from benchmarks.program import BenchmarkError, Program, free_port

DIRECT: Final = "direct"
RATE: Final = 1000.0
Name = TypeVar("Name")


@dataclass(frozen=True, slots=True)
class Reading:
    """One peer with one work in one round; `figure` among the values is what is compared."""

    work: str
    peer: str
    round: int
    values: dict[str, float]


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything: a full run, or a quick one."""

    rounds: int
    slices: int
    slice_s: int
    latency_s: float
    streams: int
    chunks: int
    interval_ms: int
    idle_first: int
    idle_more: int
    seldom_rounds: int
    """Rounds for what is not in `OFTEN` on `OFTEN_ON`."""
    rest_s: float


FULL: Final = Size(9, 1, 2, 3.0, 500, 100, 50, 500, 1000, 3, 10.0)
QUICK: Final = Size(2, 1, 1, 1.0, 100, 100, 10, 300, 500, 2, 2.0)
OFTEN: Final = frozenset((*OURS, "nginx", "nginx-bare", "haproxy"))
OFTEN_ON: Final = frozenset("abefghjklm")
"""Where a bar is close and the rounds must tell."""
STAGES: Final = (
    (False, ("closed", "latency"), "nginx"),
    (True, ("closed", "handshakes"), "nginx"),
    (False, ("streams",), "streaming"),
    (False, ("rest",), "nginx"),
)
"""What runs while the same peers are started: with TLS or not, which kinds of work, before which backend."""


class Comparison:
    """The peers that take part, what was read, and why something was not."""

    def __init__(
        self,
        names: list[str],
        environments: dict[str, Environment],
        works: list[Work],
        size: Size,
        folder: Path,
        before: Build | None = None,
    ) -> None:
        self.readings: list[Reading] = []
        self.notes: dict[str, str] = {}
        """By "peer" or "peer, work": why there is no figure."""
        self.header_work: dict[str, list[str]] = {}
        self.agreements: dict[str, tls.Agreement] = {}
        """What was agreed on with each peer that was measured with TLS."""
        self._names = [ROUTER, *([BEFORE] if before else []), *names]
        self._before = before
        self._environments = environments
        self._works = works
        self._size = size
        self._folder = folder
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            raise BenchmarkError("this benchmark needs two cores: one for the proxy, one for backend and load")
        # Interrupts mostly go to the first core: the proxies get the last one, two workers the last two of four.
        self._core, self._other = cores[-1], cores[0]
        self._pair = cores[-2:]
        self._certificate = tls.make_certificate(folder) if any(work.tls for work in works) else None

    def round(self, number: int) -> None:
        """Measure everything that has its turn in this round once."""
        works = self._works_for(number)
        for is_tls, kind_set, backend in STAGES:
            given = [work for work in works if work.kind in kind_set and work.tls == is_tls]
            if given:
                with (self._streaming if backend == "streaming" else self._nginx)(number) as port:
                    self._together(number, port, given)
        for work in works:
            if work.kind in ("workers", "idle"):
                with self._nginx(number) as port:
                    self._alone(number, port, work)

    def _works_for(self, number: int) -> list[Work]:
        return [work for work in self._works if number < self._size.seldom_rounds or work.key in OFTEN_ON]

    def _names_for(self, work: Work, number: int) -> list[str]:
        names = [name for name in self._names if name in OURS or _takes_part(PEERS[name], work)]
        if number >= self._size.seldom_rounds:
            names = [name for name in names if name in OFTEN]
        return [name for name in names if name not in self.notes and f"{name}, {work.key}" not in self.notes]

    def _together(self, number: int, backend: int, works: list[Work]) -> None:
        with ExitStack() as stack:
            started: dict[str, Started] = {}
            for name in self._names:
                if any(name in self._names_for(work, number) for work in works):
                    with self._noting(name):
                        started[name] = self._start(name, number, backend, 1, [self._core], works[0])
                        stack.callback(started[name].stop)
            if works[0].kind not in ("streams", "rest") and number == 0:
                self._look_at_headers(started, works[0].tls)
            if works[0].tls:
                self._look_at_tls(started)
            for work in works:
                runs = {name: started[name] for name in self._names_for(work, number) if name in started}
                if work.kind == "closed":
                    self._closed(number, work, runs)
                elif work.kind == "latency":
                    self._latency(number, work, runs, backend)
                elif work.kind == "rest":
                    self._keep(work, number, rest.run(runs, self._size.rest_s))
                else:
                    self._turns(number, work, runs)

    def _look_at_tls(self, started: dict[str, Started]) -> None:
        """Ask each which suite and group it uses: a figure beside another algorithm would mean nothing."""
        for name, one in started.items():
            self.agreements[name] = tls.ask(name, one.port)

    def _look_at_headers(self, started: dict[str, Started], is_tls: bool) -> None:
        for name, one in started.items():
            if name in OURS or not PEERS[name].chat_only:
                with self._noting(name):
                    self.header_work[name] = header_work.missing(one.port, is_tls)
            if name in (*OURS, "nginx", "haproxy") and self.header_work.get(name):
                raise BenchmarkError(f"{name} does not do the header work: {self.header_work[name]}")

    def _closed(self, number: int, work: Work, runs: dict[str, Started]) -> None:
        uses = {name: closed_loop.Use(name, one, work) for name, one in runs.items()}
        bad: set[str] = set()
        for name, use in uses.items():
            with self._noting(name, work, bad):
                closed_loop.check(name, runs[name].port, work)
                use.load(1, self._other, counted=False)
        for turn in range(self._size.slices):
            for name in turned(list(uses), number + turn):
                if name not in bad:
                    with self._noting(name, work, bad):
                        uses[name].load(self._size.slice_s, self._other)
        self._keep(work, number, {name: use.values() for name, use in uses.items() if name not in bad})

    def _latency(self, number: int, work: Work, runs: dict[str, Started], backend: int) -> None:
        found: dict[str, dict[str, float]] = {}
        with self._on_core():
            for name in turned([DIRECT, *runs], number):
                if name == DIRECT:
                    found[name] = latency.run(backend, RATE, self._size.latency_s)
                else:
                    with self._noting(name, work):
                        found[name] = latency.run(runs[name].port, RATE, self._size.latency_s)
        direct = found[DIRECT]
        self._keep(work, number, {name: latency.added(values, direct) for name, values in found.items()})

    def _turns(self, number: int, work: Work, runs: dict[str, Started]) -> None:
        """Load one after the other by our own clients: streams, or requests with a handshake each."""
        size = self._size
        with self._on_core():
            for name in turned(list(runs), number):
                with self._noting(name, work):
                    if work.kind == "streams":
                        values = streams.run(name, runs[name], size.streams, size.chunks, size.interval_ms)
                    else:
                        values = handshakes.run(name, runs[name], work.connections, size.slices * size.slice_s)
                    self._keep(work, number, {name: values})

    def _alone(self, number: int, backend: int, work: Work) -> None:
        for name in turned(self._names_for(work, number), number):
            with self._noting(name, work):
                if work.kind == "idle":
                    values = self._idle(name, number, backend, work)
                else:
                    values = self._two_workers(name, number, backend, work)
                self._keep(work, number, {name: values})

    def _idle(self, name: str, number: int, backend: int, work: Work) -> dict[str, float]:
        one = self._start(name, number, backend, 1, [self._core], work)
        try:
            with self._on_core():
                return idle.run(name, one, self._size.idle_first, self._size.idle_more)
        finally:
            one.stop()

    def _two_workers(self, name: str, number: int, backend: int, work: Work) -> dict[str, float]:
        """Return 2 workers ÷ 1, both with the same cores, in turns."""
        with ExitStack() as stack:
            uses = {}
            for workers in (1, 2):
                one = self._start(name, number, backend, workers, self._pair, work)
                stack.callback(one.stop)
                uses[workers] = closed_loop.Use(f"{name} with {workers}", one, work)
                uses[workers].load(1, self._other, counted=False)
            for turn in range(self._size.slices):
                for workers in turned([1, 2], number + turn):
                    uses[workers].load(self._size.slice_s, self._other)
        one_us, two_us = uses[1].values()["figure"], uses[2].values()["figure"]
        return {"figure": round(two_us / one_us, 4), "one_us": one_us, "two_us": two_us}

    def _start(self, name: str, number: int, backend: int, workers: int, cores: list[int], work: Work) -> Started:
        return start(
            name,
            self._environments.get(name),
            self._folder / f"{name}-{number}-{free_port()}",
            backend=backend,
            workers=workers,
            cores=cores,
            certificate=self._certificate if work.tls else None,
            standby=work.kind == "rest",
            python=str(self._before.python) if self._before and name == BEFORE else sys.executable,
        )

    def _keep(self, work: Work, number: int, found: dict[str, dict[str, float]]) -> None:
        self.readings += [Reading(work.key, name, number, values) for name, values in found.items()]

    @contextmanager
    def _noting(self, name: str, work: Work | None = None, bad: set[str] | None = None) -> Iterator[None]:
        """Turn a peer's failure into a note; it takes no further part in this work (or in any)."""
        try:
            yield
        except (BenchmarkError, OSError) as error:
            if name == ROUTER:
                raise
            key = f"{name}, {work.key}" if work else name
            self.notes[key] = str(error)
            print(f"no figure for {key}: {str(error).splitlines()[0]}", file=sys.stderr)
            if bad is not None:
                bad.add(name)

    @contextmanager
    def _on_core(self) -> Iterator[None]:
        """Run our own load on the load's core."""
        mine = os.sched_getaffinity(0)
        os.sched_setaffinity(0, [self._other])
        try:
            yield
        finally:
            os.sched_setaffinity(0, mine)

    @contextmanager
    def _nginx(self, number: int) -> Iterator[int]:
        port = free_port()
        folder = self._folder / f"backend-{number}-{port}"
        folder.mkdir()
        closed_loop.write_files(folder)
        prefix = folder / "nginx"
        prefix.mkdir()
        (prefix / "backend.conf").write_text((CONF / "backend.conf").read_text().replace("@PORT@", str(port)))
        command = ["nginx", "-p", str(prefix), "-c", str(prefix / "backend.conf"), "-e", "stderr"]
        with Program(command, prefix / "log", cores=[self._other]) as program:
            program.wait_for_port(port)
            yield port

    @contextmanager
    def _streaming(self, number: int) -> Iterator[int]:
        port = free_port()
        size = self._size
        command = [sys.executable, "-m", "benchmarks.peers.stream_backend"]
        command += [str(port), str(size.interval_ms), str(size.chunks)]
        log = self._folder / f"streaming-{number}.log"
        root = Path(__file__).parent.parent.parent
        with Program(command, log, cores=[self._other], cwd=root) as program:
            program.wait_for_port(port)
            yield port


def _takes_part(peer: Peer, work: Work) -> bool:
    has_route = work.chat or not peer.chat_only
    is_chosen = not peer.works or work.key in peer.works
    return has_route and is_chosen and (peer.workers or work.kind != "workers") and (bool(peer.tls) or not work.tls)


def turned(names: list[Name], by: int) -> list[Name]:
    """Return the list begun at another place, so that nobody is always first."""
    first = by % len(names) if names else 0
    return names[first:] + names[:first]
