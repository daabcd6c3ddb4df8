"""`config init`: asks three questions and writes a first settings file, with a comment on each choice."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from router.cli import options as opt
from router.cli import output
from router.errors import CommandError
from router.errors.codes import CommandCode
from router.runtime.text.hints import Hints

if TYPE_CHECKING:
    from router.settings.sample_file import FirstSettings

app = typer.Typer()

FIRST_FILE: Final = "router.toml"
TO_STDOUT: Final = "-"
_MODEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+\-]{0,199}")
_UNUSED: Final = "v0"
_NEXT: Final = "`config check --config FILE`, then: `run --config FILE`, and in another shell: `doctor --config FILE`"


@app.command()
def init(
    file: Annotated[str, typer.Argument(metavar="[FILE]", help="The file to write; - is stdout.")] = FIRST_FILE,
    active: Annotated[str, typer.Option(metavar="URL", help="Where the version that serves now answers.")] = "",
    standby: Annotated[
        str | None, typer.Option(metavar="URL", help="Where the version before it answers. Empty: there is none yet.")
    ] = None,
    active_version: Annotated[
        str, typer.Option(metavar="VERSION", help="The label of the version that serves.")
    ] = "v2",
    standby_version: Annotated[str, typer.Option(metavar="VERSION", help="The label of the version before it.")] = "v1",
    server: Annotated[
        str | None,
        typer.Option(metavar="KIND", help="openai, v2 (Triton, MLServer), v1, torchserve, mlflow, or other."),
    ] = None,
    service: Annotated[str, typer.Option(metavar="NAME", help="The name of the service in commands.")] = "model",
    model: Annotated[
        str, typer.Option(metavar="NAME", help="The name of the model in its server. Default: that of the service.")
    ] = "",
    slo_ms: Annotated[
        float | None, typer.Option(metavar="MS", min=1, max=3_600_000, help="An answer is late after this time.")
    ] = None,
    as_json: opt.AsJson = False,
) -> None:
    """Write a first settings file. On a terminal it asks what no flag says; a file that is there is left alone.

    The three questions: where the version that serves now answers, where the version before it answers, and which kind of
    model server both are.
    """
    from router.rollout.model.endpoint import parse_endpoints
    from router.settings.sample_file import SERVERS, FirstSettings

    _refuse_names(service, model)
    if file != TO_STDOUT and os.path.lexists(file):
        raise CommandError(CommandCode.FILE_UNWRITABLE, f"{file} is there already: name another file")
    asking = sys.stdin.isatty() and not as_json
    active = active or _asked_url("Where does the version that serves now answer?", "http://127.0.0.1:9002", asking)
    if standby is None:
        standby = _asked("Where does the version before it answer? (empty: there is none yet)", "", asking)
    if server is None:
        server = _asked(_kinds(), "other", asking)
    kind = next((known for known in SERVERS if known == server), None)
    if kind is None:
        raise CommandError(CommandCode.USAGE, f"--server {server!r}: write one of {', '.join(SERVERS)}")
    urls = [parse_endpoints([url])[0].url if url else "" for url in (active, standby)]
    if not standby and standby_version == active_version:
        standby_version = _UNUSED  # in a comment: there is none yet
    _refuse_labels(active_version, standby_version)
    if urls[0] == urls[1]:
        detail = f"both versions answer at {urls[0]}, so a rollback would change nothing: name two servers"
        raise CommandError(CommandCode.USAGE, detail)
    _write(
        file, FirstSettings(urls[0], urls[1], kind, service, model, active_version, standby_version, slo_ms), as_json
    )


def _refuse_names(service: str, model: str) -> None:
    from router.settings.sections.values import NAME

    if not NAME.fullmatch(service):
        detail = f"--service {service!r}: use letters, digits, '.', '_' and '-', at most 63"
        raise CommandError(CommandCode.USAGE, detail)
    if model and not _MODEL.fullmatch(model):
        detail = f"--model {model!r}: use letters, digits and . _ : / @ + -, at most 200"
        raise CommandError(CommandCode.USAGE, detail)


def _refuse_labels(active: str, standby: str) -> None:
    from router.settings.sections.values import version_label

    try:
        labels = version_label(active), version_label(standby)
    except ValueError as error:
        raise CommandError(CommandCode.USAGE, str(error)) from None
    if labels[0] == labels[1]:
        detail = f"both versions have the label {active!r}: name another one, --active-version or --standby-version"
        raise CommandError(CommandCode.USAGE, detail)


def _kinds() -> str:
    from router.settings.sample_file import MEANINGS

    listed = "\n".join(f"  {kind:<11} {meaning}" for kind, meaning in MEANINGS.items())
    return f"Which kind of model server is it?\n{listed}\nKind"


def _asked(question: str, default: str, asking: bool) -> str:
    if not asking:
        return default
    answer: str = typer.prompt(question, default=default, err=True)
    return answer.strip()


def _asked_url(question: str, example: str, asking: bool) -> str:
    if not asking:
        detail = "nothing asks without a terminal: name the version that serves: --active http://HOST:PORT"
        raise CommandError(CommandCode.USAGE, detail)
    return _asked(question, example, asking)


def _write(file: str, sample: FirstSettings, as_json: bool) -> None:
    text = sample.text()
    if file == TO_STDOUT:
        output.write(text)
        return
    try:
        with Path(file).open("x", encoding="utf-8") as opened:
            opened.write(text)
    except OSError as error:
        raise CommandError(CommandCode.FILE_UNWRITABLE, f"{file}: {error.strerror}") from None
    if as_json:
        output.show_json({"file": file, "service": sample.service, "standby": bool(sample.standby)})
        return
    output.say(f"wrote {file}: read it, and correct the probe to what your model takes")
    output.say(f"next: {Hints().text(_NEXT, FILE=file)}")
