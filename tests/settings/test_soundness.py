from __future__ import annotations

from typing import Any

import pytest

from router.settings.settings import Settings
from router.settings.soundness import blind_spots, contradictions, headers_files

V1 = {"version": "v1", "endpoints": ["http://a:1", "http://b:1"]}
V2 = {"version": "v2", "endpoints": ["http://b:1"]}
INFERENCE = {"method": "POST", "body": "{}", "expect_status_below": 400}


def settings(**service: Any) -> Settings:
    return Settings.model_validate({"services": {"svc": service}})


@pytest.mark.parametrize(
    ("service", "named"),
    [
        ({}, None),
        ({"probe": INFERENCE}, None),
        ({"probe": {**INFERENCE, "probe_timeout_s": 10}}, None),
        ({"probe": {**INFERENCE, "probe_timeout_s": 12}}, "services.svc.probe"),
        ({"probe": {**INFERENCE, "every_s": 40}}, "services.svc.probe"),
        ({"probe": {"every_s": 40}}, None),
        ({"probe": {"every_s": 40, "infers": True}}, "services.svc.probe"),
        ({"active": V1, "standby": V2}, "http://b:1"),
        ({"active": {**V1, "host": "a.example.com"}, "standby": V2}, None),
        ({"active": {**V1, "host": "a"}, "standby": {**V2, "host": "a"}}, "http://b:1"),
        ({"path_prefix": "/v1", "inference": {"paths": ["/v2/**"]}}, "services.svc.inference"),
        ({"first_byte_timeout_s": 0.5}, "hang_wait_min_s"),
        ({"first_byte_timeout_s": 9.9}, "hang_after_min_s"),
        ({"first_byte_timeout_s": 10}, None),
        ({"rules": {"hard_failure": {"hang_after_min_s": 60}}}, "hang_after_min_s"),
    ],
)
def test_contradictions(service: dict[str, Any], named: str | None) -> None:
    found = list(contradictions(settings(**service)))
    assert len(found) == (named is not None)
    assert all(named is not None and named in line for line in found)


@pytest.mark.parametrize(
    ("limits", "replay", "named"),
    [
        ({}, "always", []),
        ({"attempts_max": 2}, "always", []),
        ({"attempts_max": 1}, "always", ["services.svc: replay"]),
        ({"attempts_max": 1}, "unsent", []),
        ({"rescue_in_flight_max": 1024}, "always", []),
        ({"rescue_in_flight_max": 1025}, "always", ["limits: rescue_in_flight_max"]),
    ],
)
def test_limits_of_rescue(limits: dict[str, int], replay: str, named: list[str]) -> None:
    found = contradictions(Settings.model_validate({"limits": limits, "services": {"svc": {"replay": replay}}}))
    assert [line[: len(name)] for line, name in zip(found, named, strict=True)] == named


@pytest.mark.parametrize(
    ("service", "places"),
    [
        ({"probe": INFERENCE}, []),
        ({"probe": {"path": "/generate", "infers": True, "expect_status_below": 400}}, []),
        ({"probe": {**INFERENCE, "expect_status_below": 500}}, ["services.svc.probe"]),
        ({"probe": {"path": "/v1/models"}}, ["services.svc.probe"]),
        ({"probe": "none"}, ["services.svc.probe"]),
        ({"probe": INFERENCE, "first_byte_timeout_s": 5}, ["services.svc.first_byte_timeout_s"]),
    ],
)
def test_blind_spots(service: dict[str, Any], places: list[str]) -> None:
    assert [place for place, _, _ in blind_spots(settings(**service))] == places


def test_headers_files() -> None:
    found = headers_files(settings(active={**V1, "headers_file": "/run/key"}, standby=V2))
    assert list(found) == [("services.svc.active", "/run/key")]
