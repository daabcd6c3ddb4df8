"""Signing in and out over HTTP, and the attacks on it: CSRF, fixation, foreign cookies, clocks, guessing."""

from __future__ import annotations

from typing import Any

import pytest

from router.control.admin import app, attempts
from router.control.admin.sessions import ended_sessions
from router.control.admin.sessions import sessions as module
from router.runtime import clock
from router.settings.sections.admin import Admin
from router.settings.settings import Settings
from tests.control import answer_check
from tests.control.conftest import AdminHarness, StartAdmin, token

TOKENS = Admin(tokens=[token("eve", "viewer"), token("ops", "operator")])
JSON = {"Content-Type": "application/json"}
FREEZE = "/v1/services/fraud/freeze"


@pytest.fixture
async def admin(start_admin: StartAdmin) -> AdminHarness:
    return await start_admin(TOKENS)


async def sign_in(admin: AdminHarness, name: str = "ops", **fields: str) -> tuple[str, dict[str, Any], Any]:
    """Return (Cookie field, document, Set-Cookie) of a new session."""
    status, headers, document = await admin.call(
        "POST", "/v1/session", headers=fields, json={"token": f"{name}-secret"}
    )
    assert status == 200, document
    return headers["Set-Cookie"].partition(";")[0], document, headers["Set-Cookie"]


async def who(admin: AdminHarness, cookie: str) -> tuple[int, Any]:
    status, _, document = await admin.call("GET", "/v1/session", headers={"Cookie": cookie})
    return status, document if status == 200 else document["code"]


async def test_a_cookie_stands_for_the_token(admin: AdminHarness) -> None:
    cookie, document, _ = await sign_in(admin)
    (operation,) = (one for one in admin.application[app.OPERATIONS] if one.name == "beginSession")
    assert answer_check.problems(operation, document) == []
    assert (document["name"], document["role"], document["how"]) == ("ops", "operator", "session")
    assert await who(admin, cookie) == (200, document)
    status, _, _ = await admin.call("GET", "/v1/status", headers={"Cookie": f"theme=dark; {cookie}; a=b"})
    assert status == 200


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(admin: AdminHarness) -> None:
    cookie, _, field = await sign_in(admin)
    assert {part.strip() for part in field.split(";")[1:]} == {"HttpOnly", "Max-Age=43200", "Path=/", "SameSite=Strict"}
    _, _, field = await sign_in(admin, Origin=admin.url.replace("http:", "https:"))
    assert "Secure" in field.split("; ")
    assert field.startswith(f"__Host-{cookie.partition('=')[0]}=")


async def test_the_secret_is_in_no_answer(admin: AdminHarness, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    cookie, document, _ = await sign_in(admin)
    assert "ops-secret" not in f"{cookie} {document} {caplog.text}"
    assert TOKENS.tokens[1].sha256 not in f"{cookie} {document} {caplog.text}"


async def test_a_change_needs_the_csrf_token(admin: AdminHarness) -> None:
    cookie, document, _ = await sign_in(admin)
    other = (await sign_in(admin))[1]["csrf"]
    for given in ({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": other}, {"X-CSRF-Token": "é"}):
        how = {"headers": {"Cookie": cookie, **given}, "json": {}}
        assert await admin.refused("POST", FREEZE, **how) == (403, "csrf_invalid")
        assert await admin.refused("DELETE", "/v1/session", headers={"Cookie": cookie, **given}) == (
            403,
            "csrf_invalid",
        )
    assert admin.fake.calls == []
    headers = {"Cookie": cookie, "X-CSRF-Token": document["csrf"]}
    assert (await admin.call("POST", FREEZE, headers=headers, json={}))[0] == 200
    assert admin.fake.calls[-1][1]["event"].actor == "ops"


async def test_a_repeated_csrf_token_is_refused(admin: AdminHarness) -> None:
    cookie, document, _ = await sign_in(admin)
    headers = [("Cookie", cookie), ("X-CSRF-Token", document["csrf"]), ("X-CSRF-Token", document["csrf"])]
    async with admin.session.post(admin.url + FREEZE, headers=headers, json={}) as response:
        assert (response.status, (await response.json(content_type=None))["code"]) == (400, "field_repeated")


async def test_a_page_of_another_site_changes_nothing_even_with_cookie_and_token(admin: AdminHarness) -> None:
    cookie, document, _ = await sign_in(admin)
    headers = {"Cookie": cookie, "X-CSRF-Token": document["csrf"], "Origin": "https://evil.example"}
    assert await admin.refused("POST", FREEZE, headers=headers, json={}) == (403, "origin_not_allowed")
    assert await admin.refused(
        "POST", "/v1/session", headers={"Origin": "https://evil.example"}, json={"token": "x"}
    ) == (
        403,
        "origin_not_allowed",
    )


async def test_signing_in_takes_no_session_that_somebody_else_has_made(admin: AdminHarness) -> None:
    """Session fixation: the id is always new."""
    planted, _, _ = await sign_in(admin, "eve")
    cookie, document, _ = await sign_in(admin, Cookie=planted)
    assert cookie != planted
    assert document["name"] == "ops"
    assert (await who(admin, planted))[1]["name"] == "eve"


async def test_two_cookies_of_the_name_are_refused(admin: AdminHarness) -> None:
    """Another host of the domain may have set the second one."""
    one, two = (await sign_in(admin))[0], (await sign_in(admin, "eve"))[0]
    assert await who(admin, f"{one}; {two}") == (401, "session_invalid")
    assert await who(admin, f"{two}; __Host-{one}") == (401, "session_invalid")
    assert (await who(admin, f"{one}; {one}"))[0] == 200


async def test_a_bearer_token_goes_before_a_cookie(admin: AdminHarness) -> None:
    cookie, _, _ = await sign_in(admin)
    _, _, document = await admin.call(
        "GET", "/v1/session", headers={"Cookie": cookie, "Authorization": "Bearer eve-secret"}
    )
    assert (document["name"], document["how"], document["csrf"]) == ("eve", "token", None)
    headers = {"Cookie": cookie, "Authorization": "Bearer wrong"}
    assert await admin.refused("GET", "/v1/session", headers=headers) == (401, "token_invalid")


async def test_another_scheme_than_bearer_is_not_looked_at(admin: AdminHarness) -> None:
    """A proxy in front may pass on its own credentials."""
    cookie, _, _ = await sign_in(admin)
    basic = {"Authorization": "Basic b3BzOm9wcw=="}
    assert (await admin.call("GET", "/v1/session", headers={"Cookie": cookie, **basic}))[2]["name"] == "ops"
    assert await admin.refused("GET", "/v1/session", headers=basic) == (401, "token_missing")


async def test_signing_out_ends_the_session_for_every_copy_of_its_cookie(admin: AdminHarness) -> None:
    cookie, document, _ = await sign_in(admin)
    headers = {"Cookie": cookie, "X-CSRF-Token": document["csrf"]}
    status, answer_headers, answer = await admin.call("DELETE", "/v1/session", headers=headers)
    assert (status, answer) == (200, {"signed_out": True})
    assert len([field for field in answer_headers.getall("Set-Cookie") if "Max-Age=0" in field]) == 2
    assert await who(admin, cookie) == (401, "session_over")
    bearer = {"Authorization": "Bearer eve-secret"}
    assert (await admin.call("DELETE", "/v1/session", headers=bearer))[2] == {"signed_out": False}


async def test_beyond_the_limit_of_ended_sessions_all_end(admin: AdminHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ended_sessions, "ENDED_MAX", 1)
    other, _, _ = await sign_in(admin)
    for _ in range(2):
        cookie, document, _ = await sign_in(admin)
        await admin.call("DELETE", "/v1/session", headers={"Cookie": cookie, "X-CSRF-Token": document["csrf"]})
    assert await who(admin, other) == (401, "session_over")


async def test_a_session_is_over_after_its_time(admin: AdminHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    cookie, document, _ = await sign_in(admin)
    issued_s = int(cookie.split("~")[1])
    assert document["expires_at"] == clock.iso(issued_s + 43_200)
    for now_s, code in (
        (issued_s + 43_199, None),
        (issued_s + 43_201, "session_over"),
        (issued_s - 299, None),
        (issued_s - 301, "session_over"),  # the clock went back by more than it may
    ):
        monkeypatch.setattr(module.clock, "wall_s", lambda now_s=now_s: float(now_s))
        status, found = await who(admin, cookie)
        assert (now_s - issued_s, status, found if status == 401 else None) == (
            now_s - issued_s,
            401 if code else 200,
            code,
        )


async def test_a_session_follows_its_token(admin: AdminHarness) -> None:
    cookie, _, _ = await sign_in(admin)
    higher = Admin(tokens=[token("ops", "admin")], session_lifetime_s=60)
    app.reconfigure(admin.application, Settings(admin=higher))
    _, document = await who(admin, cookie)
    assert document["role"] == "admin"
    assert document["expires_at"] == clock.iso(int(cookie.split("~")[1]) + 60)
    app.reconfigure(admin.application, Settings(admin=Admin(tokens=[token("eve", "viewer")])))
    assert await who(admin, cookie) == (401, "session_invalid")


async def test_guessing_is_throttled(admin: AdminHarness) -> None:
    codes = [
        (await admin.refused("POST", "/v1/session", json={"token": f"guess-{number}"}))[1]
        for number in range(attempts.BURST + 1)
    ]
    assert codes == ["token_invalid"] * attempts.BURST + ["credentials_throttled"]
    await sign_in(admin)  # who knows the token is not locked out


async def test_forged_cookies_are_throttled_and_old_ones_are_not(admin: AdminHarness) -> None:
    cookie, document, _ = await sign_in(admin)
    await admin.call("DELETE", "/v1/session", headers={"Cookie": cookie, "X-CSRF-Token": document["csrf"]})
    codes = {(await who(admin, cookie))[1] for _ in range(attempts.BURST + 1)}
    assert codes == {"session_over"}
    codes = {(await who(admin, cookie[:-1]))[1] for _ in range(attempts.BURST + 1)}
    assert codes == {"session_invalid", "credentials_throttled"}


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"{}", "request_invalid"), (b'{"token": ""}', "request_invalid"), (b'{"token": 1}', "request_invalid"),
     (b'{"token": "a\\nb"}', "request_invalid"), (b'{"token": "' + b"x" * 5000 + b'"}', "request_invalid"),
     (b'{"token": "x", "name": "y"}', "request_invalid"), (b"token=x", "request_invalid")],
)  # fmt: skip
async def test_what_is_no_token_is_refused(admin: AdminHarness, body: bytes, code: str) -> None:
    assert await admin.refused("POST", "/v1/session", data=body, headers=JSON) == (400, code)


async def test_an_oversized_cookie_is_refused_and_costs_one_answer(admin: AdminHarness) -> None:
    name = (await sign_in(admin))[0].partition("=")[0]
    assert await who(admin, f"{name}={'x' * 7000}") == (401, "session_invalid")
    status, code = await admin.refused("GET", "/v1/session", headers={"Cookie": f"{name}={'x' * 9000}"})
    assert (status, code) == (431, "head_too_large")
    many = "; ".join(f"c{number}=1" for number in range(700))
    assert await who(admin, many) == (401, "token_missing")


async def test_without_tokens_there_is_nothing_to_sign_in_to(start_admin: StartAdmin) -> None:
    admin = await start_admin()
    status, headers, document = await admin.call("POST", "/v1/session", json={"token": "x"})
    assert (status, "Set-Cookie" in headers) == (200, False)
    assert document == {"name": "local", "role": "admin", "how": "open", "csrf": None, "expires_at": None}
    assert (await admin.call("GET", "/v1/session"))[2] == document
