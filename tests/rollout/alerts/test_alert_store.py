"""What is remembered of alerts, and what it says of the active version."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from router.rollout.alerts.alert import Alert, Kind, decide
from router.rollout.alerts.alert_store import AlertStore, fact_of_alert, not_configured, result, standing_alerts
from router.rollout.facts.entry import Entry
from router.rollout.judge.verdict import conclude
from router.rollout.units import SECOND_NS
from router.settings.sections.alerts import AlertSettings
from tests import entry_types
from tests.texts import golden

NOW = 1_000_000.0
FRESH_S = 600.0
ALERT = Alert("f1", "firing", NOW - 5, "quality", "fraud", None, "Drift", "PSI 0.4", {"severity": "critical"})


def fact(alert: Alert, at: float = NOW, active: str = "v8", since: float = NOW - 100, seq: int = 1) -> Entry:
    found = decide(alert, active, since, FRESH_S, at)
    return Entry(fact_of_alert(alert, found), alert.service, "am", at, int(at * 1e9), 1, seq)


def book(*entries: Entry, remembered_max: int = 100) -> AlertStore:
    made = AlertStore(remembered_max)
    for entry in entries:
        made.apply(entry)
    return made


def names(made: AlertStore, kind: Kind = "quality", active: str = "v8", since: float = NOW - 100) -> list[str]:
    return [found.fact.fingerprint for found in made.firing("fraud", kind, active, since)]


RESOLVED = replace(ALERT, status="resolved")
NEXT = replace(ALERT, starts_at=NOW + 50)


@pytest.mark.parametrize(
    ("entries", "standing"),
    [
        pytest.param([fact(ALERT)], ["f1"], id="it counts"),
        pytest.param([fact(ALERT), fact(RESOLVED, NOW + 9)], [], id="resolved"),
        pytest.param([fact(RESOLVED), fact(ALERT, NOW + 9)], [], id="resolved first: the two overtook each other"),
        pytest.param([fact(replace(ALERT, version="v7"))], [], id="about another version"),
        pytest.param([fact(ALERT), fact(NEXT, NOW + 51)], ["f1"], id="it began anew: one, not two"),
        pytest.param([fact(ALERT), fact(replace(ALERT, fingerprint="f2"))], ["f1", "f2"], id="two"),
        pytest.param([fact(replace(ALERT, service="risk"))], [], id="another service"),
        pytest.param([fact(replace(ALERT, kind="business"))], [], id="another kind"),
        pytest.param([Entry.of(entry_types.FROZEN, "fraud", "ann", {"reason": ""}, NOW, 1, 1, 1)], [], id="no alert"),
    ],
)
def test_which_alerts_stand(entries: list[Entry], standing: list[str]) -> None:
    assert names(book(*entries)) == standing


def test_an_alert_does_not_outlive_the_time_its_version_was_active() -> None:
    assert names(book(fact(ALERT)), active="v7") == []
    made = book(fact(ALERT))
    assert names(made, since=NOW + 1) == [], "rolled back, repaired, promoted again"
    assert names(made) == [], "what is over stays over"


def test_what_the_triggers_say() -> None:
    made = book(fact(ALERT), fact(replace(ALERT, fingerprint="f2", starts_at=NOW - 9)))
    standing = made.firing("fraud", "quality", "v8", NOW - 100)
    said = result("quality", "rollback", standing, FRESH_S, NOW + 1, 100 * SECOND_NS)
    assert (said.state, said.failing, said.value, said.limit, said.samples) == ("fail", True, 2.0, 0.0, 2)
    assert (said.name, said.reason) == ("quality.alert", "alert Drift: PSI 0.4 (and 1 more)")
    assert said.evidence_since_ns == 90 * SECOND_NS
    assert conclude((said,)).failing is said

    later = result("quality", "rollback", standing, FRESH_S, NOW + 601, 0)
    assert (later.state, later.failing, later.value) == ("inconclusive", False, 0.0)
    assert later.reason == golden("alert.silent")

    nothing = result("quality", "rollback", [], FRESH_S, NOW, 0)
    assert (nothing.state, nothing.value, conclude((nothing,)).state) == ("pass", 0.0, "inconclusive")
    assert (not_configured("business", "ask").state, not_configured("business", "ask").limit) == (
        "not_configured",
        None,
    )


@pytest.mark.parametrize(
    ("kind", "action", "acts"),
    [("quality", "rollback", "failing"), ("quality", "observe", "observing"), ("business", "ask", None)],
)
def test_what_is_due(kind: Kind, action: Any, acts: str | None) -> None:
    said = result(kind, action, list(book(fact(ALERT)).recent(1)), FRESH_S, NOW, 0)
    verdict = conclude((said,))
    assert (verdict.failing is said, verdict.observing == (said,)) == (acts == "failing", acts == "observing")
    assert verdict.pending


def test_a_repeat_keeps_it_standing() -> None:
    made = book(fact(ALERT))
    made.mark_seen(ALERT, NOW + 500)
    standing = made.firing("fraud", "quality", "v8", NOW - 100)
    assert len(standing_alerts(standing, FRESH_S, NOW + 1000)) == 1
    assert standing_alerts(standing, FRESH_S, NOW + 1101) == []


def test_the_alert_last_seen_longest_ago_is_dropped_first() -> None:
    made = book(*(fact(replace(ALERT, fingerprint=f"f{number}")) for number in range(3)), remembered_max=3)
    made.mark_seen(replace(ALERT, fingerprint="f0"), NOW + 1)
    made.apply(fact(replace(ALERT, fingerprint="f3")))
    assert len(made) == 3
    assert [found.fact.fingerprint for found in made.recent(9)] == ["f3", "f0", "f2"]
    assert names(made) == ["f0", "f2", "f3"]
    assert made.known(replace(ALERT, fingerprint="f1")) is None


def test_an_alert_is_the_same_to_the_millisecond_and_known_after_a_restart() -> None:
    entries = [fact(ALERT, seq=0), fact(ALERT, seq=7)]
    made = book(*entries)
    assert len(made) == 1
    again = made.known(replace(ALERT, starts_at=NOW - 5 + 0.0001))
    assert again is not None
    assert again.seq == 7
    assert book(*entries).recent(1)[0].title == "Drift: PSI 0.4"


def test_what_was_not_resolved_stands_for_a_day() -> None:
    """A sender that says a thing once, and no more until it is over: after an unfreeze the alert still counts."""
    stands_for_s = AlertSettings().stands_for_s
    made = book(fact(ALERT))
    heard_at = made.recent(1)[0].last_seen_at
    for silent_s, state in ((700, "fail"), (86_000, "fail"), (86_500, "inconclusive")):
        firing = made.firing("fraud", "quality", "v8", NOW - 100)
        assert result("quality", "rollback", firing, stands_for_s, heard_at + silent_s, 0).state == state
