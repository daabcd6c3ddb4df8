"""A rule that would blame every version, or none, is refused at its place; the edges that mean something are not."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from router.rollout.judge.rules import Rules
from router.settings.loader import load
from router.settings.mistakes import SettingsError
from router.settings.rule_bounds import out_of_bounds

SERVICE = '[services.a]\nactive = { version = "v1", endpoints = ["http://h:1"] }\n'


def found(tmp_path: Path, table: str, line: str) -> list[str]:
    """Return LINE:COLUMN and the text of each mistake."""
    (file := tmp_path / "router.toml").write_text(f"{SERVICE}[services.a.rules{table}]\n{line}\n")
    try:
        load(file)
    except SettingsError as error:
        return [str(mistake).removeprefix(f"{file}:") for mistake in error.mistakes]
    return []


@pytest.mark.parametrize(
    ("table", "line", "place", "bound"),
    [
        (".latency", "slo_ms = -1", "latency.slo_ms", "more than 0"),
        (".latency", "slo_ms = 0", "latency.slo_ms", "more than 0"),
        (".latency", "slo_ms = nan", "latency.slo_ms", "neither nan nor inf"),
        (".latency", "slo_share = 5", "latency.slo_share", "from 0 to 1"),
        (".latency", "window_s = 0", "latency.window_s", "more than 0"),
        (".latency", "requests_min = -1", "latency.requests_min", "at least 0"),
        (".latency", "confidence = 99.9", "latency.confidence", "between 0 and 1"),
        (".latency", "confidence = 1", "latency.confidence", "between 0 and 1"),
        (".error_rate", "baseline_confidence = 0", "error_rate.baseline_confidence", "between 0 and 1"),
        (".error_rate", "rate_floor = -0.1", "error_rate.rate_floor", "from 0 to 1"),
        (".error_rate", "windows = [{ long_s = 60, short_s = 0, requests_min = 9 }]", "error_rate.windows.0.short_s", "more"),
        (".error_rate", "windows = [{ long_s = 0, short_s = 9, requests_min = 9 }]", "error_rate.windows.0.long_s", "more"),
        (".error_rate", "rate_floor_without_baseline = 2", "error_rate.rate_floor_without_baseline", "from 0 to 1"),
        (".error_rate", "baseline_factor = 0", "error_rate.baseline_factor", "more than 0"),
        (".hard_failure", "burst_fault_share = 90", "hard_failure.burst_fault_share", "from 0 to 1"),
        (".hard_failure", "hang_after_min_s = 0", "hard_failure.hang_after_min_s", "more than 0"),
        (".hard_failure", "hang_after_max_s = 0", "hard_failure.hang_after_max_s", "more than 0"),
        (".hard_failure", "burst_windows_s = [2, -5]", "hard_failure.burst_windows_s.1", "more than 0"),
        (".hard_failure", "hang_after_s = 0", "hard_failure.hang_after_s", "more than 0"),
        ("", "warmup_s = -1", "warmup_s", "at least 0"),
        ("", "router_fault_share_max = 2", "router_fault_share_max", "from 0 to 1"),
    ],
)  # fmt: skip
def test_a_number_that_no_trigger_can_use(tmp_path: Path, table: str, line: str, place: str, bound: str) -> None:
    (mistake,) = found(tmp_path, table, line)
    assert mistake.startswith("4:")
    assert f"services.a.rules.{place}: it is " in mistake
    assert bound in mistake


@pytest.mark.parametrize(
    ("table", "line"),
    [
        (".latency", "slo_ms = 0.5"),
        (".latency", "sustained_s = 0"),
        (".latency", "slo_share = 0"),
        (".latency", "slo_share = 1"),
        (".error_rate", "faults_min = 0"),
        (".error_rate", "rate_floor = 0"),
        ("", "forgive_s = 0"),
        ("", "warmup_s = 0"),
        ("", "sustained_share = 1"),
    ],
)
def test_the_edges_that_mean_something(tmp_path: Path, table: str, line: str) -> None:
    assert found(tmp_path, table, line) == []


def test_the_defaults_are_within_them() -> None:
    assert list(out_of_bounds(Rules(), ())) == []


def test_each_mistake_of_two_is_named(tmp_path: Path) -> None:
    assert len(found(tmp_path, ".latency", 'slo_ms = -1\naction = "x"\nconfidence = 7')) == 3


def numbers(rules: Any) -> set[str]:
    """Return the names of all numbers."""
    return {
        name
        for field in fields(rules)
        for value in (getattr(rules, field.name),)
        for name in (numbers(value) if is_dataclass(value) else {field.name})
        if not isinstance(value, str)
    }


def test_what_has_a_name_of_none_of_the_kinds_is_a_count_or_a_time() -> None:
    """A new number gets a bound by its name; this one fails if its name says nothing."""
    ends = ("_s", "_ms", "_min", "_share", "_max", "confidence", "_factor", "rate_floor", "_baseline", "windows")
    assert {name for name in numbers(Rules()) if not name.endswith(ends)} == set()
