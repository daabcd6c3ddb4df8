"""The driver of `benchmarks judge`: skipped ticks change no verdict, and its samples obey the law of work."""

from __future__ import annotations

from random import Random

import pytest

from benchmarks.judge import answers
from benchmarks.judge.driver import START_NS, Driver, Model, Run, Service
from benchmarks.judge.models import between, share, steady, until
from benchmarks.judge.traffic import Arrivals, Flow
from router.rollout.units import SECOND_NS

STREAMS = 100
BY_DEFAULT = 25
"""Streams of the tests that are not nightly: two in a second of processor time."""
FOR_S = 60.0


def service(seed: int, for_s: float) -> Service:
    """Return a service of which nearly everything is random: rate, clients, faults, when they begin, and when they end."""
    random = Random(f"stream {seed}")
    well: Model = steady(0.02, random.choice((0.2, 0.9)))
    make = random.choice(
        (
            answers.silence,
            answers.failed,
            answers.client_error,
            answers.silent_stream,
            answers.throttled,
            answers.invalid,
        )
    )
    fault: Model = lambda query, at_s, _: make()  # noqa: E731 (a model is a function)
    part = random.choice((0.01, 1.0, 1.0, 1.0))
    since_s = random.uniform(0, for_s * 0.5)
    broken = between(since_s, since_s + random.choice((2.0, 30.0, 1000.0)), share(part, fault, well), well)
    flow = Flow(
        random.choice((0.2, 1.0, 3.0, 10.0)),
        clients=random.choice((1, 4, 20)),
        bodies=random.choice((1, 200)),
        patience_s=random.choice((3.0, 30.0)),
        retries=random.choice((0, 2)),
    )
    if random.random() < 0.3:
        return Service((flow,), broken, first_byte_timeout_s=20.0)
    return Service((flow,), broken, well, random.uniform(5, 20))


def drive(seed: int, for_s: float, *, skip: bool) -> Run:
    return Driver(service(seed, for_s), seed, skip=skip).run(for_s)


@pytest.mark.parametrize(
    ("seeds", "for_s"),
    [
        *(pytest.param(range(fifth, BY_DEFAULT, 5), FOR_S, id=f"{fifth}") for fifth in range(5)),
        *(
            pytest.param(range(BY_DEFAULT + fifth, STREAMS, 5), FOR_S, marks=pytest.mark.nightly, id=f"{fifth}-further")
            for fifth in range(5)
        ),
        *(
            pytest.param(
                range(fifth, STREAMS, 5),
                900.0,
                marks=[pytest.mark.nightly, pytest.mark.timeout(900)],
                id=f"{fifth}-long",
            )
            for fifth in range(5)
        ),
    ],
)
def test_skipped_ticks_change_no_verdict(seeds: range, for_s: float) -> None:
    for seed in seeds:
        skipping, whole = drive(seed, for_s, skip=True), drive(seed, for_s, skip=False)
        assert (skipping.trigger, skipping.ticks) == (whole.trigger, whole.ticks), seed
        assert skipping.judged <= whole.judged == whole.ticks


def test_ticks_are_skipped() -> None:
    run = Driver(Service((Flow(1.0),), steady()), skip=True).run(1000)
    assert run.judged < run.ticks / 4


def test_each_attempt_has_one_end() -> None:
    model = share(0.3, lambda *_: answers.failed(), share(0.2, lambda *_: answers.stream(1.5, 3.0), steady()))
    driver = Driver(Service((Flow(10.0),), model), "law")
    driver.run(30, go_on=True)
    sample = driver.sample(START_NS + 31 * SECOND_NS)
    assert sample.work is not None
    asked = sum(counts.asked for counts in sample.work.values())
    ends = sum(sum(counts.ends) for counts in sample.work.values())
    waiting = sum(counts.waiting + counts.in_progress for counts in sample.work.values())
    assert asked == sample.claimed == ends + waiting


def test_the_same_seed_brings_the_same_requests() -> None:
    def arrivals(seed: int) -> list[tuple[float, int, int]]:
        flows = (Flow(5.0), Flow(1.0, clients=1, bodies=1, first=100))
        return [(query.at_s, query.client, query.body) for query in Arrivals(flows, Random(seed)).until(60)]

    assert arrivals(1) == arrivals(1) != arrivals(2)
    assert len({client for _, client, _ in arrivals(1)}) == 9
    assert len({body for _, _, body in arrivals(1)}) >= 100


def test_a_model_changes_at_its_time() -> None:
    model = until(5.0, steady(), lambda *_: answers.failed())
    run = Driver(Service((Flow(20.0),), model)).run(30)
    assert run.trigger == "hard_failure.errors"
    assert 5.0 <= run.verdict_s <= 12.0
