"""docs/reference/alarms.md: every alarm with its meaning, remedy and end."""

from __future__ import annotations

from typing import Final

from docs.generate.markdown import code, page, prose, table
from router.control.monitors.alarm_table import ALARMS

_INTRODUCTION: Final = """\
An alarm is a condition that needs an operator. It begins once and stays until its cause is gone. `status` lists the active
alarms with their details. `/readyz` lists them under `degraded`. The log has a line when an alarm begins and when it ends. The
topic `alarm` of [notifications](settings.md#notify) sends it.

- **critical**: clients are affected, or automation cannot act.
- **warning**: something has to be repaired before it is needed.
"""


def text() -> str:
    """Return the page."""
    rows = [
        (code(name), row.severity, prose(row.meaning), prose(row.remedy), prose(row.ends))
        for name, row in ALARMS.items()
    ]
    return page("Alarms", _INTRODUCTION, table(("Code", "Severity", "Meaning", "What to do", "Ends"), rows))
