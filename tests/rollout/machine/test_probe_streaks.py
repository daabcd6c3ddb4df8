from __future__ import annotations

from dataclasses import replace

from router.rollout.machine.probe_streaks import ProbeStreaks
from router.rollout.model.events import ProbeCompleted
from router.rollout.model.target import State, Target

A, B = "http://a:1", "http://b:1"
BOTH = Target("v1", (A, B), State.STANDBY, 0, 0.0)
ONE = replace(BOTH, endpoints=(A,))


def note(streaks: ProbeStreaks, url: str, ok: bool, at_ns: int, *, refused: bool = False, version: str = "v1") -> None:
    streaks.record(ProbeCompleted("svc", version, url, ok, refused, "" if ok else "bad", 1.0, at_ns, False))


def test_unprobed_endpoints() -> None:
    streaks = ProbeStreaks()
    assert streaks.fewest_good(BOTH) == 0
    assert not streaks.ready(BOTH)
    assert not streaks.all_failing(BOTH)
    assert not streaks.most_good(BOTH, 1)
    assert streaks.unreachable_since_ns(BOTH) is None


def test_unreachable_since_the_last_endpoint_went() -> None:
    streaks = ProbeStreaks()
    note(streaks, A, False, 10, refused=True)
    assert streaks.unreachable_since_ns(BOTH) is None
    note(streaks, B, False, 20, refused=True)
    note(streaks, A, False, 30, refused=True)
    assert streaks.unreachable_since_ns(BOTH) == 20
    note(streaks, A, False, 40)
    assert streaks.unreachable_since_ns(BOTH) is None
    assert streaks.all_failing(BOTH)


def test_a_version_that_comes_in_again_starts_afresh() -> None:
    streaks = ProbeStreaks()
    note(streaks, A, True, 10)
    note(streaks, A, True, 20, version="v2")
    assert streaks.fewest_good(ONE) == streaks.fewest_good(replace(ONE, version="v2")) == 1
    streaks.reset("v1")
    assert (streaks.fewest_good(ONE), streaks.fewest_good(replace(ONE, version="v2"))) == (0, 1)


def test_the_gate_wants_more_than_half() -> None:
    streaks = ProbeStreaks()
    note(streaks, A, True, 10)
    note(streaks, B, False, 10)
    assert not streaks.most_good(BOTH, 1)
    assert streaks.ready(BOTH)
    assert streaks.detail("v1") == "http://b:1: bad"
    assert streaks.most_good(ONE, 1)


def test_an_unknown_result_is_neither_good_nor_bad() -> None:
    streaks = ProbeStreaks()

    def unknown(ok: bool) -> None:
        streaks.record(ProbeCompleted("svc", "v1", A, ok, False, "status 401", 1.0, 30, True, unknown=True))

    unknown(False)
    assert not streaks.ready(ONE)
    assert not streaks.all_failing(ONE)
    unknown(True)  # as ready as the settings say: an upgrade changes no readiness
    assert streaks.fewest_good(ONE) == 1
    unknown(False)
    assert streaks.fewest_good(ONE) == 1
    assert streaks.unauthorised(BOTH) == [A]
    assert streaks.passes(ONE) == []
    note(streaks, A, True, 40)
    assert streaks.unauthorised(BOTH) == []
