import itertools

import pytest

from router.rollout.model.route import SLOTS
from router.shm import layout as at
from router.shm.layout import Layout


@pytest.mark.parametrize(("workers", "services"), [(1, 1), (2, 3), (64, 16)])
def test_nothing_overlaps_and_nothing_is_left_over(workers: int, services: int) -> None:
    layout = Layout(workers, services)
    pieces = [(0, at.HEADER_WORDS)]
    for service in range(services):
        pieces.append((layout.route(service), at.ROUTE_WORDS))
        pieces += [(layout.slot(service, slot), at.SLOT_WORDS) for slot in range(SLOTS)]
        pieces += [(layout.base(service, slot), at.WORKER_SLOT_WORDS) for slot in range(SLOTS)]
        pieces += [(layout.ring(service, slot), at.RING_SLOT_WORDS) for slot in range(SLOTS)]
        pieces.append((layout.pending_entry(service), at.PENDING_WORDS))
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
    found.pop("L_SCALARS", None)  # a size
    return found


@pytest.mark.parametrize("prefix", ["H_", "R_", "S_", "L_", "LS_", "W_", "C_", "E_", "HO_"])
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
    assert [(name, round(step_s * kept)) for name, step_s, kept, _ in at.TIERS] == [
        ("tick", 20),
        ("second", 90),
        ("decade", 900),
    ]


def test_histograms_follow_one_another() -> None:
    assert list(itertools.pairwise((at.L_FIRST_BYTE, at.L_DURATION, at.L_ABANDONED, at.WORKER_SLOT_WORDS))) == [
        (80, 320),
        (320, 560),
        (560, 800),
    ]
