from __future__ import annotations

from typing import Any

from router.control.views.work_metrics import work_metrics
from tests.control.fake_control import target


def values(*targets: dict[str, Any], progress: dict[str, Any] | None = None) -> dict[tuple[str, ...], float]:
    service = {"targets": list(targets), "progress": progress}
    return {
        (sample.name.removeprefix("rollback_router_"), *sample.labels.values()): sample.value
        for metric in work_metrics({"svc": service})
        for sample in metric.samples
    }


def test_a_version_that_drains_in_a_second_slot_counts_once() -> None:
    found = values(target("v2", 0, "active"), target("v2", 3, "draining"))
    assert found["work_asked_total", "svc", "v2", "POST /v1/completions"] == 84
    assert found["work_total", "svc", "v2", "POST /v1/completions", "useful"] == 60
    assert found["work_oldest_wait_seconds", "svc", "v2", "POST /v1/completions"] == 0.25


def test_a_version_without_requests_has_no_series() -> None:
    assert values({**target("v2", 0, "active"), "work": []}) == {}


def test_labels_are_bounded_and_printable() -> None:
    one = target("v2", 0, "active")
    one["work"][0]["bucket"] = "POST /\x1b" + "x" * 400
    (name,) = (labels[3] for labels in values(one) if labels[0] == "work_waiting")
    assert len(name) == 128
    assert name.isprintable()
