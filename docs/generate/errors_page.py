"""docs/reference/errors.md: the error codes of the data port and of the admin API."""

from __future__ import annotations

from typing import Final

from docs.generate.markdown import code, page, prose, table
from router.control.admin.problems import STATUS
from router.errors.codes import CommandCode, RefusalCode, StartCode
from router.proxy.http1.error_codes import ERROR_CODES
from router.runtime.exit_codes import COMMANDS, REFUSALS, STARTS

_INTRODUCTION: Final = """\
An error that the router makes itself has a stable code in `snake_case`. A client or a program can rely on the code; the
English detail may change.
"""
_DATA_PORT: Final = """\
A response with the field `X-Router-Error: CODE` is the router's own; a response without it is the backend's. The body is a
problem document (RFC 9457), or an error object in the form of the OpenAI API or of the Open Inference Protocol on their paths.
A response with 429 or 503 has `Retry-After`. Only an error with **version** at fault counts towards a rollback.
"""


_ADMIN_API: Final = """\
An error of the admin API is a problem document (RFC 9457) with `type`, `title`, `status`, `detail`, `code` and `request_id`.
Further members are facts, for example the present generation. Nothing was changed, unless `in_doubt` is true. A 400 lists the
wrong places in `errors`. 401 has `WWW-Authenticate`, 405 `Allow`, 429 and 503 `Retry-After`.
"""
_COMMANDS: Final = """\
These codes are errors of a command on the command line; [exit codes](exit-codes.md) shows with which code it ends.
"""
_START: Final = """\
These codes are errors of `rollback-router run` before it serves.
"""


def text() -> str:
    """Return the page."""
    data_port = [
        (code(name), ", ".join(map(str, row.statuses)), row.at_fault, prose(row.cause))
        for name, row in ERROR_CODES.items()
    ]
    admin_api = [(code(name), str(STATUS[name]), str(int(REFUSALS[name])), prose(name.meaning)) for name in RefusalCode]
    commands = [(code(name), str(int(COMMANDS[name])), prose(name.meaning)) for name in CommandCode]
    start = [(code(name), str(int(STARTS[name])), prose(name.meaning)) for name in StartCode]
    return page(
        "Errors",
        _INTRODUCTION,
        "## Data port",
        _DATA_PORT,
        table(("Code", "Status", "At fault", "Cause"), data_port),
        "## Admin API",
        _ADMIN_API,
        table(("Code", "Status", "Exit code", "Meaning"), admin_api),
        "## Commands",
        _COMMANDS,
        table(("Code", "Exit code", "Meaning"), commands),
        "## Start",
        _START,
        table(("Code", "Exit code", "Meaning"), start),
    )
