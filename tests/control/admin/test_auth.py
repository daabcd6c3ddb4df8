"""Access: Host, Origin, tokens and roles, on every route."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from router.control.admin import app
from router.control.admin.openapi import template
from router.rollout.model.events import Override
from router.settings.sections.admin import Admin
from router.settings.settings import Settings
from tests.control import fake_control
from tests.control.conftest import AdminHarness, StartAdmin, token

TOKENS = Admin(tokens=[token("eve", "viewer"), token("ops", "operator"), token("root", "admin")])
OPEN = {("GET", "/"), ("GET", "/dashboard/favicon.svg"), ("GET", "/livez"), ("GET", "/readyz"), ("POST", "/v1/session")}
BODIES: dict[str, dict[str, Any]] = {
    "deploy": {"version": "v3", "endpoints": ["http://127.0.0.1:9"]},
    "promote": {"version": "v3"},
    "switch": {"to": "v1"},
    "retire": {"version": "v1"},
    "endpoints": {"endpoints": ["http://127.0.0.1:9"]},
    "quarantine": {"reason": "bias"},
    "release": {"reason": "fixed"},
    "session": {"token": "root-secret"},
}


def bearer(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {name}-secret"}


def routes() -> list[tuple[str, str, str | None]]:
    """Every route of the API as (method, path, role)."""
    application = fake_control.application()
    filled = {"service": "fraud", "version": "v1", "incident": "i1", "file": "favicon.svg"}
    return [(op.method, template(op.path).format(**filled), op.role) for op in application[app.OPERATIONS]]


async def answered(admin: AdminHarness, method: str, path: str, headers: dict[str, str]) -> int:
    """Return the status of a well-formed request; the body of a stream is not read."""
    body = {"json": BODIES.get(path.rsplit("/", 1)[-1], {})} if method != "GET" else {}
    async with admin.session.request(method, admin.url + path, headers=headers, **body) as response:
        assert "X-Request-ID" in response.headers
        if response.status >= 400:
            assert response.content_type == "application/problem+json" or path == "/readyz"
        return response.status


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8081", "127.0.0.1.evil.example", "localhost.evil", "localhost@evil.example",
     "evil.example#localhost", "192.0.2.1", "", "[::1", "local host"],
)  # fmt: skip
async def test_a_foreign_host_is_misdirected_on_every_route(admin: AdminHarness, host: str) -> None:
    for method, path, _ in [*routes(), ("GET", "/nothing", "viewer"), ("DELETE", "/v1/status", "viewer")]:
        assert (path, await answered(admin, method, path, {"Host": host})) == (path, 421)
    assert admin.fake.calls == []


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:9", "127.0.0.1:1", "127.0.0.2", "[::1]:8081", "router.example:80", "Router.Example.", "localhost.",
     "[0:0::1]", "router.example.:8081"],
)  # fmt: skip
async def test_our_own_names_with_any_port_are_allowed(start_admin: StartAdmin, host: str) -> None:
    admin = await start_admin(Admin(allowed_hosts=["Router.example"]))
    assert await answered(admin, "GET", "/v1/status", {"Host": host}) == 200


async def test_beyond_loopback_every_literal_address_is_allowed_and_no_name(start_admin: StartAdmin) -> None:
    admin = await start_admin(TOKENS, listen="0.0.0.0:8081")
    for host, status in (("192.0.2.1:8081", 200), ("[2001:db8::1]", 200), ("router.evil", 421)):
        assert (host, await answered(admin, "GET", "/v1/status", {"Host": host, **bearer("eve")})) == (host, status)


@pytest.mark.parametrize(
    "hosts", [b"", b"Host: localhost\r\nHost: localhost\r\n", b"Host: localhost\r\nHost: evil.example\r\n"]
)
async def test_none_or_two_hosts_are_refused(admin: AdminHarness, hosts: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(admin.url.rsplit(":", 1)[1]))
    writer.write(b"GET /v1/status HTTP/1.1\r\n" + hosts + b"Connection: close\r\n\r\n")
    status_line = await reader.readline()
    assert status_line.split()[1] in (b"400", b"421")
    writer.close()
    assert admin.fake.calls == []


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://localhost.evil", "file://", "http://", "javascript://localhost"]
)
async def test_a_foreign_origin_is_forbidden_on_every_route(admin: AdminHarness, origin: str) -> None:
    for method, path, _ in routes():
        assert (path, await answered(admin, method, path, {"Origin": origin})) == (path, 403)
    assert admin.fake.calls == []


FREEZE = "/v1/services/fraud/freeze"


@pytest.mark.parametrize(
    ("told", "host", "origin"),
    [
        (Admin(allowed_origins=["https://Ops.example:443/"]), "localhost", "https://ops.example"),
        (Admin(public_url="https://Router.example:443/ops"), "localhost", "https://router.example"),
        (Admin(public_url="https://Router.example:443/ops"), "router.example", "https://router.example"),
        (Admin(allowed_hosts=["router.lan"]), "router.lan:80", "http://router.lan"),
        (Admin(allowed_hosts=["router.lan"]), "Router.lan", "http://router.lan"),
    ],
)
async def test_an_origin_counts_in_every_spelling(start_admin: StartAdmin, told: Admin, host: str, origin: str) -> None:
    """Browsers send small letters and no default port; the settings, or a proxy before this port, may write both."""
    admin = await start_admin(told)
    assert await answered(admin, "POST", FREEZE, {"Host": host, "Origin": origin}) == 200


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"Origin": "{own}"}, 200),
        ({"Origin": "{own}", "Sec-Fetch-Site": "same-origin"}, 200),
        # a proxy has ended TLS and changed Host
        ({"Origin": "https://localhost", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "https://ops.example", "Sec-Fetch-Site": "cross-site"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Origin": "http://127.0.0.1:8080"}, 403),  # the data port: what a backend sends
        ({"Origin": "http://localhost:8080", "Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://localhost"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "{own}", "Sec-Fetch-Site": "same-site"}, 403),
    ],
)
async def test_a_change_comes_from_our_own_or_an_allowed_page_also_without_tokens(
    start_admin: StartAdmin, fields: dict[str, str], status: int
) -> None:
    admin = await start_admin(Admin(allowed_origins=["https://ops.example"]))
    sent = {name: value.format(own=admin.url) for name, value in fields.items()}
    assert await answered(admin, "POST", FREEZE, sent) == status
    assert len(admin.fake.calls) == (status == 200)
    assert await answered(admin, "GET", "/", sent) == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic b3BzOm9wcw=="},
        {"Authorization": "ops-secret"},
        {"Authorization": "Bearer " + TOKENS.tokens[2].sha256},
        {"Authorization": "Bearer ö\udcff"},
    ],
    ids=["none", "wrong", "empty", "basic", "no scheme", "the hash itself", "no ASCII"],
)
async def test_without_a_valid_token_only_the_open_routes_answer(
    start_admin: StartAdmin, headers: dict[str, str]
) -> None:
    admin = await start_admin(TOKENS)
    for method, path, _ in [*routes(), ("GET", "/nothing", "viewer"), ("DELETE", "/v1/status", "viewer")]:
        expected = 200 if (method, path) in OPEN else 401
        assert (path, await answered(admin, method, path, headers)) == (path, expected)
    assert {verb for verb, _ in admin.fake.calls} == {"status"}  # of /readyz


async def test_a_401_names_the_authentication_scheme(start_admin: StartAdmin) -> None:
    admin = await start_admin(TOKENS)
    _, headers, problem = await admin.call("GET", "/v1/status")
    assert headers["WWW-Authenticate"] == 'Bearer realm="rollback-router"'
    assert problem["code"] == "token_missing"


@pytest.mark.parametrize("name", ["eve", "ops", "root"])
async def test_roles(start_admin: StartAdmin, name: str) -> None:
    admin = await start_admin(TOKENS)
    for method, path, role in routes():
        status = await answered(admin, method, path, bearer(name))
        refused = name == "eve" and role == "operator"
        assert (path, status == 403) == (path, refused)
        assert refused == (method != "GET" and name == "eve" and path != "/v1/session")


async def test_readiness_without_a_token_is_the_bare_answer(start_admin: StartAdmin) -> None:
    admin = await start_admin(TOKENS)
    assert (await admin.call("GET", "/readyz"))[2] == {"ready": True}
    assert "checks" in (await admin.call("GET", "/readyz", headers=bearer("eve")))[2]


async def test_the_token_signs_and_its_bearer_cannot_sign_as_another(start_admin: StartAdmin) -> None:
    admin = await start_admin(TOKENS)
    body = {"version": "v3", "actor": "root", "override": {"actor": "ada", "reason": "I know"}}
    await admin.call("POST", "/v1/services/fraud/promote", headers=bearer("ops"), json=body)
    event = admin.fake.calls[-1][1]["event"]
    assert (event.actor, event.override) == ("ops", Override("ada (token ops)", "I know"))


async def test_one_bearers_idempotency_key_is_not_anothers(start_admin: StartAdmin) -> None:
    admin = await start_admin(TOKENS)
    for name in ("ops", "root"):
        headers = {**bearer(name), "Idempotency-Key": "k1"}
        _, answer_headers, _ = await admin.call("POST", "/v1/services/fraud/rollback", headers=headers, json={})
        assert "Idempotency-Replayed" not in answer_headers
    assert [asked["event"].actor for _, asked in admin.fake.calls] == ["ops", "root"]


async def test_tokens_change_with_the_settings(start_admin: StartAdmin) -> None:
    admin = await start_admin(TOKENS)
    app.reconfigure(admin.application, Settings(admin=Admin(tokens=[token("new", "viewer")])))
    assert await answered(admin, "GET", "/v1/status", bearer("root")) == 401
    assert await answered(admin, "GET", "/v1/status", bearer("new")) == 200


async def test_nothing_secret_is_shown(start_admin: StartAdmin, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    admin = await start_admin(TOKENS)
    for headers in (bearer("eve"), {"Authorization": "Bearer guess-secret"}):
        for path in ("/v1/status", "/metrics", "/v1/openapi.json", "/readyz", "/v1/services/none"):
            async with admin.session.get(admin.url + path, headers=headers) as response:
                shown = str(response.headers) + await response.text()
                assert "-secret" not in shown
                assert TOKENS.tokens[0].sha256 not in shown
    assert "-secret" not in caplog.text


async def test_answers_have_the_fields_that_protect_browsers(admin: AdminHarness) -> None:
    async with aiohttp.ClientSession() as session, session.get(admin.url + "/v1/status") as response:
        assert {
            name: response.headers[name]
            for name in (
                "Server",
                "X-Content-Type-Options",
                "Content-Security-Policy",
                "Cache-Control",
                "Referrer-Policy",
            )
        } == {
            "Server": "rollback-router",
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
        }
