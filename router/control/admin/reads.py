"""The core's routes that read: status, one service, its triggers, the journal."""

from __future__ import annotations

from typing import Final

from router.control.addon import Document
from router.control.admin.bodies import JournalQuery
from router.control.admin.operation import Call, Operation
from router.control.views.answers import Explanation, JournalPage, RouterStatus, ServiceStatus, SettingsDocument


async def everything(call: Call) -> Document:
    """The whole router."""
    return call.queries.status()


async def settings(call: Call) -> Document:
    """The settings in effect."""
    return call.queries.settings()


async def service(call: Call) -> Document:
    """One service."""
    return call.queries.service_status(call.service)


async def explain(call: Call) -> Document:
    """Why a service's triggers did or did not act."""
    return call.queries.explain(call.service)


STATUS: Final = (
    Operation("GET", "/v1/status", everything, "Status of the whole router", name="getStatus", answer=RouterStatus),
    Operation(
        "GET",
        "/v1/settings",
        settings,
        "The settings in effect, defaults included, without their secrets",
        name="getSettings",
        answer=SettingsDocument,
    ),
    Operation(
        "GET",
        "/v1/services/{service}",
        service,
        "One service; the ETag is its generation",
        name="getService",
        answer=ServiceStatus,
    ),
    Operation(
        "GET",
        "/v1/services/{service}/explain",
        explain,
        "Every trigger, and why it did or did not act",
        name="explainService",
        answer=Explanation,
    ),
)


async def journal(call: Call) -> Document:
    """Entries after a sequence number, oldest first; or those before one, newest first."""
    query = call.query_as(JournalQuery)
    backwards = query.before is not None
    page = await call.queries.journal(query.after, query.limit, query.service, query.before or None, newest=backwards)
    return {"entries": page["entries"][::-1]} if backwards else page


RECORDS: Final = (
    Operation(
        "GET",
        "/v1/journal",
        journal,
        "Journal entries, oldest first, or with `before` newest first",
        query=JournalQuery,
        name="listJournal",
        answer=JournalPage,
    ),
)
