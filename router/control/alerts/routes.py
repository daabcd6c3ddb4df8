"""The routes of alerts: POST /v1/hooks/alertmanager, POST /v1/hooks/alert, and GET /v1/alerts.

The hooks accept no admin tokens, and tokens of the hooks give no other right. Alertmanager tries again after 5xx and never
after 4xx. So a webhook of several alerts is answered 200 with the result of each, and an unusable alert raises an alarm. A
single unusable alert is refused.
"""

from __future__ import annotations

from typing import Annotated, Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from router.control.addon import Document
from router.control.admin import json_text
from router.control.admin.operation import Call, Operation, read_body
from router.control.alerts.addon import AlertResult, AlertsAddon
from router.control.alerts.answers import AlertReceipt, AlertsList, AlertsReceipt
from router.control.alerts.bodies import (
    CLOUD_EVENT,
    AlertmanagerBody,
    SimpleAlert,
    from_alert,
    from_alertmanager,
    is_binary,
)
from router.control.alerts.keys import SIGNED
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.runtime import clock

_JSON = "application/json"
_REFUSALS: Final = {
    "service_missing": RefusalCode.SERVICE_MISSING,
    "service_unknown": RefusalCode.SERVICE_UNKNOWN,
    "unmapped": RefusalCode.UNMAPPED,
}
"""The results of an alert that is not counted and was not known before."""


class AlertsQuery(BaseModel):
    """`limit`: the most alerts returned."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    limit: Annotated[int, Field(ge=1, le=1000)] = 100


def operations(addon: AlertsAddon) -> tuple[Operation, ...]:
    """Return the routes of alerts."""

    async def alertmanager(call: Call) -> AlertsReceipt:
        raw, sender = await _authenticated(addon, call.request, (_JSON,))
        raw_alerts, truncated = await json_text.off_loop(len(raw), lambda: from_alertmanager(raw))
        results = await addon.take(raw_alerts, sender)
        return {"alerts": [_as_document(result) for result in results], "truncated": truncated}

    async def alert(call: Call) -> AlertReceipt:
        raw, sender = await _authenticated(addon, call.request, (_JSON, CLOUD_EVENT))
        if sender == SIGNED and is_binary(call.request.headers):
            detail = (
                "the attributes of this CloudEvent are header fields, which are not signed: send it in structured mode"
            )
            raise Refusal(RefusalCode.SIGNATURE_INCOMPLETE, detail)
        request = call.request
        raw_alert = await json_text.off_loop(len(raw), lambda: from_alert(raw, request.content_type, request.headers))
        (result,) = await addon.take([raw_alert], sender)
        if result.result in _REFUSALS:
            raise Refusal(_REFUSALS[result.result], result.detail)
        return _as_document(result)

    async def recent(call: Call) -> Document:
        return addon.recent(call.query_as(AlertsQuery).limit)

    return (
        Operation(
            "POST",
            "/v1/hooks/alertmanager",
            alertmanager,
            "Alerts of Alertmanager or Grafana (bearer token of alerts.tokens, or a signature)",
            role=None,
            takes=AlertmanagerBody,
            name="receiveAlertmanager",
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


async def _authenticated(addon: AlertsAddon, request: web.Request, media_types: tuple[str, ...]) -> tuple[bytes, str]:
    """Return the body and the sender's name. A request without token and signature is refused before its body is read."""
    keys = addon.keys
    token = keys.sender(request.headers)
    raw = await read_body(request, addon.settings.body_bytes_max, "alerts.body_bytes_max", media_types)
    signed = keys.verify(request.headers, raw, clock.wall_s())
    if token is None and not signed:
        raise Refusal(RefusalCode.SIGNATURE_MISSING, "the request carries neither a token nor a signature")
    return raw, token or SIGNED


def _as_document(result: AlertResult) -> AlertReceipt:
    return {
        "fingerprint": result.fingerprint,
        "service": result.service,
        "result": result.result,
        "detail": result.detail,
    }
