"""What an alert is taken for, and what becomes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from router.rollout.alerts.alert import (
    LABELS_KEPT_MAX,
    Alert,
    InvalidAlert,
    LabelMap,
    RawAlert,
    decide,
    parse,
    short_labels,
)
from router.rollout.text import shorten_line

NOW = 1_000_000.0
FRESH_S = 600.0
QUALITY = LabelMap("quality", {"severity": "critical", "signal": "quality"})
BUSINESS = LabelMap("business", {}, {"team": "sales-.+"}, service="fraud", version_label=None)
MAPS = (QUALITY, BUSINESS)
REPORT = RawAlert("f1", "firing", NOW - 5, {"severity": "critical", "signal": "quality", "service": "fraud"}, "PSI 0.4")
ALERT = Alert("f1", "firing", NOW - 5, "quality", "fraud", None, "Drift", "PSI 0.4", {})


def taken(**labels: str) -> Alert | InvalidAlert:
    return parse(replace(REPORT, labels=labels), MAPS)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        pytest.param(
            {"severity": "critical", "signal": "quality", "service": "fraud", "version": "v8", "alertname": "Drift"},
            ("quality", "fraud", "v8", "Drift"), id="labels name service and version"),
        pytest.param(
            {"severity": "critical", "signal": "quality", "service": "risk"},
            ("quality", "risk", None, "quality"), id="no version, no name"),
        pytest.param(
            {"team": "sales-eu", "version": "v8", "service": "other"},
            ("business", "fraud", None, "business"), id="the map fixes the service, and no label names a version"),
    ],
)  # fmt: skip
def test_the_first_matching_map_decides(labels: dict[str, str], expected: tuple[Any, ...]) -> None:
    found = taken(**labels)
    assert isinstance(found, Alert)
    assert (found.kind, found.service, found.version, found.name) == expected


@pytest.mark.parametrize(
    ("labels", "code"),
    [
        pytest.param({"severity": "warning", "signal": "quality"}, "unmapped", id="another value"),
        pytest.param({"severity": "critical"}, "unmapped", id="a label is missing"),
        pytest.param({"team": "sales-"}, "unmapped", id="the expression does not fit"),
        pytest.param({"severity": "critical", "signal": "quality"}, "service_missing", id="no service"),
        pytest.param(
            {"severity": "critical", "signal": "quality", "service": ""}, "service_missing", id="an empty one"
        ),
    ],
)
def test_what_cannot_be_used(labels: dict[str, str], code: str) -> None:
    found = taken(**labels)
    assert isinstance(found, InvalidAlert)
    assert found.code == code


def test_an_alert_with_its_own_kind_needs_no_map() -> None:
    result = replace(REPORT, kind="business", service="fraud", version="v8", labels={"team": "sales-eu"})
    found = parse(result, MAPS)
    assert isinstance(found, Alert)
    assert (found.kind, found.service, found.version) == ("business", "fraud", "v8")
    assert isinstance(parse(replace(result, service=None), MAPS), InvalidAlert)


@pytest.mark.parametrize(
    ("alert", "active", "since", "fate", "about"),
    [
        pytest.param(ALERT, "v8", NOW - 60, "counts", "v8", id="fresh, began while it was active"),
        pytest.param(replace(ALERT, version="v8"), "v8", NOW - 1, "counts", "v8", id="it names the active one"),
        pytest.param(replace(ALERT, version="v7"), "v8", NOW - 60, "version_inactive", None, id="it names another one"),
        pytest.param(ALERT, "v8", NOW - 1, "before_promotion", None, id="it may be about the one before"),
        pytest.param(replace(ALERT, starts_at=NOW - 601), "v8", 0.0, "stale", None, id="stale"),
        pytest.param(replace(ALERT, starts_at=NOW - 600), "v8", 0.0, "counts", "v8", id="just fresh"),
        pytest.param(replace(ALERT, starts_at=NOW + 601), "v8", 0.0, "stale", None, id="the clocks differ"),
        pytest.param(replace(ALERT, starts_at=NOW + 30), "v8", 0.0, "counts", "v8", id="the clocks differ a little"),
        pytest.param(replace(ALERT, starts_at=None), "v8", NOW, "counts", "v8", id="it says no time"),
        pytest.param(replace(ALERT, status="resolved"), "v8", 0.0, "resolved", None, id="resolved"),
        pytest.param(
            replace(ALERT, status="resolved", version="v7"), "v8", 0.0, "resolved", None, id="resolved, of v7"
        ),
        pytest.param(ALERT, None, 0.0, "no_active", None, id="nothing is active"),
    ],
)
def test_what_becomes_of_it(alert: Alert, active: str | None, since: float, fate: str, about: str | None) -> None:
    found = decide(alert, active, since, FRESH_S, NOW)
    assert (found.disposition, found.about) == (fate, about)


def test_texts_of_an_alert_are_short_and_printable() -> None:
    assert shorten_line("a\nb\x00c\u202e d", 20) == "a b\\u0000c\\u202e d"
    assert shorten_line("x" * 30, 10) == "xxxxxxxxx…"
    many = {f"label{number:02}": "v" * 100 for number in range(40)} | {"severity": "critical"}
    kept = short_labels(many)
    assert len(kept) == LABELS_KEPT_MAX
    assert kept["severity"] == "critical"
    assert max(map(len, kept.values())) == 64


def test_a_version_is_not_kept_longer_than_one_may_be() -> None:
    found = parse(replace(REPORT, labels={**REPORT.labels, "version": "v" * 5000}), MAPS)
    assert isinstance(found, Alert)
    assert found.version is not None
    assert len(found.version) == 128
