"""The webhooks of other systems are read alert by alert: what each sender may write, and that no alert takes others with it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.control.alerts.webhooks import (
    ALERTS_MAX,
    FIELD_CHARS_MAX,
    UnreadableAlert,
    Webhook,
    read_webhook,
)
from router.rollout.alerts.alert import TEXT_CHARS_MAX, RawAlert
from router.runtime import clock
from tests.example_counts import examples

AT = datetime(2026, 11, 23, 4, 0, tzinfo=UTC).timestamp()
LABELS = {"alertname": "Drift", "signal": "quality"}
ALERT: dict[str, Any] = {
    "status": "firing", "labels": LABELS, "annotations": {"description": "PSI 0.4", "summary": ""},
    "startsAt": "2026-11-23T04:00:00Z", "endsAt": "0001-01-01T00:00:00Z", "fingerprint": "c26c5a1f6f6f6f6f",
}  # fmt: skip
GRAFANA = ALERT | {
    "startsAt": "2026-11-23T05:00:00.123456789+01:00", "values": None, "valueString": "[ var='B' value=22 ]",
    "silenceURL": "http://g/silence", "dashboardURL": "http://g/d/1", "panelURL": "", "orgId": 1, "imageURL": "",
}  # fmt: skip
GOOD = RawAlert("c26c5a1f6f6f6f6f", "firing", AT, LABELS, "PSI 0.4")


def read(document: Any) -> Webhook:
    return read_webhook(document if isinstance(document, bytes) else json.dumps(document).encode())


def one(alert: Any, **top: Any) -> Any:
    """Return what becomes of an alert between two good ones, which are taken in any case."""
    found = read({**top, "alerts": [ALERT, alert, ALERT]})
    assert found.problem is None
    assert [found.alerts[0], found.alerts[2]] == [GOOD, GOOD]
    return found.alerts[1]


def taken(alert: Any, **top: Any) -> RawAlert:
    found = one(alert, **top)
    assert isinstance(found, RawAlert), found
    return found


# -- the forms
@pytest.mark.parametrize(
    ("alert", "top", "starts_at"),
    [
        pytest.param(
            ALERT,
            {
                "version": "4", "groupKey": "{}", "receiver": "r", "status": "firing", "groupLabels": {},
                "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://am",
            },
            AT,
            id="Alertmanager",
        ),
        pytest.param(
            GRAFANA, {"version": "1", "orgId": 1, "title": "[FIRING:1]", "state": "alerting", "message": ""},
            AT + 0.123456, id="Grafana",
        ),
        pytest.param(ALERT, {"groupLabels": None, "commonLabels": None, "commonAnnotations": None}, AT, id="null"),
        pytest.param(ALERT, {}, AT, id="alerts alone"),
    ],
)  # fmt: skip
def test_webhooks(alert: dict[str, Any], top: dict[str, Any], starts_at: float) -> None:
    found = read({**top, "truncatedAlerts": 3, "alerts": [alert]})
    assert found.alerts == [RawAlert("c26c5a1f6f6f6f6f", "firing", starts_at, LABELS, "PSI 0.4")]
    assert (found.truncated, found.group, found.problem) == (3, top.get("groupKey", ""), None)


def test_prometheus_and_vmalert_send_a_list_whose_ends_are_times() -> None:
    now = datetime.now(UTC)
    sent = {"labels": LABELS, "annotations": {"summary": "s"}, "startsAt": "2026-11-23T04:00:00Z", "generatorURL": ""}
    ends = {
        "to come": (now + timedelta(minutes=4)).isoformat(), "passed": (now - timedelta(seconds=1)).isoformat(),
        "not set": "0001-01-01T00:00:00Z",
    }  # fmt: skip
    found = read([{**sent, "endsAt": at} for at in ends.values()] + [sent])
    alerts = [alert for alert in found.alerts if isinstance(alert, RawAlert)]
    assert [alert.status for alert in alerts] == ["firing", "resolved", "firing", "firing"]
    assert len({alert.fingerprint for alert in alerts}) == 1, "the labels identify an alert"
    assert read([{**sent, "labels": {"alertname": "Other"}}]).alerts[0].fingerprint != alerts[0].fingerprint
    assert not alerts[0].renews


@pytest.mark.parametrize(("state", "status"), [("alerting", "firing"), ("ok", "resolved")])
def test_a_dashboard_alert_of_an_old_grafana(state: str, status: str) -> None:
    document = {
        "dashboardId": 1,
        "evalMatches": [{"value": 1, "metric": "Count", "tags": {}}],
        "imageUrl": "http://g/i",
        "message": "PSI 0.4",
        "orgId": 1,
        "panelId": 2,
        "ruleId": 7,
        "ruleName": "Drift",
        "ruleUrl": "http://g",
        "state": state,
        "tags": {"signal": "quality"},
        "title": "[Alerting] Drift",
    }
    (found,) = read(document).alerts
    assert isinstance(found, RawAlert)
    assert (found.status, found.labels, found.summary, found.renews) == (status, LABELS, "PSI 0.4", True)
    (other,) = read(document | {"state": "alerting", "ruleId": 8}).alerts
    assert found.fingerprint != other.fingerprint


@pytest.mark.parametrize(("state", "code"), [("no_data", "unmapped"), ("paused", "unmapped"), ("x", "request_invalid")])
def test_other_states_of_a_dashboard_alert_are_no_signal(state: str, code: str) -> None:
    (found,) = read({"ruleName": "Drift", "ruleId": 7, "state": state, "tags": None}).alerts
    assert isinstance(found, UnreadableAlert)
    assert found.code == code


# -- members that senders leave out, or write otherwise
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({"annotations": None}, {"summary": ""}, id="annotations null"),
        pytest.param({"annotations": ["x"]}, {"summary": ""}, id="annotations no object"),
        pytest.param({"annotations": "PSI 0.4"}, {}, id="annotations a text"),
        pytest.param({"annotations": {"summary": None, "description": 0.4}}, {"summary": "0.4"}, id="annotation 0.4"),
        pytest.param({"labels": None}, {"labels": {}}, id="labels null"),
        pytest.param({"labels": {}}, {"labels": {}}, id="no labels"),
        pytest.param(
            {"labels": {"a": 1, "b": 1.50, "c": True, "d": None, "e": {"x": [1]}}},
            {"labels": {"a": "1", "b": "1.5", "c": "true", "d": "", "e": '{"x": ["1"]}'}},
            id="labels that are no texts",
        ),
        pytest.param({"labels": {f"l{n}": "x" for n in range(500)}}, {"labels": {f"l{n}": "x" for n in range(500)}},
                     id="500 labels"),
        pytest.param({"status": None}, {"status": "firing"}, id="status null"),
        pytest.param({"status": "Resolved"}, {"status": "resolved"}, id="another case"),
        pytest.param({"status": None, "endsAt": "2020-01-01T00:00:00Z"}, {"status": "resolved"}, id="ended"),
        pytest.param({"startsAt": None}, {"starts_at": None, "renews": True}, id="start null"),
        pytest.param({"startsAt": ""}, {"starts_at": None, "renews": True}, id="start empty"),
        pytest.param({"startsAt": "0001-01-01T00:00:00Z"}, {"starts_at": None, "renews": True}, id="start not set"),
        pytest.param({"startsAt": "9999-12-31T23:59:59-14:00"}, {"starts_at": 253_370_764_800.0}, id="late"),
        pytest.param({"fingerprint": 7}, {"fingerprint": "7"}, id="fingerprint a number"),
        pytest.param({"news": {"x": [1.5, None]}, "values": {"B": 1e400}}, {}, id="unknown members"),
        pytest.param({"generatorURL": None, "endsAt": None, "imageURL": 7}, {}, id="others null"),
    ],
)  # fmt: skip
def test_members_have_defaults(change: dict[str, Any], expected: dict[str, Any]) -> None:
    found = taken(ALERT | change)
    assert {name: getattr(found, name) for name in expected} == expected
    assert clock.iso(found.starts_at or 0.0)


@pytest.mark.parametrize("fingerprint", [None, "", "a b", "x" * 129, "é"])
def test_a_fingerprint_that_is_none_is_made(fingerprint: Any) -> None:
    found = taken(ALERT | {"fingerprint": fingerprint}).fingerprint
    assert len(found) == 32
    assert found == taken(ALERT | {"fingerprint": fingerprint, "annotations": None}).fingerprint


def test_what_an_alert_has_not_its_webhook_may_have() -> None:
    bare = {"fingerprint": "f"}
    found = taken(bare, status="resolved", commonLabels={"signal": "quality"})
    assert (found.status, found.labels) == ("resolved", {"signal": "quality"})


@pytest.mark.parametrize(
    ("whole", "end", "status"),
    [
        ("resolved", "0001-01-01T00:00:00Z", "resolved"),
        ("resolved", "2999-01-01T00:00:00Z", "resolved"),
        ("resolved", None, "resolved"),
        ("firing", "2026-11-23T04:00:00Z", "resolved"),
        ("firing", "0001-01-01T00:00:00Z", "firing"),
        ("firing", None, "firing"),
        (None, None, "firing"),
    ],
)
def test_the_status_of_an_alert_without_one(whole: str | None, end: str | None, status: str) -> None:
    without = {name: value for name, value in ALERT.items() if name != "status"}
    assert taken(without | {"endsAt": end}, status=whole).status == status


# -- too long is cut
@pytest.mark.parametrize(
    ("change", "cut"),
    [
        pytest.param({"annotations": {"summary": "é" * 9000}}, ("annotations.summary",), id="summary"),
        pytest.param({"annotations": {"description": "x" * 9000}}, ("annotations.description",), id="description"),
        pytest.param({"annotations": {"runbook": "x" * 9000}}, ("annotations.runbook",), id="of no use"),
        pytest.param({"annotations": {"summary": "x" * 301}}, ("annotations.summary",), id="one more than is kept"),
        pytest.param({"annotations": {"summary": "x" * 300}}, (), id="as much as is kept"),
        pytest.param({"labels": LABELS | {"pod": "🌍" * 9000}}, ("labels.pod",), id="label"),
        pytest.param({"annotations": "x" * 9000}, ("annotations",), id="annotations a text"),
    ],
)
def test_a_text_that_is_too_long_is_cut_at_a_character(change: dict[str, Any], cut: tuple[str, ...]) -> None:
    found = taken(ALERT | change)
    assert found.cut == cut
    texts = [found.summary, *found.labels.values()]
    assert all(len(text) <= FIELD_CHARS_MAX and text == text.encode().decode() for text in texts)
    assert all(text.endswith("…") for text in texts if len(text) == FIELD_CHARS_MAX)
    assert TEXT_CHARS_MAX == 300


# -- what cannot be read is refused alone
@pytest.mark.parametrize(
    ("alert", "place", "code"),
    [
        pytest.param(7, "body.alerts.1", "request_invalid", id="a number"),
        pytest.param(None, "body.alerts.1", "request_invalid", id="null"),
        pytest.param([], "body.alerts.1", "request_invalid", id="a list"),
        pytest.param(ALERT | {"status": "burning"}, "body.alerts.1.status", "request_invalid", id="status"),
        pytest.param(ALERT | {"labels": ["a"]}, "body.alerts.1.labels", "request_invalid", id="labels"),
        pytest.param(ALERT | {"startsAt": "yesterday"}, "body.alerts.1.startsAt", "request_invalid", id="start"),
        pytest.param(ALERT | {"startsAt": 1764000000}, "body.alerts.1.startsAt", "request_invalid", id="seconds"),
        pytest.param(
            ALERT | {"startsAt": "2026-02-30T04:00:00Z"}, "body.alerts.1.startsAt", "request_invalid", id="day"
        ),
        pytest.param(
            ALERT | {"startsAt": "2026-11-23T04:00:00"}, "body.alerts.1.startsAt", "request_invalid", id="zone"
        ),
        pytest.param({"endsAt": "soon"}, "body.alerts.1.endsAt", "request_invalid", id="end"),
    ],
)
def test_an_unreadable_alert_is_refused_alone(alert: Any, place: str, code: str) -> None:
    found = one(alert)
    assert isinstance(found, UnreadableAlert)
    assert found.code == code
    assert found.detail.startswith(f"{place}: ")
    assert len(found.detail) < 400
    if isinstance(alert, dict) and "fingerprint" in alert:
        assert found.fingerprint == "c26c5a1f6f6f6f6f"


@pytest.mark.parametrize(
    ("text", "result"),
    [
        (b'{"labels": {"a": "1", "a": "2"}, "fingerprint": "f"}', "member_repeated"),
        (b'{"annotations": {"a": "1", "a": "2"}, "fingerprint": "f"}', "f"),
        (b'{"labels": {"a": ' + b"[" * 900 + b"]" * 900 + b'}, "fingerprint": "f"}', ""),
        (b'{"values": {"B": NaN, "B": -Infinity}, "fingerprint": "f"}', "f"),
        (b'{"values": ' + b"9" * 5000 + b', "fingerprint": "f"}', "f"),
        (b'{"labels": {"a": "\\ud800"}, "fingerprint": "f"}', "f"),
        (b'{"labels": {"a": "\xe9\xff"}, "fingerprint": "f"}', "f"),
        (b'{"labels": {"a": "x\ny"}, "fingerprint": "f"}', "f"),
    ],
    ids=["repeated", "repeated annotation", "deep", "NaN", "digits", "surrogate", "Latin-1", "line break"],
)
def test_a_value_that_is_hardly_json_does_not_cost_the_others(text: bytes, result: str) -> None:
    good = json.dumps(ALERT).encode()
    found = read(b'{"alerts": [' + b", ".join([good, text, good]) + b"]}")
    assert (found.problem, found.alerts[0], found.alerts[2]) == (None, GOOD, GOOD)
    middle = found.alerts[1]
    if result:
        assert result == (middle.code if isinstance(middle, UnreadableAlert) else middle.fingerprint)
    if result and isinstance(middle, RawAlert):
        assert "\ufffd" in middle.labels.get("a", "\ufffd") or middle.labels["a"] == "x\ny"


# -- a text that cannot be read to its end
@pytest.mark.parametrize(
    ("raw", "alerts", "place"),
    [
        pytest.param(b"", 0, "body: is no JSON", id="empty"),
        pytest.param(b"{", 0, "body: is no JSON", id="cut off at once"),
        pytest.param(b"7", 0, "body: is no webhook", id="a number"),
        pytest.param(b'{"version": "4"}', 0, "body.alerts: is missing", id="no alerts"),
        pytest.param(b'{"alerts": {}}', 0, "body.alerts: is no list", id="alerts no list"),
        pytest.param(b'{"alerts": [{}], "alerts": [{}]}', 0, "body.alerts: the member is given more", id="twice"),
        pytest.param(b'{"alerts": [{}, {"labels": {', 1, "body.alerts.1: is no JSON", id="cut off in an alert"),
        pytest.param(b'[{}, {}, {"a" 1}]', 2, "body.2: is no JSON", id="broken in an alert"),
        pytest.param(b'{"alerts": [{} {}]}', 1, "body.alerts.0: is no JSON", id="no comma"),
        pytest.param(b'{"alerts": [{}]} x', 1, "body: is no JSON", id="something behind"),
        pytest.param(b'{"alerts": [{}], x: 1}', 1, "body.alerts.0: is no JSON", id="no name"),
        pytest.param(b'{"alerts": [{}, ' + b'{"a":' * 90_000, 1, "body.alerts.1: is nested too deeply", id="deep"),
        pytest.param('{"alerts": []}'.encode("utf-16"), 0, "body: is in UTF-16", id="UTF-16"),
        pytest.param('{"alerts": []}'.encode("utf-16-be"), 0, "body: is in UTF-16", id="UTF-16 without a mark"),
        pytest.param(b'{"alerts": [' + b"0," * 100_000 + b"0]}", 0, "body: has more than 100000 values", id="values"),
        pytest.param(b"\x1f\x8b\x08\0", 0, "body: is compressed", id="gzip"),
        pytest.param(
            b"[" + b"{}," * ALERTS_MAX + b"{}]", ALERTS_MAX, f"body: only the first {ALERTS_MAX} alerts", id="many"
        ),
    ],
)
def test_the_alerts_before_a_damage_are_taken(raw: bytes, alerts: int, place: str) -> None:
    found = read(raw)
    assert len(found.alerts) == alerts
    assert found.problem is not None
    assert found.problem.detail.startswith(place)


@pytest.mark.parametrize(
    "raw", [b'\xef\xbb\xbf{"alerts": [{}]}', b" \r\n[ {} , {} ] ", b'{"alerts": null}', b"[]", b"{}"]
)
def test_twins_that_are_read(raw: bytes) -> None:
    assert (read(raw).problem is None) == (raw != b"{}")


@pytest.mark.parametrize(
    ("value", "count"), [(3, 3), ("3", 3), (3.0, 3), (None, 0), (-1, 0), ("many", 0), (1.5, 0), ([1], 0)]
)
def test_the_number_of_alerts_that_were_left_out(value: Any, count: int) -> None:
    assert read({"alerts": [], "truncatedAlerts": value}).truncated == count


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | st.sampled_from([*ALERT]), inner),
    max_leaves=20,
)


@given(JSON | st.fixed_dictionaries({}, optional=dict.fromkeys(ALERT, JSON)))
@settings(max_examples=examples(150), deadline=None)
def test_whatever_an_alert_is_the_others_are_taken(alert: Any) -> None:
    one(alert)


@given(st.binary(max_size=60), st.integers(0, 200))
@settings(max_examples=examples(150), deadline=None)
def test_whatever_comes_is_an_answer(damage: bytes, at: int) -> None:
    raw = json.dumps({"alerts": [ALERT]}).encode()
    found = read_webhook(raw[:at] + damage + raw[at:])
    assert found.problem is None or found.problem.detail
