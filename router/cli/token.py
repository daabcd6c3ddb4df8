"""`token new`: makes a bearer token and its SHA-256, which the settings hold."""

from __future__ import annotations

import hashlib
import os
import secrets
from typing import Annotated, Final, Literal

import typer

from router.cli import options as opt
from router.cli import output
from router.errors import CommandError
from router.errors.codes import CommandCode

app = typer.Typer(help="Make bearer tokens.", no_args_is_help=True)

TOKEN_BYTES: Final = 32
"""256 bits cannot be guessed, so that a plain SHA-256 without salt keeps the token."""
TOKEN_MODE: Final = 0o600


@app.callback()
def group() -> None:
    """Make bearer tokens."""  # with one command alone, typer would leave out the word `new`


@app.command()
def new(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The token's owner, e.g. ann or ci. The actor in the journal.")
    ],
    role: Annotated[
        Literal["viewer", "operator", "admin", "alerts"],
        typer.Option(help="A viewer reads, an operator also changes. alerts: it may send alerts, and nothing else."),
    ] = "operator",
    out: Annotated[
        str,
        typer.Option(metavar="FILE", help="Write the token to a new file that only you can read, and do not show it."),
    ] = "",
    as_json: opt.AsJson = False,
) -> None:
    """Make a random token, and the table for the settings, which hold its SHA-256 only.

    The token goes to stderr, once: the router does not keep it. The table goes to stdout: append it to the settings file,
    and send SIGHUP.
    """
    table = _table(name, role)
    token = secrets.token_urlsafe(TOKEN_BYTES)
    digest = hashlib.sha256(token.encode()).hexdigest()
    if out:
        _write(out, token)
    if as_json:
        shown = {} if out else {"token": token}
        output.show_json({**shown, "name": name, "role": role, "sha256": digest, "file": out or None})
        return
    output.note(f"the token is in {out}" if out else f"the token, shown once: {token}")
    output.say(*table, f'sha256 = "{digest}"')


def _table(name: str, role: str) -> list[str]:
    """Return the first lines of the table; raise CommandError for a name that the settings would refuse."""
    from pydantic import ValidationError

    from router.settings.sections.admin import Token

    try:
        Token.model_validate({"name": name, "role": "viewer", "sha256": "0" * 64})
    except ValidationError:
        detail = f"NAME {name!r}: use letters, digits and . _ @ -, at most 64, for example ci"
        raise CommandError(CommandCode.USAGE, detail) from None
    if role == "alerts":
        return ["[[alerts.tokens]]", f'name = "{name}"']
    return ["[[admin.tokens]]", f'name = "{name}"', f'role = "{role}"']


def _write(path: str, token: str) -> None:
    """Write the token to a file that must not exist: an older token in it may still be in use."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, TOKEN_MODE)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{token}\n")
    except OSError as error:
        raise CommandError(CommandCode.FILE_UNWRITABLE, f"{path}: {error.strerror}") from None
