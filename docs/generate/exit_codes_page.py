"""docs/reference/exit-codes.md: the exit codes of the commands, and the codes of errors that end with each."""

from __future__ import annotations

from typing import Final

from docs.generate.markdown import code, page, table
from router.errors.codes import CommandCode, RefusalCode, StartCode
from router.runtime.exit_codes import COMMANDS, REFUSALS, STARTS, ExitCode

_INTRODUCTION: Final = """\
Every command ends with one of these exit codes. A failed command prints the error and the next command to type on stderr. With
`--json` stdout has a document with `code`, `detail`, `exit_code` and `next`. A change whose outcome is in doubt (`in_doubt`)
ends with 1.
"""
_CODES: Final = """\
The code of an error decides the exit code. [Errors](errors.md) has the meaning of each code.
"""
_WITH_CODES: Final = sorted({*REFUSALS.values(), *COMMANDS.values(), *STARTS.values()})


def text() -> str:
    """Return the page."""
    rows = [(code(str(int(number))), number.meaning) for number in ExitCode]
    return page(
        "Exit codes",
        _INTRODUCTION,
        table(("Code", "Meaning"), rows),
        "## Errors by exit code",
        _CODES,
        table(("Exit code", "Refused by the router", "Command", "Start"), [_row(number) for number in _WITH_CODES]),
    )


def _row(number: ExitCode) -> tuple[str, str, str, str]:
    by_kind: tuple[dict[RefusalCode, ExitCode] | dict[CommandCode, ExitCode] | dict[StartCode, ExitCode], ...]
    by_kind = (REFUSALS, COMMANDS, STARTS)
    refused, command, start = (
        ", ".join(code(name) for name, ends in found.items() if ends is number) for found in by_kind
    )
    return code(str(int(number))), refused, command, start
