from __future__ import annotations

from router.rollout.judge.probe_evidence import ProbeEvidence
from router.rollout.machine.inference_probes import probe_evidence, standby_passes, warmed_by
from router.rollout.machine.probe_streaks import ProbeStreaks
from router.rollout.model.events import ProbeCompleted
from router.rollout.model.target import State, Target
from router.rollout.units import SECOND_NS

URLS = ("http://a:1", "http://b:1", "http://c:1")
ACTIVE = Target("v2", URLS, State.ACTIVE, 0, 0.0)
STANDBY = Target("v1", ("http://s:1",), State.STANDBY, 0, 0.0)


class Probed:
    """Streaks of both versions; times in seconds."""

    def __init__(self) -> None:
        self.streaks = ProbeStreaks()

    def see(
        self, url: str, ok: bool, at_s: float, *, late: bool = False, unknown: bool = False, inference: bool = True
    ) -> Probed:
        version = "v1" if url in STANDBY.endpoints else "v2"
        self.streaks.record(
            ProbeCompleted(
                "svc", version, url, ok, False, "" if ok else "status 500", 1.0, int(at_s * SECOND_NS), inference,
                unknown, late,
            )
        )  # fmt: skip
        return self

    def evidence(self) -> ProbeEvidence | None:
        return probe_evidence(self.streaks, ACTIVE, STANDBY, warmed=False)


def test_no_evidence_without_an_inference_probe() -> None:
    assert Probed().evidence() is None
    assert Probed().see(URLS[0], True, 1, inference=False).evidence() is None


def test_more_than_half_of_the_endpoints_fail_three_times() -> None:
    probed = Probed()
    for at_s in (1, 2, 3):
        probed.see(URLS[0], False, at_s)
    evidence = probed.see(URLS[2], True, 3).evidence()
    assert evidence is not None
    assert (evidence.failing, evidence.fails, evidence.since_ns) == (1, False, 0)
    for at_s in (11, 12):
        probed.see(URLS[1], False, at_s, late=True)
    assert not probed.evidence().fails  # type: ignore[union-attr]
    evidence = probed.see(URLS[1], False, 13, late=True).evidence()
    assert evidence is not None
    assert evidence.fails
    assert evidence.red
    assert evidence.since_ns == 11 * SECOND_NS
    assert not evidence.timeouts_only
    assert evidence.detail == "status 500"
    evidence = probed.see(URLS[1], True, 14).evidence()
    assert evidence is not None
    assert not evidence.fails
    assert evidence.last_good_ns == 14 * SECOND_NS


def test_only_time_outs() -> None:
    probed = Probed()
    for at_s in (1, 2, 3):
        for url in URLS:
            probed.see(url, False, at_s, late=True)
    evidence = probed.evidence()
    assert evidence is not None
    assert evidence.timeouts_only


def test_an_answer_that_wants_credentials_is_neither() -> None:
    probed = Probed()
    for at_s in range(5):
        for url in URLS:
            probed.see(url, True, at_s, unknown=True)
            probed.see(URLS[0], False, at_s, unknown=True)
    evidence = probed.evidence()
    assert evidence is not None
    assert (evidence.good, evidence.bad, evidence.failing, evidence.last_good_ns) == (0, 0, 0, 0)


def test_the_standbys_opinion() -> None:
    assert standby_passes(Probed().streaks, STANDBY) is None
    assert standby_passes(Probed().streaks, None) is None
    assert standby_passes(Probed().see("http://s:1", True, 1).streaks, STANDBY) is True
    assert standby_passes(Probed().see("http://s:1", False, 1).streaks, STANDBY) is False
    assert standby_passes(Probed().see("http://s:1", True, 1, unknown=True).streaks, STANDBY) is None


def test_warm_after_enough_probes_in_the_minute_before_the_promotion() -> None:
    probed = Probed()
    for at_s in (30, 41, 50, 60, 70):
        probed.see(URLS[0], True, at_s)
    assert warmed_by(probed.streaks, ACTIVE, 90 * SECOND_NS, 5)
    assert not warmed_by(probed.streaks, ACTIVE, 91 * SECOND_NS, 5)
    assert not warmed_by(probed.streaks, ACTIVE, 69 * SECOND_NS, 5)
