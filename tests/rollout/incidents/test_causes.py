from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from router.rollout.incidents.causes import CauseInputs, candidates
from router.rollout.incidents.timeline_text import TimelineEntry
from tests import entry_types
from tests.texts import golden

PROMOTED = TimelineEntry(
    at=1000.0, monotonic_ns=0, boot=1, kind=entry_types.PROMOTED, actor="ann", text="v2 became active", version="v2"
)
SCENE = CauseInputs(version="v2", other="v1", fault_at=5000.0, decided_at=5010.0, promoted=PROMOTED)


def found(**members: Any) -> list[tuple[str, str, str]]:
    scene = dataclasses.replace(SCENE, **members)
    return [(one["kind"], one["strength"], one["claim"]) for one in candidates(scene)]


def failures(*ones: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"endpoint": endpoint, "path": path, "status": 500} for endpoint, path in ones]


def test_without_data_there_are_no_candidates() -> None:
    assert found() == []
    assert found(promoted=None, impact={"errors": None, "rescue": None}, trigger={"kind": "error_rate"}) == []


@pytest.mark.parametrize(
    ("answered", "failed", "expected"),
    [
        (5, 0, [("version", "strong", "it is v2, not the requests and not a shared dependency")]),
        (4, 0, []),
        (9, 3, []),
        (
            3,
            7,
            [
                (
                    "shared",
                    "some",
                    "something that both versions share (a dependency, the data, the requests themselves)",
                )
            ],
        ),
    ],
    ids=["all answered", "too few to say", "some failed", "most failed"],
)
def test_what_the_other_version_made_of_the_same_requests(
    answered: int, failed: int, expected: list[tuple[str, str, str]]
) -> None:
    assert found(impact={"errors": {}, "rescue": {"answered": answered, "failed": failed, "other": 0}}) == expected


@pytest.mark.parametrize(
    ("promoted_at", "before", "expected"),
    [
        (4990.0, None, [("version", "some", "a change in v2")]),
        (5000.5, None, [("version", "some", "a change in v2")]),
        (5002.0, None, []),
        (1000.0, None, []),
        (2000.0, {"requests": 9000, "faults": 0}, [("version", "weak", "a change in v2")]),
        (2000.0, {"requests": 9000, "faults": 3}, [("version", "some", "a change in v2")]),
    ],
    ids=["just before", "in the same sample", "after", "long before", "it was clean", "it never was"],
)
def test_a_promotion_shortly_before(promoted_at: float, before: Any, expected: list[tuple[str, str, str]]) -> None:
    assert found(promoted=dataclasses.replace(PROMOTED, at=promoted_at), before=before) == expected


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ({"connect_failed": 100}, "connections were refused or could not be made"),
        ({"timed_out": 95, "server_error": 5}, "requests were taken and not answered in time"),
        ({"server_error": 50, "timed_out": 50}, None),
        ({"server_error": 4}, None),
    ],
)
def test_what_kind_of_errors(errors: dict[str, int], expected: str | None) -> None:
    line = found(impact={"errors": errors, "rescue": None})
    assert [claim.partition(":")[0] for _, _, claim in line] == ([expected] if expected else [])


def test_answers_that_the_router_refused() -> None:
    one = {"endpoint": "http://a:1", "path": "/x", "status": None}
    causes = ["response_transfer_encoding_repeated"] * 9 + ["response_chunk_malformed"]
    scene = dataclasses.replace(
        SCENE, impact={"errors": {"truncated": 10}}, failures=[{**one, "refused": cause} for cause in causes]
    )
    [found, *_] = candidates(scene)
    assert (found["kind"], found["strength"]) == ("errors", "strong")
    assert "response_transfer_encoding_repeated (9×), response_chunk_malformed (1×)" in found["evidence"][1]
    healthy = dataclasses.replace(scene, failures=[one] * 10)
    assert next(iter(candidates(healthy)))["strength"] == "some"


def test_one_replica_of_several() -> None:
    seen = failures(("http://a:1", "/x"), ("http://a:1", "/y"), ("http://a:1", "/z"))
    assert found(failures=seen, endpoints=("http://a:1", "http://b:1")) == [
        ("endpoint", "some", "one replica: http://a:1")
    ]
    assert found(failures=seen, endpoints=("http://a:1",)) == []
    mixed = failures(("http://b:1", "/x"), ("http://a:1", "/y"), ("http://a:1", "/z"))
    assert found(failures=mixed, endpoints=("http://a:1", "http://b:1")) == [
        ("endpoint", "weak", "http://b:1 failed first")
    ]


def test_one_path_whatever_its_query() -> None:
    seen = failures(("", "/infer?a=1"), ("", "/infer?a=2"), ("", "/infer"))
    assert found(failures=seen) == [("path", "weak", "requests for /infer")]
    assert found(failures=seen[:2]) == []


def test_a_slow_version() -> None:
    trigger = {"kind": "latency", "value": 0.4, "limit": 0.05}
    assert found(trigger=trigger) == [("slow", "some", golden("cause.slow"))]


def test_what_else_had_changed_comes_after_what_is_stronger() -> None:
    def line(kind: str, before_s: float, version: str | None = None) -> TimelineEntry:
        return TimelineEntry(5000.0 - before_s, 0, 1, kind, "ann", kind, version)

    lines = [
        line(entry_types.MOVED, 60, "v2"),
        line(entry_types.MOVED, 60, "v3"),
        line(entry_types.SETTINGS_CHANGED, 120),
        line("alert_received", 30),
        line("alert_received", 7200),
        line(entry_types.SETTINGS_CHANGED, -5),
    ]
    rescue = {"answered": 9, "failed": 0, "other": 0}
    assert [(kind, strength) for kind, strength, _ in found(lines=lines, impact={"errors": {}, "rescue": rescue})] == [
        ("version", "strong"),
        ("endpoints", "some"),
        ("data", "some"),
        ("settings", "weak"),
    ]
