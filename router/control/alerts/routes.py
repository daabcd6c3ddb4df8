"""The routes of alerts: POST /v1/hooks/alertmanager, POST /v1/hooks/alert, and GET /v1/alerts.

The hooks accept no admin tokens, and tokens of the hooks give no other right. Alertmanager sends a webhook again after 5xx, and
after 4xx only with the next change of its group. So the status of a webhook is 503 if sending it again helps, and 200 if all its
alerts were taken or never will be; an alert that is lost raises an alarm. A single unusable alert is refused.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from router.control.addon import Document
from router.control.admin import json_text
from router.control.admin.bodies import ServiceName
from router.control.admin.operation import BodyStart, Call, Operation, read_start
from router.control.alerts.addon import AlertsAddon
from router.control.alerts.answers import AlertReceipt, AlertsList, AlertsReceipt
from router.control.alerts.bodies import (
    CLOUD_EVENT,
    AlertmanagerBody,
    PrometheusAlerts,
    SimpleAlert,
    from_alert,
    is_binary,
)
from router.control.alerts.keys import SIGNED
from router.control.alerts.webhooks import Webhook, read_webhook
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.rollout.text import shorten_line
from router.runtime import clock
from router.runtime.text.plurals import counted, plural

_JSON: Final = "application/json"
GROUP_CHARS_MAX: Final = 120
"""Characters of the name of a group in an alarm."""


class AlertsQuery(BaseModel):
    """`limit`: the most alerts returned; `service`: only its alerts."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    service: ServiceName | None = None


async def _take_webhook(addon: AlertsAddon, call: Call) -> AlertsReceipt:
    start, sender = await _authenticated(addon, call.request, (_JSON,))
    webhook = await json_text.off_loop(len(start.body), lambda: read_webhook(start.body))
    if not start.is_whole:
        webhook = replace(webhook, problem=_too_large(addon, len(webhook.alerts)))
    if lost := _left_out(webhook, sender):
        addon.report_left_out(webhook.truncated, lost)
    batch = await addon.take(webhook.alerts, sender)
    receipt: AlertsReceipt = {"alerts": batch.receipts(), "truncated": webhook.truncated}
    if refusal := batch.postponed() or webhook.problem:
        raise Refusal(refusal.code, refusal.detail, {**refusal.facts, **receipt})
    return receipt


async def _take_alert(addon: AlertsAddon, call: Call) -> AlertReceipt:
    start, sender = await _authenticated(addon, call.request, (_JSON, CLOUD_EVENT))
    raw, request = start.body, call.request
    if not start.is_whole:
        raise _too_large(addon, 0)
    if sender == SIGNED and is_binary(request.headers):
        detail = "the attributes of this CloudEvent are header fields, which are not signed: send it in structured mode"
        raise Refusal(RefusalCode.SIGNATURE_INCOMPLETE, detail)
    raw_alert = await json_text.off_loop(len(raw), lambda: from_alert(raw, request.content_type, request.headers))
    batch = await addon.take([raw_alert], sender)
    if refusal := batch.postponed():
        raise refusal
    (result,) = batch.results
    if result.code is not None:
        raise Refusal(result.code, result.detail)
    return result.receipt(0)


def operations(addon: AlertsAddon) -> tuple[Operation, ...]:
    """Return the routes of alerts."""

    async def webhook(call: Call) -> AlertsReceipt:
        return await _take_webhook(addon, call)

    async def alert(call: Call) -> AlertReceipt:
        return await _take_alert(addon, call)

    async def recent(call: Call) -> Document:
        query = call.query_as(AlertsQuery)
        return addon.recent(query.limit, query.service)

    return (
        Operation(
            "POST",
            "/v1/hooks/alertmanager",
            webhook,
            "Alerts of Alertmanager or Grafana (bearer token of alerts.tokens, or a signature)",
            role=None,
            takes=AlertmanagerBody,
            name="receiveAlertmanager",
            answer=AlertsReceipt,
        ),
        Operation(
            "POST",
            "/v1/hooks/api/v2/alerts",
            webhook,
            "Alerts of Prometheus or vmalert, as they send them to an Alertmanager whose path prefix is /v1/hooks",
            role=None,
            takes=PrometheusAlerts,
            name="receivePrometheus",
            answer=AlertsReceipt,
        ),
        Operation(
            "POST",
            "/v1/hooks/alert",
            alert,
            "One alert: our own form, or a CloudEvent (bearer token of alerts.tokens, or a signature)",
            role=None,
            takes=SimpleAlert,
            name="receiveAlert",
            answer=AlertReceipt,
        ),
        Operation(
            "GET",
            "/v1/alerts",
            recent,
            "The alerts that were received last, each with its result",
            query=AlertsQuery,
            name="listAlerts",
            answer=AlertsList,
        ),
    )


async def _authenticated(
    addon: AlertsAddon, request: web.Request, media_types: tuple[str, ...]
) -> tuple[BodyStart, str]:
    """Return the body and the sender's name. A request without token and signature is refused before its body is read."""
    keys = addon.keys
    token = keys.sender(request.headers)
    signature = keys.signature(request.headers)
    if token is None and signature is None:
        raise Refusal(RefusalCode.SIGNATURE_MISSING, "the request carries neither a token nor a signature")
    on_chunk = _ignore if signature is None else signature.update
    start = await read_start(request, addon.settings.body_bytes_max, media_types, on_chunk=on_chunk)
    if signature is not None:
        if not start.is_read:
            raise _too_large(addon, 0)
        signature.verify(clock.wall_s())
    return start, token or SIGNED


def _ignore(chunk: bytes) -> None:
    """A body without a signature is only read."""


def _too_large(addon: AlertsAddon, taken: int) -> Refusal:
    limit = f"the body is larger than alerts.body_bytes_max = {addon.settings.body_bytes_max}"
    if not taken:
        return Refusal(RefusalCode.BODY_TOO_LARGE, limit)
    read = f"{counted(taken, 'alert')} at its beginning {plural('was', taken)} read"
    detail = f"{limit}: only {read}; raise the limit, or set max_alerts of the sender"
    return Refusal(RefusalCode.BODY_TOO_LARGE, detail)


def _left_out(webhook: Webhook, sender: str) -> str | None:
    """Return the text of the alarm about alerts that did not arrive; None if all did."""
    group = f" of group {shorten_line(webhook.group, GROUP_CHARS_MAX)}" if webhook.group else ""
    if webhook.truncated:
        were = f"{counted(webhook.truncated, 'alert')} {plural('was', webhook.truncated)}"
        remedy = "raise max_alerts of its webhook (Grafana: Max Alerts), or split the group"
        return f"{were} left out{group} (sender: {sender}): {remedy}"
    if webhook.problem is None:
        return None
    return f"a webhook{group} (sender: {sender}) was not read to its end: {webhook.problem.detail}"
