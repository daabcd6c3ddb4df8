"""When the supervisor ticks again: seldom at rest, and in time for what becomes due."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from router.supervisor.pause import REST_S, TICK_S, pause_s

NOW_NS = 10_000_000_000


@dataclass
class FakeChild:
    silent_for_s: float = 0.05
    up: bool = True
    document: int = 3

    def silent_s(self, now_ns: int, watched_since_ns: int) -> float:
        assert (now_ns, watched_since_ns) == (NOW_NS, 1)
        return self.silent_for_s


def pause(*children: FakeChild, limit_s: float = 5.0, ping_ns: int | None = None) -> float:
    return pause_s([(child, limit_s, 3) for child in (FakeChild(), *children)], NOW_NS, 1, ping_ns)


def test_at_rest_the_pause_is_long() -> None:
    assert pause(FakeChild()) == REST_S


@pytest.mark.parametrize("child", [FakeChild(up=False), FakeChild(document=2)])
def test_a_child_that_starts_or_has_older_settings_keeps_the_pause_short(child: FakeChild) -> None:
    assert pause(child) == TICK_S


def test_the_pause_ends_when_a_child_would_be_silent_for_too_long() -> None:
    assert pause(FakeChild(4.75)) == pytest.approx(0.25)
    assert pause(FakeChild(0.25), limit_s=0.5) == pytest.approx(0.25)
    assert pause(FakeChild(6.0)) == TICK_S, "it was killed: its end is near"


def test_the_pause_ends_when_the_watchdog_of_systemd_is_due() -> None:
    assert pause(ping_ns=NOW_NS + 300_000_000) == pytest.approx(0.3)
    assert pause(ping_ns=NOW_NS - 1) == TICK_S
    assert pause(ping_ns=NOW_NS + 2_000_000_000) == REST_S
