"""The golden texts of verdicts and of the judge's triggers; tests/texts.py has the others."""

from __future__ import annotations

from typing import Final

VERDICT_TEXTS: Final[dict[str, str]] = {
    "verdict.acts_after": "acts after 10.0 s more of this",
    "verdict.burst": "190 faults in 200 requests (95.0%) in the last 2 s; limits 10 and 90%",
    "verdict.burst_waits": "10 faults in 10 requests (100.0%), 23 more wait in the last 2.5 s",
    "verdict.error_rate": "262 faults in 1050 requests (25.0%) in the last 60 s, no baseline, with 99.9% confidence above 5.0%; 25.0% in the last 3 s",
    "verdict.in_a_row": "5 faults in a row over 10.0 s, nothing begun in between (limits 5 and 10 s)",
    "verdict.idle": "nothing useful in all inference for 3.9 s: 41 requests wait",
    "verdict.idle_distance": "counts as a queue for 6.1 s more of this",
    "verdict.latency": "6.0% of 100 first bytes later than 100 ms in the last 60 s, no baseline (limit 5.0%)",
    "verdict.no_progress": "nothing useful in POST /v1/chat/completions for 10.0 s: 101 wait, 4 or more requests of 4 or more clients (limits 10.0 s and 3 attempts)",
    "verdict.no_slo": "no slo_ms is set for this service",
    "verdict.nothing_timed": "no answer was timed in the last 60 s",
    "verdict.probe": "the inference probe of 1 of 1 endpoint has failed for 15.0 s, 3 times in a row or more (v2:9000: 500); the limit is 15 s, and that of the standby passes",
    "verdict.progress": "all inference makes progress",
    "verdict.queue": "21 requests wait in POST /v1/chat/completions, the oldest for 88 s",
    "verdict.stalled": "the router's own loop stalled just now",
    "verdict.ten_of_ten": "10 faults in 10 requests (100.0%) in the last 2 s; limits 10 and 90%",
    "verdict.useful_share": "6 of 69 attempts of POST /v1/chat/completions in the last 30 s were useful (normally 100.0%), 63 requests of 4 clients without use; the limit is 24.7%",
    "verdict.warm_up": "promoted less than 30 s ago",
}
