"""Alerts in: POST /v1/hooks/alertmanager and /v1/hooks/alert; and what became of them.

The hooks know no admin token and give no other right: whoever may send alerts may do nothing else here. Alertmanager tries
again after 5xx and never after 4xx, so a webhook of several alerts is answered 200 with what became of each; one that cannot
be used raises an alarm. A single alert that cannot be used is refused.
"""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from router.control.addon import Document
from router.control.admin import json_text
from router.control.admin.operation import Call, Operation, read_body
from router.control.alerts.addon import AlertResult, AlertsAddon
from router.control.alerts.bodies import (
    CLOUD_EVENT,
    AlertmanagerBody,
    SimpleAlert,
    from_alert,
    from_alertmanager,
    is_binary,
)
from router.control.alerts.keys import SIGNED
from router.errors import OperatorError
from router.runtime import clock

_JSON = "application/json"


class AlertsQuery(BaseModel):
    """`limit`: alerts at most."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    limit: Annotated[int, Field(ge=1, le=1000)] = 100


def operations(addon: AlertsAddon) -> tuple[Operation, ...]:
    """Return the routes of `office`."""

    async def alertmanager(call: Call) -> Document:
        raw, sender = await _authentic(addon, call.request, (_JSON,))
        reports, truncated = await json_text.aside(len(raw), lambda: from_alertmanager(raw))
        outcomes = await addon.take(reports, sender)
        return {"alerts": [_shown(outcome) for outcome in outcomes], "truncated": truncated}

    async def alert(call: Call) -> Document:
        raw, sender = await _authentic(addon, call.request, (_JSON, CLOUD_EVENT))
        if sender == SIGNED and is_binary(call.request.headers):
            detail = (
                "the attributes of this CloudEvent are header fields, which are not signed: send it in structured mode"
            )
            raise OperatorError(401, "signature_incomplete", detail, exit_code=9)
        request = call.request
        report = await json_text.aside(len(raw), lambda: from_alert(raw, request.content_type, request.headers))
        (outcome,) = await addon.take([report], sender)
        if outcome.unusable or outcome.result == "unmapped":
            raise OperatorError(422, outcome.result, outcome.detail, exit_code=9)
        return _shown(outcome)

    async def recent(call: Call) -> Document:
        return addon.recent(call.queried(AlertsQuery).limit)

    return (
        Operation("POST", "/v1/hooks/alertmanager", alertmanager, "Alerts of Alertmanager or Grafana (bearer token of "
                  "alerts.tokens, or a signature)", role=None, takes=AlertmanagerBody),
        Operation("POST", "/v1/hooks/alert", alert, "One alert: our own form, or a CloudEvent (bearer token of "
                  "alerts.tokens, or a signature)", role=None, takes=SimpleAlert),
        Operation("GET", "/v1/alerts", recent, "The alerts that were heard of last, and what became of each",
                  query=AlertsQuery),
    )  # fmt: skip


async def _authentic(addon: AlertsAddon, request: web.Request, media_types: tuple[str, ...]) -> tuple[bytes, str]:
    """Return the body and who sent it. Who has neither token nor signature is refused before a byte of it is read."""
    keys = addon.keys
    token = keys.sender(request.headers)
    raw = await read_body(request, addon.settings.body_bytes_max, "alerts.body_bytes_max", media_types)
    signed = keys.verify(request.headers, raw, clock.wall_s())
    if token is None and not signed:
        raise OperatorError(
            401, "signature_missing", "the request carries neither a token nor a signature", exit_code=9
        )
    return raw, token or SIGNED


def _shown(outcome: AlertResult) -> Document:
    return {
        "fingerprint": outcome.fingerprint,
        "service": outcome.service,
        "result": outcome.result,
        "detail": outcome.detail,
    }
