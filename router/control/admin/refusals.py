"""Answers to refused requests: a problem document (RFC 9457), or a page for a browser that follows a link of a notification."""

from __future__ import annotations

import html
import re
from typing import Final

from aiohttp import web

from router.control.admin import problems
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.runtime.printable import printable

LINKS: Final = "/decide/"
LINK_FOREIGN: Final = "this link is not valid: it is cut off or altered, or was not made by this router"
_PAGES: Final = ("text/html", "application/xhtml+xml")
_PAGE_FIELDS: Final = {"Referrer-Policy": "same-origin"}
_NEVER: Final = re.compile(r"q=0(?:\.0{0,3})?")


def answer(refusal: Refusal, request: web.BaseRequest, request_id: str) -> web.Response:
    """Return the answer to a refused request: a page for a browser that has followed a link, else a problem document."""
    if not (is_link(request) and wants_page(",".join(request.headers.getall("Accept", [])))):
        return problems.answer(refusal, request_id)
    page = refused(problems.STATUS[refusal.code], refusal.detail)
    page.headers.update(problems.fields(refusal))
    return page


def is_link(request: web.BaseRequest) -> bool:
    """Return whether the request is for a link of a notification, or for a truncated one."""
    return request.rel_url.raw_path.startswith(LINKS)


def wants_page(accept: str) -> bool:
    """Return whether an `Accept` field names HTML, as browsers do; programs send `*/*` alone."""
    for part in accept.split(",")[:64]:
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if name in _PAGES and not any(_NEVER.fullmatch(parameter) for parameter in parameters):
            return True
    return False


def from_http(error: web.HTTPException, request: web.Request) -> Refusal:
    """Return the refusal for an error of aiohttp; for a truncated link a text that helps its reader."""
    if isinstance(error, web.HTTPNotFound) and is_link(request):
        return Refusal(RefusalCode.LINK_INVALID, LINK_FOREIGN)
    return problems.from_http(error, request)


def refused(status: int, detail: str) -> web.Response:
    """Return the page with the reason why there is nothing to decide."""
    return page(status, "Not done", f"<p>{escape(detail)}</p>")


def page(status: int, title: str, body: str) -> web.Response:
    """Return an HTML page; `body` is HTML already, `title` is text."""
    text = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="robots" content="noindex">'
        f"<title>{escape(title)}</title></head>\n<body><h1>{escape(title)}</h1>\n{body}\n</body></html>\n"
    )
    return web.Response(status=status, text=text, content_type="text/html", headers=_PAGE_FIELDS)


def escape(text: str) -> str:
    """Return `text` escaped for HTML."""
    return html.escape(printable(text))
