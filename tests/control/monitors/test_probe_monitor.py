"""Alarms and evidence from probes."""

from __future__ import annotations

import pytest

from router.control.monitors.alarms import Alarms
from router.control.monitors.probe_monitor import ProbeMonitor
from router.rollout.machine.limits import RolloutLimits
from router.rollout.model import events as ev
from tests.rollout.playbook import SECOND, Playbook


class Rig:
    def __init__(self, *, inference: bool = True) -> None:
        self.playbook = Playbook(RolloutLimits(inference=inference)).seed()
        self.alarms = Alarms()
        self.monitor = ProbeMonitor("svc", self.playbook.machine, self.alarms)

    def probe(self, version: str, url: str, ok: bool = True, *, unknown: bool = False) -> None:
        self.playbook.tell(
            ev.ProbeCompleted(
                "svc",
                version,
                url,
                ok,
                False,
                "" if ok else "status 500",
                1.0,
                self.playbook.now_ns,
                True,
                unknown,
            )
        )

    def up(self) -> list[str]:
        self.monitor.check(self.monitor.evidence())
        return [str(alarm["code"]) for alarm in self.alarms.listing()]


def test_a_failing_inference_probe_of_the_active_version_is_an_alarm_at_once() -> None:
    rig = Rig()
    rig.probe("v1", "http://v1:1")
    assert rig.up() == []
    rig.probe("v1", "http://v1:1", False)
    assert rig.up() == ["inference_probe_failing"]
    rig.probe("v1", "http://v1:1")
    assert rig.up() == []


def test_another_probe_is_no_evidence() -> None:
    rig = Rig(inference=False)
    rig.probe("v1", "http://v1:1", False)
    assert rig.monitor.evidence() is None
    assert rig.up() == []


def test_a_probe_that_wants_credentials() -> None:
    rig = Rig()
    rig.probe("v2", "http://v2:1", unknown=True)
    assert rig.up() == ["probe_unauthorised"]
    rig.probe("v2", "http://v2:1")
    assert rig.up() == []


@pytest.mark.parametrize(("good", "of", "up"), [(1, 1, False), (1, 3, True), (2, 4, False), (0, 3, False)])
def test_a_standby_with_few_good_endpoints(good: int, of: int, up: bool) -> None:
    rig = Rig()
    urls = tuple(f"http://v2-{number}:1" for number in range(of))
    rig.playbook.tell(ev.EndpointsAsked("v2", urls, "ann"))
    rig.probe("v1", "http://v1:1")
    for number, url in enumerate(urls):
        assert rig.up() == []
        rig.probe("v2", url, number < good)
    assert rig.up() == (["standby_smaller"] if up else [])


def test_a_standby_smaller_than_the_active_version() -> None:
    rig = Rig()
    urls = tuple(f"http://v1-{number}:1" for number in range(3))
    rig.playbook.tell(ev.EndpointsAsked("v1", urls, "ann"))
    rig.probe("v2", "http://v2:1")
    for url in urls:
        rig.probe("v1", url)
    assert rig.up() == ["standby_smaller"]
    assert rig.monitor.standby_size() == {"good": 1, "endpoints": 1}


def test_the_size_of_a_standby_is_unknown_before_its_probes() -> None:
    assert Rig().monitor.standby_size() is None


def test_warm_stays_what_it_was_at_the_promotion() -> None:
    rig = Rig()
    for _ in range(5):
        rig.probe("v2", "http://v2:1")
    rig.playbook.tell(ev.SwitchAsked("v2", "ann", "try"), after_s=1)
    evidence = rig.monitor.evidence()
    assert evidence is not None
    assert evidence.warmed
    for _ in range(100):
        rig.playbook.now_ns += 10 * SECOND
        rig.probe("v2", "http://v2:1")
    evidence = rig.monitor.evidence()
    assert evidence is not None
    assert evidence.warmed
