"""Lists and numbers of the pages that are written by hand: they are those of the code."""

from __future__ import annotations

import re
from typing import Final

import pytest

from router.control.admin import attempts, json_text
from router.control.monitors.overload import WINDOW_S
from router.control.store.journal_file import APPEND_TIMEOUT_S
from router.control.store.mark import SYNC_AFTER_S
from router.proxy.accept import reserve
from router.proxy.engine.failover import Failover, OtherVersion
from router.proxy.fair_queue import GREEDY_STEPS, GREEDY_STEPS_PER_REST
from router.proxy.http1.chunked import LINES_PER_STEP
from router.proxy.http1.fields import LIST_MEMBERS_MAX
from router.proxy.routing import client_shares
from router.proxy.routing.concurrency import WAITED_MIN_S
from router.rollout.judge.criteria import Acceptance
from router.rollout.judge.errors import FORGIVE_MARGIN_S
from router.rollout.judge.hard_failure import HANG_FACTOR
from router.rollout.judge.progress.inference_probe import PROBE_FAILS_S
from router.rollout.judge.rules import Rules
from router.rollout.machine.limits import RolloutLimits
from router.rollout.machine.pairs import RATIO
from router.rollout.model.route import SLOTS
from router.rollout.model.target import ROLES, State
from router.rollout.outcome import FAULTS, OUTCOMES
from router.settings.sections.limits import LimitSettings, Timeouts
from tests.documents.pages import ROOT, blocks
from tests.proxy.test_steps_of_an_exchange import LATER_REQUEST

HARD: Final = Rules().hard_failure
ERRORS: Final = Rules().error_rate
SLOW: Final = Rules().latency
GATE: Final = RolloutLimits()
JUDGING: Final = "behaviour/judging.md"
LIMITS: Final = "behaviour/timeouts-and-limits.md"
PROCESSES: Final = "behaviour/processes.md"

FACTS: Final = (
    (JUDGING, f"at least {HARD.burst_faults_min} faults and a share of at least {HARD.burst_fault_share * 100:g} %"),
    (
        JUDGING,
        "in the last {:g}, {:g} or {:g} s".format(Rules().forgive_s + FORGIVE_MARGIN_S, *HARD.burst_windows_s[1:]),
    ),
    (JUDGING, f"at least {HARD.streak_faults_min} faults in a row over at least {HARD.streak_span_s:g} s"),
    (
        JUDGING,
        f"for {HARD.unreachable_after_s:g} s of live traffic ({HARD.unreachable_by_probes_after_s:g} s by probes",
    ),
    (JUDGING, f"at least {HARD.hang_waits_min} requests waited {HARD.hang_wait_min_s:g} s or longer"),
    (JUDGING, f"{HANG_FACTOR:g} × the p99 of the times to the first useful byte"),
    (JUDGING, f"at least {HARD.hang_after_min_s:g} s."),
    (JUDGING, f"While nothing is known it is {HARD.hang_after_max_s:g} s"),
    (JUDGING, f"with {ERRORS.confidence * 100:g} % confidence above {ERRORS.baseline_factor:g} × the baseline"),
    (
        JUDGING,
        f"above {ERRORS.rate_floor * 100:g} % (without a baseline: {ERRORS.rate_floor_without_baseline * 100:g} %)",
    ),
    (JUDGING, "over {:g}, {:g} or {:g} min".format(*(pair.long_s / 60 for pair in ERRORS.windows))),
    (JUDGING, f"sustained for {ERRORS.sustained_s:g} s"),
    (JUDGING, f"more than {SLOW.slo_share * 100:g} % of the first bytes come later than `slo_ms`"),
    (JUDGING, f"sustained for {SLOW.sustained_s / 60:g} min"),
    (JUDGING, f"later than {SLOW.fast_factor:g} × `slo_ms`, for {SLOW.fast_sustained_s:g} s"),
    (JUDGING, f"For {Rules().warmup_s:g} s after a promotion (`warmup_s`)"),
    (JUDGING, f"likelihood ratio of {RATIO:g}"),
    (JUDGING, f"`forgive_s` ({Rules().forgive_s:g} s)"),
    (JUDGING, f"for at least {PROBE_FAILS_S:g} s"),
    (JUDGING, f"after {Acceptance().after_s / 60:g} minutes and {Acceptance().requests_min} useful answers"),
    (JUDGING, f"after {GATE.recover_probes} good probes (`recover_probes`)"),
    (LIMITS, f"within {reserve.RESERVED_S:g} s. Any other request"),
    (LIMITS, f"{reserve.HANDSHAKES_PER_S} handshakes a second, and {reserve.HANDSHAKES_PER_CLIENT_S} of one address"),
    (LIMITS, f"with up to {reserve.BALANCER_RESERVED} reserved connections"),
    (LIMITS, f"If {GREEDY_STEPS} requests in a row"),
    (LIMITS, f"together begin {GREEDY_STEPS_PER_REST} requests, then none for a millisecond"),
    (LIMITS, f"reads {LINES_PER_STEP} chunks of a body"),
    (LIMITS, f"and of a `Via` that names this router | {LIST_MEMBERS_MAX} |"),
    (LIMITS, f"no other client got a place for {client_shares.PROBE_AFTER_S:g} s, one request"),
    (LIMITS, f"no other client got a place for {client_shares.STUCK_S:g} s, the oldest"),
    (LIMITS, f"The limit ends {client_shares.HOLD_S:g} s after"),
    (LIMITS, f"end only after {WAITED_MIN_S:g} s"),
    (LIMITS, f"The alarm ends after {WINDOW_S} s without a refusal"),
    (PROCESSES, f"If the disk does not answer within {APPEND_TIMEOUT_S:g} s"),
    (PROCESSES, f"in its last {SYNC_AFTER_S * 1000:g} ms and two syncs"),
    (PROCESSES, f"more than {json_text.DEPTH_MAX} levels, {json_text.MEMBERS_MAX} members of an object"),
    (PROCESSES, f"{json_text.VALUES_MAX:,} values or {json_text.BYTES_MAX // 1024} KiB"),
    (PROCESSES, f"then one every {attempts.REFILL_S:g} s"),
    ("architecture/state-machine.md", f"has not failed for {GATE.unblock_after_s:g} s"),
    ("concepts.md", {7: "seven"}[SLOTS] + " places for versions"),
)


def page(name: str) -> str:
    """Return the text of a page of docs/ on one line."""
    return " ".join((ROOT / "docs" / name).read_text().split())


def rows(name: str, heading: str) -> list[list[str]]:
    """Return the cells of the first table below a heading, without its head."""
    below = (ROOT / "docs" / name).read_text().partition(f"\n{heading}\n")[2]
    lines = re.search(r"(?:^\|.*\n)+", below, re.MULTILINE)
    assert lines is not None
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[0].splitlines()[2:]]


@pytest.mark.parametrize(("name", "fact"), FACTS)
def test_a_number_of_a_page_is_that_of_the_code(name: str, fact: str) -> None:
    assert fact in page(name)


def test_judging_lists_the_outcomes_and_the_faults() -> None:
    listed = [(row[0].strip("|` "), "yes" in row[1]) for row in rows(JUDGING, "## Outcomes")]
    assert listed == [(outcome.label, outcome in FAULTS) for outcome in OUTCOMES]


def test_concepts_lists_the_states_with_their_roles() -> None:
    listed = re.findall(r"^\| `(\w+)` \| (\w+) \|", (ROOT / "docs" / "concepts.md").read_text(), re.MULTILINE)
    assert listed == [(state.value, ROLES.get(state, "none")) for state in State]


def test_every_limit_and_timeout_is_described() -> None:
    text = "".join(path.read_text() for path in (ROOT / "docs" / "behaviour").glob("*.md"))
    known = {*LimitSettings.model_fields, *Timeouts.model_fields}
    assert sorted(name for name in known if f"`{name}`" not in text) == []


def test_request_path_lists_the_decisions_of_failover() -> None:
    listed = {row[0].strip("|` ") for row in rows("architecture/request-path.md", "## When something fails")}
    assert listed == {member.name for member in Failover} | {OtherVersion.__name__}


def test_request_path_has_the_steps_of_an_exchange_in_their_order() -> None:
    """Calls within a module are not recorded: of the page's steps only the recorded ones are compared."""
    recorded = [step.split()[1] for step in LATER_REQUEST]
    text = blocks((ROOT / "docs/architecture/request-path.md").read_text())[0].text
    shown = [name for line in text.splitlines() for name in re.findall(r"[A-Z][\w.]+", line.strip().partition("  ")[0])]
    assert [name for name in shown if name in recorded] == [name for name in recorded if name in shown]
    assert len({*recorded} - {*shown}) <= 2
