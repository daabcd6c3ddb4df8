from __future__ import annotations

from router.control.monitors.alarms import Alarms


def raised(alarms: Alarms) -> list[tuple[str, str, str | None]]:
    return [(alarm["code"], alarm["detail"], alarm["service"]) for alarm in alarms.listing()]


def test_an_alarm_stays_until_its_cause_is_gone() -> None:
    alarms = Alarms()
    alarms.up("no_better_target", "v1 fails", "svc")
    since = alarms.listing()[0]["since"]
    alarms.up("no_better_target", "v1 fails still", "svc")
    alarms.up("journal_unavailable", "disk full")
    assert raised(alarms) == [
        ("no_better_target", "v1 fails still", "svc"),
        ("journal_unavailable", "disk full", None),
    ]
    assert alarms.listing()[0]["since"] == since
    alarms.down("no_better_target", "svc")
    alarms.down("no_better_target", "svc")
    assert raised(alarms) == [("journal_unavailable", "disk full", None)]


def test_it_is_logged_once(caplog: object) -> None:
    alarms = Alarms()
    for _ in range(3):
        alarms.up("journal_unavailable", "disk full")
    assert len(caplog.records) == 1  # type: ignore[attr-defined]
