"""Wrong credentials: throttled per address, counted, logged once a period; right ones go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.control.admin.attempts import ADDRESSES_MAX, BURST, LOG_EVERY_S, REFILL_S, CredentialAttempts, network
from router.control.admin.problems import STATUS
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.settings.sections.admin import Admin
from tests.control.conftest import StartAdmin, token
from tests.control.hook_harness import BEARER, OPEN, hook_harness
from tests.texts import golden

WRONG = Refusal(RefusalCode.TOKEN_INVALID, "no")
GUESS = {"Authorization": "Bearer guess"}
DIRECT = {"id": "x1", "kind": "quality", "service": "svc", "summary": "PSI 0.4"}
RIGHT = {"Authorization": "Bearer ops-secret"}


def statuses(table: CredentialAttempts, address: str | None, times: int, now_s: float = 0.0) -> list[int]:
    return [STATUS[table.throttle(address, WRONG, now_s).code] for _ in range(times)]


def test_a_burst_then_one_for_each_while() -> None:
    table = CredentialAttempts()
    assert statuses(table, "192.0.2.1", BURST + 2) == [401] * BURST + [429] * 2
    refusal = table.throttle("192.0.2.1", WRONG, 0.5)
    assert (refusal.code, refusal.facts["retry_after_s"]) == ("credentials_throttled", 2)
    assert statuses(table, "192.0.2.1", 2, REFILL_S) == [401, 429]
    assert statuses(table, "192.0.2.1", BURST + 1, 10_000) == [401] * BURST + [429]
    assert table.counts == dict.fromkeys(table.counts, 0) | {"throttled": 5, "token_invalid": 2 * BURST + 6}


@pytest.mark.parametrize(
    "code",
    [
        RefusalCode.TOKEN_MISSING,
        RefusalCode.ROLE_INSUFFICIENT,
        RefusalCode.REQUEST_INVALID,
        RefusalCode.SIGNATURE_STALE,
    ],
)
def test_what_is_no_wrong_credential_is_not_counted(code: RefusalCode) -> None:
    table, refusal = CredentialAttempts(), Refusal(code, "no")
    assert all(table.throttle("192.0.2.1", refusal, 0) is refusal for _ in range(3 * BURST))
    assert (len(table), sum(table.counts.values())) == (0, 0)


def test_each_address_has_its_own_and_ipv6_each_network() -> None:
    table = CredentialAttempts()
    assert statuses(table, "2001:db8::1", BURST) == [401] * BURST
    assert statuses(table, "2001:db8::ffff:1", 1) == [429]
    assert statuses(table, "2001:db8:0:1::1", 1) == [401]
    assert statuses(table, "192.0.2.1", 1) == statuses(table, None, 1) == [401]
    assert [network(address) for address in ("::ffff:192.0.2.1", "fe80::1%eth0", "192.0.2.1", "", None, "x")] == [
        "192.0.2.1", "fe80::/64", "192.0.2.1", "a Unix socket", "a Unix socket", "a Unix socket"]  # fmt: skip


def test_the_table_is_bounded() -> None:
    table = CredentialAttempts()
    for number in range(ADDRESSES_MAX + 500):
        table.throttle(f"2001:db8:{number >> 8:x}:{number & 255:x}::1", WRONG, 0)
    assert len(table) == ADDRESSES_MAX


def test_a_line_for_each_period(caplog: pytest.LogCaptureFixture) -> None:
    table = CredentialAttempts()
    statuses(table, "192.0.2.1", 500)
    assert len(caplog.records) == 1
    table.throttle("192.0.2.2", WRONG, LOG_EVERY_S)
    assert golden("admin.wrong_credentials") in (caplog.text)
    assert len(caplog.records) == 2


async def test_wrong_tokens_are_throttled_and_right_ones_from_there_go_on(
    start_admin: StartAdmin, caplog: pytest.LogCaptureFixture
) -> None:
    admin = await start_admin(Admin(tokens=[token("ops", "operator")]))
    paths = ("/v1/status", "/v1/nothing", "/metrics", "/readyz")
    seen = [(await admin.call("GET", paths[number % 4], headers=GUESS))[0] for number in range(BURST)]
    assert seen == ([401, 401, 401, 200] * BURST)[:BURST]
    for method, path in (("GET", "/v1/status"), ("POST", "/v1/services/fraud/freeze"), ("GET", "/v1/nothing")):
        status, headers, problem = await admin.call(method, path, headers=GUESS)
        assert (status, problem["code"], headers["Retry-After"]) == (429, "credentials_throttled", "2")
        assert headers["Content-Type"] == "application/problem+json"
    assert (await admin.call("GET", "/readyz", headers=GUESS))[2] == {"ready": True}
    assert (await admin.call("GET", "/v1/status"))[0] == 401  # no token is no guess
    assert (await admin.call("GET", "/v1/status", headers=RIGHT))[0] == 200
    assert (await admin.call("POST", "/v1/services/fraud/freeze", headers=RIGHT, json={}))[0] == 200
    figures = (await admin.call("GET", "/metrics", headers=RIGHT))[2]
    assert f'rollback_router_admin_refused_total{{why="token_invalid"}} {BURST + 4}.0\n' in figures
    assert 'rollback_router_admin_refused_total{why="throttled"} 4.0\n' in figures
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "guess" not in caplog.text


async def test_the_hooks_too(tmp_path: Path) -> None:
    async with hook_harness(tmp_path, {**OPEN, "hmac_secret_file": str(secret_file(tmp_path))}) as hooks:
        hooks.addon.keys.load()
        fields = {hooks.addon.settings.signature_header: "0" * 64, hooks.addon.settings.timestamp_header: "1"}
        tries = (GUESS, fields) * (BURST // 2 + 1)
        wrong = [await hooks.post("/v1/hooks/alert", {"id": "a"}, how) for how in tries]
        assert [status for status, _ in wrong] == [401] * BURST + [429, 429]
        assert (await hooks.post("/v1/hooks/alert", DIRECT, BEARER))[0] == 200


def secret_file(folder: Path) -> Path:
    path = folder / "hooks.secret"
    path.write_bytes(b"s" * 32)
    return path
