"""Our own form and CloudEvents become reports."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.control.admin.problems import STATUS
from router.control.alerts.bodies import CLOUD_EVENT, LABELS_MAX, from_alert
from router.errors import Refusal
from router.rollout.alerts.alert import RawAlert
from router.runtime import clock
from tests.example_counts import examples

MEMBERS = [
    *(
        "alerts",
        "status",
        "labels",
        "annotations",
        "startsAt",
        "fingerprint",
        "id",
        "starts_at",
        "kind",
        "service",
        "version",
    ),
    *("summary", "specversion", "source", "type", "time", "data", "truncatedAlerts"),
]
AT = datetime(2026, 11, 23, 4, 0, tzinfo=UTC).timestamp()
LABELS = {"alertname": "Drift", "signal": "quality"}
EVENT: dict[str, Any] = {
    "specversion": "1.0", "id": "e1", "source": "/drift", "type": "io.seldon.serving.inference.drift",
    "time": "2026-11-23T04:00:00Z", "datacontenttype": "application/json",
}  # fmt: skip


def simple(body: dict[str, Any]) -> RawAlert:
    return from_alert(orjson.dumps(body), "application/json", {})


@pytest.mark.parametrize(
    ("starts_at", "expected"),
    [("0001-01-01T00:00:00+14:00", 0.0), ("9999-12-31T23:59:59-14:00", 253_370_764_800.0)],
)
def test_times_that_no_calendar_shows(starts_at: str, expected: float) -> None:
    found = simple({"id": "x", "starts_at": starts_at})
    assert found.starts_at == expected
    assert clock.iso(expected)


@pytest.mark.parametrize(
    "text",
    ["1764000000", "1764000000.5", "-1", "20261123T040000Z", "2026-11-23", "2026-11-23T04:00:00", "2026-W47-1T04:00Z", "",
     "\u0662026-11-23T04:00:00Z", "2026-02-30T04:00:00Z", "2026-11-23T04:00:00Z ", "0000-01-01T00:00:00Z", "1" * 900_000,
     1764000000, 1.5, True],
)  # fmt: skip
def test_a_number_is_no_time(text: object) -> None:
    event = {"specversion": "1.0", "id": "1", "source": "s", "type": "t"}
    for refused in (
        lambda: simple({"id": "x", "starts_at": text}),
        lambda: from_alert(orjson.dumps({**event, "time": text}), CLOUD_EVENT, {}),
        lambda: from_alert(b"{}", "application/json", {f"ce-{n}": str(v) for n, v in {**event, "time": text}.items()}),
    ):
        with pytest.raises(Refusal) as refusal:
            refused()
        assert refusal.value.code == "request_invalid"
        assert len(refusal.value.detail) < 400


@pytest.mark.parametrize(
    "text",
    ["2026-11-23T04:00:00Z", "2026-11-23t04:00:00z", "2026-11-23 06:00:00.000000000+02:00", "2026-11-23T04:00Z",
     "2026-11-22T23:00:00.0-05:00"],
)  # fmt: skip
def test_times_of_rfc_3339(text: str) -> None:
    assert simple({"id": "x", "starts_at": text}).starts_at == 1795406400.0
    data = {"id": "x", "starts_at": text}
    event = {"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data": data}
    assert from_alert(orjson.dumps(event), CLOUD_EVENT, {}).starts_at == 1795406400.0


@pytest.mark.parametrize("text", ["1764000000", "11111111111", "2026-W47-1", "2026-11-23"])
def test_a_number_in_the_data_of_an_event_is_no_time(text: str) -> None:
    event = {"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data": {"id": "x", "starts_at": text}}
    with pytest.raises(Refusal, match="is no time"):
        from_alert(orjson.dumps(event), CLOUD_EVENT, {})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=12) | st.sampled_from(MEMBERS), inner, max_size=6)
    ),
    max_leaves=20,
)


@given(JSON | st.fixed_dictionaries({}, optional=dict.fromkeys(MEMBERS, JSON)))
@settings(max_examples=examples(80), deadline=None)
def test_whatever_comes_is_a_report_or_a_refusal(document: Any) -> None:
    try:
        raw = orjson.dumps(document)
    except TypeError:  # integers beyond 64 bits, lone surrogates: no JSON that anybody sends
        return
    refusals: list[int] = []
    readers = (
        lambda: from_alert(raw, "application/json", {}),
        lambda: from_alert(raw, CLOUD_EVENT, {}),
        lambda: from_alert(
            raw, "application/json", {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "s", "ce-type": "t"}
        ),
    )
    for read in readers:
        try:
            read()
        except Refusal as refusal:
            refusals.append(STATUS[refusal.code])
    assert set(refusals) <= {400}


def test_our_own_form() -> None:
    assert simple({"id": "x", "kind": "quality", "service": "fraud"}) == RawAlert(
        "x", "firing", None, {}, "", "quality", "fraud", name="x"
    )
    text = {
        "id": "x", "status": "resolved", "starts_at": "2026-11-23T04:00:00Z", "kind": "business", "service": "fraud",
        "version": "v8", "summary": "fewer sales", "labels": LABELS,
    }  # fmt: skip
    assert simple(text) == RawAlert("x", "resolved", AT, LABELS, "fewer sales", "business", "fraud", "v8", "x")


@pytest.mark.parametrize("name", ["status", "starts_at", "kind", "service", "version", "summary", "labels"])
def test_null_is_as_good_as_left_out(name: str) -> None:
    without = simple({"id": "x", "labels": LABELS})
    assert simple({"id": "x", "labels": LABELS, name: None}) == simple(
        {"id": "x"} if name == "labels" else {"id": "x", "labels": LABELS}
    )
    assert simple({"id": "x", "labels": LABELS | {"pod": None}}).labels == {**without.labels, "pod": ""}


@pytest.mark.parametrize(("chars", "cut"), [(300, ()), (301, ("summary",)), (9000, ("summary",))])
def test_a_long_summary_is_cut_and_not_refused(chars: int, cut: tuple[str, ...]) -> None:
    data = {"id": "x", "summary": "é" * chars, "labels": {"pod": "p" * 9000}}
    event = from_alert(orjson.dumps(EVENT | {"data": data}), CLOUD_EVENT, {})
    assert simple(data).cut == event.cut == cut


def test_every_label_of_an_event_is_seen() -> None:
    labels = {f"l{number}": "v" for number in range(LABELS_MAX)} | {"severity": "critical"}
    event = from_alert(orjson.dumps(EVENT | {"data": {"labels": labels}}), CLOUD_EVENT, {})
    assert labels.items() <= event.labels.items()


def test_cloud_events() -> None:
    seen = {**LABELS, "ce_type": EVENT["type"], "ce_source": "/drift", "ce_subject": ""}
    data = {"kind": "quality", "service": "fraud", "version": "v8", "summary": "drift", "labels": LABELS | {"n": 3}}
    structured = from_alert(orjson.dumps(EVENT | {"data": data}), CLOUD_EVENT, {})
    assert structured == RawAlert(structured.fingerprint, "firing", AT, seen, "drift", "quality", "fraud", "v8")
    fields = {f"Ce-{name.title()}": value for name, value in EVENT.items() if name != "datacontenttype"}
    assert from_alert(orjson.dumps(data), "application/json", fields) == structured
    other = from_alert(orjson.dumps(EVENT | {"id": "e2", "data": data}), CLOUD_EVENT, {})
    assert other.fingerprint != structured.fingerprint


def test_events_of_others_are_seen_by_their_type_alone() -> None:
    found = from_alert(orjson.dumps(EVENT | {"data": {"data": {"is_drift": 1}, "meta": {}}}), CLOUD_EVENT, {})
    assert (found.kind, found.service, found.summary) == (None, None, EVENT["type"])
    assert found.labels["ce_type"] == EVENT["type"]
    assert from_alert(orjson.dumps(EVENT | {"data": [1]}), CLOUD_EVENT, {}).labels == found.labels


def test_an_event_may_say_of_which_alert_it_speaks() -> None:
    data = {"id": "a1", "starts_at": "2026-11-23T04:00:00", "kind": "quality", "service": "fraud"}
    raised = from_alert(orjson.dumps(EVENT | {"data": data}), CLOUD_EVENT, {})
    ended = from_alert(orjson.dumps(EVENT | {"id": "e2", "data": data | {"status": "resolved"}}), CLOUD_EVENT, {})
    assert (raised.fingerprint, raised.starts_at) == (ended.fingerprint, ended.starts_at) == ("a1", AT)
    assert raised.name == "a1"
    assert (raised.status, ended.status) == ("firing", "resolved")


@pytest.mark.parametrize(
    ("body", "media_type", "fields", "place"),
    [
        pytest.param({"kind": "quality"}, "application/json", {}, "body.id", id="no id"),
        pytest.param({"id": "x", "severity": 1}, "application/json", {}, "body.severity", id="unknown member"),
        pytest.param({"id": "x", "kind": "latency"}, "application/json", {}, "body.kind", id="unknown kind"),
        pytest.param({"id": "x", "service": "a b"}, "application/json", {}, "body.service", id="no name"),
        pytest.param(EVENT | {"specversion": "0.3"}, CLOUD_EVENT, {}, "body.specversion", id="older event"),
        pytest.param({}, "application/json", {"ce-specversion": "1.0"}, "body.id", id="binary without id"),
        pytest.param(EVENT | {"data": {"kind": "latency"}}, CLOUD_EVENT, {}, "data.kind", id="event of unknown kind"),
        pytest.param(EVENT | {"data": {"status": "on"}}, CLOUD_EVENT, {}, "data.status", id="event of unknown status"),
        pytest.param(EVENT | {"data": {"id": "a", "starts_at": "x"}}, CLOUD_EVENT, {}, "data.starts_at", id="start"),
    ],
)
def test_what_is_no_alert(body: dict[str, Any], media_type: str, fields: dict[str, str], place: str) -> None:
    with pytest.raises(Refusal, match="request_invalid") as refusal:
        from_alert(orjson.dumps(body), media_type, fields)
    assert place in refusal.value.detail


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        (b'{"id": "a", "id": "b"}', "body.id"),
        (b'{"id": "a", "labels": {"x": "1", "x": "2"}}', "body.labels.x"),
        (b'{"id": 7}', "body.id"),
        (b'{"id": "a", "labels": {"x": 1}}', "body.labels.x"),
        (b'{"id": "a", "starts_at": 1764000000}', "body.starts_at"),
        (b'{"id": "a", "summary": true}', "body.summary"),
        (b'{"id": "a", "summary": "\\ud800"}', "body"),
        (b'\xef\xbb\xbf{"id": "a"}', "body"),
        ('{"id": "a"}'.encode("utf-16"), "body"),
        (b"\x1f\x8b\x08", "body"),
        (b'{"id": "a", "summary": NaN}', "body"),
        (b'{"id": "a"} x', "body"),
    ],
)
def test_our_own_form_is_strict(raw: bytes, place: str) -> None:
    with pytest.raises(Refusal) as refusal:
        from_alert(raw, "application/json", {})
    assert refusal.value.facts["errors"][0]["place"] == place  # type: ignore[index]
