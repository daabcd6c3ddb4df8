from __future__ import annotations

import dataclasses
from typing import Any

from router.control.incidents.document import document
from tests.control.incidents.played_incident import Played
from tests.texts import golden


def texts_of(document: dict[str, Any]) -> list[tuple[float, str]]:
    return [(line["t_s"], line["text"]) for line in document["timeline"]]


def test_the_whole_story(played: Played) -> None:
    made = document(played.sources())
    assert made["times"] == {
        "promoted": "2026-11-23T04:00:01.000Z",
        "started": "2026-11-23T04:01:00.100Z",
        "onset": None,
        "failing_since": "2026-11-23T04:01:00.500Z",
        "decided": "2026-11-23T04:01:10.000Z",
        "swapped": "2026-11-23T04:01:10.000Z",
        "confirmed": "2026-11-23T04:01:10.001Z",
        "recovered": "2026-11-23T04:01:10.500Z",
        "drained": "2026-11-23T04:01:10.700Z",
    }
    assert made["durations"] == {
        "promoted_to_fault_s": 59.1,
        "fault_to_decision_s": 9.9,
        "decision_to_store_us": 41,
        "store_to_last_worker_ms": 1.5,
        "fault_to_recovered_s": 10.4,
        "decision_to_drained_s": 0.7,
    }
    assert (
        texts_of(made)
        == [
            (-70.0, golden("timeline.deployed", version="fraud-v8")),
            (-70.0, golden("timeline.deployed", version="fraud-v7")),
            (-69.0, golden("timeline.promoted")),
            (-9.9, golden("timeline.first_fault")),
            (-9.5, golden("timeline.failing_since")),
            (0.0, golden("timeline.rolled_back")),
            (0.0, golden("timeline.stored")),
            (0.0005, golden("timeline.acknowledged", worker=0)),
            (0.0015, golden("timeline.acknowledged", worker=1)),
            (0.002, golden("timeline.confirmed")),
            (0.5, golden("timeline.recovered")),
            (0.7, golden("timeline.drained")),
        ][2:]
    )
    assert made["summary"] == (golden("incident.summary"))
    assert made["record"] == {"format": 1, "complete": True, "reconstructed": False, "notes": []}


def test_the_impact_counts_the_stragglers_after_the_swap(played: Played) -> None:
    assert document(played.sources())["impact"] == {
        "requests": 1005,
        "errors": {"server_error": 305},
        "rescued": 300,
        "clients_gone": 0,
        "failed": 305,
        "failed_until_decision": 300,
        "failed_max": 5,
        "rescue": {"rescued": 300, "answered": 300, "failed": 0, "other": 0, "under_way": 0},
        "since": "2026-11-23T04:01:00.100Z",
        "until": "2026-11-23T04:03:10.000Z",
        "seconds_affected": 10.4,
        "clients": None,
        "distinct_requests": None,
        "budget": None,
    }


def test_windows_before_during_and_after(played: Played) -> None:
    windows = document(played.sources())["windows"]
    left = windows["left"]["periods"]
    assert {name: (period["requests_per_s"], period["fault_rate"]) for name, period in left.items()} == {
        "before": (100.0, 0.0),
        "during": (100.0, 0.3),
        "after": (0.042, 1.0),
    }
    back = windows["back"]["periods"]
    assert [back[name]["requests"] for name in ("before", "during", "after")] == [0, 300, 12_000]
    assert all(len(point) == len(windows["columns"]) for point in windows["left"]["points"])


def test_who_failed_and_how_small_the_standby_was(played: Played) -> None:
    sources = played.sources()
    more = {"affected": {"requests": 501, "clients": 1}, "standby_size": {"good": 1, "endpoints": 3}}
    record = {**sources.record, **more, "trigger": {"detail": "no_progress"}}
    made = document(dataclasses.replace(sources, record=record))
    assert (made["impact"]["clients"]["count"], made["impact"]["distinct_requests"]) == (1, 501)
    assert golden("incident.affected") in made["summary"]
    assert golden("incident.small_standby") in made["summary"]
    assert made["nothing_useful"] is True
    assert document(sources)["nothing_useful"] is False


def test_without_samples_what_was_known_at_the_decision_is_told_and_the_rest_is_unknown(played: Played) -> None:
    made = document(played.sources(samples=False))
    assert made["windows"] is None
    assert {name: made["impact"][name] for name in ("requests", "errors", "rescued", "failed_max", "clients_gone")} == {
        "requests": 1000, "errors": {"server_error": 300}, "rescued": 300, "failed_max": 0, "clients_gone": None,
    }  # fmt: skip
    assert made["record"]["complete"] is False
    assert made["record"]["notes"] == [golden("incident.windows_unknown")]


def test_nothing_is_zero_only_because_nobody_knows_it(played: Played) -> None:
    sources = played.sources(samples=False)
    nothing = {"trigger": None, "started_at": None, "requests": None, "errors": None, "rescued": None}
    unknown = {**sources.record, **nothing, "swap_us": None, "confirmed_ms": None, "from": None}
    made = document(dataclasses.replace(sources, record=unknown, timeline=None))
    assert set(made["durations"].values()) == {None}
    assert {made["impact"][name] for name in ("requests", "rescued", "failed_max", "seconds_affected", "budget")} == {
        None
    }
    assert [note.partition(":")[0] for note in made["record"]["notes"]] == [
        golden("incident.samples_lost"),
        "The trigger is unknown",
        golden("incident.start_unknown"),
        golden("incident.swap_unknown"),
        golden("incident.journal_gone"),
    ]


def test_what_people_added_stands_in_it() -> None:
    played = Played(before_s=5, fail_s=2, after_s=10)
    played.edit(set={"owner": "ann", "severity": "sev2", "root_cause": "null merchant"})
    played.edit(add_actions=[{"what": "a test", "kind": "preventive", "owner": "bob", "due": "2026-12-01"}])
    made = document(played.sources())
    assert made["revision"] == 2
    assert made["review"] == {
        "revision": 2,
        "status": "open",
        "severity": "sev2",
        "owner": "ann",
        "root_cause": "null merchant",
        "actions": [
            {"id": "a1", "state": "open", "what": "a test", "kind": "preventive", "owner": "bob", "due": "2026-12-01"}
        ],
        "comments": [],
        "at": "2026-11-23T05:00:00.000Z",
        "actor": "bob",
    }
    assert texts_of(made)[-1] == (3593.0, "action a1 added: a test")


def test_a_fault_long_before_is_no_beginning() -> None:
    made = document(Played(after_s=10, stray_s=40.0).sources())
    assert (made["times"]["started"], made["times"]["onset"]) == (
        "2026-11-23T04:00:20.100Z",
        "2026-11-23T04:01:00.000Z",
    )
    assert made["durations"]["fault_to_decision_s"] == 10.0
