"""The worker's options are what the settings say."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from router.proxy import options
from router.settings import loader
from router.shm import settings_memory
from router.shm.settings_memory import DeliveredSettings, Place


def test_validators_are_what_the_section_says() -> None:
    section = {
        "methods": ["POST", "PUT"],
        "paths": ["/v2"],
        "request_schema": '{"type": "object"}',
        "response_finite": ["/a"],
        "response_label_in": [{"pointer": "/l", "allowed": [True, 1, "x"]}],
        "stream_end": "[DONE]",
    }
    (service,) = options.from_document(
        loader.load(None, {"services": {"a": {"validation": section}}}).model_dump()
    ).services
    assert service.validation == options.ValidationOptions(
        methods=frozenset({b"POST", b"PUT"}),
        paths=(b"/v2",),
        request_schema='{"type": "object"}',
        response_finite=("/a",),
        response_label_in=(("/l", (True, 1, "x")),),
        stream_end="[DONE]",
    )
    (plain,) = options.from_document(loader.load(None, {"services": {"a": {}}}).model_dump()).services
    assert plain.validation == options.ValidationOptions(), "the defaults are those of the section"


def test_options_follow_the_settings_and_services_have_their_places() -> None:
    flags = {
        "proxy_protocol": "required",
        "proxy_protocol_from": ["10.0.0.0/8"],
        "limits": {"proxy_header_bytes_max": 536},
        "forwarding": {"trusted": ["10.0.0.0/8", "unix"], "keep": ["for"], "forwarded": "append", "hops_max": 4},
        "services": {"b": {"first_byte_timeout_s": 7, "path_prefix": "/b"}, "a": {"hosts": ["H"], "replay": "always"}},
    }
    settings = loader.load(None, flags)
    places = {"a": Place(5, 77), "b": Place(0)}
    made = options.from_descriptor(
        settings_memory.create(DeliveredSettings(9, 3, places, loader.dump(settings)).encode())
    )
    assert [(service.name, service.place, service.added) for service in made.services] == [
        ("a", 5, True),
        ("b", 0, False),
    ]
    assert made.number == 9
    assert made.services[0].hosts == frozenset({b"h"})
    assert made.services[0].replay == "always"
    assert [service.first_byte_timeout_s for service in made.services] == [600.0, 7.0]
    assert made.head_bytes_max == settings.limits.head_bytes_max
    assert made.half_close_grace_s == settings.timeouts.half_close_grace_s
    assert made.proxy_protocol == options.ProxyProtocolOptions(True, ("10.0.0.0/8",), 536)
    assert made.forwarding == options.ForwardingOptions(("10.0.0.0/8", "unix"), frozenset({"for"}), True, 4)
    assert options.from_document(loader.load(None).model_dump()).forwarding == options.ForwardingOptions()
    assert options.from_document(loader.load(None).model_dump()).proxy_protocol == options.ProxyProtocolOptions()
    assert made.ready_path == b"/-/ready"
    assert (made.requests_max, made.requests_per_connection_max, made.connections_per_client_max) == (4096, 0, math.inf)
    assert (made.body_rate_min_bytes_per_s, made.write_rate_grace_s, made.connection_age_max_s) == (240, 30.0, math.inf)
    changed = {"limits": {"write_rate_min_bytes_per_s": "none", "connections_per_client_max": 7}}
    limited = options.from_document(loader.load(None, {**flags, **changed}).model_dump())
    assert (limited.write_rate_min_bytes_per_s, limited.connections_per_client_max) == (0, 7)
    assert options.from_document({**settings.model_dump(), "ready_path": "none"}).ready_path is None


def test_each_limit_and_timeout_has_the_value_of_its_setting() -> None:
    document = loader.load(None).model_dump()
    names = [(section, name) for section in ("limits", "timeouts") for name in document[section]]
    for number, (section, name) in enumerate(names, 1000):
        document[section][name] = number
    made = options.from_document(document)
    found = {name: getattr(made, name) for _, name in names if hasattr(made, name)}
    assert found == {name: document[section][name] for section, name in names if name in found}
    assert len(found) > 30


@pytest.mark.parametrize(
    ("cases", "kept_bytes_max", "headers"),
    [
        pytest.param({}, 0, {b"accept", b"content-type", b"traceparent", b"x-request-id"}, id="by default no bodies"),
        pytest.param({"bodies": True, "body_bytes_max": 99, "headers": ["X-A"]}, 99, {b"x-a"}, id="with bodies"),
        pytest.param({"bodies": True, "capture": False}, 0, None, id="off"),
    ],
)
def test_what_is_kept_of_failing_requests(
    cases: dict[str, Any], kept_bytes_max: int, headers: set[bytes] | None
) -> None:
    made = options.from_document(loader.load(None, {"services": {"a": {"cases": cases}}}).model_dump()).services[0]
    assert made.tap == options.TapOptions(kept_bytes_max, kept_bytes_max)
    assert made.captured_headers == headers


def test_a_worker_is_shown_all_that_it_needs_and_nothing_that_is_controls_own() -> None:
    flags = {
        "admin": {"tokens": [{"name": "ann", "role": "admin", "sha256": "5ec" + "0" * 61}]},
        "notify": [{"name": "chat", "kind": "slack", "url": "https://chat.example/5ec"}],
        "mlflow": {"tracking_uri": "http://mlflow.example:5000"},
        "alerts": {"map": [{"kind": "quality", "matchers": {"alertname": "5ec"}}]},
        "limits": {"connections_max": 77},
        "services": {
            "a": {
                "active": {"version": "v1", "endpoints": ["http://127.0.0.1:9001"]},
                "probe": {"path": "/probe-5ec"},
                "rules": {"hard_failure": {"hang_wait_min_s": 7.0}},
                "validation": {"request_schema": '{"type": "object"}'},
            }
        },
    }
    settings = loader.load(None, flags)
    shown = loader.dump_for_workers(settings)
    assert options.from_document(json.loads(shown)) == options.from_document(settings.model_dump())
    assert b"5ec" not in shown
    assert b"5ec" in loader.dump(settings)
    own = json.loads(shown)
    assert not own.keys() & {"admin", "notify", "mlflow", "alerts", "incidents", "history", "state_dir", "fail_point"}
    assert not own["services"]["a"].keys() & {"active", "standby", "probe", "proposals", "drill", "mlflow"}
