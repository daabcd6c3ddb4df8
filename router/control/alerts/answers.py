"""The documents of alerts, as the admin API returns them."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from router.control.views.addon_answers import AlertDocument


class AlertReceipt(TypedDict):
    """What the router did with one received alert, number `index` of its request. `outcome`: "later" is the only one after
    which it should be sent again. `code`: of the refusal, or of what to wait for. `cut`: texts that are not kept to their end.
    """

    index: int
    fingerprint: str
    name: str
    service: str | None
    result: str
    outcome: Literal["taken", "ignored", "refused", "later"]
    code: str | None
    detail: str
    cut: list[str]


class AlertsReceipt(TypedDict):
    """What the router did with each alert of a webhook. `truncated`: alerts that the sender left out."""

    alerts: list[AlertReceipt]
    truncated: int


class AlertsList(TypedDict):
    """The alerts that were seen last, newest first. `remembered`: all that are remembered."""

    remembered: int
    alerts: list[AlertDocument]
