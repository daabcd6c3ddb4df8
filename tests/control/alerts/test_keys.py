"""The authentication of senders of alerts."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from typing import Any

import pytest
from multidict import CIMultiDict

from router.control.admin.problems import STATUS
from router.control.alerts.keys import HookKeys
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.settings.sections.alerts import AlertSettings
from tests.control.hook_harness import BEARER, TOKEN

SECRET = b"a secret of twenty-seven bytes"
BODY = b'{"alerts": []}'
NOW = 1_700_000_000.0


@pytest.fixture
def secret_file(tmp_path: Path) -> str:
    file = tmp_path / "secret"
    file.write_bytes(SECRET + b"\n")
    return str(file)


def keys(**settings: Any) -> HookKeys:
    made = HookKeys(AlertSettings.model_validate(settings))
    made.load()
    return made


def signed(body: bytes = BODY, at: float = NOW, secret: bytes = SECRET, **more: str) -> CIMultiDict[str]:
    stamp = str(int(at))
    mac = hmac.new(secret, stamp.encode() + b":" + body, hashlib.sha256).hexdigest()
    return CIMultiDict(
        {"x-grafana-alerting-signature": mac, "x-grafana-alerting-timestamp": stamp, **more}  # as proxies write fields
    )


def altered(field: str, value: str) -> CIMultiDict[str]:
    fields = signed()
    fields[field] = value
    return fields


def verify(found: HookKeys, fields: CIMultiDict[str], body: bytes = BODY) -> bool:
    """Return whether the request is signed, and well."""
    found.sender(fields)
    signature = found.signature(fields)
    if signature is None:
        return False
    for start in range(0, len(body), 5):
        signature.update(body[start : start + 5])
    signature.verify(NOW)
    return True


def refusal(found: HookKeys, fields: CIMultiDict[str], body: bytes = BODY) -> Refusal:
    with pytest.raises(Refusal) as refused:
        verify(found, fields, body)
    assert SECRET.decode() not in refused.value.detail
    return refused.value


def refused(found: HookKeys, fields: CIMultiDict[str], body: bytes = BODY) -> str:
    return str(refusal(found, fields, body).code)


def test_nobody_may_send_until_one_is_configured() -> None:
    assert refused(keys(), CIMultiDict(BEARER)) == "hooks_closed"


def test_a_token_is_enough() -> None:
    found = keys(tokens=[TOKEN])
    assert found.sender(CIMultiDict(BEARER)) == "am"
    assert verify(found, CIMultiDict(BEARER)) is False
    assert refused(found, CIMultiDict()) == "token_missing"
    assert refused(found, CIMultiDict(Authorization="Bearer am-secre")) == "token_invalid"
    assert refused(found, CIMultiDict(Authorization="Basic am-secret")) == "token_missing"
    assert refused(found, signed()) == "token_missing", "nobody can check a signature here"


def test_a_signature_is_enough(secret_file: str) -> None:
    found = keys(hmac_secret_file=secret_file)
    assert found.error is None
    assert found.sender(signed()) is None
    assert verify(found, signed()) is True
    prefixed = signed()
    prefixed["x-grafana-alerting-signature"] = "sha256=" + prefixed["x-grafana-alerting-signature"]
    assert verify(found, prefixed) is True


@pytest.mark.parametrize(
    ("fields", "body", "code"),
    [
        pytest.param(signed(b"other"), BODY, "signature_invalid", id="another body"),
        pytest.param(signed(secret=b"another secret, long enough"), BODY, "signature_invalid", id="another secret"),
        pytest.param(signed(at=NOW - 301), BODY, "signature_stale", id="too old"),
        pytest.param(signed(at=NOW + 301), BODY, "signature_stale", id="from the future"),
        pytest.param(altered("X-Grafana-Alerting-Timestamp", "1"), BODY, "signature_invalid", id="another time"),
        pytest.param(altered("X-Grafana-Alerting-Timestamp", "now"), BODY, "signature_time_missing", id="no time"),
        pytest.param(altered("X-Grafana-Alerting-Timestamp", "٣"), BODY, "signature_time_missing", id="odd digits"),
        pytest.param(CIMultiDict({"X-Grafana-Alerting-Signature": ""}), BODY, "signature_time_missing", id="empty"),
        pytest.param(altered("X-Grafana-Alerting-Signature", "é"), BODY, "signature_invalid", id="not ASCII"),
        pytest.param(altered("X-Grafana-Alerting-Signature", "\udce9"), BODY, "signature_invalid", id="not UTF-8"),
        pytest.param(altered("X-Grafana-Alerting-Timestamp", "\udcff"), BODY, "signature_time_missing", id="time not UTF-8"),
        pytest.param(CIMultiDict(), BODY, "token_missing", id="unsigned"),
    ],
)  # fmt: skip
def test_wrong_signatures(secret_file: str, fields: Any, body: bytes, code: str) -> None:
    assert refused(keys(hmac_secret_file=secret_file), CIMultiDict(fields), body) == code


def test_with_both_either_is_enough_but_a_wrong_signature_never_is(secret_file: str) -> None:
    found = keys(tokens=[TOKEN], hmac_secret_file=secret_file)
    assert found.sender(CIMultiDict(BEARER)) == "am"
    assert found.sender(signed()) is None
    assert refused(found, signed(b"other", **BEARER)) == "signature_invalid"
    strict = keys(tokens=[TOKEN], hmac_secret_file=secret_file, signature_required=True)
    assert refused(strict, CIMultiDict(BEARER)) == "signature_missing"
    assert strict.sender(signed(**BEARER)) == "am"
    assert strict.sender(signed()) is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file or directory"),
        (b"short", "a secret has 16 to 4096"),
        (b"x" * 5000, "more than 4096 bytes"),
        (b"sixteen bytes\nand more", "line break"),
        (b"sixteen\x00bytes and more", "NUL"),
    ],
    ids=["missing", "too short", "too long", "two lines", "NUL"],
)
def test_a_secret_that_cannot_be_used_refuses_every_signature(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    found = keys(hmac_secret_file=str(file))
    assert found.error is not None
    assert reason in found.error
    assert str(file) in found.error
    assert refused(found, signed()) == "signature_unverifiable"
    assert found.signature(CIMultiDict(BEARER)) is None


def grafana(
    stamp: str | None, body: bytes = BODY, secret: bytes = SECRET, field: str = "X-Grafana-Alerting-Signature"
) -> Any:
    """Return the fields of a request as Grafana signs it: the time is only there if its field is filled in."""
    text = body if stamp is None else stamp.encode() + b":" + body
    fields = {field: hmac.new(secret, text, hashlib.sha256).hexdigest()}
    return CIMultiDict(fields if stamp is None else fields | {"X-Grafana-Alerting-Timestamp": stamp})


REASONS: list[tuple[str, Any, str, tuple[str, ...]]] = [
    ("no time", grafana(None), "signature_time_missing",
     ("X-Grafana-Alerting-Timestamp is missing", '"Timestamp Header"', '"HMAC Signature"')),
    ("no time, another secret", grafana(None, secret=b"x" * 20), "signature_time_missing",
     ('"Timestamp Header"', "the secret, or the body on its way, differs as well")),
    ("a time that is a date", grafana("2026-11-23"), "signature_time_missing", ("is '2026-11-23'", "seconds since 1970")),
    ("the body alone", CIMultiDict({**grafana(None), "X-Grafana-Alerting-Timestamp": "1700000000"}), "signature_invalid",
     ("the body alone is signed",)),
    ("another secret", grafana("1700000000", secret=b"x" * 20), "signature_invalid",
     ("another secret than alerts.hmac_secret_file", "SIGHUP", "a proxy has changed the body")),
    ("late", grafana("1699999000"), "signature_stale", ("1000 s ago", "held back or replayed")),
    ("early", grafana("1700001000"), "signature_stale", ("1000 s in the future", "clocks of both machines")),
    ("milliseconds", grafana("1700000000000"), "signature_stale", ("not milliseconds",)),
]  # fmt: skip


@pytest.mark.parametrize(("what", "fields", "code", "words"), REASONS, ids=[row[0] for row in REASONS])
def test_each_reason_has_its_words(secret_file: str, what: str, fields: Any, code: str, words: tuple[str, ...]) -> None:
    found = refusal(keys(hmac_secret_file=secret_file), fields)
    assert (what, found.code) == (what, code)
    assert [word for word in words if word not in found.detail] == []


def test_the_healthy_twins_of_signatures(secret_file: str) -> None:
    found = keys(hmac_secret_file=secret_file)
    stamp = str(int(NOW))
    for fields in (
        grafana(stamp),
        grafana(stamp, field="X-Grafana-Alert-Signature"),
        CIMultiDict({name: value.upper() for name, value in grafana(stamp).items()}),
        grafana(str(int(NOW) - 299)),
    ):
        assert verify(found, fields)
    elsewhere = keys(hmac_secret_file=secret_file, signature_header="X-Signature", timestamp_header="X-Time")
    assert refused(elsewhere, grafana(stamp, field="X-Grafana-Alert-Signature")) == "token_missing"
    assert refusal(elsewhere, grafana(None, field="X-Signature")).detail.startswith("the field X-Time is missing")


def test_while_the_secret_is_read_the_request_may_be_repeated(secret_file: str) -> None:
    found = HookKeys(AlertSettings.model_validate({"hmac_secret_file": secret_file}))
    assert refused(found, signed()) == "signature_unverifiable"
    assert STATUS[RefusalCode.SIGNATURE_UNVERIFIABLE] == 503
    found.load()
    assert verify(found, signed())
