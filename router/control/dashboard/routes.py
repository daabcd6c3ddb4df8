"""The routes of the dashboard: the page, and the files that it loads. None of them has anything that needs a token."""

from __future__ import annotations

from typing import Annotated, Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from router.control.admin.operation import Call, Operation
from router.control.admin.problems import shown
from router.control.dashboard.static_files import INDEX, StaticFile, StaticFiles, load
from router.errors import Refusal
from router.errors.codes import RefusalCode

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
"""The Content-Security-Policy of the page: its own files only, and no text is ever parsed as HTML."""
_ALWAYS: Final = "public, max-age=31536000, immutable"
_ASK: Final = "no-cache"
"""The browser may keep the file, and asks by its ETag whether it is still the same."""


class FileQuery(BaseModel):
    """`v`: the hash of all files; with the present one, a browser may keep the file for good."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    v: Annotated[str, Field(max_length=64)] = ""


def operations(files: StaticFiles | None = None) -> tuple[Operation, ...]:
    """Return the routes of the dashboard, by default with the files of this release."""
    found = load() if files is None else files

    async def page(call: Call) -> web.Response:
        return answer(call.request, found.files[INDEX], lasting=False)

    async def file(call: Call) -> web.Response:
        name = call.request.match_info["file"]
        if name == INDEX or name not in found.files:
            raise Refusal(RefusalCode.PATH_UNKNOWN, f"the dashboard has no file {shown(name)}")
        return answer(call.request, found.files[name], lasting=call.query_as(FileQuery).v == found.version)

    return (
        Operation(
            "GET", "/", page, "The dashboard", role=None, query=FileQuery, media_type="text/html", name="showIndex"
        ),
        Operation(
            "GET",
            "/dashboard/{file}",
            file,
            "A file of the dashboard",
            role=None,
            query=FileQuery,
            media_type="text/javascript",
            name="getDashboardFile",
        ),
    )


def answer(request: web.Request, file: StaticFile, *, lasting: bool) -> web.Response:
    """Return the file, compressed if the browser takes that; 304 without it if the browser has it."""
    headers = {
        "Cache-Control": _ALWAYS if lasting else _ASK,
        "Content-Security-Policy": POLICY,
        "ETag": f'"{file.etag}"',
        "Vary": "Accept-Encoding",
    }
    if any(tag.value in (file.etag, "*") for tag in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    body = file.plain
    if takes_gzip(",".join(request.headers.getall("Accept-Encoding", []))):
        body = file.compressed
        headers["Content-Encoding"] = "gzip"
    return web.Response(body=body, content_type=file.media_type, charset="utf-8", headers=headers)


def takes_gzip(accepted: str) -> bool:
    """Return whether an `Accept-Encoding` field names gzip with a weight above zero (RFC 9110 §12.5.3)."""
    for part in accepted.lower().split(",")[:64]:
        name, _, weight = part.partition(";")
        if name.strip() in ("gzip", "x-gzip"):
            return weight.replace(" ", "").rstrip("0").rstrip(".") not in ("q=", "q=0")
    return False
