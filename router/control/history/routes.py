"""The routes of the history: the rows in steps, the report of a period, and the advice."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from router.control.addon import Document
from router.control.admin.bodies import Version
from router.control.admin.operation import Call, Operation
from router.control.history.addon import HistoryAddon
from router.control.history.advice_addon import AdviceAddon
from router.control.history.answers import AdviceDocument, HistoryDocument, ReportDocument
from router.control.history.report_addon import ReportAddon

When = Annotated[str, Field(max_length=40)]


class _HistoryQuery(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ReportQuery(_HistoryQuery):
    """`since`, `until`: 30d, 12h, or a date or time by ISO 8601. `until` defaults to now."""

    since: When = "30d"
    until: When = ""


class HistoryQuery(_HistoryQuery):
    """`since`, `until` as for the report. `step_s`: seconds per point, at least 10, or 1 for the last 15 minutes, which are in
    memory; by default it depends on the period.
    """

    since: When = "1h"
    until: When = ""
    step_s: Annotated[float, Field(ge=1, le=86_400 * 31)] | None = None
    version: Version | None = None


class AdviceQuery(_HistoryQuery):
    """`days`: how far back; `false_alarms_per_month`: how many are acceptable."""

    days: Annotated[float, Field(ge=0.01, le=366)] = 30.0
    false_alarms_per_month: Annotated[float, Field(ge=0, le=1000)] = 1.0


def operations(rows: HistoryAddon, reports: ReportAddon, advice: AdviceAddon) -> tuple[Operation, ...]:
    """Return the routes of the history."""

    async def history(call: Call) -> HistoryDocument:
        query = call.query_as(HistoryQuery)
        return await rows.points(call.service, query.since, query.until, query.step_s, query.version)

    async def report(call: Call) -> Document:
        query = call.query_as(ReportQuery)
        return await reports.report(call.service, query.since, query.until)

    async def advise(call: Call) -> Document:
        query = call.query_as(AdviceQuery)
        return await advice.advise(call.service, query.days, query.false_alarms_per_month)

    return (
        Operation(
            "GET",
            "/v1/services/{service}/advise",
            advise,
            "Replay of the history with stricter and looser limits",
            query=AdviceQuery,
            name="getAdvice",
            answer=AdviceDocument,
        ),
        Operation(
            "GET",
            "/v1/services/{service}/history",
            history,
            "Figures of each version, in steps of ten seconds or more, or of a second",
            query=HistoryQuery,
            name="getHistory",
            answer=HistoryDocument,
        ),
        Operation(
            "GET",
            "/v1/services/{service}/report",
            report,
            "Uptime, stability, deployments, times to detect and restore",
            query=ReportQuery,
            name="getReport",
            answer=ReportDocument,
        ),
    )
