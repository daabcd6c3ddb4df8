"""Offsets and sizes of the wall, in 64-bit words. One place computes them; every process maps the same.

    header | a block a service: route cell, 7 slot records, 7 base rows, sample ring, note | a lane a worker: lane header,
    a lane-service row a service, a lane-slot row a slot | two capture rings a worker | a record of holdings a worker

Who writes: the header's control words and the service blocks: control. A lane: its worker, and the supervisor once that
worker is dead. A capture ring: its worker. Holdings: like a lane. The header's supervisor words: the supervisor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from router.rollout.model.route import SLOTS
from router.rollout.outcome import OUTCOMES
from router.rollout.stats.histogram import BUCKETS

WORD_BYTES: Final = 8
MAGIC: Final = 0x726F6C6C6261636B  # "rollback"
VERSION: Final = 3
SERVICES_MAX: Final = 16
WORKERS_MAX: Final = 64

# -- header: offsets within the first HEADER_WORDS words
HEADER_WORDS: Final = 64
H_MAGIC, H_VERSION, H_WORDS, H_WORKERS, H_SERVICES = range(5)
H_BOOT: Final = 8  # control: the boot counter, once journalled
H_CONTROL_READY: Final = 9  # control: 1 once its first routes are published
H_CONTROL_HEARTBEAT_NS: Final = 10  # control: monotonic
H_CONTROL_LAG_US: Final = 11  # control: worst loop lag of the last second
H_DRAINING: Final = 16  # supervisor: 1 once it was told to stop
H_SETTINGS: Final = 17  # supervisor: version of the settings document
H_CONTROL_STARTS: Final = 18  # supervisor: how often control was started
H_STATE_LOCKED: Final = 19  # supervisor: 1 once the state is ours; control reads and writes nothing before
H_TAKING_OVER: Final = 21  # supervisor: 1 while workers of another router may still claim by its route
H_INLETS: Final = 22  # supervisor: the token of the inlets (inlets.py) of the router that takes over; 0: it has none
H_PORT_SHARED: Final = 20  # supervisor: 1 while another router has the data sockets too, or alone

# -- route cell
ROUTE_WORDS: Final = 8
R_WORD, R_DECIDED_NS, R_STORED_NS = range(3)

# -- slot record: contents of one slot
SLOT_PAYLOAD_BYTES: Final = 8192
SLOT_HEADER_WORDS: Final = 8
S_INCARNATION, S_LENGTH, S_CRC, S_CUT_GENERATION = range(4)
SLOT_WORDS: Final = SLOT_HEADER_WORDS + SLOT_PAYLOAD_BYTES // WORD_BYTES

# -- lane-slot row: what one worker counted for one slot; cumulative unless called a gauge
OUTCOME_COUNT: Final = len(OUTCOMES)
ROLE_COUNT: Final = 3
ROLE_ACTIVE, ROLE_STANDBY, ROLE_CANDIDATE = range(ROLE_COUNT)  # standby: a rescue
L_CLAIMED: Final = 0  # attempts
L_BEGUN: Final = 1
L_FAULTS_UNBEGUN: Final = 2  # faults that had not begun
L_OUTCOMES: Final = 3  # 13 words: how attempts ended
L_RESCUED: Final = 16  # exchanges that left this slot for another one
L_WAITING: Final = 17  # gauge: sent whole, no first byte yet
L_WAITING_LONG: Final = 18  # gauge: of those, waiting for hang_wait_min_s or longer
L_OLDEST_WAITING_NS: Final = 19  # gauge: since when (monotonic); 0: none waits
L_LAST_BEGUN_NS: Final = 20  # gauge, monotonic
L_GAP_MAX_US: Final = 21  # gauge: longest silence within a response so far
L_ABANDONED_LONG: Final = 22  # clients that gave up after waiting for hang_wait_min_s or longer
L_ENDPOINT_RETRIES: Final = 23  # further endpoints tried within one attempt
L_STALE_CONNECTION: Final = 24  # reused connections that the backend closed as we wrote
L_TUNNELS: Final = 25  # gauge: WebSockets, and requests for one that have no answer yet
L_EXCHANGES: Final = 32  # 3 × 13 words: exchange ends by role and outcome
L_SCALARS: Final = 80
L_FIRST_BYTE: Final = 80  # histogram: first-byte times of begun responses, µs
L_DURATION: Final = L_FIRST_BYTE + BUCKETS  # histogram: durations of responses that were whole, µs
L_ABANDONED: Final = L_DURATION + BUCKETS  # histogram: waits that ended without a first byte, µs
LANE_SLOT_WORDS: Final = L_ABANDONED + BUCKETS
assert L_OUTCOMES + OUTCOME_COUNT <= L_RESCUED
assert L_EXCHANGES + ROLE_COUNT * OUTCOME_COUNT <= L_SCALARS

# -- lane-service row: what one worker knows of one service, whatever the slot
LS_ACKNOWLEDGED: Final = 0  # generation from which this worker claims
LS_ACCEPTED: Final = 1  # exchanges
LS_ENDED: Final = 2  # 13 words: exchanges that ended without a claim
LS_REFUSED_WORD: Final = 15  # last route word that could not be taken over (slot contents damaged); 0: none
LS_VALIDATED: Final = 16  # a word a member of VALIDATED
VALIDATED: Final = (
    *(("request", result) for result in ("ok", "json", "schema")),
    *(("request", f"unchecked_{why}") for why in ("type", "encoded", "large", "full")),
    *(("response", result) for result in ("ok", "empty", "json", "schema", "finite", "label")),
    *(("response", f"unchecked_{why}") for why in ("encoded", "large", "early")),
    *(("stream", result) for result in ("ok", "empty", "end", "unchecked_encoded", "unchecked_early")),
    *((what, "fault") for what in ("request", "response", "stream")),
)
"""What was held against what, and what came of it. `fault`: a validator of ours broke, and what it looked at passed."""
LS_ACKNOWLEDGED_NS: Final = 47  # when it acknowledged (monotonic); written before the generation is
LANE_SERVICE_WORDS: Final = 48
assert LS_ENDED + OUTCOME_COUNT <= LS_REFUSED_WORD
assert LS_VALIDATED + len(VALIDATED) <= LS_ACKNOWLEDGED_NS

# -- lane header: what one worker knows of itself
W_PID: Final = 0
W_HEARTBEAT_NS: Final = 1  # monotonic, every 100 ms
W_LAG_US: Final = 2  # worst loop lag of the last second
W_STARTS: Final = 3  # supervisor: how often this worker was started
W_CONNECTIONS: Final = 4  # gauge: downstream connections
W_ACCEPTED: Final = 5  # exchanges that matched no service
W_ENDED: Final = 6  # 13 words: how they ended
W_DRAINING: Final = 19  # gauge: 1 once this worker accepts no more, 2 once it begins no request any more
W_CONNECTIONS_TOTAL: Final = 20
W_LAG_SUM_US: Final = 21  # cumulative lateness beyond stall_s: a change means the loop stalled
W_HANDSHAKES: Final = 28  # TLS handshakes of clients that have ended
W_HANDSHAKES_FAILED: Final = 29  # of these, those that failed
W_PROXY_HEADERS_REFUSED: Final = 30  # connections closed for want of a PROXY header that we take
W_LIMITED: Final = 32  # a word a limit on clients: how often it acted
LIMITS: Final = (
    "connections_max",
    "connections_per_client_max",
    "requests_max",
    "requests_per_connection_max",
    "connection_age_max_s",
    "header_timeout_s",
    "body_timeout_s",
    "body_rate_min_bytes_per_s",
    "write_timeout_s",
    "write_rate_min_bytes_per_s",
    "descriptors",
    "in_flight_max",
    "connect_waits_max",
    "tunnels",
    "client_share",
    "client_share_cut",
)
"""In the order of their words; each is the setting to turn, but for `descriptors`, the process limit RLIMIT_NOFILE, and the
last three: `tunnels` take half of in_flight_max or requests_max, a client's share is limited while others are refused.
"""
(
    LIMITED_CONNECTIONS, LIMITED_PER_CLIENT, LIMITED_REQUESTS, LIMITED_PER_CONNECTION, LIMITED_AGE,
    LIMITED_HEADER_TIMEOUT, LIMITED_BODY_TIMEOUT, LIMITED_BODY_RATE, LIMITED_WRITE_TIMEOUT, LIMITED_WRITE_RATE,
    LIMITED_DESCRIPTORS, LIMITED_IN_FLIGHT, LIMITED_CONNECT_WAITS, LIMITED_TUNNELS, LIMITED_SHARE, LIMITED_SHARE_CUT,
) = range(len(LIMITS))  # fmt: skip
LANE_HEADER_WORDS: Final = 64
assert W_ENDED + OUTCOME_COUNT <= W_DRAINING
assert W_LIMITED + len(LIMITS) <= LANE_HEADER_WORDS

# -- sample ring: control's own memory of the past, so that its successor has one
SAMPLE_SCALARS: Final = 32
SAMPLE_HISTOGRAMS: Final = 3
SAMPLE_WORDS: Final = SAMPLE_SCALARS + SAMPLE_HISTOGRAMS * BUCKETS
TIERS: Final = (
    ("tick", 0.1, 200, SAMPLE_SCALARS),
    ("second", 1.0, 90, SAMPLE_WORDS),
    ("decade", 10.0, 90, SAMPLE_WORDS),
)
"""(name, seconds between samples, samples kept, words a sample): 20 s, 90 s, 15 min. Histograms from 1 s on."""
RING_HEADER_WORDS: Final = 8  # per slot: samples ever written, a word a tier
RING_SLOT_WORDS: Final = RING_HEADER_WORDS + sum(kept * words for _, _, kept, words in TIERS)

# -- capture ring: what a worker has kept of requests; pages of it that were never written cost no memory
CAPTURE_RINGS: Final = 2
CAPTURE_FAILURES, CAPTURE_INPUTS = range(CAPTURE_RINGS)
CAPTURE_HEADER_WORDS: Final = 8
C_WRITTEN, C_POSITION = range(2)  # records ever written; bytes ever written, gaps at the end included
CAPTURES_KEPT: Final = 1024
CAPTURE_ENTRY_WORDS: Final = 8
E_NUMBER, E_AT_NS, E_SERVICE, E_POSITION, E_LENGTH, E_CRC = range(6)
CAPTURE_RING_BYTES: Final = 1 << 20
CAPTURE_BYTES_MAX: Final = CAPTURE_RING_BYTES // 4
"""Of one record: a ring holds at least three."""
CAPTURE_WORDS: Final = CAPTURE_HEADER_WORDS + CAPTURES_KEPT * CAPTURE_ENTRY_WORDS + CAPTURE_RING_BYTES // WORD_BYTES
assert E_CRC < CAPTURE_ENTRY_WORDS

# -- holdings: who holds the places of a worker, while clients are refused for want of one
HOLDINGS_HEADER_WORDS: Final = 8
HO_AT_NS, HO_LENGTH, HO_CRC = range(3)
HOLDINGS_BYTES_MAX: Final = 64 * 1024
HOLDINGS_WORDS: Final = HOLDINGS_HEADER_WORDS + HOLDINGS_BYTES_MAX // WORD_BYTES

# -- note: the fact that goes with a route which was stored before it was journalled
NOTE_HEADER_WORDS: Final = 8
N_GENERATION, N_LENGTH, N_CRC = range(3)
NOTE_BYTES_MAX: Final = 16 * 1024
NOTE_WORDS: Final = NOTE_HEADER_WORDS + NOTE_BYTES_MAX // WORD_BYTES

SERVICE_WORDS: Final = ROUTE_WORDS + SLOTS * (SLOT_WORDS + LANE_SLOT_WORDS + RING_SLOT_WORDS) + NOTE_WORDS


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything lies for `workers` workers and `services` services; all results are word offsets."""

    workers: int
    services: int

    @property
    def words(self) -> int:
        """Size of the whole wall."""
        return self.holdings(self.workers)

    @property
    def _lane_words(self) -> int:
        return LANE_HEADER_WORDS + self.services * (LANE_SERVICE_WORDS + SLOTS * LANE_SLOT_WORDS)

    def route(self, service: int) -> int:
        """The route cell of a service."""
        return HEADER_WORDS + service * SERVICE_WORDS

    def slot(self, service: int, slot: int) -> int:
        """The slot record: what is in a slot."""
        return self.route(service) + ROUTE_WORDS + slot * SLOT_WORDS

    def base(self, service: int, slot: int) -> int:
        """The base row: sums over all lanes at the moment the slot was filled, so that a version counts from zero."""
        return self.slot(service, SLOTS) + slot * LANE_SLOT_WORDS

    def ring(self, service: int, slot: int) -> int:
        """The sample ring of a slot."""
        return self.base(service, SLOTS) + slot * RING_SLOT_WORDS

    def note(self, service: int) -> int:
        """The note of a service."""
        return self.ring(service, SLOTS)

    def lane(self, worker: int) -> int:
        """A worker's lane header."""
        return HEADER_WORDS + self.services * SERVICE_WORDS + worker * self._lane_words

    def lane_service(self, worker: int, service: int) -> int:
        """A worker's row of a service."""
        return self.lane(worker) + LANE_HEADER_WORDS + service * (LANE_SERVICE_WORDS + SLOTS * LANE_SLOT_WORDS)

    def lane_slot(self, worker: int, service: int, slot: int) -> int:
        """A worker's row of a slot."""
        return self.lane_service(worker, service) + LANE_SERVICE_WORDS + slot * LANE_SLOT_WORDS

    def captures(self, worker: int, ring: int) -> int:
        """A worker's capture ring: CAPTURE_FAILURES or CAPTURE_INPUTS."""
        return self.lane(self.workers) + (worker * CAPTURE_RINGS + ring) * CAPTURE_WORDS

    def holdings(self, worker: int) -> int:
        """A worker's record of who holds its places."""
        return self.captures(self.workers, 0) + worker * HOLDINGS_WORDS
