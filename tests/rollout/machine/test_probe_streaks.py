from __future__ import annotations

from router.rollout.machine.probe_streaks import ProbeStreaks
from router.rollout.model.events import ProbeCompleted

A, B = "http://a:1", "http://b:1"


def note(streaks: ProbeStreaks, url: str, ok: bool, at_ns: int, *, refused: bool = False, version: str = "v1") -> None:
    streaks.record(ProbeCompleted("svc", 0, version, url, ok, refused, "" if ok else "bad", 1.0, at_ns, False))


def test_unprobed_endpoints() -> None:
    streaks = ProbeStreaks()
    assert streaks.fewest_good(0, (A, B)) == 0
    assert not streaks.ready(0, (A, B))
    assert not streaks.all_failing(0, (A, B))
    assert not streaks.most_good(0, (A, B), 1)
    assert streaks.unreachable_since_ns(0, (A, B)) is None


def test_unreachable_since_the_last_endpoint_went() -> None:
    streaks = ProbeStreaks()
    note(streaks, A, False, 10, refused=True)
    assert streaks.unreachable_since_ns(0, (A, B)) is None
    note(streaks, B, False, 20, refused=True)
    note(streaks, A, False, 30, refused=True)
    assert streaks.unreachable_since_ns(0, (A, B)) == 20
    note(streaks, A, False, 40)
    assert streaks.unreachable_since_ns(0, (A, B)) is None
    assert streaks.all_failing(0, (A, B))


def test_another_tenant_starts_afresh() -> None:
    streaks = ProbeStreaks()
    note(streaks, A, True, 10)
    note(streaks, A, True, 20, version="v2")
    assert streaks.fewest_good(0, (A,)) == 1
    streaks.reset(0)
    assert streaks.fewest_good(0, (A,)) == 0


def test_the_gate_wants_more_than_half() -> None:
    streaks = ProbeStreaks()
    note(streaks, A, True, 10)
    note(streaks, B, False, 10)
    assert not streaks.most_good(0, (A, B), 1)
    assert streaks.ready(0, (A, B))
    assert streaks.detail(0) == "http://b:1: bad"
    assert streaks.most_good(0, (A,), 1)


def test_an_unknown_result_is_neither_good_nor_bad() -> None:
    streaks = ProbeStreaks()

    def unknown(ok: bool) -> None:
        streaks.record(ProbeCompleted("svc", 0, "v1", A, ok, False, "status 401", 1.0, 30, True, unknown=True))

    unknown(False)
    assert not streaks.ready(0, (A,))
    assert not streaks.all_failing(0, (A,))
    unknown(True)  # as ready as the settings say: an upgrade changes no readiness
    assert streaks.fewest_good(0, (A,)) == 1
    unknown(False)
    assert streaks.fewest_good(0, (A,)) == 1
    assert streaks.unauthorised(0, (A, B)) == [A]
    assert streaks.passes(0, (A,)) == []
    note(streaks, A, True, 40)
    assert streaks.unauthorised(0, (A, B)) == []
