"""`notify list` and `notify test`: whole screens."""

from __future__ import annotations

from tests.cli.conftest import Command
from tests.cli.fake_admin import FakeAdmin
from tests.texts import golden

CHANNEL = {
    "channel": "ops", "kind": "slack", "sent": 3, "given_up": 0, "dropped": 0, "pending": 1, "failing": True,
    "last_error": "the receiver answered 500", "events": [], "services": [],
}  # fmt: skip
TRIED = {"channel": "ops", "kind": "slack", "ok": True, "detail": "200 ok", "ms": 12.4}


def test_list(admin: FakeAdmin, command: Command) -> None:
    admin.answer("GET", "/v1/notify", {"channels": [CHANNEL]})
    assert command("notify", "list", "--admin", admin.url) == (
        0,
        golden("cli.channels"),
        "",
    )
    assert command("notify", "--admin", admin.url)[1] == command("notify", "list", "--admin", admin.url)[1]
    assert command("notify", "list", "--json", "--admin", admin.url)[1].startswith('{"channels"')


def test_test(admin: FakeAdmin, command: Command) -> None:
    failed = TRIED | {
        "channel": "mail",
        "kind": "apprise",
        "ok": False,
        "detail": "no answer within 10 s",
        "ms": 10000.0,
    }
    admin.answer("POST", "/v1/notify/test", {"channels": [TRIED]})
    admin.answer("POST", "/v1/notify/test", {"channels": [TRIED, failed]})
    admin.answer("POST", "/v1/notify/test", {"channels": []})
    assert command("notify", "test", "ops", "--admin", admin.url) == (
        0,
        golden("cli.notify_test"),
        "",
    )
    assert admin.received[-1][2] is not None
    assert admin.received[-1][2]["channel"] == "ops"
    code, out, _ = command("notify", "test", "--admin", admin.url)
    assert (code, out.splitlines()[-1]) == (1, golden("cli.notify_test_failed"))
    assert command("notify", "test", "--admin", admin.url)[:2] == (
        0,
        golden("cli.no_channel"),
    )
