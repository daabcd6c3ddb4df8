"""Samples that repeat the last one change nothing: random streams, judged beside a judge whose samples are all read anew."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from router.control.core.sampler import Sampler
from router.control.core.service_controller import first_byte_timeout_s
from router.control.placement.slot_counters import SlotCounters
from router.rollout.judge.active.judge_inputs import JudgeInputs
from router.rollout.judge.judge import Judge
from router.rollout.judge.verdict import Verdict
from router.rollout.outcome import Outcome
from router.rollout.units import SECOND_NS
from router.shm import layout as at
from router.shm.sample_ring import SampleRing
from router.shm.segment import Segment
from tests.control.control_harness import ControlHarness, new_segment

TICKS = 250
ENDS = (*[Outcome.OK] * 6, Outcome.SERVER_ERROR, Outcome.TIMED_OUT, Outcome.CONNECT_FAILED, Outcome.THROTTLED)


class AlwaysRead(SlotCounters):
    """Counters that are read and added up at every call."""

    def scalars(self, slot: int) -> list[int]:
        return self._read(slot)


class Shadow:
    """A sampler, a judge and a ring beside those of a control; nothing in them repeats a sample."""

    def __init__(self, control: ControlHarness, segment: Segment) -> None:
        controller, service = control.service_controller, control.service_controller.service
        counters = AlwaysRead(control.segment, control.control_loop.worker_stats, 0)
        executor: Any = SimpleNamespace(
            counters=counters, registry=controller.registry, index=0, held=controller.executor.held
        )
        self.judge = Judge(service.rules, first_byte_timeout_s(control.settings, service), None, service.acceptance)
        self.ring = SampleRing(segment)
        self.sampler = Sampler(executor, self.judge, self.ring, controller.replica_monitor)
        self.again = self.judged = 0
        self._controller = controller
        self._sample, self._evaluate = controller._sampler.sample, controller.judge.evaluate
        controller._sampler.sample = self.sample  # type: ignore[method-assign]
        controller.judge.evaluate = self.evaluate  # type: ignore[method-assign]

    def sample(self, now_ns: int, stalled: bool) -> None:
        self._sample(now_ns, stalled)
        self.sampler.sample(now_ns, stalled)

    def evaluate(self, inputs: JudgeInputs, now_ns: int) -> Verdict:
        verdict, expected = self._evaluate(inputs, now_ns), self.judge.evaluate(inputs, now_ns)
        assert verdict == expected
        for slot in (0, 1):
            ours, theirs = self._controller.judge.newest(slot), self.judge.newest(slot)
            assert ours == theirs
            self.again += ours is not None and ours[0].sample.unchanged_since_ns > 0
            for seconds in (3.0, 60.0):
                assert self._controller.judge.window(slot, seconds, now_ns) == self.judge.window(slot, seconds, now_ns)
        self.judged += 1
        return verdict


def happen(random: Random, control: ControlHarness) -> None:
    """Let nothing, or a few things, happen to the versions between two ticks."""
    for _ in range(random.choice((0, 0, 0, 0, 1, 1, 3))):
        slot, worker, words = random.randrange(2), random.randrange(2), control.segment.words
        row = control.segment.layout.worker_slot(worker, 0, slot)
        match random.randrange(6):
            case 0 | 1:
                control.workers.serve(slot, random.choice(ENDS), random.choice((1, 1, 5)))
            case 2:
                control.workers.claim(slot, worker=worker)
            case 3:
                words[row + at.L_WAITING] = waiting = random.choice((0, 0, 1, 4))
                words[row + at.L_WAITING_LONG] = random.randint(0, waiting)
                words[row + at.L_OLDEST_WAITING_NS] = (
                    control.now_ns - random.randrange(20 * SECOND_NS) if waiting else 0
                )
            case 4:
                words[row + random.choice((at.L_RESCUED, at.L_ABANDONED_LONG, at.L_PAIRS_WELL))] += 1
            case _:
                words[row + at.L_LAST_BEGUN_NS] = control.now_ns


@pytest.mark.parametrize("seed", range(6))
async def test_samples_that_repeat_change_no_verdict(control: ControlHarness, seed: int) -> None:
    random, other = Random(f"samples {seed}"), new_segment()
    shadow = Shadow(control, other)
    quiet_until = 0
    for number in range(TICKS):
        if number >= quiet_until:
            happen(random, control)
            quiet_until = number + random.choice((0, 0, 0, 25))
        control.now_ns += 100_000_000 + random.choice((0, 0, 0, 0, 3_000_000, 1_500_000_000 if number % 40 == 0 else 0))
        control.service_controller.tick(control.now_ns, stalled=random.random() < 0.02)
    assert shadow.judged == TICKS
    assert shadow.again > TICKS / 4, "few samples repeat the last one: the stream shows nothing"
    for slot in (0, 1):
        assert SampleRing(control.segment).load(0, slot) == shadow.ring.load(0, slot)
    other.close()


async def test_faults_that_are_set_aside_at_rest_are_in_the_next_sample(
    control: ControlHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    control.tick(3)
    monkeypatch.setattr(control.service_controller.replica_monitor, "set_aside", lambda holder, now_ns: 4)
    control.tick()
    newest, _ = control.service_controller.judge.newest(0) or (None, None)
    assert newest is not None
    assert (newest.sample.set_aside, newest.sample.first_byte) == (4, None), "a sample of the ticks between seconds"


async def test_a_switch_at_rest_is_in_the_next_sample(control: ControlHarness) -> None:
    control.tick(3)
    await control.operations.switch(service="svc", to="v2", reason="try", actor="ann")
    control.tick()
    newest = [found[0].sample for slot in (0, 1) if (found := control.service_controller.judge.newest(slot))]
    assert [(sample.role, sample.generation) for sample in newest] == [
        (role, control.service_controller.registry.generation) for role in (2, 1)
    ]
