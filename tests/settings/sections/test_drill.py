from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from router.settings.sections.drill import DrillSettings


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize(
    ("schedule", "zone", "after", "due"),
    [
        pytest.param("0 10 * * 2", "UTC", "2026-11-23T04:00", "2026-11-24T10:00", id="Tuesdays"),
        pytest.param("0 10 * * 2", "UTC", "2026-11-24T10:00", "2026-12-01T10:00", id="not the same minute again"),
        pytest.param("0 10 * * 2", "Europe/Berlin", "2026-03-24T10:00", "2026-03-31T10:00", id="over the clock change"),
        pytest.param(
            "30 2 * * *", "Europe/Berlin", "2026-03-28T10:00", "2026-03-29T03:00", id="a time that is not there"
        ),
    ],
)
def test_when_it_is_due(schedule: str, zone: str, after: str, due: str) -> None:
    drill = DrillSettings(schedule=schedule, timezone=zone)
    assert drill.next_due_s(at(after, zone)) == at(due, zone)


def test_without_a_schedule_it_is_never_due() -> None:
    assert DrillSettings().next_due_s(0.0) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param({"schedule": "0 10 * *"}, "needs five fields", id="four fields"),
        pytest.param({"schedule": "0 0 10 * * 2"}, "needs five fields", id="with seconds"),
        pytest.param({"schedule": "61 10 * * 2"}, "Bad minute; write it as 0 10 * * 2", id="no such minute"),
        pytest.param({"schedule": "0 10 30 2 *"}, "Bad day-of-month", id="never"),
        pytest.param({"schedule": "*/4 * * * *"}, "is due more often than every 300 s", id="too often"),
        pytest.param({"timezone": "Berlin"}, "write it as Europe/Berlin, or install tzdata", id="no such zone"),
        pytest.param({"timezone": "../../etc/passwd"}, "is not known here", id="no zone at all"),
        pytest.param({"hold_s": 301}, "less than or equal to 300", id="too long"),
        pytest.param({"hold_s": 0.5}, "greater than or equal to 1", id="too short"),
        pytest.param({"overdue_after_days": 0}, "greater than 0", id="always overdue"),
    ],
)
def test_mistakes_name_value_and_remedy(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message.replace("*", r"\*")):
        DrillSettings.model_validate(settings)
