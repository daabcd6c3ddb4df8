"""What probes lead to: the identity of a version, and a stranger at its address. Moves between states: test_machine.py."""

from __future__ import annotations

from router.rollout.facts.record import Command, Record
from router.rollout.model import events as ev
from router.rollout.model.identity import Identity
from tests.rollout.playbook import Playbook

OURS = Identity("GET /v1/models", 2, ("fraud-v2",))
STRANGER = Identity("GET /v1/models", 4)


def answer(playbook: Playbook, version: str, identity: Identity | None, times: int = 1) -> list[Command]:
    """Return the commands of the last of `times` good probes with this identity."""
    target, commands = playbook.registry.targets[version], list[Command]()
    for _ in range(times):
        for url in target.endpoints:
            commands = playbook.tell(
                ev.ProbeCompleted(
                    "svc",
                    version,
                    url,
                    True,
                    False,
                    "",
                    1.0,
                    playbook.now_ns,
                    False,
                    identity=identity,
                )
            )
    return commands


def test_a_seed_is_identified_once_after_enough_good_probes() -> None:
    playbook = Playbook().seed()
    assert answer(playbook, "v2", OURS, 4) == []
    data = {"version": "v2", "identity": {"v2": OURS.as_dict()}}
    assert answer(playbook, "v2", OURS) == [Record.of("version_identified", "control", data)]
    assert answer(playbook, "v2", OURS, 9) == []
    assert playbook.registry.identities == {"v2": OURS}


def test_a_stranger_on_the_address_of_the_standby_is_not_good() -> None:
    playbook = Playbook().seed()
    answer(playbook, "v2", OURS, 5)
    assert playbook.machine.gate.no_standby_reason() is None
    answer(playbook, "v2", STRANGER, 9)
    reason = playbook.machine.gate.no_standby_reason()
    assert reason is not None
    assert "4xx" in reason
    assert playbook.machine.gate.standby_objections()
    answer(playbook, "v2", OURS, 3)
    assert playbook.machine.gate.standby_objections() == []


def test_the_active_version_is_judged_by_its_traffic() -> None:
    playbook = Playbook().seed()
    answer(playbook, "v1", OURS, 5)
    answer(playbook, "v1", STRANGER, 9)
    assert playbook.machine.streaks.ready(playbook.registry.targets["v1"])


def test_a_verified_version_has_its_identity_in_the_entry() -> None:
    playbook = Playbook().seed()
    playbook.tell(ev.DeployAsked("v3", ("http://v3:1",), "ann"))
    data = {"states": {"v3": "ready"}, "good_probes": 5, "identity": {"v3": OURS.as_dict()}}
    assert answer(playbook, "v3", OURS, 5) == [Record.of("version_verified", "control", data)]


def test_another_probe_in_the_settings_identifies_anew() -> None:
    playbook = Playbook().seed()
    answer(playbook, "v2", OURS, 5)
    other = Identity("POST /v1/completions", 2, ("fraud",))
    answer(playbook, "v2", other)
    assert playbook.registry.identities["v2"] == other
    assert playbook.machine.gate.no_standby_reason() is None


def test_a_version_that_moved_is_identified_anew() -> None:
    playbook = Playbook().seed()
    answer(playbook, "v2", OURS, 5)
    playbook.tell(ev.EndpointsAsked("v2", ("http://elsewhere:1",), "ann"))
    assert playbook.registry.identities == {}
    answer(playbook, "v2", STRANGER, 5)
    assert playbook.registry.identities["v2"] == STRANGER
