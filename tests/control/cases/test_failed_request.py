from __future__ import annotations

import base64
import gzip
from typing import Any

import pytest

from router.control.cases.failed_request import NOT_KEPT, failed_request, failed_version
from router.rollout.cases.redaction import HIDDEN, redaction
from tests.control.cases.test_captures import attempt, record
from tests.texts import golden

CARDS = redaction([], [r"\d{16}"], [])
CARD = b"4111111111111111"


def test_a_field_that_says_how_a_body_is_read_is_not_changed_or_no_case_is_made() -> None:
    boundary = "multipart/form-data; boundary=------4111111111111111"
    found = failed_request(record(b"--x", headers={"content-type": boundary}), CARDS)
    assert (found["complete"], found["incomplete"]) == (False, golden("cases.field_redacted"))
    assert CARD.decode() not in str(found)
    other = failed_request(record(headers={"x-note": "4111111111111111"}), CARDS)
    assert (other["complete"], other["headers"]) == (True, {"x-note": "[redacted]"})


def test_the_length_of_the_json_is_that_of_the_redacted_one() -> None:
    header = b'{"id":"4111111111111111","inputs":[{"datatype":"FP32"}]}'
    fields = {"inference-header-content-length": str(len(header)), "content-md5": "x", "content-type": "a/b"}
    found = failed_request(record(header + b"\x00\xff", headers=fields), CARDS)
    body = base64.b64decode(found["request"]["body_base64"])
    assert (found["complete"], found["redacted"]) == (True, True)
    assert found["headers"] == {"inference-header-content-length": "50", "content-type": "a/b"}
    assert body == b'{"id":"[redacted]","inputs":[{"datatype":"FP32"}]}' + b"\x00\xff"


def test_a_digest_stays_with_a_body_that_is_unchanged() -> None:
    found = failed_request(record(headers={"content-digest": "sha-256=:x:"}), CARDS)
    assert found["headers"] == {"content-digest": "sha-256=:x:"}


def test_a_part_of_a_representation_is_not_sent_again_changed() -> None:
    fields = {"content-range": "bytes 0-7/99"}
    assert failed_request(record(headers=fields), CARDS)["complete"]
    assert not failed_request(record(b'"4111111111111111"', headers=fields), CARDS)["complete"]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        pytest.param({"headers_whole": False}, "a header field without which its body cannot be read", id="fields"),
        pytest.param({"target_whole": False}, NOT_KEPT, id="target"),
        pytest.param({"request_whole": False}, NOT_KEPT, id="body"),
        pytest.param(
            {"headers": {"content-encoding": "br"}}, "its body was dropped: its Content-Encoding 'br'", id="br"
        ),
    ],
)
def test_why_a_request_cannot_be_sent_again(changed: dict[str, Any], why: str) -> None:
    found = failed_request(record(**changed), CARDS)
    assert (found["complete"], found["incomplete"][: len(why)]) == (False, why)


def test_a_compressed_body_is_kept_with_its_encoding() -> None:
    content = gzip.compress(b"{}")
    found = failed_request(record(content, headers={"content-encoding": "gzip"}), CARDS)
    assert (found["complete"], found["headers"]) == (True, {"content-encoding": "gzip"})
    assert base64.b64decode(found["request"]["body_base64"]) == content


def test_nothing_of_a_hidden_request_is_kept_but_what_happened() -> None:
    payload = record(CARD, CARD, target="/4111111111111111?a=1", headers={"content-type": "4111111111111111"})
    found = failed_request(payload, HIDDEN)
    assert CARD.decode() not in str(found)
    assert (found["version"], found["outcome"], found["complete"]) == ("v2", "server_error", False)


def test_the_version_that_failed_first() -> None:
    assert failed_version(record(attempts=[attempt("v7"), attempt("v1")])) == "v7"
