"""The rules for Prometheus: promtool accepts and tests them, every alert has a test, and they name what exists."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from router.control.monitors.alarm_table import ALARMS
from router.control.monitors.switch_stats import REASONS
from router.control.views.metric_table import METRICS, PREFIX
from router.rollout.outcome import FAULTS, OUTCOMES
from tests.documents.pages import anchors
from tests.monitoring.programs import program

ROOT: Final = Path(__file__).parent.parent.parent
FOLDER: Final = ROOT / "deploy" / "prometheus"
METRIC: Final = re.compile(rf"(?<![\w:]){PREFIX}\w+")
SUFFIXES: Final = ("_total", "_bucket", "_count", "_sum")


def promtool(*words: str) -> tuple[int, str]:
    done = subprocess.run([program("promtool"), *words], cwd=FOLDER, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def rules(file: str) -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load((FOLDER / file).read_text())["groups"] for rule in group["rules"]]


ALERTS: Final = rules("alerts.yml")
RECORDED: Final = rules("recording.yml")


def known(metric: str) -> bool:
    """Return whether /metrics has a series of this name."""
    name = metric.removeprefix(PREFIX)
    row = METRICS.get(name) or next(
        (METRICS.get(name.removesuffix(suffix)) for suffix in SUFFIXES if name.endswith(suffix)), None
    )
    if row is None:
        return False
    ends = {"counter": ("_total",), "histogram": SUFFIXES[1:], "gauge": ("",)}[row.type]
    return any(name.endswith(end) for end in ends)


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("check", "config", "prometheus.yml"), id="the example of a server, and its rule files"),
        pytest.param(("check", "rules", "recording.yml", "alerts.yml"), id="rules"),
        pytest.param(("test", "rules", "rules_test.yml"), id="unit tests"),
    ],
)
def test_promtool_has_no_complaint(words: tuple[str, ...]) -> None:
    code, output = promtool(*words)
    assert code == 0, output


def test_every_alert_fires_in_a_unit_test() -> None:
    cases = yaml.safe_load((FOLDER / "rules_test.yml").read_text())["tests"]
    fired = {case["alertname"] for one in cases for case in one.get("alert_rule_test", ()) if case["exp_alerts"]}
    assert {rule["alert"] for rule in ALERTS} - fired == set()


def test_every_recording_rule_has_a_value_in_a_unit_test_or_is_part_of_one() -> None:
    text = (FOLDER / "rules_test.yml").read_text() + "".join(rule["expr"] for rule in (*RECORDED, *ALERTS))
    untested = {rule["record"] for rule in RECORDED if rule["record"] not in text}
    assert untested == {
        "version:rollback_router_request_duration_seconds:p99_rate5m",
        "process:rollback_router_process_cpu_seconds:rate5m",
    }, "these two are a function of Prometheus and nothing else"


def test_the_rules_name_metrics_that_exist() -> None:
    named = {name for rule in (*ALERTS, *RECORDED) for name in METRIC.findall(rule["expr"])}
    assert sorted(name for name in named if not known(name)) == []
    assert not known("rollback_router_way_forward")
    assert not known("rollback_router_requests")


def test_the_recorded_metrics_that_alerts_use_are_recorded() -> None:
    used = {name for rule in ALERTS for name in re.findall(r"\w+:rollback_router\w*(?::\w+)?", rule["expr"])}
    assert used - {rule["record"] for rule in RECORDED} == set()


def test_the_faults_are_those_of_the_judge() -> None:
    text = (FOLDER / "recording.yml").read_text()
    listed = set(re.findall(r'outcome=~"([\w|]+)"', text))
    assert listed == {"|".join(outcome.label for outcome in FAULTS)}
    assert re.findall(r'outcome="(\w+)"', (FOLDER / "alerts.yml").read_text()) == ["router_fault"]
    assert "router_fault" in {outcome.label for outcome in OUTCOMES}


def test_the_reasons_of_operators_are_those_of_the_router() -> None:
    (rule,) = [rule for rule in ALERTS if rule["alert"] == "RollbackRouterRolledBack"]
    (excluded,) = re.findall(r'reason!~"([\w|]+)"', rule["expr"])
    assert set(excluded.split("|")) <= set(REASONS)


def test_the_severities_of_alarms_have_an_alert_each() -> None:
    listed = {severity for rule in ALERTS for severity in re.findall(r'severity="(\w+)"', rule["expr"])}
    assert listed == {row.severity for row in ALARMS.values()}


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_to_do_and_where_to_read_on(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert set(rule["annotations"]) == {"summary", "do", "page"}
    page, _, anchor = rule["annotations"]["page"].partition("#")
    assert (ROOT / page).is_file()
    assert not anchor or anchor in anchors((ROOT / page).read_text())
