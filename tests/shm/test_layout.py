import itertools

import pytest

from router.rollout.model.route import SLOTS
from router.rollout.work import TIME_CELLS, WorkEnd
from router.shm import layout as at
from router.shm.layout import Layout


@pytest.mark.parametrize(("workers", "services"), [(1, 1), (2, 3), (64, 64)])
def test_nothing_overlaps_and_nothing_is_left_over(workers: int, services: int) -> None:
    layout = Layout(workers, services)
    pieces = [(0, at.HEADER_WORDS)]
    for service in range(services):
        pieces.append((layout.route(service), at.ROUTE_WORDS))
        pieces += [(layout.slot(service, slot), at.SLOT_WORDS) for slot in range(SLOTS)]
        pieces += [(layout.base(service, slot), at.WORKER_SLOT_WORDS) for slot in range(SLOTS)]
        pieces += [(layout.ring(service, slot), at.RING_SLOT_WORDS) for slot in range(SLOTS)]
        pieces.append((layout.pending_entry(service), at.PENDING_WORDS))
        pieces.append((layout.work_table(service), at.WORK_TABLE_WORDS))
        pieces.append((layout.address_table(service, 0), at.ADDRESS_TABLE_WORDS))
    for worker in range(workers):
        pieces.append((layout.worker(worker), at.WORKER_HEADER_WORDS))
        for service in range(services):
            pieces.append((layout.worker_service(worker, service), at.WORKER_SERVICE_WORDS))
            pieces += [(layout.worker_slot(worker, service, slot), at.WORKER_SLOT_WORDS) for slot in range(SLOTS)]
        pieces += [(layout.captures(worker, ring), at.CAPTURE_WORDS) for ring in range(at.CAPTURE_RINGS)]
        pieces.append((layout.holdings(worker), at.HOLDINGS_WORDS))
    pieces.sort()
    assert [start + size for start, size in pieces] == [start for start, _ in pieces[1:]] + [layout.words]


def offsets(prefix: str) -> dict[str, int]:
    found = {name: value for name, value in vars(at).items() if name.startswith(prefix) and isinstance(value, int)}
    for size in ("L_SCALARS", "L_USED"):
        found.pop(size, None)
    return found


@pytest.mark.parametrize("prefix", ["H_", "R_", "S_", "L_", "LS_", "W_", "C_", "E_", "HO_", "B_", "EP_", "WE_"])
def test_offsets_of_a_row_are_distinct(prefix: str) -> None:
    assert len(set(offsets(prefix).values())) == len(offsets(prefix))


@pytest.mark.parametrize(
    ("prefix", "start", "size"),
    [
        ("L_", at.L_OUTCOMES, at.OUTCOME_COUNT),
        ("L_", at.L_EXCHANGES, at.ROLE_COUNT * at.OUTCOME_COUNT),
        ("LS_", at.LS_ENDED, at.OUTCOME_COUNT),
        ("W_", at.W_ENDED, at.OUTCOME_COUNT),
        ("W_", at.W_LIMITED, len(at.LIMITS)),
    ],
)
def test_nothing_lies_within_an_array(prefix: str, start: int, size: int) -> None:
    assert [name for name, offset in offsets(prefix).items() if start < offset < start + size] == []


def test_rings_keep_twenty_seconds_ninety_seconds_and_a_quarter_of_an_hour() -> None:
    assert [(name, round(step_s * kept)) for name, step_s, kept in at.TIERS] == [
        ("tick", 20),
        ("second", 90),
        ("decade", 900),
    ]


def test_histograms_follow_one_another() -> None:
    histograms = (at.L_FIRST_BYTE, at.L_DURATION, at.L_ABANDONED, at.L_FIRST_USEFUL, at.L_WORK)
    assert [end - start for start, end in itertools.pairwise(histograms)] == [240] * 4


def test_a_row_of_a_slot_has_spare_words() -> None:
    assert max(value for value in offsets("L_").values() if value < at.L_SCALARS) < at.L_USED
    assert at.L_SCALARS - at.L_USED == 16


@pytest.mark.parametrize(
    ("prefix", "start", "size"),
    [
        ("B_", at.B_ENDS, len(WorkEnd)),
        ("B_", at.B_LOST_REQUESTS, at.LOST_MAX),
        ("B_", at.B_LOST_CLIENTS, at.LOST_MAX),
        ("EP_", at.EP_FAULT_REQUESTS, at.DISTINCT_WORDS),
        ("EP_", at.EP_UNAFFECTED_CLIENTS, at.DISTINCT_WORDS),
    ],
)
def test_nothing_lies_within_an_array_of_work(prefix: str, start: int, size: int) -> None:
    assert [name for name, offset in offsets(prefix).items() if start < offset < start + size] == []


def test_a_work_row_and_an_epoch_row_hold_their_words() -> None:
    assert max(offsets("B_").values()) + TIME_CELLS == at.WORK_WORDS == 64
    assert max(offsets("EP_").values()) + at.DISTINCT_WORDS <= at.EPOCH_WORDS
