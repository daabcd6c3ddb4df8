"""The routes of incidents: the list, one incident as JSON, Markdown, HTML or SVG, and the operators' edits."""

from __future__ import annotations

import asyncio
import datetime
import uuid
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, Literal

from aiohttp import web
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from router.control.addon import Document
from router.control.admin.bodies import Actor, Reason, ServiceName, Text
from router.control.admin.operation import Call, Operation
from router.control.incidents import rendering
from router.control.incidents.addon import IncidentsAddon
from router.control.incidents.answers import IncidentDocument, IncidentsList
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.runtime.printable import printable

ADDED_MAX: Final = 20
"""Actions that one edit may add, and may change."""


def _legible(value: str) -> str:
    if printable(text := value.replace("\n", "").replace("\t", "")) != text:
        raise ValueError("holds a control character, which would end up in logs and the journal")
    return value


def _date(value: str) -> str:
    try:
        at = datetime.date.fromisoformat(value)
        if at.isoformat() == value:  # it takes 20261231 and 2026-W53-4 too
            return value
    except ValueError:
        pass
    raise ValueError(f"{value[:20]!r} is not a date: write it as 2026-12-31")


LongText = Annotated[str, Field(min_length=1, max_length=4000), AfterValidator(_legible)]
Due = Annotated[str, Field(max_length=20), AfterValidator(_date)]
ActionId = Annotated[str, Field(pattern=r"^a[0-9]{1,4}$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class NewAction(_Part):
    """An action that prevents a repetition (preventive), or that repairs the damage (corrective)."""

    what: Reason
    kind: Literal["corrective", "preventive"] = "corrective"
    owner: Actor | None = None
    due: Due | None = None


class ChangedAction(_Part):
    """The changed members of the action `id`."""

    id: ActionId
    state: Literal["open", "done", "dropped"] | None = None
    owner: Actor | None = None
    due: Due | None = None


class IncidentEdit(_Part):
    """A change of the review of an incident. Members that are left out stay as they are."""

    actor: Actor | None = None
    """The name of the operator. It is used only if no tokens are configured; otherwise the token's name is used."""
    status: Literal["open", "reviewed", "closed"] | None = None
    severity: Literal["sev1", "sev2", "sev3", "sev4"] | None = None
    owner: Actor | None = None
    root_cause: LongText | None = None
    add_actions: Annotated[list[NewAction], Field(max_length=ADDED_MAX, fail_fast=True)] = []
    change_actions: Annotated[list[ChangedAction], Field(max_length=ADDED_MAX, fail_fast=True)] = []
    comment: Text = ""

    def plain(self) -> dict[str, Any]:
        """Return the edit in the journal's form; raise Refusal if it changes nothing."""
        given = {name: getattr(self, name) for name in ("status", "severity", "owner", "root_cause")}
        edit: dict[str, Any] = {"set": {name: value for name, value in given.items() if value is not None}}
        edit["add_actions"] = [action.model_dump() for action in self.add_actions]
        edit["change_actions"] = [action.model_dump(exclude_none=True) for action in self.change_actions]
        edit["comment"] = self.comment
        changes = {name: value for name, value in edit.items() if value}
        if not changes:
            detail = "the body changes nothing: give root_cause, owner, severity, status, add_actions, … or comment"
            raise Refusal(RefusalCode.REQUEST_INVALID, detail)
        return {"edit": uuid.uuid4().hex, **changes}


class IncidentsQuery(BaseModel):
    """`service`: only its incidents."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    service: ServiceName | None = None


def operations(addon: IncidentsAddon) -> tuple[Operation, ...]:
    """Return the routes of the incidents."""

    async def listed(call: Call) -> Document:
        return await addon.listing(call.query_as(IncidentsQuery).service)

    async def whole(call: Call) -> Document:
        return await addon.document(call.request.match_info["incident"])

    async def edited(call: Call) -> Document:
        edit = call.body_as(IncidentEdit).plain()
        return await addon.edit(call.request.match_info["incident"], edit, call.actor(), call.preconditions.generation)

    def rendered(
        media_type: str, render: Callable[[Document], str | None]
    ) -> Callable[[Call], Awaitable[web.Response]]:
        async def show(call: Call) -> web.Response:
            incident = call.request.match_info["incident"]
            text = await asyncio.to_thread(render, await addon.document(incident))
            if text is None:
                raise Refusal(RefusalCode.WINDOWS_UNKNOWN, f"the samples of incident {incident!r} are lost")
            policy = {"Content-Security-Policy": f"{rendering.policy()}; frame-ancestors 'none'"}
            return web.Response(text=text, content_type=media_type, charset="utf-8", headers=policy)

        return show

    one = "/v1/incidents/{incident:[^/.]+}"
    return (
        Operation("GET", "/v1/incidents", listed, "All rollbacks in short, newest first", name="listIncidents",
                  query=IncidentsQuery, answer=IncidentsList),
        Operation("GET", f"{one}.md", rendered("text/markdown", rendering.markdown), "One rollback as Markdown",
                  media_type="text/markdown", name="getIncidentMarkdown"),
        Operation("GET", f"{one}.html", rendered("text/html", rendering.html),
                  "One rollback as a page without other files", media_type="text/html", name="getIncidentPage"),
        Operation("GET", f"{one}.svg", rendered("image/svg+xml", rendering.svg), "The figures of one rollback as a picture",
                  media_type="image/svg+xml", name="getIncidentChart"),
        Operation("GET", one, whole, "One rollback; the ETag is the revision of its review",
                  name="getIncident", answer=IncidentDocument),
        Operation("PATCH", one, edited, "Add root cause, owner, severity, status, actions, a comment", "operator",
                  IncidentEdit, name="editIncident", answer=IncidentDocument),
    )  # fmt: skip
