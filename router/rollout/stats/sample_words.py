"""A `Sample` as 64-bit words, and back.

The scalars are SAMPLE_SCALARS words. A whole sample also has its histograms, work and epochs. Most of their words are zero, so
a whole sample is written sparse: the words are divided into blocks of 64; one word tells which blocks follow, and a block is
one word that tells which of its words follow, and these words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, compress
from typing import Final

from router.rollout.outcome import OUTCOMES
from router.rollout.stats.breadth import EXACT_MAX, SKETCH_BITS, Distinct, Epoch
from router.rollout.stats.histogram import BUCKETS
from router.rollout.stats.sample import NO_TIMES, Sample
from router.rollout.stats.work_counts import WorkCounts
from router.rollout.work import TIME_CELLS, WORK_BUCKETS, WORK_ENDS

SAMPLE_SCALARS: Final = 64
"""Words of a sample without histograms, work and epochs. Words 32 to 63 are spare."""
BLOCK_WORDS: Final = 64
HISTOGRAMS: Final = 4
EPOCHS_MAX: Final = 2
LOST_KEPT: Final = 6
"""Fingerprints of lost requests, and of their clients, that are kept of each work bucket: the smallest ones."""

_ENDS: Final = 7 + len(OUTCOMES)
_FLAGS_END: Final = _ENDS + 8
_STALLED, _HISTOGRAMS, _FIRST_USEFUL, _WORK = 1, 2, 4, 8
_WORK_AT: Final = SAMPLE_SCALARS + HISTOGRAMS * BUCKETS
_EPOCHS_AT: Final = _WORK_AT + WORK_BUCKETS * BLOCK_WORDS
_WORDS: Final = _EPOCHS_AT + EPOCHS_MAX * BLOCK_WORDS
_LOST_AT: Final = len(WORK_ENDS) + 11
_TIMES_AT: Final = _LOST_AT + 2 * LOST_KEPT
_SKETCH_WORDS: Final = SKETCH_BITS // 64
_SET_WORDS: Final = EXACT_MAX + _SKETCH_WORDS
_MASK: Final = (1 << 64) - 1
_ONES: Final = tuple(1 << place for place in range(BLOCK_WORDS))
WHOLE_WORDS_MAX: Final = 1 + _WORDS // BLOCK_WORDS + _WORDS
assert BUCKETS * HISTOGRAMS % BLOCK_WORDS == 0
assert _TIMES_AT + TIME_CELLS == BLOCK_WORDS
assert _WORDS <= BLOCK_WORDS * BLOCK_WORDS


def scalar_words(sample: Sample) -> list[int]:
    """Return the SAMPLE_SCALARS words of a sample without histograms, work and epochs."""
    flags = sample.stalled * _STALLED | (sample.histograms is not None) * _HISTOGRAMS
    flags |= (sample.first_useful is not None) * _FIRST_USEFUL | (sample.work is not None) * _WORK
    words = [sample.at_ns, sample.incarnation, sample.generation, sample.role, sample.claimed, sample.begun]
    words += [sample.faults_unbegun, *sample.outcomes, sample.rescued, sample.abandoned_long, sample.waiting]
    words += [sample.waiting_long, sample.oldest_waiting_ns, sample.last_begun_ns, sample.gap_max_us, flags]
    words += [sample.pairs_well, sample.pairs_failed, sum(1 << bucket for bucket in sample.work or ())]
    words += [len(sample.epochs[-EPOCHS_MAX:]), sample.set_aside]
    return words + [0] * (SAMPLE_SCALARS - len(words))


def from_scalars(words: Sequence[int]) -> Sample:
    """Return the sample without histograms, work and epochs that `scalar_words` wrote."""
    at_ns, incarnation, generation, role, claimed, begun, unbegun = words[:7]
    rescued, abandoned_long, waiting, waiting_long, oldest_ns, begun_ns, gap_us, flags = words[_ENDS:_FLAGS_END]
    return Sample(
        at_ns,
        incarnation,
        generation,
        role,
        claimed,
        begun,
        unbegun,
        tuple(words[7:_ENDS]),
        rescued,
        abandoned_long,
        waiting,
        waiting_long,
        oldest_ns,
        begun_ns,
        gap_us,
        bool(flags & _STALLED),
        pairs_well=words[_FLAGS_END],
        pairs_failed=words[_FLAGS_END + 1],
        set_aside=words[_FLAGS_END + 4],
    )


def whole_words(sample: Sample) -> list[int]:
    """Return the words of a whole sample: at most WHOLE_WORDS_MAX, and few hundred as a rule."""
    present, found = 0, []
    for number, block in _blocks(sample):
        if any(block):
            present |= 1 << number
            found.append(sum(compress(_ONES, block)))
            found += filter(None, block)
    return [present, *found]


def from_whole(words: Sequence[int]) -> Sample:
    """Return the sample that `whole_words` wrote."""
    dense = [0] * _WORDS
    rest = iter(words)
    for number in _bits(next(rest)):
        for place in _bits(next(rest)):
            dense[number * BLOCK_WORDS + place] = next(rest)
    flags, buckets, epochs = dense[_FLAGS_END - 1], dense[_FLAGS_END + 2], dense[_FLAGS_END + 3]
    times = [
        tuple(dense[start : start + BUCKETS]) if flags & (_FIRST_USEFUL if which == 3 else _HISTOGRAMS) else None
        for which, start in enumerate(range(SAMPLE_SCALARS, _WORK_AT, BUCKETS))
    ]
    blocks = [dense[start : start + BLOCK_WORDS] for start in range(_WORK_AT, _WORDS, BLOCK_WORDS)]
    return replace(
        from_scalars(dense),
        first_byte=times[0],
        duration=times[1],
        abandoned=times[2],
        first_useful=times[3],
        work={bucket: _counts(blocks[bucket]) for bucket in _bits(buckets)} if flags & _WORK else None,
        epochs=tuple(_epoch(block) for block in blocks[WORK_BUCKETS : WORK_BUCKETS + epochs]),
    )


def _blocks(sample: Sample) -> Iterator[tuple[int, Sequence[int]]]:
    """Yield the blocks of a sample in the order of their numbers; blocks of work and epochs that it lacks are left out."""
    yield 0, scalar_words(sample)
    histograms = (*(sample.histograms or (NO_TIMES,) * 3), sample.first_useful or NO_TIMES)
    times = tuple(chain.from_iterable(histograms))
    for start in range(0, len(times), BLOCK_WORDS):
        yield (SAMPLE_SCALARS + start) // BLOCK_WORDS, times[start : start + BLOCK_WORDS]
    for bucket, counts in sorted((sample.work or {}).items()):
        yield _WORK_AT // BLOCK_WORDS + bucket, _count_words(counts)
    for number, epoch in enumerate(sample.epochs[-EPOCHS_MAX:]):
        yield _EPOCHS_AT // BLOCK_WORDS + number, _epoch_words(epoch)


def _bits(word: int) -> Iterator[int]:
    """Yield the places of the ones of `word`, lowest first."""
    while word:
        low = word & -word
        yield low.bit_length() - 1
        word ^= low


def _count_words(counts: WorkCounts) -> list[int]:
    words = [*counts.ends, counts.asked, counts.late_faults, counts.known_good, counts.in_progress, counts.waiting]
    words += [counts.waiting_long, counts.overdue, counts.oldest_wait_ns, counts.last_useful_ns, counts.moving]
    words.append(counts.last_moved_ns)
    for lost in (counts.lost_requests, counts.lost_clients):
        kept = sorted(lost)[:LOST_KEPT]
        words += kept + [0] * (LOST_KEPT - len(kept))
    return [*words, *counts.times]


def _counts(words: Sequence[int]) -> WorkCounts:
    ends = len(WORK_ENDS)
    asked, late_faults, known_good, in_progress, waiting, waiting_long, overdue = words[ends : ends + 7]
    oldest_wait_ns, last_useful_ns, moving, last_moved_ns = words[ends + 7 : _LOST_AT]
    return WorkCounts(
        tuple(words[:ends]),
        asked,
        late_faults,
        known_good,
        in_progress,
        waiting,
        waiting_long,
        overdue,
        oldest_wait_ns,
        last_useful_ns,
        moving,
        last_moved_ns,
        frozenset(filter(None, words[_LOST_AT : _LOST_AT + LOST_KEPT])),
        frozenset(filter(None, words[_LOST_AT + LOST_KEPT : _TIMES_AT])),
        tuple(words[_TIMES_AT:]),
    )


def _epoch_words(epoch: Epoch) -> list[int]:
    words = [epoch.number, epoch.faults, epoch.lost, epoch.known_good]
    for found in (
        epoch.fault_requests,
        epoch.fault_clients,
        epoch.lost_requests,
        epoch.lost_clients,
        epoch.useful_clients,
        epoch.unaffected_clients,
    ):
        exact = sorted(found.exact)[:EXACT_MAX]
        words += exact + [0] * (EXACT_MAX - len(exact))
        words += [found.sketch >> 64 * number & _MASK for number in range(_SKETCH_WORDS)]
    return words


def _epoch(words: Sequence[int]) -> Epoch:
    number, faults, lost, known_good = words[:4]
    sets = [distinct(words[start : start + _SET_WORDS]) for start in range(4, 4 + 6 * _SET_WORDS, _SET_WORDS)]
    return Epoch(number, faults, lost, known_good, *sets)


def distinct(words: Sequence[int]) -> Distinct:
    """Return the set in EXACT_MAX fingerprints (0: none) and the words of its sketch, the lowest bits first."""
    sketch = sum(word << 64 * number for number, word in enumerate(words[EXACT_MAX:]))
    return Distinct(frozenset(filter(None, words[:EXACT_MAX])), sketch)
