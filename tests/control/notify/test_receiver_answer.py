"""Answers of receivers: delivered, failed, or refused for this notification."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from router.control.notify.receiver_answer import failure

PAGE = b"<!DOCTYPE html><html><title>Sign in</title></html>"


@pytest.mark.parametrize(
    ("kind", "status", "raw"),
    [
        pytest.param("slack", 200, b"ok", id="Slack, Mattermost, Discord"),
        pytest.param("slack", 200, b'{"success":true}', id="Rocket.Chat"),
        pytest.param("slack", 200, b'{"ok":true}', id="a workflow of Slack"),
        pytest.param("slack", 204, b"", id="Discord"),
        pytest.param("webhook", 202, b'{"status":"success","dedup_key":"x"}', id="PagerDuty"),
        pytest.param("webhook", 202, b"", id="a flow of Teams"),
        pytest.param("webhook", 200, b"1", id="Teams"),
        pytest.param("webhook", 200, PAGE, id="a program that answers HTML"),
        pytest.param("webhook", 200, b'{"error":null,"errors":0}', id="no error"),
        pytest.param("webhook", 200, b"invalid_payload", id="words of another program"),
        pytest.param("webhook", 201, b"{", id="broken JSON"),
    ],
)
def test_delivered(kind: str, status: int, raw: bytes) -> None:
    assert failure(kind, status, {}, raw, 0.0) is None


@pytest.mark.parametrize(
    ("kind", "raw", "refused"),
    [
        pytest.param("slack", b"invalid_payload", True, id="Slack refuses the message"),
        pytest.param("slack", b"no_text", True, id="Slack misses a text"),
        pytest.param("slack", b"no_service", False, id="Slack does not know the hook"),
        pytest.param("slack", b"channel_is_archived", False, id="the channel is archived"),
        pytest.param("slack", b'{"ok":false,"error":"ratelimited"}', False, id="Slack's API"),
        pytest.param("slack", b'{"success":false,"error":"no such channel"}', False, id="Rocket.Chat"),
        pytest.param("slack", PAGE, False, id="a login page"),
        pytest.param("webhook", b'{"ok":false}', False, id="a program says no"),
        pytest.param("webhook", b'{"status":"error","message":"down"}', False, id="another form"),
        pytest.param("webhook", b"Webhook message delivery failed with error: HTTP error 429", False, id="Teams"),
    ],
)
def test_failed_with_a_200(kind: str, raw: bytes, refused: bool) -> None:
    error = failure(kind, 200, {}, raw, 0.0)
    assert error is not None
    assert error.refused is refused
    assert error.detail.isprintable()


@pytest.mark.parametrize(
    ("status", "refused"),
    [(400, True), (413, True), (422, True), (401, False), (403, False), (404, False), (410, False), (407, False), (429, False),
     (500, False), (503, False), (302, False), (304, False)],
)  # fmt: skip
def test_which_failures_are_about_the_notification(status: int, refused: bool) -> None:
    error = failure("webhook", status, {}, b"no", 0.0)
    assert error is not None
    assert error.refused is refused


@pytest.mark.parametrize("status", [429, 503, 500, 413, 301])
def test_retry_after_is_read_from_every_failure(status: int) -> None:
    error = failure("slack", status, CIMultiDict({"Retry-After": "30"}), b"", 0.0)
    assert error is not None
    assert error.retry_after_s == 30
