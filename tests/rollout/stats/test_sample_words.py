from __future__ import annotations

import random
from dataclasses import replace

import pytest

from router.rollout.stats.breadth import EXACT_MAX, Distinct, Epoch
from router.rollout.stats.histogram import BUCKETS
from router.rollout.stats.sample import Sample
from router.rollout.stats.sample_words import (
    LOST_KEPT,
    SAMPLE_SCALARS,
    WHOLE_WORDS_MAX,
    from_scalars,
    from_whole,
    scalar_words,
    whole_words,
)
from router.rollout.stats.work_counts import WorkCounts
from router.rollout.work import TIME_CELLS, WORK_BUCKETS, WORK_ENDS

LARGEST = (1 << 64) - 1


def number(generator: random.Random) -> int:
    """Zero half of the time, else of any length up to 64 bits."""
    return generator.getrandbits(generator.randint(1, 64)) if generator.random() < 0.5 else 0


def numbers(generator: random.Random, size: int) -> tuple[int, ...]:
    return tuple(number(generator) for _ in range(size))


def times(generator: random.Random) -> tuple[int, ...] | None:
    return generator.choice([None, (0,) * BUCKETS, numbers(generator, BUCKETS)])


def fingerprints(generator: random.Random, most: int) -> frozenset[int]:
    return frozenset(generator.getrandbits(64) | 1 for _ in range(generator.randint(0, most)))


def work(generator: random.Random) -> WorkCounts:
    lost, clients = fingerprints(generator, LOST_KEPT), fingerprints(generator, LOST_KEPT)
    ends, cells = numbers(generator, len(WORK_ENDS)), numbers(generator, TIME_CELLS)
    return WorkCounts(ends, *numbers(generator, 11), lost, clients, cells)


def epoch(generator: random.Random) -> Epoch:
    sets = [Distinct(fingerprints(generator, EXACT_MAX), generator.getrandbits(256)) for _ in range(6)]
    return Epoch(*numbers(generator, 4), *sets)


def whole(seed: int) -> Sample:
    generator = random.Random(seed)
    first_byte, duration, abandoned = (times(generator) for _ in range(3))
    if None in (first_byte, duration, abandoned):
        first_byte = duration = abandoned = None
    buckets = generator.sample(range(WORK_BUCKETS), generator.randint(0, WORK_BUCKETS))
    return Sample(
        *numbers(generator, 7),
        numbers(generator, 13),
        *numbers(generator, 7),
        generator.random() < 0.5,
        first_byte,
        duration,
        abandoned,
        times(generator),
        generator.choice([None, {bucket: work(generator) for bucket in buckets}]),
        tuple(epoch(generator) for _ in range(generator.randint(0, 2))),
        *numbers(generator, 2),
    )


@pytest.mark.parametrize("seed", range(200))
def test_a_sample_comes_back_as_it_was(seed: int) -> None:
    sample = whole(seed)
    words = whole_words(sample)
    assert from_whole(words) == sample
    assert len(words) <= WHOLE_WORDS_MAX
    assert all(0 <= word < 1 << 64 for word in words)


@pytest.mark.parametrize("seed", range(50))
def test_scalars_come_back_as_they_were(seed: int) -> None:
    sample = whole(seed)
    words = scalar_words(sample)
    assert len(words) == SAMPLE_SCALARS
    bare = replace(sample, first_byte=None, duration=None, abandoned=None, first_useful=None, work=None, epochs=())
    assert from_scalars(words) == bare


def test_zeros_need_no_words() -> None:
    empty = (0,) * BUCKETS
    bare = Sample(1, 2, 3, 1, 4, 5, 6, (0,) * 13, first_byte=empty, duration=empty, abandoned=empty)
    assert len(whole_words(bare)) < 12


LARGEST = (1 << 64) - 1


def test_the_largest_sample_has_the_stated_size() -> None:
    full = (LARGEST,) * BUCKETS
    many = frozenset(range(LARGEST - 99, LARGEST))
    work = WorkCounts((LARGEST,) * len(WORK_ENDS), *[LARGEST] * 11, many, many, (LARGEST,) * TIME_CELLS)
    every = Distinct(frozenset(range(1, 5)), (1 << 256) - 1)
    sample = Sample(1, 2, 3, 1, 4, 5, 6, (9,) * 13, first_byte=full, duration=full, abandoned=full)
    sample = replace(sample, first_useful=full, work=dict.fromkeys(range(WORK_BUCKETS), work))
    sample = replace(sample, epochs=(Epoch(*[LARGEST] * 4, *[every] * 6),) * 2)
    words = whole_words(sample)
    assert WHOLE_WORDS_MAX - 80 < len(words) <= WHOLE_WORDS_MAX
    found = from_whole(words).work
    assert found is not None
    assert found[3].lost_requests == frozenset(sorted(many)[:LOST_KEPT])
