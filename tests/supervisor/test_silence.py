"""Silence of a child counts only while the supervisor runs: after a late tick it counts from that tick on."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from router.runtime import clock
from router.shm import layout as at
from router.shm import segment
from router.supervisor.pause import REST_S, TICK_S
from router.supervisor.supervisor import Supervisor

LIMIT_S = 1.2


class SilentControl:
    """Control that wrote its last heartbeat at `beat_ns`."""

    name, index, pid, running, up, document = "control", None, 7, True, True, 1

    def __init__(self, beat_ns: int) -> None:
        self.beat_ns = beat_ns
        self.sent: list[signal.Signals] = []

    def ended(self) -> int | None:
        return None

    def silent_s(self, now_ns: int, watched_since_ns: int) -> float:
        return (now_ns - max(self.beat_ns, watched_since_ns)) / 1e9

    def is_silent(self, now_ns: int, watched_since_ns: int, limit_s: float) -> bool:
        return self.silent_s(now_ns, watched_since_ns) > limit_s

    def send(self, number: signal.Signals) -> None:
        self.sent.append(number)


class Watch:
    """A supervisor at rest with one child."""

    def __init__(self, supervisor: Supervisor, control: SilentControl) -> None:
        self.supervisor, self.control, self.now_ns = supervisor, control, control.beat_ns
        self.waited_s: list[float] = []

    def tick(self) -> None:
        self.supervisor.tick(self.now_ns)

    def wait(self, pass_s: float | None = None) -> None:
        """Wait for the next tick, for `pass_s` seconds instead of those that it asked for."""

        def wait(timeout_s: float, others: object) -> list[int]:
            self.waited_s.append(timeout_s)
            self.now_ns += round((timeout_s if pass_s is None else pass_s) * 1e9)
            return []

        signals: Any = SimpleNamespace(wait=wait)
        self.supervisor._wait(signals)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    memory = segment.create(1, 1)
    memory.words[at.H_SETTINGS] = 1
    control = SilentControl(beat_ns=10**12)
    monkeypatch.setattr(clock, "now_ns", lambda: control.beat_ns)
    timeouts = SimpleNamespace(control_silent_s=LIMIT_S, worker_silent_s=LIMIT_S)
    processes: Any = SimpleNamespace(segment=memory, control=control, workers=[], newest_document=lambda child: 1)
    settings: Any = SimpleNamespace(timeouts=timeouts, services={})
    options: Any = SimpleNamespace(origin="a test")
    unused: Any = None
    supervisor = Supervisor(settings, options, unused, unused, unused, processes)
    old_router: Any = SimpleNamespace(is_idle=True, descriptors=(), tick=lambda now_ns: None)
    supervisor._old_router, supervisor._announced = old_router, True
    found = Watch(supervisor, control)
    monkeypatch.setattr(clock, "now_ns", lambda: found.now_ns)
    yield found
    memory.close()


def test_a_child_that_is_silent_while_the_supervisor_runs_is_killed(watch: Watch) -> None:
    for _ in range(4):
        watch.tick()
        watch.wait()
    watch.tick()
    assert watch.control.sent == [signal.SIGKILL]
    assert watch.waited_s == pytest.approx([REST_S, REST_S, LIMIT_S - 2 * REST_S, TICK_S])


def test_a_suspension_within_a_rest_is_no_silence(watch: Watch) -> None:
    watch.tick()
    watch.wait(pass_s=LIMIT_S + 0.05)
    watch.tick()
    assert not watch.control.sent


def test_a_suspension_within_a_tick_is_no_silence(watch: Watch) -> None:
    watch.tick()
    watch.now_ns += 30 * 10**9
    watch.wait()
    watch.tick()
    assert not watch.control.sent
