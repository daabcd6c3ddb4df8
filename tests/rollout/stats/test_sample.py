from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from router.rollout.stats.histogram import BUCKETS
from router.rollout.stats.sample import SAMPLE_SCALARS, Sample

WORD = st.integers(0, (1 << 64) - 1)
HISTOGRAM = st.lists(WORD, min_size=BUCKETS, max_size=BUCKETS).map(tuple)
SCALARS = st.builds(
    Sample,
    *[WORD] * 7,
    st.lists(WORD, min_size=13, max_size=13).map(tuple),
    *[WORD] * 7,
    st.booleans(),
)


@given(SCALARS)
def test_scalars_come_back_whole(sample: Sample) -> None:
    words = sample.to_words()
    assert len(words) == SAMPLE_SCALARS
    assert Sample.from_words(words) == sample


def test_histograms_come_back_whole() -> None:
    ramps = [tuple(range(start, start + BUCKETS)) for start in (0, 1_000, 2_000)]
    sample = Sample(1, 2, 3, 1, 4, 5, 6, tuple(range(13)), 7, 8, 9, 10, 11, 12, 13, True, *ramps)
    assert len(sample.to_words()) == SAMPLE_SCALARS + 3 * BUCKETS
    assert Sample.from_words(sample.to_words()) == sample


def test_a_row_that_has_no_room_for_histograms_gives_a_sample_without() -> None:
    empty = (0,) * BUCKETS
    bare = Sample(1, 2, 3, 1, 4, 5, 6, (0,) * 13)
    full = replace(bare, first_byte=empty, duration=empty, abandoned=empty)
    assert Sample.from_words(full.to_words()[:SAMPLE_SCALARS]) == bare
