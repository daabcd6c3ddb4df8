"""The exposition: frozen names and labels, whole values from a real segment, parsed by prometheus-client's own parser."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from router.control.views.metrics import BUCKETS_S, fold, render
from router.rollout.outcome import Outcome
from router.rollout.stats.histogram import BUCKETS, index
from router.shm import layout as at
from router.tls.certificate_info import Certificate
from tests.control.conftest import AdminHarness
from tests.control.fake_control import FakeControl

OF_ADDONS = {
    "rollback_router_alerts",
    "rollback_router_alerts_standing",
    "rollback_router_change_failure_share",
    "rollback_router_deployments",
    "rollback_router_cases",
    "rollback_router_cases_failing",
    "rollback_router_notification_failing",
    "rollback_router_notifications",
    "rollback_router_notifications_pending",
    "rollback_router_history_batches_dropped",
    "rollback_router_history_bytes",
    "rollback_router_history_coverage_share",
    "rollback_router_incidents_open",
    "rollback_router_stability_share",
    "rollback_router_standby_cost",
    "rollback_router_standby_seconds",
    "rollback_router_time_to_detect_seconds",
    "rollback_router_time_to_restore_seconds",
    "rollback_router_uptime_by_time_share",
    "rollback_router_uptime_share",
    "rollback_router_input_drift",
    "rollback_router_input_drift_limit",
    "rollback_router_input_drift_share",
    "rollback_router_validated",
    "rollback_router_proposals",
    "rollback_router_last_drill_passed_timestamp_seconds",
}
"""Families that offices add; frozen, too."""
OF_PROCESSES = {
    "rollback_router_process_cpu_seconds",
    "rollback_router_process_max_fds",
    "rollback_router_process_open_fds",
    "rollback_router_process_resident_memory_bytes",
    "rollback_router_process_start_time_seconds",
    "rollback_router_process_virtual_memory_bytes",
}
"""Families that are read from /proc; frozen, too."""
FROZEN = {
    "rollback_router_requests": ("counter", {"service", "version", "role", "outcome"}),
    "rollback_router_request_duration_seconds": ("histogram", {"service", "version"}),
    "rollback_router_time_to_first_byte_seconds": ("histogram", {"service", "version"}),
    "rollback_router_time_to_first_useful_seconds": ("histogram", {"service", "version"}),
    "rollback_router_work": ("counter", {"service", "version", "bucket", "end"}),
    "rollback_router_work_asked": ("counter", {"service", "version", "bucket"}),
    "rollback_router_work_in_progress": ("gauge", {"service", "version", "bucket"}),
    "rollback_router_work_waiting": ("gauge", {"service", "version", "bucket"}),
    "rollback_router_work_oldest_wait_seconds": ("gauge", {"service", "version", "bucket"}),
    "rollback_router_nothing_useful": ("gauge", {"service"}),
    "rollback_router_in_flight_requests": ("gauge", {"service", "version"}),
    "rollback_router_waiting_requests": ("gauge", {"service", "version"}),
    "rollback_router_tunnels": ("gauge", {"service", "version"}),
    "rollback_router_oldest_waiting_seconds": ("gauge", {"service", "version"}),
    "rollback_router_replicas": ("gauge", {"service", "version", "state"}),
    "rollback_router_endpoint_attempts": ("counter", {"service", "version", "endpoint"}),
    "rollback_router_endpoint_faults": ("counter", {"service", "version", "endpoint"}),
    "rollback_router_endpoint_in_flight_requests": ("gauge", {"service", "version", "endpoint"}),
    "rollback_router_endpoint_ejected": ("gauge", {"service", "version", "endpoint"}),
    "rollback_router_endpoint_ready": ("gauge", {"service", "version", "endpoint"}),
    "rollback_router_endpoints_left_out": ("gauge", set()),
    "rollback_router_active_info": ("gauge", {"service", "version", "generation"}),
    "rollback_router_target_ready": ("gauge", {"service", "version", "role"}),
    "rollback_router_way_back": ("gauge", {"service"}),
    "rollback_router_switches": ("counter", {"service", "reason"}),
    "rollback_router_switch_swap_seconds": ("histogram", {"service"}),
    "rollback_router_switch_confirm_seconds": ("histogram", {"service"}),
    "rollback_router_trigger_state": ("gauge", {"service", "trigger"}),
    "rollback_router_trigger_value": ("gauge", {"service", "trigger"}),
    "rollback_router_trigger_limit": ("gauge", {"service", "trigger"}),
    "rollback_router_rescued_requests": ("counter", {"service", "version"}),
    "rollback_router_refused_answers": ("counter", {"service", "version", "cause"}),
    "rollback_router_quarantined_info": ("gauge", {"service", "version"}),
    "rollback_router_alarm_active": ("gauge", {"service", "code", "severity"}),
    "rollback_router_build_info": ("gauge", {"version", "build", "python"}),
    "rollback_router_process_starts": ("counter", {"process"}),
    "rollback_router_connections": ("gauge", {"worker"}),
    "rollback_router_connections_accepted": ("counter", {"worker"}),
    "rollback_router_worker_up": ("gauge", {"worker"}),
    "rollback_router_loop_lag_seconds": ("gauge", {"process"}),
    "rollback_router_limited": ("counter", {"limit"}),
    "rollback_router_admin_connections_closed": ("counter", {"why"}),
    "rollback_router_admin_refused": ("counter", {"why"}),
    "rollback_router_proxy_headers_refused": ("counter", set()),
    "rollback_router_lookalike_fields_dropped": ("counter", set()),
    "rollback_router_access_log_lines_dropped": ("counter", set()),
    "rollback_router_spans_sent": ("counter", set()),
    "rollback_router_traces_dropped": ("counter", set()),
    "rollback_router_tls_handshakes": ("counter", set()),
    "rollback_router_tls_handshakes_failed": ("counter", set()),
    "rollback_router_certificate_expires_timestamp_seconds": ("gauge", {"setting", "certificate"}),
}
"""Of behaviour's list `last_drill_passed_timestamp_seconds` is an office's: test_drills.py."""

Key = tuple[str, frozenset[tuple[str, str]]]


@pytest.fixture
def control_loop() -> Iterator[FakeControl]:
    control_loop = FakeControl()
    words, layout = control_loop.segment.words, control_loop.segment.layout
    base = layout.base(0, 0)
    words[base + at.L_EXCHANGES + Outcome.OK] = 1000  # of the slot's previous tenant
    words[base + at.L_FIRST_BYTE + index(2_000)] = 1000
    words[base + at.L_RESCUED] = 5
    held = datetime(2026, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)
    control_loop.certificates.found = [("tls", Certificate("/c.pem", (), *held), 1000)]
    for worker in range(2):
        words[layout.worker(worker) + at.W_ACCESS_LINES_DROPPED] = 2 + worker
        words[layout.worker(worker) + at.W_SPANS_SENT] = 6 + worker
        words[layout.worker(worker) + at.W_TRACES_DROPPED] = 3 + worker
        words[layout.worker(worker) + at.W_HANDSHAKES] = 20 + worker
        words[layout.worker(worker) + at.W_HANDSHAKES_FAILED] = 2 + worker
        row = layout.worker_slot(worker, 0, 0)
        words[row + at.L_EXCHANGES + Outcome.OK] = 600
        words[row + at.L_FIRST_BYTE + index(2_000)] = 500
        words[row + at.L_FIRST_BYTE + index(40_000)] = 20
        words[row + at.L_FIRST_USEFUL + index(40_000)] = 7
        words[row + at.L_RESCUED] = 4
        words[layout.worker_slot(worker, 0, 1) + at.L_EXCHANGES + at.OUTCOME_COUNT + Outcome.SERVER_ERROR] = 3
        words[layout.worker_service(worker, 0) + at.LS_ENDED + Outcome.REFUSED] = 2
        words[layout.worker(worker) + at.W_ENDED + Outcome.REFUSED] = 1
    words[at.H_CONTROL_LAG_US] = 2500
    control_loop.blocked = {"reason": "bad", "incident": "i1", "at": "", "actor": "control"}
    control_loop.alarms_up = [
        {"code": "automation_frozen", "detail": "by ops", "since": "", "service": "fraud"},
        {"code": "overloaded", "detail": "limits act", "since": "", "service": None},
    ]
    control_loop.switch_stats.record("fraud", "error_rate", 180.0, 0.9)
    control_loop.switch_stats.record("fraud", "a trigger of tomorrow", 180.0, None)
    yield control_loop
    control_loop.close()


def samples(control_loop: FakeControl) -> dict[Key, float]:
    families = text_string_to_metric_families(render(control_loop, {"evicted": 3}, {"throttled": 2}).decode())
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def key(name: str, **labels: str) -> Key:
    return f"rollback_router_{name}", frozenset(labels.items())


def test_names_types_and_labels_are_the_frozen_ones(control_loop: FakeControl) -> None:
    found = {
        family.name: (family.type, {name for sample in family.samples for name in sample.labels} - {"le"})
        for family in text_string_to_metric_families(render(control_loop, {"evicted": 3}, {"throttled": 2}).decode())
    }
    assert found == FROZEN


@pytest.mark.parametrize("service", ["", "fraud"])
def test_faults_of_the_router_are_counted_from_zero_on(control_loop: FakeControl, service: str) -> None:
    # Prometheus' increase() does not see the first count of a series that begins with it.
    series = key("requests_total", service=service, version="", role="none", outcome="router_fault")
    assert samples(control_loop)[series] == 0


def test_values(control_loop: FakeControl) -> None:
    found = samples(control_loop)
    v2 = {"service": "fraud", "version": "fraud-v2"}
    v1 = {"service": "fraud", "version": "fraud-v1"}
    expected = {
        key("requests_total", **v2, role="active", outcome="ok"): 200,
        key("requests_total", **v2, role="active", outcome="server_error"): 0,
        key("requests_total", **v1, role="standby", outcome="server_error"): 6,
        key("requests_total", service="fraud", version="", role="none", outcome="refused"): 4,
        key("requests_total", service="", version="", role="none", outcome="refused"): 2,
        key("time_to_first_byte_seconds_count", **v2): 40,
        key("time_to_first_byte_seconds_bucket", **v2, le="0.025"): 0,
        key("time_to_first_byte_seconds_bucket", **v2, le="0.05"): 40,
        key("time_to_first_byte_seconds_bucket", **v2, le="+Inf"): 40,
        key("time_to_first_useful_seconds_count", **v2): 14,
        key("work_total", **v2, bucket="POST /v1/completions", end="useful"): 30,
        key("work_total", **v2, bucket="POST /v1/completions", end="fault"): 9,
        key("work_asked_total", **v2, bucket="POST /v1/completions"): 42,
        key("work_in_progress", **v2, bucket="POST /v1/completions"): 2,
        key("work_waiting", **v2, bucket="POST /v1/completions"): 1,
        key("work_oldest_wait_seconds", **v2, bucket="POST /v1/completions"): 0.25,
        key("nothing_useful", service="fraud"): 1,
        key("tls_handshakes_total"): 41,
        key("tls_handshakes_failed_total"): 5,
        key("certificate_expires_timestamp_seconds", setting="tls", certificate="/c.pem"): 1893456000,
        key("access_log_lines_dropped_total"): 5,
        key("spans_sent_total"): 13,
        key("traces_dropped_total"): 7,
        key("rescued_requests_total", **v2): 3,
        key("in_flight_requests", **v2): 2,
        key("waiting_requests", **v2): 1,
        key("oldest_waiting_seconds", **v2): 0.25,
        key("replicas", **v2, state="used"): 2,
        key("replicas", **v2, state="ejected"): 1,
        key("active_info", **v2, generation="16777218"): 1,
        key("target_ready", **v1, role="standby"): 1,
        key("way_back", service="fraud"): 1,
        key("switches_total", service="fraud", reason="error_rate"): 1,
        key("switches_total", service="fraud", reason="other"): 1,
        key("switches_total", service="fraud", reason="promote"): 0,
        key("switch_swap_seconds_bucket", service="fraud", le="0.0001"): 0,
        key("switch_swap_seconds_bucket", service="fraud", le="0.00025"): 2,
        key("switch_confirm_seconds_count", service="fraud"): 1,
        key("switch_confirm_seconds_sum", service="fraud"): 0.0009,
        key("trigger_state", service="fraud", trigger="hard_failure_errors"): 0,
        key("trigger_state", service="fraud", trigger="hard_failure_hang"): 1,
        key("trigger_state", service="fraud", trigger="error_rate"): 2,
        key("trigger_state", service="fraud", trigger="latency"): -1,
        key("trigger_value", service="fraud", trigger="error_rate"): 0.5,
        key("trigger_limit", service="fraud", trigger="hard_failure_hang"): 10,
        key("quarantined_info", **v1): 1,
        key("alarm_active", service="fraud", code="automation_frozen", severity="critical"): 1,
        key("alarm_active", service="", code="overloaded", severity="critical"): 1,
        key("build_info", version="0", build="compiled", python=platform.python_version()): 1,
        key("process_starts_total", process="worker-1"): 1,
        key("process_starts_total", process="control"): 1,
        key("connections", worker="1"): 3,
        key("connections_accepted_total", worker="0"): 40,
        key("endpoint_attempts_total", **v2, endpoint="http://127.0.0.2:9001"): 20,
        key("worker_up", worker="1"): 1,
        key("loop_lag_seconds", process="worker-1"): 0.001,
        key("loop_lag_seconds", process="control"): 0.0025,
    }
    assert {name: found[name] for name in expected} == expected
    assert key("trigger_value", service="fraud", trigger="hard_failure_hang") not in found  # no data is not a number
    assert found[key("time_to_first_byte_seconds_sum", **v2)] == pytest.approx(1.6, rel=0.0625)


def test_a_version_in_two_slots_has_each_series_once(control_loop: FakeControl) -> None:
    # retired and deployed again, while its requests of before go on in the old slot
    targets = control_loop.service["targets"]
    again = {"role": "draining", "slot": 2, "in_flight": 5, "oldest_waiting_s": 9.0, "ready": False, "tunnels": 0}
    earlier = again | {"slot": 3, "in_flight": 1, "oldest_waiting_s": 4.0, "ready": True}
    targets += [targets[0] | again, targets[0] | earlier]
    families = text_string_to_metric_families(render(control_loop).decode())
    seen = Counter((one.name, *sorted(one.labels.items())) for family in families for one in family.samples)
    assert [series for series, times in seen.items() if times > 1] == []
    found, v2 = samples(control_loop), {"service": "fraud", "version": "fraud-v2"}
    assert targets[0]["version"] == "fraud-v2"
    assert found[key("in_flight_requests", **v2)] == 2 + 5 + 1
    assert found[key("oldest_waiting_seconds", **v2)] == 9
    assert found[key("tunnels", **v2)] == 1
    assert found[key("replicas", **v2, state="ejected")] == 1 + 1 + 1
    assert found[key("target_ready", **v2, role="active")] == 1
    assert found[key("target_ready", **v2, role="draining")] == 1
    targets.reverse()
    assert samples(control_loop) == found


def test_label_values_are_escaped_and_bounded(control_loop: FakeControl) -> None:
    control_loop.service["active"] = 'v"1\\\r\nx{a="b"} 1 ' + "y" * 300
    text = render(control_loop).decode()
    [line] = [line for line in text.splitlines() if line.startswith("rollback_router_active_info{")]
    assert 'version="v\\"1\\\\\\\\r\\\\nx{a=\\"b\\"} 1 ' + "y" * 109 + '"' in line
    assert line.count("y") == 109


@pytest.mark.parametrize("micros", [3, 950, 1100, 2_300, 48_000, 53_500, 970_000, 280_000_000, 4_000_000_000])
def test_a_sample_more_than_a_sixteenth_from_a_boundary_is_on_its_right_side(micros: int) -> None:
    counts = [0] * BUCKETS
    counts[index(micros)] = 1
    cumulative, total_s = fold(counts)
    assert [le for le, _ in cumulative] == [str(bound) for bound in BUCKETS_S] + ["+Inf"]
    for bound, (_, seen) in zip(BUCKETS_S, cumulative, strict=False):
        if abs(micros / 1e6 - bound) > bound * 0.0667:
            assert seen == (micros / 1e6 <= bound)
    assert cumulative[-1] == ("+Inf", 1.0)
    assert total_s == pytest.approx(micros / 1e6, rel=0.0667, abs=1e-6)


async def test_the_exposition_is_served_with_its_media_type(admin: AdminHarness) -> None:
    status, headers, text = await admin.call("GET", "/metrics")
    assert (status, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert headers["Vary"] == "Accept"
    assert "# TYPE rollback_router_way_back gauge" in text
    start = 'rollback_router_process_resident_memory_bytes{process="control"} '
    assert [line for line in text.splitlines() if line.startswith(start)]


async def test_open_metrics_is_served_to_a_client_that_prefers_it(admin: AdminHarness) -> None:
    accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    status, headers, text = await admin.call("GET", "/metrics", {"Accept": accept})
    assert (status, headers["Content-Type"]) == (200, "application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert text.endswith("\n# EOF\n")
    families = {family.name: family for family in openmetrics.text_string_to_metric_families(text)}
    assert families["rollback_router_switch_swap_seconds"].unit == "seconds"
    assert families["rollback_router_requests"].type == "counter"
    as_text = {family.name for family in text_string_to_metric_families((await admin.call("GET", "/metrics"))[2])}
    assert set(families) == as_text
