"""The routes of proposals: read them, decide them with a token, and decide them by a link of a notification.

Mail scanners and link previews open a link before any person does. So GET shows a page and decides nothing; the page's button
sends a POST to the same URL. That POST needs no token: the signature in the URL replaces it.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated, Final, Literal
from urllib.parse import parse_qs

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from router.control.addon import Document
from router.control.admin import bodies
from router.control.admin.bodies import ChangeQuery
from router.control.admin.http_protocol import send_continue
from router.control.admin.operation import BODY_TIMEOUT_S, Call, Operation
from router.control.admin.refusals import LINK_FOREIGN
from router.control.proposals import page
from router.control.proposals.addon import ProposalsAddon
from router.control.proposals.answers import DecisionAnswer, ProposalsList
from router.control.proposals.links import VERBS
from router.control.store.records.earlier_changes import EarlierChange
from router.control.views.addon_answers import ProposalDocument
from router.errors import Refusal
from router.errors.codes import RefusalCode

FORM_BYTES_MAX: Final = 8192
_PATH: Final = "/decide/{proposal}/{verb}/{until_s}/{signature}"
_ACTOR: Final[TypeAdapter[str]] = TypeAdapter(bodies.Actor)
_REASON: Final[TypeAdapter[str]] = TypeAdapter(bodies.Text)


class Decide(BaseModel):
    """Approve or deny a proposal. `override` allows a rollback to a standby that is unfit."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    actor: bodies.Actor | None = None
    """The name of the operator. It is used only if no tokens are configured; otherwise the token's name is used."""
    reason: bodies.Text = ""
    override: bodies.OverrideBody | None = None


class ProposalQuery(BaseModel):
    """Filters by service and state; `pending` means open or due."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    service: bodies.ServiceName | None = None
    state: Literal["pending", "open", "due", "approved", "denied", "expired", "withdrawn"] | None = None


class LinkQuery(BaseModel):
    """Parameters that mail programs append to a link are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    ignored: Annotated[str | None, Field(max_length=1)] = None


def operations(addon: ProposalsAddon) -> tuple[Operation, ...]:
    """Return the routes of proposals."""

    async def listing(call: Call) -> Document:
        query = call.query_as(ProposalQuery)
        return addon.listing(query.service, query.state)

    async def one(call: Call) -> Document:
        return addon.document(call.request.match_info["proposal"])

    async def approve(call: Call) -> Document:
        return await _decide(addon, call, "approve")

    async def deny(call: Call) -> Document:
        return await _decide(addon, call, "deny")

    def repeated(call: Call, change: EarlierChange) -> Document:
        return addon.repeated(call.request.match_info["proposal"], change)

    async def show_page(call: Call) -> web.Response:
        return await _show_page(addon, call.request)

    async def submit(call: Call) -> web.Response:
        return await _submit(addon, call.request)

    proposal = "/v1/proposals/{proposal}"
    decision = partial(Operation, "POST", role="operator", body=Decide, query=ChangeQuery, repeated=repeated)
    page_of_link = partial(Operation, role=None, query=LinkQuery, media_type="text/html")
    return (
        Operation(
            "GET",
            "/v1/proposals",
            listing,
            "Proposals, newest first",
            query=ProposalQuery,
            name="listProposals",
            answer=ProposalsList,
        ),
        Operation("GET", proposal, one, "One proposal with its evidence", name="getProposal", answer=ProposalDocument),
        decision(f"{proposal}/approve", approve, "Approve a proposal", name="approveProposal", answer=DecisionAnswer),
        decision(f"{proposal}/deny", deny, "Deny a proposal", name="denyProposal", answer=DecisionAnswer),
        page_of_link("GET", _PATH, show_page, "The page of a signed link; decides nothing", name="showDecisionPage"),
        page_of_link("POST", _PATH, submit, "Decide by a signed link", name="decideByLink"),
    )


async def _decide(addon: ProposalsAddon, call: Call, verb: str) -> Document:
    body = call.body_as(Decide)
    return await addon.decide(
        call.request.match_info["proposal"],
        verb,
        actor=call.actor(),
        reason=body.reason,
        override=bodies.signed(body.override, call.principal),
        authenticated=call.principal.authenticated,
        dry_run=call.dry_run,
        key=call.key,
    )


# -- by a link
async def _show_page(addon: ProposalsAddon, request: web.Request) -> web.Response:
    verb, proposal_id = _verified(addon, request)
    return page.decision_page(addon.document(proposal_id), verb)


async def _submit(addon: ProposalsAddon, request: web.Request) -> web.Response:
    verb, proposal_id = _verified(addon, request)
    form = await _form(request)
    actor = f"{form['actor']} (link)"
    answer = await addon.decide(proposal_id, verb, actor=actor, reason=form["reason"])
    return page.result_page(answer["message"], answer["incident"])


def _verified(addon: ProposalsAddon, request: web.Request) -> tuple[str, str]:
    """Return (verb, proposal) of a valid link; raise Refusal otherwise, without revealing which proposals exist."""
    match = request.match_info
    verb, until = match["verb"], match["until_s"]
    try:
        proposal, _ = addon.find(match["proposal"])
    except Refusal:
        raise Refusal(RefusalCode.LINK_INVALID, LINK_FOREIGN) from None
    number = int(until) if until.isascii() and until.isdigit() and len(until) < 20 else -1
    if verb not in VERBS or not addon.links.verify(proposal, verb, number, match["signature"]):
        raise Refusal(RefusalCode.LINK_INVALID, LINK_FOREIGN)
    addon.check_link(proposal, verb)
    return verb, proposal.id


async def _form(request: web.Request) -> dict[str, str]:
    """Return the name and the reason in the form; raise Refusal."""
    if request.content_type != "application/x-www-form-urlencoded":
        raise Refusal(RefusalCode.CONTENT_TYPE, "press the button on the page of the link")
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            await send_continue(request)
            raw = await request.content.read(FORM_BYTES_MAX + 1)
            while len(raw) <= FORM_BYTES_MAX and (more := await request.content.read(FORM_BYTES_MAX + 1)):
                raw += more
    except TimeoutError:
        raise Refusal(RefusalCode.REQUEST_TIMEOUT, f"no whole form within {BODY_TIMEOUT_S:g} s") from None
    if len(raw) > FORM_BYTES_MAX:
        raise Refusal(RefusalCode.BODY_TOO_LARGE, f"the form is larger than {FORM_BYTES_MAX} bytes")
    try:
        given = parse_qs(raw.decode(), max_num_fields=10)
        return {
            "actor": _ACTOR.validate_python(given.get("actor", [""])[0].strip()),
            "reason": _REASON.validate_python(given.get("reason", [""])[0].strip()),
        }
    except ValidationError as error:
        why = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise Refusal(RefusalCode.REQUEST_INVALID, f"your name or your reason cannot be kept: {why}") from None
    except ValueError as error:
        raise Refusal(RefusalCode.REQUEST_INVALID, f"this is no form: {error}") from None
