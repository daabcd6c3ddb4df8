"""`alerts`: the whole screen."""

from __future__ import annotations

import json

from tests.cli.conftest import Command
from tests.cli.fake_admin import FakeAdmin
from tests.texts import golden

ALERT = {
    "service": "fraud", "kind": "quality", "name": "Drift", "summary": "PSI 0.41", "fingerprint": "f1", "version": None,
    "about": "fraud-v8", "status": "firing", "fate": "counts", "detail": "it counts against fraud-v8", "sender": "am",
    "starts_at": "2026-11-23T04:00:00.000Z", "at": "2026-11-23T04:00:30.000Z", "heard_at": "2026-11-23T04:05:00.000Z",
    "labels": {}, "seq": 7,
}  # fmt: skip
OTHER = ALERT | {"about": None, "version": "fraud-v7", "fate": "version_inactive", "detail": "it is about fraud-v7"}


def test_alerts(admin: FakeAdmin, command: Command) -> None:
    document = {"remembered": 2, "alerts": [ALERT, OTHER]}
    admin.answer("GET", "/v1/alerts?limit=100", document)
    assert command("alerts", "--admin", admin.url) == (
        0,
        golden("cli.alerts"),
        "",
    )
    code, out, _ = command("alerts", "--json", "--admin", admin.url)
    assert (code, json.loads(out)) == (0, document)
    admin.answer("GET", "/v1/alerts?limit=1", {"remembered": 0, "alerts": []})
    said = command("alerts", "--limit", "1", "--admin", admin.url)[1]
    assert said == golden("cli.no_alert")
