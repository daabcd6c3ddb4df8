"""People whom an authenticating proxy names: only from its address and with its secret, and never by a page of another site."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request
from pydantic import ValidationError

from router.control.admin.sessions.identity import IdentityProxy
from router.errors import Refusal
from router.settings.sections.admin import Admin, PersonIdentity
from router.settings.settings import Settings
from tests.control.conftest import StartAdmin, token
from tests.texts import golden

SECRET = "proxy-secret"
NAMED = {"X-User": "mara@example.com"}
PROXY: dict[str, Any] = {"header": "X-User", "trusted": ["127.0.0.1"]}
SAME = {"Sec-Fetch-Site": "same-origin"}
FREEZE = "/v1/services/fraud/freeze"


def identity(**members: Any) -> Admin:
    return Admin(identity=PersonIdentity.model_validate({**PROXY, **members}))


async def test_a_person_is_the_one_that_the_proxy_names(start_admin: StartAdmin) -> None:
    admin = await start_admin(identity(role="operator"))
    _, _, document = await admin.call("GET", "/v1/session", headers=NAMED)
    assert document == {
        "name": "mara@example.com", "role": "operator", "how": "identity", "csrf": None, "expires_at": None,
    }  # fmt: skip
    assert (await admin.call("POST", FREEZE, headers={**NAMED, **SAME}, json={"actor": "jonas"}))[0] == 200
    assert admin.fake.calls[-1][1]["event"].actor == "mara@example.com"


async def test_without_the_field_nobody_is_let_in(start_admin: StartAdmin) -> None:
    admin = await start_admin(identity())
    assert await admin.refused("GET", "/v1/status") == (401, "token_missing")
    for header in ("X_User", "X-Forwarded-User", "X-User2"):
        assert await admin.refused("GET", "/v1/status", headers={header: "mara"}) == (401, "token_missing")


@pytest.mark.parametrize(
    ("trusted", "code"),
    [
        (["127.0.0.0/8"], 200),
        (["10.0.0.0/8", "127.0.0.1"], 200),
        (["10.0.0.0/8"], 401),
        (["::1"], 401),
        (["unix"], 401),
        (["127.0.0.2"], 401),
    ],
)
async def test_the_address_of_the_connection_counts(start_admin: StartAdmin, trusted: list[str], code: int) -> None:
    admin = await start_admin(identity(trusted=trusted))
    forwarded = {"X-Forwarded-For": "127.0.0.1", "Forwarded": "for=127.0.0.1", "X-Real-IP": "10.0.0.1"}
    status, _, document = await admin.call("GET", "/v1/status", headers={**NAMED, **forwarded})
    assert (status, document.get("code")) == (code, None if code == 200 else "identity_untrusted")


async def test_a_spoofed_field_is_counted_and_throttled(start_admin: StartAdmin) -> None:
    admin = await start_admin(identity(trusted=["10.0.0.1"]))
    codes = [(await admin.refused("GET", "/v1/status", headers=NAMED))[1] for _ in range(31)]
    assert codes == ["identity_untrusted"] * 30 + ["credentials_throttled"]


async def test_the_secret_of_the_proxy(start_admin: StartAdmin) -> None:
    told = identity(secret_header="X-Proxy-Secret", sha256=hashlib.sha256(SECRET.encode()).hexdigest())
    admin = await start_admin(told)
    for given in (
        {},
        {"X-Proxy-Secret": ""},
        {"X-Proxy-Secret": "guess"},
        {"X-Proxy-Secret": told.identity.sha256 or ""},
    ):
        code = await admin.refused("GET", "/v1/status", headers={**NAMED, **given})
        assert code == (401, "identity_untrusted")
    assert (await admin.call("GET", "/v1/status", headers={**NAMED, "X-Proxy-Secret": SECRET}))[0] == 200


async def test_a_field_that_stands_twice_is_refused(start_admin: StartAdmin) -> None:
    """A proxy that adds its field to that of the client does not replace it."""
    admin = await start_admin(identity(groups_header="X-Groups", roles={"sre": "admin"}))
    for name in ("X-User", "X-Groups"):
        headers = [*NAMED.items(), ("X-Groups", "dev"), (name, "sre")]
        async with admin.session.get(admin.url + "/v1/session", headers=headers) as response:
            assert (response.status, (await response.json(content_type=None))["code"]) == (400, "field_repeated")


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "a,b", "ma\u202era", "x" * 65, "mara\u00e9", "root;role=admin", "<b>"]
)
async def test_what_is_no_name_is_refused(start_admin: StartAdmin, name: str) -> None:
    admin = await start_admin(identity())
    assert await admin.refused("GET", "/v1/status", headers={"X-User": name}) == (401, "identity_invalid")


@pytest.mark.parametrize(
    ("role", "groups", "found"),
    [
        ("viewer", "", "viewer"),
        ("viewer", "sre", "admin"),
        ("viewer", "dev , ops", "operator"),
        ("viewer", "ops,sre", "admin"),
        ("operator", "guests", "operator"),
        ("none", "ops", "operator"),
        ("none", "", None),
        ("none", "OPS", None),
        ("none", "op,s", None),
    ],
)
async def test_the_role_is_the_highest_of_the_groups(
    start_admin: StartAdmin, role: str, groups: str, found: str | None
) -> None:
    roles = {"sre": "admin", "ops": "operator", "guests": "viewer"}
    admin = await start_admin(identity(role=role, groups_header="X-Groups", roles=roles))
    status, _, document = await admin.call("GET", "/v1/session", headers={**NAMED, "X-Groups": groups})
    assert (status, document.get("role"), document.get("code")) == (
        (200, found, None) if found else (403, None, "role_insufficient")
    )


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, "csrf_invalid"),
        ({"Sec-Fetch-Site": "same-origin"}, None),
        ({"Sec-Fetch-Site": "same-site"}, "origin_not_allowed"),
        ({"Sec-Fetch-Site": "none"}, "csrf_invalid"),
        ({"Origin": "http://localhost"}, "origin_not_allowed"),  # a page of another port
        ({"Origin": "https://ops.example"}, None),
        ({"Origin": "https://router.example"}, None),
        ({"Origin": "https://ops.example", "Sec-Fetch-Site": "same-site"}, None),
        ({"Origin": "http://203.0.113.9", "Sec-Fetch-Site": "cross-site"}, "origin_not_allowed"),
        # an allowed host, as every literal address is beyond loopback
        ({"Origin": "http://203.0.113.9"}, "origin_not_allowed"),
    ],
)
async def test_a_change_must_come_from_a_page_of_this_api(
    start_admin: StartAdmin, fields: dict[str, str], code: str | None
) -> None:
    told = Admin(
        identity=PersonIdentity.model_validate({**PROXY, "role": "operator"}),
        allowed_origins=["https://ops.example"],
        public_url="https://router.example/r",
    )
    admin = await start_admin(told, listen="0.0.0.0:8081")
    found, _, document = await admin.call("POST", FREEZE, headers={**NAMED, **fields}, json={})
    assert (found, document.get("code")) == (403 if code else 200, code)
    own = {**NAMED, "Origin": admin.url}
    assert (await admin.call("POST", FREEZE, headers=own, json={}))[0] == 200


async def test_tokens_and_sessions_work_beside_it(start_admin: StartAdmin) -> None:
    told = Admin(tokens=[token("ops", "operator")], identity=PersonIdentity.model_validate(PROXY))
    admin = await start_admin(told)
    headers = {**NAMED, "Authorization": "Bearer ops-secret"}
    assert (await admin.call("GET", "/v1/session", headers=headers))[2]["name"] == "ops"
    assert await admin.refused("GET", "/v1/session", headers={**NAMED, "Authorization": "Bearer x"}) == (
        401,
        "token_invalid",
    )
    _, answer_headers, _ = await admin.call("POST", "/v1/session", json={"token": "ops-secret"})
    cookie = answer_headers["Set-Cookie"].partition(";")[0]
    _, _, document = await admin.call("GET", "/v1/session", headers={**NAMED, "Cookie": cookie})
    assert (document["name"], document["how"]) == ("ops", "session")
    _, _, document = await admin.call("GET", "/v1/session", headers={**NAMED, "Cookie": cookie[:-1]})
    assert (document["name"], document["how"]) == ("mara@example.com", "identity")


@pytest.mark.parametrize(
    ("members", "word"),
    [
        ({"trusted": []}, "trusted is empty"),
        ({"trusted": ["10.0.0.1/8"]}, "write 10.0.0.0/8"),
        ({"trusted": ["proxy"]}, "is no network"),
        ({"header": "X User"}, "header"),
        ({"secret_header": "X-S"}, "belong together"),
        ({"sha256": "0" * 64}, "belong together"),
        ({"roles": {"a": "admin"}}, "roles needs groups_header"),
        ({"roles": {"a": "root"}, "groups_header": "G"}, "roles"),
    ],
)
def test_settings_that_are_incomplete_are_refused(members: dict[str, Any], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        PersonIdentity.model_validate({**PROXY, **members})


def test_with_an_identity_the_port_may_listen_outside() -> None:
    told = {"admin": {"identity": PROXY}, "admin_listen": "0.0.0.0:8081"}
    assert not Settings.model_validate(told).admin.is_open
    with pytest.raises(ValidationError, match=golden("admin.reached_from_outside")):
        Settings.model_validate({"admin_listen": "0.0.0.0:8081"})


class Peer:
    """The transport of a connection from `name`, as the kernel gives it; of a Unix socket it is empty."""

    def __init__(self, name: object) -> None:
        self.name = name

    def get_extra_info(self, what: str, default: object = None) -> object:
        return self.name if what == "peername" else default

    def is_closing(self) -> bool:
        return False


@pytest.mark.parametrize(
    ("name", "trusted", "known"),
    [
        ("", ["unix"], True),
        ("", ["127.0.0.1"], False),
        (None, ["unix"], False),  # it has disconnected
        (("::ffff:127.0.0.1", 1, 0, 0), ["127.0.0.1"], True),
        (("fe80::1%eth0", 1, 0, 0), ["fe80::/10"], True),
        (("10.0.0.1", 1), ["unix"], False),
    ],
)
def test_the_peer_is_the_one_of_the_kernel(name: object, trusted: list[str], known: bool) -> None:
    proxy = IdentityProxy(PersonIdentity.model_validate({**PROXY, "trusted": trusted}))
    request = make_mocked_request("GET", "/", headers=NAMED, transport=Peer(name))
    if known:
        assert proxy.caller(request) is not None
    else:
        with pytest.raises(Refusal) as refused:
            proxy.caller(request)
        assert refused.value.code == "identity_untrusted"
