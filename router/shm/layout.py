"""Offsets and sizes of the shared memory segment, in 64-bit words. Every process maps the same layout.

    header
    one block a service:  route cell, 7 slot records, 7 base rows, 7 sample rings, pending entry, work table, address table
    one block a worker:   worker header; for each service one service row and 7 slot rows
    two capture rings a worker
    one holdings record a worker

Writers: control writes the control words of the header and the service blocks. A worker writes its own block, its capture
rings and its holdings; once the worker is dead, the supervisor writes its block and its holdings. The supervisor writes the
supervisor words of the header, and clears the place of a removed service once no other process uses it.

A service has a place: the number of its block, and of its rows in each worker's block. It keeps the place as long as it exists.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from router.rollout.model.addresses import ADDRESSES_MAX as ADDRESSES_MAX
from router.rollout.model.route import SLOTS
from router.rollout.outcome import OUTCOMES
from router.rollout.stats.histogram import BUCKETS
from router.rollout.stats.sample_words import SAMPLE_SCALARS
from router.rollout.work import TIME_CELLS, WORK_BUCKETS, WorkEnd

WORD_BYTES: Final = 8
MAGIC: Final = 0x726F6C6C6261636B  # "rollback"
VERSION: Final = 6
SERVICES_MAX: Final = 64
WORKERS_MAX: Final = 64

# -- header: offsets within the first HEADER_WORDS words
HEADER_WORDS: Final = 64
H_MAGIC, H_VERSION, H_WORDS, H_WORKERS, H_SERVICES = range(5)
H_BOOT: Final = 8  # control: the boot counter, once journalled
H_CONTROL_READY: Final = 9  # control: 1 once its first routes are published
H_CONTROL_HEARTBEAT_NS: Final = 10  # control: monotonic
H_CONTROL_LAG_US: Final = 11  # control: worst loop lag of the last second
H_CONTROL_DOCUMENT: Final = 12  # control: number of the newest settings document that is in force there
H_CONTROL_REFUSED: Final = 13  # control: number of the newest document that it refused, with nothing changed; 0: none
H_DRAINING: Final = 16  # supervisor: 1 once the router is stopping
H_SETTINGS: Final = 17  # supervisor: version of the settings, as operators see it: 1, and one more with each SIGHUP
H_CONTROL_STARTS: Final = 18  # supervisor: number of starts of control
H_STATE_LOCKED: Final = 19  # supervisor: 1 once this router has locked the state; before, control does not touch it
H_PORT_SHARED: Final = 20  # supervisor: 1 while another router has the data sockets, too, or alone
H_TAKING_OVER: Final = 21  # supervisor: 1 while workers of another router may still claim by its route
H_INLETS: Final = 22  # supervisor: token of the inlets (runtime/inlets.py) of the router that takes over; 0: none
H_HASH_KEY: Final = 24  # supervisor: the key of all fingerprints (rollout/stats/breadth.py); random for each router
HASH_KEY_WORDS: Final = 2

# -- route cell
ROUTE_WORDS: Final = 8
R_WORD, R_DECIDED_NS, R_STORED_NS = range(3)

# -- slot record: contents of one slot
SLOT_PAYLOAD_BYTES: Final = 8192
SLOT_HEADER_WORDS: Final = 8
S_INCARNATION, S_LENGTH, S_CRC, S_CUT_GENERATION = range(4)
S_HELD: Final = 4  # 1 while a version holds the slot
S_ROLELESS: Final = 5  # the first generation without a role for that version; 0: it has one
S_VERSION: Final = 6  # fingerprint of that version's label: it outlives contents that were being written
SLOT_WORDS: Final = SLOT_HEADER_WORDS + SLOT_PAYLOAD_BYTES // WORD_BYTES

# -- slot row of a worker: its counters of one slot; cumulative unless called a gauge
OUTCOME_COUNT: Final = len(OUTCOMES)
ROLE_COUNT: Final = 3
ROLE_ACTIVE, ROLE_STANDBY, ROLE_CANDIDATE = range(ROLE_COUNT)  # ROLE_STANDBY: the exchange was rescued
L_CLAIMED: Final = 0  # attempts
L_BEGUN: Final = 1
L_FAULTS_UNBEGUN: Final = 2  # faults of attempts whose response had not begun
L_OUTCOMES: Final = 3  # 13 words: attempts that ended, by outcome
L_RESCUED: Final = 16  # exchanges that left this slot for another one
L_WAITING: Final = 17  # gauge: attempts whose request is fully sent and whose first byte is missing
L_WAITING_LONG: Final = 18  # gauge: the part of L_WAITING that has waited hang_wait_min_s or longer
L_OLDEST_WAITING_NS: Final = 19  # gauge: start of the longest wait (monotonic); 0: no attempt waits
L_LAST_BEGUN_NS: Final = 20  # gauge, monotonic
L_GAP_MAX_US: Final = 21  # gauge: longest silence within a response so far
L_ABANDONED_LONG: Final = 22  # clients that gave up after waiting for hang_wait_min_s or longer
L_ENDPOINT_RETRIES: Final = 23  # further endpoints tried within one attempt
L_STALE_CONNECTION: Final = 24  # reused connections that the backend closed during the write
L_TUNNELS: Final = 25  # gauge: WebSockets, and upgrade requests without a response yet
L_EXCHANGES: Final = 32  # 3 × 13 words: exchange ends by role and outcome
L_PAIRS_WELL: Final = 71  # rescued requests that the other version answered well (docs/behaviour/judging.md)
L_PAIRS_FAILED: Final = 72  # rescued requests that failed on the other version, too
L_RESCUES_REFUSED: Final = 73  # failed requests that were not rescued, because the budget of rescues was used up
L_REFUSED_ANSWERS: Final = 80  # one word a member of REFUSED_ANSWERS: answers that were refused for this cause
REFUSED_ANSWERS: Final = (
    "response_status_line_malformed",
    "response_head_malformed",
    "response_head_too_large",
    "response_list_too_long",
    "response_transfer_encoding_repeated",
    "response_transfer_encoding_with_length",
    "response_transfer_encoding_in_http_1_0",
    "response_transfer_coding_unknown",
    "response_content_length_repeated",
    "response_content_length_malformed",
    "response_interim_unexpected",
    "response_chunk_malformed",
)
L_USED: Final = 96  # words 96 to 111 are spare
L_SCALARS: Final = 112
L_FIRST_BYTE: Final = L_SCALARS  # histogram: first-byte times of begun responses, µs
L_DURATION: Final = L_FIRST_BYTE + BUCKETS  # histogram: durations of complete responses, µs
L_ABANDONED: Final = L_DURATION + BUCKETS  # histogram: waits that ended without a first byte, µs
L_FIRST_USEFUL: Final = L_ABANDONED + BUCKETS  # histogram: times to the first useful byte, µs
L_WORK: Final = L_FIRST_USEFUL + BUCKETS  # WORK_BUCKETS work rows
L_EPOCHS: Final = L_WORK + WORK_BUCKETS * (
    32 + TIME_CELLS
)  # EPOCHS epoch rows; the row of an epoch is its number modulo EPOCHS
L_ADDRESSES: Final = (
    L_EPOCHS + 2 * 64
)  # ADDRESSES_MAX address rows: what this worker saw of each address of the version

# -- work row: one work bucket of a slot row; cumulative unless called a gauge
B_ENDS: Final = 0  # 9 words: attempts that became useful, or ended without use, by WorkEnd
B_ASKED: Final = 9  # attempts; asked = sum of B_ENDS + open
B_LATE_FAULTS: Final = 10  # faults of attempts that had been useful
B_KNOWN_GOOD: Final = 11  # gauge: requests without use since the last useful answer that had been useful before
B_IN_PROGRESS: Final = 16  # gauge: open attempts with a 2xx body that has begun, event streams left out
B_WAITING: Final = 17  # gauge: open attempts that are sent and not in progress
B_WAITING_LONG: Final = 18  # gauge: the part of B_WAITING that has waited hang_wait_min_s or longer
B_OVERDUE: Final = 19  # gauge: the part of B_WAITING that has waited longer than the bucket's limit (work table)
B_OLDEST_WAIT_NS: Final = 20  # gauge: start of the longest wait (monotonic); 0: no attempt waits
B_LAST_USEFUL_NS: Final = 21  # gauge, monotonic
B_MOVING: Final = 22  # gauge: bodies that moved within the last 2 s; of event streams only those with content
B_LAST_MOVED_NS: Final = 23  # gauge, monotonic
B_LOST_REQUESTS: Final = 24  # gauge: up to 4 fingerprints of requests without use since the last useful answer
B_LOST_CLIENTS: Final = 28  # gauge: up to 4 fingerprints of their clients
B_TIMES: Final = 32  # histogram of TIME_CELLS cells (rollout/work.py): times to useful
WORK_WORDS: Final = B_TIMES + TIME_CELLS
LOST_MAX: Final = 4
assert B_ENDS + len(WorkEnd) <= B_ASKED
assert L_EPOCHS == L_WORK + WORK_BUCKETS * WORK_WORDS

# -- epoch row: who was affected in ten seconds. A distinct set has 8 words: 4 fingerprints, and a sketch of 256 bits
EPOCHS: Final = 2
EPOCH_S: Final = 10
EP_NUMBER: Final = 0  # monotonic seconds // EPOCH_S; written last when a row begins a new epoch
EP_FAULTS: Final = 1  # faults in this epoch
EP_LOST: Final = 2  # attempts that ended without use in this epoch
EP_KNOWN_GOOD: Final = 3  # distinct requests among the faults that had been useful before
EP_INCARNATION: Final = 5  # of the slot: a row of another incarnation belongs to a version before
DISTINCT_WORDS: Final = 8
EP_FAULT_REQUESTS: Final = 8
EP_FAULT_CLIENTS: Final = 16
EP_LOST_REQUESTS: Final = 24  # of all attempts that ended without use
EP_LOST_CLIENTS: Final = 32
EP_USEFUL_CLIENTS: Final = 40  # clients with a useful answer
EP_UNAFFECTED_CLIENTS: Final = (
    48  # clients with a useful answer, in a bucket that had a fault before in this or the last epoch
)
EPOCH_WORDS: Final = 64

# -- address row: one address of a slot row (proxy/routing); cumulative unless called a gauge
AR_KEY: Final = 0  # the address that the row belongs to (shm/address_rows.py); 0: none
AR_ATTEMPTS: Final = 1
AR_FAULTS: Final = 2  # attempts of the version that ended by a fault at this address
AR_RUN: Final = (
    3  # gauge, since the last good answer: faults (24 bits), overdue waits (24 bits), distinct requests (2: or more)
)
AR_BAD_NS: Final = 4  # gauge, monotonic: the last fault or overdue wait
AR_GOOD_NS: Final = 5  # gauge, monotonic: the last useful answer, or the last answer that was no fault
AR_EJECTED: Final = 6  # gauge, monotonic: end of the ejection; its low 8 bits are the number of ejections in succession
AR_OPEN: Final = 7  # gauge: attempts at this address that have not ended
ADDRESS_ROW_WORDS: Final = 8
WORKER_SLOT_WORDS: Final = L_ADDRESSES + ADDRESSES_MAX * ADDRESS_ROW_WORDS
assert L_ADDRESSES == L_EPOCHS + EPOCHS * EPOCH_WORDS
assert L_OUTCOMES + OUTCOME_COUNT <= L_RESCUED
assert L_EXCHANGES + ROLE_COUNT * OUTCOME_COUNT <= L_PAIRS_WELL
assert L_REFUSED_ANSWERS + len(REFUSED_ANSWERS) <= L_USED

# -- service row of a worker: its counters of one service, without regard to the slot
LS_ACKNOWLEDGED: Final = 0  # generation from which this worker claims
LS_ACKNOWLEDGED_NS: Final = 47  # time of that acknowledgement (monotonic); written before LS_ACKNOWLEDGED
LS_ACCEPTED: Final = 1  # exchanges
LS_ENDED: Final = 2  # 13 words: exchanges that ended without a claim
LS_REFUSED_WORD: Final = 15  # last route word that could not be adopted (slot contents damaged); 0: none
LS_VALIDATED: Final = 16  # one word a member of VALIDATED
VALIDATED: Final = (
    *(("request", result) for result in ("ok", "json", "schema")),
    *(("request", f"unchecked_{reason}") for reason in ("type", "encoded", "large", "full")),
    *(("response", result) for result in ("ok", "empty", "json", "schema", "finite", "label")),
    *(("response", f"unchecked_{reason}") for reason in ("encoded", "large", "early")),
    *(("stream", result) for result in ("ok", "empty", "end", "unchecked_encoded", "unchecked_early")),
    *((subject, "fault") for subject in ("request", "response", "stream")),
)
"""(subject, result) of validations. `fault`: a validator of ours raised an exception, and its subject was let through."""
LS_CLAIM_NUMBER: Final = 64  # number of work buckets that this worker has proposed; written last
LS_CLAIM_LENGTH: Final = 65  # bytes of the proposed name
LS_CLAIM_CRC: Final = 66
LS_CLAIM_NAME: Final = 72  # WORK_NAME_BYTES_MAX bytes
WORK_NAME_BYTES_MAX: Final = 448
WORKER_SERVICE_WORDS: Final = LS_CLAIM_NAME + WORK_NAME_BYTES_MAX // WORD_BYTES
assert LS_ENDED + OUTCOME_COUNT <= LS_REFUSED_WORD
assert LS_VALIDATED + len(VALIDATED) <= LS_ACKNOWLEDGED_NS

# -- worker header: counters of one worker that belong to no service
W_PID: Final = 0
W_HEARTBEAT_NS: Final = 1  # monotonic, every 100 ms
W_LAG_US: Final = 2  # worst loop lag of the last second
W_STARTS: Final = 3  # supervisor: number of starts of this worker
W_CONNECTIONS: Final = 4  # gauge: downstream connections
W_ACCEPTED: Final = 5  # exchanges that matched no service
W_ENDED: Final = 6  # 13 words: ends of these exchanges, by outcome
W_DRAINING: Final = 19  # gauge: 1 once this worker accepts no connections, 2 once it starts no requests
W_CONNECTIONS_TOTAL: Final = 20
W_LAG_SUM_US: Final = 21  # sum of the loop lag beyond stall_s: a change means that the loop stalled
W_ACCESS_LINES_DROPPED: Final = 22  # lines of the access log that were dropped, because the disk was too slow or full
W_SPANS_SENT: Final = 23  # spans that a receiver has taken
W_TRACES_DROPPED: Final = 24  # sampled exchanges without spans: the receiver was slow, away, or refused them
W_LEFT: Final = (
    26  # gauge: number of the newest document such that nothing is in flight here of a service that it lacks
)
W_HANDSHAKES: Final = 28  # TLS handshakes of clients that have ended
W_HANDSHAKES_FAILED: Final = 29  # the part of W_HANDSHAKES that failed
W_PROXY_HEADERS_REFUSED: Final = 30  # connections closed because they had no valid PROXY header
W_LOOKALIKES: Final = 31  # request fields that were left out (proxy/http1/lookalikes.py)
W_LIMITED: Final = 32  # one word a member of LIMITS: how often that limit acted
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
"""Limits on clients, in the order of their words. Each name is that of the setting, with four exceptions. `descriptors` is the
process limit RLIMIT_NOFILE. `tunnels`: tunnels may use half of in_flight_max or requests_max. `client_share` and
`client_share_cut`: one client's share is limited while other clients are refused.
"""
(
    LIMITED_CONNECTIONS, LIMITED_PER_CLIENT, LIMITED_REQUESTS, LIMITED_PER_CONNECTION, LIMITED_AGE,
    LIMITED_HEADER_TIMEOUT, LIMITED_BODY_TIMEOUT, LIMITED_BODY_RATE, LIMITED_WRITE_TIMEOUT, LIMITED_WRITE_RATE,
    LIMITED_DESCRIPTORS, LIMITED_IN_FLIGHT, LIMITED_CONNECT_WAITS, LIMITED_TUNNELS, LIMITED_SHARE, LIMITED_SHARE_CUT,
) = range(len(LIMITS))  # fmt: skip
WORKER_HEADER_WORDS: Final = 64
assert W_ENDED + OUTCOME_COUNT <= W_DRAINING
assert W_LIMITED + len(LIMITS) <= WORKER_HEADER_WORDS

# -- sample ring: samples that control took, kept for a restarted control
TIERS: Final = (("tick", 0.1, 200), ("second", 1.0, 90), ("decade", 10.0, 90))
"""(name, seconds between samples, samples kept): 20 s, 90 s, 15 min. From 1 s on they are whole samples."""
WHOLE_TIERS: Final = len(TIERS) - 1
WHOLE_ENTRY_WORDS: Final = 4
WHOLE_WORDS: Final = 480
"""Words of a whole sample on average (rollout/stats/sample_words.py). If they are longer, fewer are kept."""
RING_HEADER_WORDS: Final = (
    8  # per slot: ticks ever written; for each further tier rows and words ever written (row_ring.py)
)
RING_TICKS: Final = TIERS[0][2] * SAMPLE_SCALARS
RING_WHOLE: Final = TIERS[1][2] * (WHOLE_ENTRY_WORDS + WHOLE_WORDS)
assert {kept for _, _, kept in TIERS[1:]} == {TIERS[1][2]}
RING_SLOT_WORDS: Final = RING_HEADER_WORDS + RING_TICKS + WHOLE_TIERS * RING_WHOLE

# -- capture ring: captured requests of a worker; pages that were never written use no memory
CAPTURE_RINGS: Final = 2
CAPTURE_FAILURES, CAPTURE_INPUTS = range(CAPTURE_RINGS)
CAPTURE_HEADER_WORDS: Final = 8
C_WRITTEN, C_POSITION = range(2)  # records ever written; bytes ever written, gaps at the end included
CAPTURES_KEPT: Final = 1024
CAPTURE_ENTRY_WORDS: Final = 8
E_NUMBER, E_AT_NS, E_SERVICE, E_POSITION, E_LENGTH, E_CRC = range(6)
CAPTURE_RING_BYTES: Final = 1 << 20
CAPTURE_BYTES_MAX: Final = CAPTURE_RING_BYTES // 4
"""Largest record: a ring holds at least three of this size."""
CAPTURE_WORDS: Final = CAPTURE_HEADER_WORDS + CAPTURES_KEPT * CAPTURE_ENTRY_WORDS + CAPTURE_RING_BYTES // WORD_BYTES
assert E_CRC < CAPTURE_ENTRY_WORDS

# -- holdings record: which targets and clients use a worker's request limits, while clients are refused
HOLDINGS_HEADER_WORDS: Final = 8
HO_AT_NS, HO_LENGTH, HO_CRC = range(3)
HOLDINGS_BYTES_MAX: Final = 64 * 1024
HOLDINGS_WORDS: Final = HOLDINGS_HEADER_WORDS + HOLDINGS_BYTES_MAX // WORD_BYTES

# -- pending entry: the journal entry of a route that was published before the journal had it
PENDING_HEADER_WORDS: Final = 8
P_GENERATION, P_LENGTH, P_CRC = range(3)
PENDING_BYTES_MAX: Final = 16 * 1024
PENDING_WORDS: Final = PENDING_HEADER_WORDS + PENDING_BYTES_MAX // WORD_BYTES

# -- work table: the names and the known times of a service's work buckets; control writes it, workers read it
WT_SEQUENCE: Final = 0  # odd while the table is written
WORK_TABLE_HEADER_WORDS: Final = 8
WE_LENGTH: Final = 0  # bytes of the name; 0: the bucket is free
WE_INFERENCE: Final = 1  # 1: inference
WE_OVERDUE_US: Final = 2  # a wait beyond this is overdue (the judge's T); 0: unknown
WE_MEDIAN_US: Final = 3  # median time to useful; 0: unknown
WE_NAME: Final = 8
WORK_ENTRY_WORDS: Final = WE_NAME + WORK_NAME_BYTES_MAX // WORD_BYTES
WORK_TABLE_WORDS: Final = WORK_TABLE_HEADER_WORDS + WORK_BUCKETS * WORK_ENTRY_WORDS

# -- address table: the addresses of each slot with their health; control writes it, workers read it
ADDRESS_TABLE_HEADER_WORDS: Final = 8
AT_SEQUENCE: Final = 0  # odd while entries are written
AT_COUNT: Final = 1
ADDRESS_ENTRY_WORDS: Final = 8
AE_KEY: Final = 0  # shm/address_rows.py
AE_HEALTH: Final = 1  # result of control's probes: one of HEALTH_…
AE_SET_ASIDE: Final = 2  # faults of this address that are not counted against the version
AE_MARK: Final = 3  # faults of this address up to here were either set aside, or count against the version
HEALTH_UNKNOWN, HEALTH_GOOD, HEALTH_RED = range(3)
ADDRESS_TABLE_WORDS: Final = SLOTS * (ADDRESS_TABLE_HEADER_WORDS + ADDRESSES_MAX * ADDRESS_ENTRY_WORDS)

SERVICE_WORDS: Final = (
    ROUTE_WORDS
    + SLOTS * (SLOT_WORDS + WORKER_SLOT_WORDS + RING_SLOT_WORDS)
    + PENDING_WORDS
    + WORK_TABLE_WORDS
    + ADDRESS_TABLE_WORDS
)


@dataclass(frozen=True, slots=True)
class Layout:
    """The offsets for `workers` workers and `services` services; every result is a word offset."""

    workers: int
    services: int

    @property
    def words(self) -> int:
        """Size of the whole segment."""
        return self.holdings(self.workers)

    @property
    def _worker_words(self) -> int:
        return WORKER_HEADER_WORDS + self.services * (WORKER_SERVICE_WORDS + SLOTS * WORKER_SLOT_WORDS)

    def route(self, service: int) -> int:
        """The route cell of a service."""
        return HEADER_WORDS + service * SERVICE_WORDS

    def slot(self, service: int, slot: int) -> int:
        """The slot record: the contents of a slot."""
        return self.route(service) + ROUTE_WORDS + slot * SLOT_WORDS

    def base(self, service: int, slot: int) -> int:
        """The base row: sums over all workers at the time the slot was filled, so that a version counts from zero."""
        return self.slot(service, SLOTS) + slot * WORKER_SLOT_WORDS

    def ring(self, service: int, slot: int) -> int:
        """The sample ring of a slot."""
        return self.base(service, SLOTS) + slot * RING_SLOT_WORDS

    def pending_entry(self, service: int) -> int:
        """The pending entry of a service."""
        return self.ring(service, SLOTS)

    def work_table(self, service: int) -> int:
        """The work table of a service."""
        return self.pending_entry(service) + PENDING_WORDS

    def address_table(self, service: int, slot: int) -> int:
        """The address table of a slot."""
        words = ADDRESS_TABLE_HEADER_WORDS + ADDRESSES_MAX * ADDRESS_ENTRY_WORDS
        return self.work_table(service) + WORK_TABLE_WORDS + slot * words

    def worker(self, worker: int) -> int:
        """The header of a worker's block."""
        return HEADER_WORDS + self.services * SERVICE_WORDS + worker * self._worker_words

    def worker_service(self, worker: int, service: int) -> int:
        """The service row of a worker."""
        return self.worker(worker) + WORKER_HEADER_WORDS + service * (WORKER_SERVICE_WORDS + SLOTS * WORKER_SLOT_WORDS)

    def worker_slot(self, worker: int, service: int, slot: int) -> int:
        """The slot row of a worker."""
        return self.worker_service(worker, service) + WORKER_SERVICE_WORDS + slot * WORKER_SLOT_WORDS

    def place_blocks(self, service: int) -> list[tuple[int, int]]:
        """Return (first word, words) of each part of the segment that belongs to one place alone."""
        rows = WORKER_SERVICE_WORDS + SLOTS * WORKER_SLOT_WORDS
        of_workers = [(self.worker_service(worker, service), rows) for worker in range(self.workers)]
        return [(self.route(service), SERVICE_WORDS), *of_workers]

    def captures(self, worker: int, ring: int) -> int:
        """A capture ring of a worker: CAPTURE_FAILURES or CAPTURE_INPUTS."""
        return self.worker(self.workers) + (worker * CAPTURE_RINGS + ring) * CAPTURE_WORDS

    def holdings(self, worker: int) -> int:
        """The holdings record of a worker."""
        return self.captures(self.workers, 0) + worker * HOLDINGS_WORDS
