"""The documents of alerts, as the admin API returns them."""

from __future__ import annotations

from typing_extensions import TypedDict

from router.control.views.addon_answers import AlertDocument


class AlertReceipt(TypedDict):
    """What the router did with one received alert."""

    fingerprint: str
    service: str | None
    result: str
    detail: str


class AlertsReceipt(TypedDict):
    """What the router did with each alert of a webhook. `truncated`: alerts that the sender left out."""

    alerts: list[AlertReceipt]
    truncated: int


class AlertsList(TypedDict):
    """The alerts that were seen last, newest first. `remembered`: all that are remembered."""

    remembered: int
    alerts: list[AlertDocument]
