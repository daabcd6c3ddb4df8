"""`config check` and `config show`: check the settings file, and print the settings in effect."""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from router.cli import options as opt
from router.cli import output
from router.cli.first_settings import FIRST_FILE
from router.runtime import clock
from router.runtime.text.plurals import counted

if TYPE_CHECKING:
    from router.settings.settings import Settings

app = typer.Typer(help="Write, check and show the settings.", no_args_is_help=True)


@app.command()
def check(config: opt.ConfigFile = "", as_json: opt.AsJson = False) -> None:
    """Check the settings file, the environment and certificate files.

    Every mistake is named, one a line: FILE:LINE:COLUMN, the setting, and the remedy. Exit code 3 if there is one.
    """
    from router.settings.loader import passed_over
    from router.settings.soundness import contradictions
    from router.tls import contexts

    settings = _load(config)
    warnings = [
        *contexts.check(settings.model_dump(), clock.wall_s()),
        *unusable_secrets(settings),
        *unusable_headers(settings),
        *contradictions(settings),
    ]
    services = sorted(settings.services)
    if as_json:
        output.show_json({"ok": True, "services": services, "warnings": warnings})
        return
    if notice := passed_over():
        output.say(notice)
    for warning in warnings:
        output.say(f"warning: {warning}")
    none = "none, so run needs --blue URL"
    if not config and Path(FIRST_FILE).is_file():
        none = f"none; {FIRST_FILE} was not read: --config {FIRST_FILE}"
    output.say(f"{config or 'the environment'}: good; services: {', '.join(services) or none}")


@app.command()
@opt.with_shared
def show(
    router: opt.RouterOptions,
    config: opt.ConfigFile = "",
    running: Annotated[
        bool, typer.Option("--running", help="The settings of the running router, and where its file differs.")
    ] = False,
    as_json: opt.AsJson = False,
) -> None:
    """Print every setting as it is in effect, defaults included, as TOML. Secrets are hidden.

    Without --running they are the settings that a start with this file and environment would have.
    """
    from router.settings.shown import shown

    if running:
        _show_running(router, config, as_json)
        return
    document = shown(_load(config))
    if as_json:
        output.show_json(document)
    else:
        output.say(*toml(document), "", *_cheap_paths())


def _show_running(router: opt.RouterOptions, config: str, as_json: bool) -> None:
    document = router.client.get("/v1/settings")
    file, origin = config, document["origin"]
    if not file and origin.startswith("/") and os.access(origin, os.R_OK):
        file = origin
    differences = differing(document["settings"], file) if file else None
    if as_json:
        output.show_json({**document, "file": file or None, "differences": differences})
        return
    output.say(
        f"# settings version {document['version']} of the running router, read from {origin} at {document['read_at']}"
    )
    if differences is None:
        output.say("# not compared with a file: name one that can be read here with --config FILE")
    elif not differences:
        output.say(f"# {file} has the same values")
    else:
        several = counted(len(differences), "value")
        output.say(
            f"# {file}, read with the environment of this shell, has {several} that the router does not run with:"
        )
        for found in differences:
            output.say(
                f"#   {found['place']}: runs with {_json(found['running'])}, the file has {_json(found['file'])}"
            )
        output.say("# SIGHUP makes the router read its file again; flags and variables of the router win over the file")
    output.say(*toml(document["settings"]))


def differing(running: Mapping[str, Any], file: str) -> list[dict[str, Any]]:
    """Return where the settings of a file differ from those of the running router."""
    from router.settings.shown import differences, shown

    settings = _load(file)
    there = shown(settings)
    if settings.state_dir is None:  # it depends on the user and the environment
        there["state_dir"] = running["state_dir"]
    return [{"place": place, "running": one, "file": other} for place, one, other in differences(running, there)]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def unusable_secrets(settings: Settings) -> list[str]:
    """Return the problems of secret files and of the channels' requirements."""
    if not settings.notify and not settings.alerts.hmac_secret_file and not settings.mlflow.secret_file:
        return []
    from router.control.alerts.keys import HookKeys
    from router.control.notify.senders import complaint
    from router.control.versions import mlflow_http

    found = [f"notify {channel.name}: {why}" for channel in settings.notify if (why := complaint(channel)) is not None]
    keys = HookKeys(settings.alerts)
    keys.load()
    return [
        *found,
        *(error for error in (keys.error, mlflow_http.complaint(settings.mlflow)) if error is not None),
    ]


def _cheap_paths() -> list[str]:
    from router.rollout.work_paths import CHEAP_PATHS

    lines = textwrap.wrap(", ".join(CHEAP_PATHS), 110, break_long_words=False, break_on_hyphens=False)
    title = "paths that run no model, unless [services.NAME.inference] paths names them:"
    return [f"# {line}" for line in (title, *lines)]


def unusable_headers(settings: Settings) -> list[str]:
    """Return the problems of headers files: place, file, line and remedy."""
    from router.control.store.header_files import read
    from router.errors import Refusal
    from router.settings.soundness import headers_files

    found = []
    for place, path in headers_files(settings):
        try:
            read(path)
        except Refusal as error:
            found.append(f"{place}: {error.detail}")
    return found


def _load(config: str) -> Settings:
    from pathlib import Path

    from router.settings.loader import load

    return load(Path(config) if config else None)


def toml(document: Mapping[str, Any], place: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the lines of `document` as TOML: plain values first, then the tables. Unset values become comments."""
    tables = {name: value for name, value in document.items() if isinstance(value, Mapping)}
    for name, value in document.items():
        if name not in tables:
            yield f"# {name} is not set" if value is None else f"{name} = {toml_value(value)}"
    for name, value in tables.items():
        here = (*place, name if name.replace("-", "").replace("_", "").isalnum() else json.dumps(name))
        yield ""
        yield f"[{'.'.join(here)}]"
        yield from toml(value, here)


def toml_value(value: Any) -> str:
    """Return `value` as TOML writes it on one line. A text with quotation marks becomes a literal string."""
    if isinstance(value, Mapping):
        return (
            "{ " + ", ".join(f"{name} = {toml_value(item)}" for name, item in value.items() if item is not None) + " }"
        )
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    if isinstance(value, str) and '"' in value and "'" not in value and value.isprintable():
        return f"'{value}'"
    return json.dumps(value, ensure_ascii=False)
