"""docs/reference/errors.md: the error codes of the data port and of the admin API."""

from __future__ import annotations

from typing import Final

from docs.generate.markdown import code, page, prose, table
from router.proxy.http1.error_codes import ERROR_CODES

_INTRODUCTION: Final = """\
An error that the router makes itself has a stable code in `snake_case`. A client or a program can rely on the code; the
English detail may change.
"""
_DATA_PORT: Final = """\
A response with the field `X-Router-Error: CODE` is the router's own; a response without it is the backend's. The body is a
problem document (RFC 9457), or an error object in the form of the OpenAI API or of the Open Inference Protocol on their paths.
A response with 429 or 503 has `Retry-After`. Only an error with **version** at fault counts towards a rollback.
"""


def text() -> str:
    """Return the page."""
    rows = [
        (code(name), ", ".join(map(str, row.statuses)), row.at_fault, prose(row.cause))
        for name, row in ERROR_CODES.items()
    ]
    return page(
        "Errors",
        _INTRODUCTION,
        "## Data port",
        _DATA_PORT,
        table(("Code", "Status", "At fault", "Cause"), rows),
    )
