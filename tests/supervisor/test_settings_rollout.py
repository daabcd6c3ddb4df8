"""The order in which changed settings reach control and the workers; the children's answers are words that a test sets."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any

import pytest

from router.errors import StartError
from router.settings.loader import load
from router.settings.settings import Settings
from router.shm import layout as at
from router.shm import segment
from router.shm.segment import Segment
from router.shm.settings_memory import DeliveredSettings
from router.supervisor.settings_rollout import REPORT_EVERY_S, SettingsRollout
from tests.texts import golden

SECOND = 1_000_000_000
WORKERS = 2


def settings(*services: str, **more: Any) -> Settings:
    names = {name: {"path_prefix": f"/{name}"} for name in services}
    return load(None, {"state_dir": "/state", "workers": WORKERS, "services": names, **more})


class Children:
    """Control and two workers as far as documents concern them: what was written for them, and what they have answered."""

    def __init__(self, memory: Segment) -> None:
        self.memory = memory
        self.control: list[DeliveredSettings] = []
        self.workers: list[DeliveredSettings] = []
        self.worker_settings: list[Settings] = []
        self.unwritten = 0
        """So many documents more for which there is no descriptor."""

    def _descriptor(self) -> None:
        if self.unwritten:
            self.unwritten -= 1
            raise OSError(errno.EMFILE, "Too many open files")

    def write_for_control(self, settings: Settings, delivery: DeliveredSettings) -> None:
        self._descriptor()
        assert set(delivery.places) == {*settings.services, *delivery.leaving}
        self.control.append(delivery)

    def write_for_workers(self, settings: Settings, delivery: DeliveredSettings) -> None:
        self._descriptor()
        assert set(delivery.places) == set(settings.services)
        self.workers.append(delivery)
        self.worker_settings.append(settings)

    def control_has_done(self) -> None:
        self.memory.words[at.H_CONTROL_DOCUMENT] = self.control[-1].number

    def control_refuses(self) -> None:
        self.memory.words[at.H_CONTROL_REFUSED] = self.control[-1].number

    def left(self, *workers: int) -> None:
        """Nothing is in flight in these workers of a service that the newest document lacks."""
        for worker in workers:
            self.memory.words[self.memory.layout.worker(worker) + at.W_LEFT] = self.workers[-1].number

    def known_to_control(self) -> set[str]:
        return set(self.control[-1].places)

    def known_to_workers(self) -> set[str]:
        return set(self.workers[-1].places)


class Rollout:
    def __init__(self, memory: Segment, *services: str) -> None:
        self.children = Children(memory)
        self.memory = memory
        memory.words[at.H_SETTINGS] = 1
        self.rollout = SettingsRollout(settings(*services), self.children, memory, "router.toml")
        self.now_ns = SECOND

    def begin(self, *services: str, **more: Any) -> None:
        self.rollout.begin(settings(*services, **more), self.now_ns)

    def tick(self, after_s: float = 0.1) -> None:
        self.now_ns += round(after_s * SECOND)
        self.rollout.tick(self.now_ns)

    def numbers(self) -> dict[str, int]:
        return {name: place.number for name, place in self.rollout.places.items()}


@pytest.fixture
def memory() -> Iterator[Segment]:
    made = segment.create(WORKERS, at.SERVICES_MAX)
    yield made
    made.close()


def test_changed_values_reach_all_children_at_once(memory: Segment) -> None:
    it = Rollout(memory, "a", "b")
    it.begin("a", "b", access_log=True)
    assert [len(it.children.control), len(it.children.workers)] == [1, 1]
    assert it.children.worker_settings[0].access_log
    assert it.children.control[0].places == it.children.workers[0].places == it.rollout.places
    assert (memory.words[at.H_SETTINGS], it.children.control[0].version, it.children.workers[0].version) == (2, 2, 2)
    assert it.rollout.settled, "nothing waits for an answer"


def test_a_service_comes_to_control_first_and_then_to_the_workers(memory: Segment) -> None:
    it = Rollout(memory, "a", "c")
    it.begin("a", "b", "c")
    assert it.numbers() == {"a": 0, "c": 1, "b": 2}, "places of others stay"
    assert it.rollout.places["b"].since_ns == it.now_ns
    assert (it.rollout.places["a"].since_ns, it.rollout.places["c"].since_ns) == (0, 0)
    assert (it.children.known_to_control(), it.children.control[0].version) == ({"a", "b", "c"}, 2)
    it.tick()
    assert (it.children.workers, set(it.rollout.settings.services)) == ([], {"a", "c"})
    assert memory.words[at.H_SETTINGS] == 1
    assert not it.rollout.settled
    it.children.control_has_done()
    it.tick()
    assert it.children.known_to_workers() == {"a", "b", "c"}
    assert (set(it.rollout.settings.services), memory.words[at.H_SETTINGS]) == ({"a", "b", "c"}, 2)
    assert it.rollout.settled


def test_a_service_leaves_the_workers_then_control_and_then_the_memory(memory: Segment) -> None:
    it = Rollout(memory, "a", "old")
    route = memory.layout.route(1)
    memory.words[route] = 99
    it.begin("a")
    assert it.children.known_to_workers() == {"a"}
    assert (it.children.known_to_control(), set(it.children.control[-1].leaving)) == ({"a", "old"}, {"old"})
    it.children.control_has_done()
    it.children.left(0)
    it.tick()
    assert (len(it.children.control), it.numbers()) == (1, {"a": 0, "old": 1}), "worker 1 still uses the place"
    it.children.left(0, 1)
    it.tick()
    assert it.children.known_to_control() == {"a"}
    assert (memory.words[route], it.numbers()) == (99, {"a": 0, "old": 1}), "control still uses the place"
    assert it.children.control[-1].version == it.children.control[0].version, "not journalled once more"
    it.children.control_has_done()
    it.tick()
    assert (memory.words[route], it.numbers(), it.rollout.settled) == (0, {"a": 0}, True)


def test_another_name_at_the_same_prefix_is_one_step_for_a_worker(memory: Segment) -> None:
    it = Rollout(memory, "old")
    it.rollout.begin(load(None, {"workers": 2, "services": {"new": {"path_prefix": "/old"}}}), it.now_ns)
    assert (it.children.known_to_control(), set(it.children.control[-1].leaving)) == ({"old", "new"}, {"old"})
    assert not it.children.workers
    it.children.control_has_done()
    it.tick()
    assert [set(delivery.places) for delivery in it.children.workers] == [{"new"}]
    it.children.left(0, 1)
    it.tick()
    it.children.control_has_done()
    it.tick()
    assert it.numbers() == {"new": 1}
    it.begin("new", "next")
    assert it.numbers() == {"new": 1, "next": 0}, "the place is used again"


def test_a_service_that_comes_back_before_its_end_keeps_its_place(memory: Segment) -> None:
    it = Rollout(memory, "a", "b")
    it.begin("a")
    it.children.control_has_done()
    it.children.left(0)
    it.tick()
    it.begin("a", "b")
    assert it.children.control[-1].leaving == {}
    assert it.children.known_to_workers() == {"a", "b"}
    assert it.children.workers[-1].places["b"] == (1, 0)
    it.children.left(0, 1)
    it.tick()
    assert (it.numbers(), len(it.children.control), it.rollout.settled) == ({"a": 0, "b": 1}, 2, True)


def test_a_further_file_does_not_end_what_is_leaving(memory: Segment) -> None:
    it = Rollout(memory, "a", "old")
    it.begin("a")
    it.begin("a", access_log=True)
    assert (it.children.known_to_control(), set(it.children.control[-1].leaving)) == ({"a", "old"}, {"old"})
    it.children.left(0, 1)
    it.tick()
    assert it.children.known_to_control() == {"a"}


def test_a_further_file_waits_for_control_and_only_the_newest_counts(memory: Segment) -> None:
    it = Rollout(memory, "a")
    it.begin("a", "b")
    for number in range(3):
        it.begin("a", "b", f"c{number}")
    assert len(it.children.control) == 1
    it.children.control_has_done()
    it.tick()
    assert it.children.known_to_workers() == {"a", "b"}
    assert it.children.known_to_control() == {"a", "b", "c2"}
    it.children.control_has_done()
    it.tick()
    assert (it.children.known_to_workers(), memory.words[at.H_SETTINGS]) == ({"a", "b", "c2"}, 3)


def test_a_file_that_comes_while_control_forgets_waits_until_the_place_is_clear(memory: Segment) -> None:
    it = Rollout(memory, "a", "b")
    it.begin("a")
    it.children.left(0, 1)
    it.tick()
    memory.words[memory.layout.route(1)] = 99
    it.begin("a", "b")
    it.tick()
    assert (it.children.known_to_control(), len(it.children.control)) == ({"a"}, 2)
    it.children.control_has_done()
    it.tick()
    assert it.children.known_to_control() == {"a", "b"}
    assert (it.numbers(), memory.words[memory.layout.route(1)]) == ({"a": 0, "b": 1}, 0)
    assert it.rollout.places["b"].since_ns > 0, "it is another service to the workers"


def test_what_control_refuses_is_taken_back(memory: Segment, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    it = Rollout(memory, "a", "b")
    it.begin("a", "new")
    memory.words[memory.layout.route(2)] = 99
    it.children.control_refuses()
    it.tick()
    assert any(line.startswith(golden("reload.refused")) for line in caplog.messages)
    assert (it.children.known_to_control(), it.children.control[-1].leaving) == ({"a", "b"}, {})
    assert (it.children.workers, set(it.rollout.settings.services)) == ([], {"a", "b"})
    assert memory.words[at.H_SETTINGS] == it.children.control[-1].version == 1
    it.children.control_has_done()
    it.tick()
    assert (it.numbers(), memory.words[memory.layout.route(2)]) == ({"a": 0, "b": 1}, 0)
    assert any(line.startswith("service new is not added") for line in caplog.messages)
    assert it.rollout.settled
    it.begin("a", "b", "new")
    assert it.children.known_to_control() == {"a", "b", "new"}, "it may be tried again"


def test_a_refusal_while_a_service_is_leaving_leaves_it_leaving(memory: Segment) -> None:
    it = Rollout(memory, "a", "old")
    it.begin("a")
    it.begin("a", "new")
    it.children.control_refuses()
    it.tick()
    assert (it.children.known_to_control(), set(it.children.control[-1].leaving)) == ({"a", "old"}, {"old"})
    it.children.control_has_done()
    it.tick()
    assert it.numbers() == {"a": 0, "old": 1}
    it.children.left(0, 1)
    it.tick()
    it.children.control_has_done()
    it.tick()
    assert it.numbers() == {"a": 0}


def test_more_services_than_places_are_refused_before_anything_changes(
    memory: Segment, caplog: pytest.LogCaptureFixture
) -> None:
    names = [f"s{number:02}" for number in range(at.SERVICES_MAX)]
    it = Rollout(memory, *names)
    it.begin(*names[:-2])
    with pytest.raises(StartError) as caught:
        it.begin(*names[:-2], "new")
    assert caught.value.code == "settings_invalid"
    assert "need 1 place, and 0 of" in caught.value.detail
    assert "s62, s63 must end" in caught.value.detail
    assert (len(it.children.control), len(it.children.workers), len(it.rollout.places)) == (1, 1, at.SERVICES_MAX)
    it.children.left(0, 1)
    it.tick()
    it.begin(*names[1:-2], "new", "newer", "newest")
    it.children.control_has_done()
    it.tick()
    assert any("need 3 places, and 2 of 64" in line for line in caplog.messages), "it has waited"
    it.begin(*names[:-2], "new", "newer")
    assert (it.numbers()["newer"], it.numbers()["new"]) == (at.SERVICES_MAX - 1, at.SERVICES_MAX - 2)


def test_a_worker_that_never_confirms_keeps_the_place_taken_and_the_log_says_so(
    memory: Segment, caplog: pytest.LogCaptureFixture
) -> None:
    it = Rollout(memory, "a", "old")
    it.begin("a", timeouts={"shutdown_timeout_s": 20.0})
    it.children.left(0)
    it.tick(REPORT_EVERY_S - 1)
    assert not [line for line in caplog.messages if "stay taken" in line]
    it.tick(2.0)
    assert [line for line in caplog.messages if "places of old stay" in line and "worker 1 has" in line]
    for _ in range(20):
        it.tick(1.0)
    assert len([line for line in caplog.messages if "stay taken" in line]) == 1
    assert it.numbers() == {"a": 0, "old": 1}


def test_the_log_says_what_control_is_waited_for(memory: Segment, caplog: pytest.LogCaptureFixture) -> None:
    it = Rollout(memory, "a")
    it.begin("a", "b")
    it.tick(REPORT_EVERY_S + 1)
    assert any(line.endswith("31 s: it adds b") for line in caplog.messages)


def test_a_file_that_adds_nothing_does_not_wait_for_a_control_that_forgets(memory: Segment) -> None:
    """Control is dead or hung: limits still change in the workers."""
    it = Rollout(memory, "a", "b", "old")
    it.begin("a", "b")
    it.children.left(0, 1)
    it.tick()
    it.begin("a", access_log=True)
    assert it.children.worker_settings[-1].access_log
    assert (it.children.known_to_workers(), it.children.known_to_control()) == ({"a"}, {"a", "b"})
    it.tick()
    assert it.numbers() == {"a": 0, "b": 1, "old": 2}, "control still uses the place"
    it.children.control_has_done()
    it.tick()
    assert it.numbers() == {"a": 0, "b": 1}
    it.children.left(0, 1)
    it.tick()
    it.children.control_has_done()
    it.tick()
    assert (it.numbers(), it.rollout.settled) == ({"a": 0}, True)


def test_a_file_that_adds_nothing_takes_an_unfinished_addition_back(
    memory: Segment, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    it = Rollout(memory, "a", "old")
    it.begin("a", "new")
    it.begin("a", "newer")
    it.begin("a", "old", access_log=True)
    assert it.children.worker_settings[-1].access_log
    assert (it.children.known_to_control(), it.children.control[-1].leaving) == ({"a", "old"}, {})
    memory.words[memory.layout.route(2)] = 99
    it.tick()
    assert it.numbers() == {"a": 0, "old": 1, "new": 2}, "control may have begun to add it"
    it.children.control_has_done()
    it.tick()
    assert (it.numbers(), it.rollout.settled, memory.words[memory.layout.route(2)]) == ({"a": 0, "old": 1}, True, 0)
    assert any(line.startswith("service new is not added") for line in caplog.messages)
    assert it.children.known_to_workers() == {"a", "old"}, "the newest file counts"


def test_a_document_that_cannot_be_written_changes_nothing_and_is_written_later(memory: Segment) -> None:
    it = Rollout(memory, "a", "old")
    it.children.unwritten = 1
    with pytest.raises(OSError, match="Too many"):
        it.begin("a", "new")
    assert (it.numbers(), it.rollout.settled, memory.words[at.H_SETTINGS]) == ({"a": 0, "old": 1}, True, 1)
    it.begin("a", "new")
    it.children.control_has_done()
    it.children.unwritten = 1
    with pytest.raises(OSError, match="Too many"):
        it.tick()
    assert (set(it.rollout.settings.services), memory.words[at.H_SETTINGS]) == ({"a", "old"}, 1)
    it.tick()
    assert (it.children.known_to_workers(), memory.words[at.H_SETTINGS]) == ({"a", "new"}, 2)
    it.children.left(0, 1)
    it.children.unwritten = 1
    with pytest.raises(OSError, match="Too many"):
        it.tick()
    it.tick()
    assert it.children.known_to_control() == {"a", "new"}
    it.children.control_has_done()
    it.tick()
    assert (it.numbers(), it.rollout.settled) == ({"a": 0, "new": 2}, True)
