"""`notify`: lists the notification channels, and sends a test message through them."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from router.cli import options as opt
from router.cli import output
from router.cli.client import Client, Document
from router.runtime.exit_codes import ExitCode

app = typer.Typer()

NONE: Final = "no channel is configured: add [[notify]] to the settings"


@app.callback(invoke_without_command=True)
@opt.with_shared
def notify(router: opt.RouterOptions, context: typer.Context, as_json: opt.AsJson = False) -> None:
    """Show and test the notification channels."""
    if context.invoked_subcommand is None:
        _list(router, as_json)


@app.command("list")
@opt.with_shared
def listing(router: opt.RouterOptions, as_json: opt.AsJson = False) -> None:
    """List the channels with their counts and last error."""
    _list(router, as_json)


@app.command("test")
@opt.with_shared
def try_out(
    router: opt.RouterOptions,
    channel: Annotated[str, typer.Argument(metavar="[CHANNEL]", help="Test this channel only.")] = "",
    as_json: opt.AsJson = False,
) -> None:
    """Send a test message through each channel; show the answers.

    Exit code 1 if a channel did not deliver.
    """
    body: Document = {"channel": channel} if channel else {}
    document = Client(router.admin, router.bearer(), timeout_s=90).change("POST", "/v1/notify/test", body)
    if as_json:
        output.show_json(document)
    elif not document["channels"]:
        output.say(NONE)
    else:
        rows = (
            (c["channel"], c["kind"], output.yes(c["ok"]), f"{c['ms']:.0f} ms", c["detail"])
            for c in document["channels"]
        )
        output.show(output.table(("channel", "kind", "delivered", "took", "answer"), rows))
    if not all(c["ok"] for c in document["channels"]):
        raise typer.Exit(ExitCode.NOT_TRUE)


def _list(router: opt.RouterOptions, as_json: bool) -> None:
    document = router.client.get("/v1/notify")
    if as_json:
        output.show_json(document)
        return
    columns = ("channel", "kind", "sent", "given up", "dropped", "waiting", "failing", "last error")
    rows = (_row(channel) for channel in document["channels"])
    output.show_table(columns, rows, NONE, ("kind", "failing"), optional=("waiting", "dropped"))


def _row(channel: Document) -> tuple[object, ...]:
    return (
        channel["channel"],
        channel["kind"],
        channel["sent"],
        channel["given_up"],
        channel["dropped"],
        channel["pending"],
        output.yes(channel["failing"]),
        channel["last_error"],
    )
