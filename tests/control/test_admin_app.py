"""Every route: what it hands to the controller, and how its answer and its refusals look."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from router.config import Admin
from router.control.expect import Expect
from router.control.verbs import Verbs
from router.errors import OperatorError
from router.rollout.events import Override
from tests.control.conftest import Office, StartOffice
from tests.control.fake_controller import FakeController

NONE = Expect(None, None)
DEPLOY = {"version": "fraud-v3", "endpoints": ["http://127.0.0.1:9003/"]}


@pytest.mark.parametrize(
    ("path", "verb", "asked"),
    [
        pytest.param("/v1/status", "status", {}, id="status"),
        pytest.param("/v1/services/fraud", "service_status", {"service": "fraud"}, id="service"),
        pytest.param("/v1/services/fraud/explain", "explain", {"service": "fraud"}, id="explain"),
        pytest.param("/v1/versions", "versions", {}, id="versions"),
        pytest.param("/v1/incidents", "incidents", {}, id="incidents"),
        pytest.param("/v1/journal", "journal", {"after": 0, "limit": 100, "service": None}, id="journal"),
        pytest.param("/v1/journal?after=7&limit=2&service=fraud", "journal",
                     {"after": 7, "limit": 2, "service": "fraud"}, id="journal, query"),
    ],
)  # fmt: skip
async def test_reading(office: Office, path: str, verb: str, asked: dict[str, Any]) -> None:
    status, headers, document = await office.call("GET", path)
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert office.controller.calls == [(verb, asked)]
    assert isinstance(document, dict)


CHANGES = [
    pytest.param("POST", "/v1/services/fraud/deploy", DEPLOY, 202, "deploy",
                 {"version": "fraud-v3", "endpoints": ["http://127.0.0.1:9003"], "replace": False, "override": None,
                  "expect": NONE}, id="deploy"),
    pytest.param("POST", "/v1/services/fraud/promote",
                 {"version": "v3", "reason": "better", "override": {"actor": "ada", "reason": "I know"}}, 200, "promote",
                 {"version": "v3", "reason": "better", "override": Override("ada", "I know"), "expect": NONE}, id="promote"),
    pytest.param("POST", "/v1/services/fraud/rollback", {"reason": "bad", "from": "fraud-v2"}, 200, "rollback",
                 {"reason": "bad", "expect": Expect(None, "fraud-v2")}, id="rollback"),
    pytest.param("POST", "/v1/services/fraud/switch", {"to": "org/m:v1"}, 200, "switch",
                 {"to": "org/m:v1", "reason": "", "override": None, "expect": NONE}, id="switch"),
    pytest.param("POST", "/v1/services/fraud/retire", {"version": "v1", "cut": True}, 200, "retire",
                 {"version": "v1", "cut": True, "expect": NONE}, id="retire"),
    pytest.param("PUT", "/v1/services/fraud/versions/org%2Fm:v1/endpoints", {"endpoints": ["http://[::1]:9"]}, 200,
                 "set_endpoints", {"version": "org/m:v1", "endpoints": ["http://[::1]:9"]}, id="endpoints"),
    pytest.param("POST", "/v1/services/fraud/freeze", {"reason": "fair"}, 200, "freeze", {"reason": "fair"}, id="freeze"),
    pytest.param("POST", "/v1/services/fraud/unfreeze", {}, 200, "unfreeze", {"reason": ""}, id="unfreeze"),
    pytest.param("POST", "/v1/versions/v1/quarantine", {"reason": "bias", "service": "fraud"}, 200, "quarantine",
                 {"version": "v1", "reason": "bias"}, id="quarantine"),
    pytest.param("POST", "/v1/versions/org/m:v1/release", {"reason": "fixed", "service": "fraud"}, 200, "release",
                 {"version": "org/m:v1", "reason": "fixed"}, id="release"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body", "status", "verb", "asked"), CHANGES)
async def test_changing(
    office: Office, method: str, path: str, body: dict[str, Any], status: int, verb: str, asked: dict[str, Any]
) -> None:
    answered, _, document = await office.call(method, f"{path}?dry_run=true", json={**body, "actor": "grace"})
    assert answered == status, document
    assert office.controller.calls == [(verb, {"service": "fraud", "actor": "grace", "dry_run": True, **asked})]


async def test_without_tokens_and_without_a_name_the_actor_is_local(office: Office) -> None:
    await office.call("POST", "/v1/services/fraud/rollback", json={})
    asked = {"service": "fraud", "reason": "", "actor": "local", "expect": NONE, "dry_run": False}
    assert office.controller.calls == [("rollback", asked)]


async def test_the_only_service_need_not_be_named_for_a_mark(office: Office) -> None:
    await office.call("POST", "/v1/versions/v1/quarantine", json={"reason": "bias"})
    assert office.controller.calls[-1][1]["service"] == "fraud"


async def test_the_etag_of_a_service_is_what_if_match_takes(office: Office) -> None:
    _, headers, _ = await office.call("GET", "/v1/services/fraud")
    assert headers["ETag"] == '"16777218"'
    how = {"headers": {"If-Match": headers["ETag"]}, "json": {}}
    _, answer_headers, _ = await office.call("POST", "/v1/services/fraud/rollback", **how)
    assert office.controller.calls[-1][1]["expect"] == Expect(16777218, None)
    assert answer_headers["ETag"] == '"16777219"'


@pytest.mark.parametrize("value", ["16777218", 'W/"1"', '"1", "2"', '"x"', '""'])
async def test_an_if_match_that_is_no_generation_is_refused(office: Office, value: str) -> None:
    how = {"headers": {"If-Match": value}, "json": {}}
    assert await office.refused("POST", "/v1/services/fraud/rollback", **how) == (400, "request_invalid")
    assert office.controller.calls == []


async def test_a_refusal_of_the_controller_keeps_its_status_code_and_facts(office: Office) -> None:
    office.controller.refusal = OperatorError(
        412, "generation_stale", "it is 9 by now", facts={"generation": 9, "status": 200}
    )
    status, headers, problem = await office.call(
        "POST", "/v1/services/fraud/rollback", json={}, headers={"X-Request-ID": "abc"}
    )
    assert (status, headers["Content-Type"]) == (412, "application/problem+json")
    assert problem == {
        "type": "about:blank",
        "title": "Precondition Failed",
        "status": 412,
        "detail": "it is 9 by now",
        "code": "generation_stale",
        "request_id": "abc",
        "generation": 9,
    }


async def test_a_journal_that_is_away_is_a_503_that_may_be_tried_again(office: Office) -> None:
    office.controller.refusal = OperatorError(503, "journal_unavailable", "disk full")
    status, headers, _ = await office.call("POST", "/v1/services/fraud/rollback", json={})
    assert (status, headers["Retry-After"]) == (503, "1")


async def test_a_bug_is_a_500_that_shows_nothing_and_a_log_line_that_shows_all(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    office.controller.crash = RuntimeError("secret 42")
    for method, path, how in (
        ("GET", "/v1/status", {}),
        ("POST", "/v1/services/fraud/freeze", {"json": {}}),
        ("GET", "/metrics", {}),
        ("GET", "/readyz", {}),
    ):
        status, headers, problem = await office.call(method, path, headers={"X-Request-ID": "bug-1"}, **how)
        assert (status, problem["code"], headers["X-Request-ID"]) == (500, "internal", "bug-1")
        assert "secret" not in str(problem)
    assert [record.levelname for record in caplog.records] == ["ERROR"] * 4
    assert "RuntimeError: secret 42" in caplog.text
    assert "bug-1" in caplog.text


async def test_unknown_paths_and_methods(office: Office) -> None:
    assert await office.refused("GET", "/v1/nothing") == (404, "path_unknown")
    assert await office.refused("GET", "/v1/status/") == (404, "path_unknown")
    assert await office.refused("GET", "/v1/services/other") == (404, "service_unknown")
    assert await office.refused("GET", "/v1/services/%0d%0aX") == (404, "service_unknown")
    assert await office.refused("GET", "/v1/incidents/x") == (404, "incident_unknown")
    status, headers, problem = await office.call("DELETE", "/v1/status")
    assert (status, headers["Allow"], problem["code"]) == (405, "GET, HEAD", "method_not_allowed")


async def test_a_request_id_is_kept_if_it_is_one_and_made_if_not(office: Office) -> None:
    for path in ("/", "/livez", "/readyz", "/metrics", "/v1/status", "/v1/nothing"):
        _, headers, _ = await office.call("GET", path, headers={"X-Request-ID": "abc-1"})
        assert headers["X-Request-ID"] == "abc-1"
        for unusable in ("", "a b", "x" * 129):
            _, headers, _ = await office.call("GET", path, headers={"X-Request-ID": unusable})
            assert len(headers["X-Request-ID"]) == 32


async def test_the_front_page_points_to_the_api(office: Office) -> None:
    status, headers, page = await office.call("GET", "/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert 'href="/v1/status"' in page
    assert 'href="/v1/openapi.json"' in page


async def test_head_is_answered_without_a_body(office: Office) -> None:
    status, headers, text = await office.call("HEAD", "/v1/services/fraud")
    assert (status, headers["ETag"], text) == (200, '"16777218"', None)


# -- readiness
async def test_ready_lists_its_checks(office: Office) -> None:
    office.controller.service |= {"way_back": False, "no_way_back": "quarantined"}
    status, _, document = await office.call("GET", "/readyz?verbose")
    assert (status, document) == (
        200,
        {
            "ready": True,
            "checks": [
                {"name": "workers", "ok": True, "detail": "2 of 2 workers accept"},
                {"name": "service fraud", "ok": True, "detail": "active: fraud-v2"},
            ],
            "degraded": ["service fraud: no_way_back (quarantined)"],
        },
    )


@pytest.mark.parametrize("broken", ["no worker", "draining", "no active"])
async def test_not_ready(office: Office, broken: str) -> None:
    for worker in office.controller.workers:
        worker["up"] = broken != "no worker"
        worker["draining"] = broken == "draining"
    if broken == "no active":
        office.controller.service["active"] = None
    status, _, document = await office.call("GET", "/readyz")
    assert (status, document["ready"]) == (503, False)
    assert (await office.call("GET", "/livez"))[0] == 200


# -- Idempotency-Key
async def test_the_same_key_gives_the_same_answer_without_a_second_change(office: Office) -> None:
    how = {"headers": {"Idempotency-Key": "k1"}, "json": {"reason": "bad"}}
    first = await office.call("POST", "/v1/services/fraud/rollback", **how)
    second = await office.call("POST", "/v1/services/fraud/rollback", **how)
    assert (first[0], first[2]) == (second[0], second[2])
    assert ("Idempotency-Replayed" in first[1], second[1]["Idempotency-Replayed"]) == (False, "true")
    assert len(office.controller.calls) == 1
    other = {"headers": {"Idempotency-Key": "k1"}, "json": {"reason": "other"}}
    assert await office.refused("POST", "/v1/services/fraud/rollback", **other) == (422, "idempotency_key_reused")


async def test_a_second_request_with_the_key_waits_for_the_first(office: Office) -> None:
    office.controller.gate = asyncio.Event()
    how = {"headers": {"Idempotency-Key": "k1"}, "json": {}}
    both = asyncio.gather(*(office.call("POST", "/v1/services/fraud/rollback", **how) for _ in range(2)))
    while not office.controller.calls:
        await asyncio.sleep(0)
    office.controller.gate.set()
    first, second = await both
    assert (first[0], first[2]) == (second[0], second[2])
    assert len(office.controller.calls) == 1


async def test_a_refusal_is_remembered_and_a_failure_of_ours_is_not(office: Office) -> None:
    how = {"headers": {"Idempotency-Key": "k1"}, "json": {}}
    office.controller.refusal = OperatorError(503, "journal_unavailable", "disk full")
    assert await office.refused("POST", "/v1/services/fraud/rollback", **how) == (503, "journal_unavailable")
    office.controller.refusal = OperatorError(409, "no_standby", "nothing to go back to")
    for _ in range(2):
        assert await office.refused("POST", "/v1/services/fraud/rollback", **how) == (409, "no_standby")
    assert len(office.controller.calls) == 2


# -- malformed input
@pytest.mark.parametrize(
    ("body", "code", "place"),
    [
        pytest.param(b"{", "request_invalid", "body", id="no JSON"),
        pytest.param(b"", "request_invalid", "body", id="empty"),
        pytest.param(b"[]", "request_invalid", "body", id="no object"),
        pytest.param(b"null", "request_invalid", "body", id="null"),
        pytest.param(b"\xff\xfe{}", "request_invalid", "body", id="not UTF-8"),
        pytest.param(b'{"version": "\\ud800", "endpoints": ["http://a:1"]}', "request_invalid", "body", id="surrogate"),
        pytest.param(b"[" * 1_000_000, "request_invalid", "body", id="a million levels"),
        pytest.param(b'{"a":' * 150_000, "request_invalid", "body", id="deep objects"),
        pytest.param(b'{"version": "v", "endpoints": [], "x": 1}',
                     "request_invalid", "body.endpoints", id="no endpoint"),
        pytest.param(b'{"version": "v", "endpoints": ["http://a:1"], "vesrion": 1}',
                     "request_invalid", "body.vesrion", id="unknown"),
        pytest.param(b'{"version": 7, "endpoints": ["http://a:1"]}',
                     "request_invalid", "body.version", id="wrong type"),
        pytest.param(b'{"version": "v1\\r\\nX: y", "endpoints": ["http://a:1"]}',
                     "version_invalid", "body.version", id="CRLF in version"),
        pytest.param(b'{"version": "v1\\n", "endpoints": ["http://a:1"]}',
                     "version_invalid", "body.version", id="LF at the end"),
        pytest.param(b'{"version": "v", "endpoints": ["file:///etc/passwd"]}',
                     "endpoint_invalid", "body.endpoints", id="scheme"),
        pytest.param(b'{"version": "v", "endpoints": ["http://"]}', "endpoint_invalid", "body.endpoints", id="no host"),
        pytest.param(b'{"version": "v", "endpoints": ["http://a:1"], "replace": "yes"}',
                     "request_invalid", "body.replace", id="no bool"),
        pytest.param(b'{"version": "v", "endpoints": ["http://a:1"], "actor": "a\\u0000b"}',
                     "request_invalid", "body.actor", id="control character"),
        pytest.param(b'{"version": "v", "endpoints": ["http://a:1"], "override": {"actor": "a", "reason": ""}}',
                     "request_invalid", "body.override.reason", id="override without reason"),
    ],
)  # fmt: skip
async def test_a_bad_body_is_a_400_that_names_the_place(office: Office, body: bytes, code: str, place: str) -> None:
    how = {"data": body, "headers": {"Content-Type": "application/json"}}
    status, headers, problem = await office.call("POST", "/v1/services/fraud/deploy", **how)
    assert (status, headers["Content-Type"], problem["code"]) == (400, "application/problem+json", code)
    assert problem["errors"][0]["place"] == place
    assert problem["detail"].startswith(f"{place}: ")
    assert len(problem["detail"]) < 2000
    assert problem["detail"].isprintable()
    assert office.controller.calls == []


@pytest.mark.parametrize(
    "query", ["dry_run=perhaps", "dryrun=true", "dry_run=true&dry_run=false", "dry_run="], ids=lambda query: query
)
async def test_a_bad_query_changes_nothing(office: Office, query: str) -> None:
    path = f"/v1/services/fraud/freeze?{query}"
    assert await office.refused("POST", path, json={}) == (400, "request_invalid")
    assert office.controller.calls == []


@pytest.mark.parametrize(
    "query", ["after=-1", "limit=0", "limit=1001", "after=x", f"after={1 << 63}", "service=%0d%0a"]
)
async def test_a_bad_journal_query(office: Office, query: str) -> None:
    assert await office.refused("GET", f"/v1/journal?{query}") == (400, "request_invalid")


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Content-Type": "text/plain"}, id="text"),
        pytest.param({"Content-Type": "application/x-www-form-urlencoded"}, id="form"),
        pytest.param({"Content-Type": "application/json; charset=utf-16"}, id="charset"),
        pytest.param({"Content-Type": "application/jsonx"}, id="nearly"),
        pytest.param({"Content-Type": ""}, id="none"),
    ],
)
async def test_other_content_types_are_415(office: Office, headers: dict[str, str]) -> None:
    how = {"data": b"{}", "headers": headers}
    assert await office.refused("POST", "/v1/services/fraud/freeze", **how) == (415, "content_type")
    assert office.controller.calls == []


async def test_a_compressed_body_is_415(office: Office) -> None:
    how = {"json": {}, "headers": {"Content-Encoding": "gzip"}}
    assert await office.refused("POST", "/v1/services/fraud/freeze", **how) == (415, "content_encoding")


async def test_a_body_above_the_limit_is_413_announced_or_not(start_office: StartOffice) -> None:
    office = await start_office(Admin(body_bytes_max=100))
    headers = {"Content-Type": "application/json"}

    async def unannounced() -> Any:
        for _ in range(3):
            yield b" " * 50

    for data in (b" " * 101, unannounced()):
        how = {"data": data, "headers": headers}
        assert await office.refused("POST", "/v1/services/fraud/freeze", **how) == (413, "body_too_large")
    assert office.controller.calls == []


def test_the_fake_has_every_verb_that_the_admin_asks_for() -> None:
    wanted = {name for name in vars(Verbs) if not name.startswith("_")}
    assert {name for name in wanted if not callable(getattr(FakeController, name, None))} == set()
