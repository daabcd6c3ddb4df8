"""Whole messages, byte for byte, in the formats of the receivers."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import replace

import orjson
import pytest

from router.control.notify.messages import USER_AGENT, cloud_event, plain, signing_secret, slack, webhook_fields
from router.rollout.notifications.notification import Notification
from tests.hostile_text import HOSTILE, found_in
from tests.texts import golden

NOTIFICATION = Notification(
    id="fraud-rolled_back-7",
    topic="rollback",
    service="fraud",
    severity="critical",
    title="fraud: rolled back <!channel> & more",
    at=1_700_000_000.0,
    facts=(("From", "v8 (quarantined)"), ("Time taken", "swap 0.1 ms")),
    data={"from": "v8", "to": "v7"},
    path="/v1/incidents/fraud-1-7",
)
LINKS = {"Details": "https://router.example.com/v1/incidents/fraud-1-7"}


def test_a_cloud_event() -> None:
    assert orjson.loads(cloud_event(NOTIFICATION, "https://router.example.com", LINKS)) == {
        "specversion": "1.0",
        "id": "fraud-rolled_back-7",
        "source": "https://router.example.com",
        "type": "dev.rollback-router.rollback",
        "time": "2023-11-14T22:13:20.000Z",
        "datacontenttype": "application/json",
        "subject": "fraud",
        "data": {
            "service": "fraud",
            "title": "fraud: rolled back <!channel> & more",
            "severity": "critical",
            "from": "v8",
            "to": "v7",
            "facts": {"from": "v8 (quarantined)", "time_taken": "swap 0.1 ms"},
            "links": LINKS,
        },
    }


def test_a_message_for_slack_cannot_be_made_to_mention_anybody() -> None:
    message = orjson.loads(slack(NOTIFICATION, LINKS))
    assert message["text"] == "*fraud: rolled back &lt;!channel&gt; &amp; more*"
    (attachment,) = message["attachments"]
    assert attachment == {
        "color": "#d32f2f",
        "fallback": "fraud: rolled back &lt;!channel&gt; &amp; more",
        "fields": [
            {"title": "From", "value": "v8 (quarantined)", "short": True},
            {"title": "Time taken", "value": "swap 0.1 ms", "short": True},
        ],
        "text": "<https://router.example.com/v1/incidents/fraud-1-7|Details>",
        "footer": "rollback-router · fraud-rolled_back-7",
        "ts": 1_700_000_000,
    }


def test_plain_text() -> None:
    assert plain(NOTIFICATION, LINKS) == (golden("notify.plain_text"))


def test_a_webhook_is_signed_as_the_standard_says() -> None:
    fields = webhook_fields(NOTIFICATION, b"{}", b"k" * 24, 1_700_000_001.9)
    mac = hmac.new(b"k" * 24, b"fraud-rolled_back-7.1700000001.{}", hashlib.sha256).digest()
    assert fields == {
        "Content-Type": "application/cloudevents+json; charset=utf-8",
        "User-Agent": USER_AGENT,
        "webhook-id": "fraud-rolled_back-7",
        "webhook-timestamp": "1700000001",
        "webhook-signature": "v1," + base64.b64encode(mac).decode(),
    }
    assert "webhook-signature" not in webhook_fields(NOTIFICATION, b"{}", None, 0.0)


def test_the_signature_of_the_specifications_own_example() -> None:
    """standard-webhooks/standard-webhooks, spec: secret, id, time and body of its test vector."""
    example = Notification("msg_p5jXN8AQM9LWM0D4loKWxJek", "test", "", "info", "", 0.0)
    secret = signing_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    fields = webhook_fields(example, b'{"test": 2432232314}', secret, 1614265330.0)
    assert fields["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a secret of sixteen\n", b"a secret of sixteen"), ("whsec_" + base64.b64encode(b"k" * 24).decode(), b"k" * 24)],
)
def test_secrets(text: str, expected: bytes) -> None:
    assert signing_secret(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"), [("short", "has 5 bytes"), ("whsec_!!!", "no base64"), ("whsec_aGk=", "2 bytes")]
)
def test_secrets_that_are_none(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        signing_secret(text)


def test_no_message_holds_what_is_not_printable() -> None:
    notification = replace(
        NOTIFICATION, title=HOSTILE, facts=((HOSTILE, HOSTILE + "\nFrom: forged"),), data={"told": HOSTILE}
    )
    event, message = cloud_event(notification, "https://router.example.com", LINKS), slack(notification, LINKS)
    assert [found_in(raw.decode()) for raw in (event, message)] == [[], []]
    assert orjson.loads(event)["data"]["told"] == HOSTILE, "data are kept"
    message = orjson.loads(message)
    (attachment,) = message["attachments"]
    shown = [message["text"], attachment["fallback"], *attachment["fields"][0].values(), plain(notification, LINKS)]
    assert [found_in(str(text)) for text in shown] == [[]] * len(shown)
    assert "\nFrom" not in plain(notification, LINKS)
