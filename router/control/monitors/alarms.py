"""Alarms: conditions that need an operator. An alarm is raised once and stays until its cause is gone."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from router.runtime import clock
from router.runtime.text.json_log import members

log = logging.getLogger(__name__)


class Alarms:
    """The active alarms, by code and service ("" for the whole router)."""

    def __init__(self) -> None:
        self._active: dict[tuple[str, str], dict[str, Any]] = {}

    def up(self, code: str, detail: str, service: str = "") -> None:
        """Raise an alarm; an active alarm only gets the newer detail."""
        known = self._active.get((code, service))
        if known is not None:
            known["detail"] = detail
            return
        since = clock.iso(clock.wall_s())
        self._active[code, service] = {"code": code, "detail": detail, "since": since, "service": service or None}
        about = members(event="alarm", code=code, service=service or None, detail=detail)
        log.error("alarm %s%s: %s", code, f" service={service}" if service else "", detail, extra=about)

    def down(self, code: str, service: str = "") -> None:
        """End an alarm: its cause is gone."""
        if self._active.pop((code, service), None) is not None:
            about = members(event="alarm_over", code=code, service=service or None)
            log.warning("alarm %s%s is over", code, f" service={service}" if service else "", extra=about)

    def forget(self, service: str) -> None:
        """End all alarms of a service that was removed."""
        for code, owner in list(self._active):
            if owner == service:
                self.down(code, service)

    def reporter(self, code: str, detail: str) -> Callable[[str | None], None]:
        """Return a function that takes the reason of an error, or None: it raises the alarm `code`, or ends it.

        `detail` is the text of the alarm; its {} is replaced by the reason.
        """

        def report(error: str | None) -> None:
            if error is None:
                self.down(code)
            else:
                self.up(code, detail.format(error))

        return report

    def listing(self) -> list[dict[str, Any]]:
        """Return `{code, detail, since, service}` of each active alarm, oldest first."""
        return [dict(alarm) for alarm in self._active.values()]
