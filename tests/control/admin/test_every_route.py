"""Tables over every route of the whole router, taken from the application: a new route is covered without a new test."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from pydantic import BaseModel

from router.control.admin import app
from router.control.admin.operation import Operation
from router.control.wiring import AddonDeps, add_addons
from tests.control.conftest import serving
from tests.control.control_harness import ControlHarness

LINK = "/decide/svc-rollback-1/approve/1800000000/" + "0" * 64
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
VERSIONS = ("v1", "models:/fraud/3", "team%2Fv1", "a%2Fquarantine")


class RunningControl:
    """The whole admin of a router, on loopback."""

    def __init__(self, operations: tuple[Operation, ...], url: str, session: aiohttp.ClientSession) -> None:
        self.operations = operations
        self.url = url
        self.session = session

    async def call(self, method: str, path: str, **how: Any) -> tuple[int, Any, bytes]:
        url = aiohttp.client.URL(self.url + path, encoded=True)
        async with self.session.request(method, url, **how) as response:
            streams = response.content_type == "text/event-stream"
            return response.status, response.headers, b"" if streams else await response.read()

    def paths(self) -> dict[str, set[str]]:
        """Every path, its parameters filled in, with the methods that it has."""
        found: dict[str, set[str]] = {}
        for operation in self.operations:
            for version in VERSIONS if "{version" in operation.path else ("",):
                methods = found.setdefault(filled(operation.path, version), set())
                methods.add(operation.method)
                if operation.method == "GET" and operation.media_type != "text/event-stream":
                    methods.add("HEAD")
        return found

    def with_bodies(self) -> list[tuple[str, str, type[BaseModel]]]:
        return [
            (operation.method, filled(operation.path, "v1"), model)
            for operation in self.operations
            if (model := operation.body or operation.takes) is not None
        ]


def filled(path: str, version: str) -> str:
    names = {"service": "svc", "incident": "i1", "proposal": "p1", "version": version}
    path = re.sub(r"\{(\w+):[^{}]*(?:\{[^{}]*\}[^{}]*)*\}", r"{\1}", path)
    return re.sub(r"\{(\w+)\}", lambda match: names.get(match[1], "x1"), path)


@pytest.fixture
async def running(control: ControlHarness, tmp_path: Any) -> AsyncIterator[RunningControl]:
    plain = {**control.settings.model_dump(), "alerts": {"tokens": [{"name": "am", "sha256": "0" * 64}]}}
    configured = type(control.settings).model_validate(plain)
    further = add_addons(AddonDeps(control.core, configured, tmp_path))
    application = app.build(control.queries, control.operations, configured, further)
    async with serving(application) as url, aiohttp.ClientSession() as session:
        yield RunningControl(application[app.OPERATIONS], url, session)
    for addon in control.control_loop.addons:
        await addon.close()


def problem(headers: Any, body: bytes, status: int) -> dict[str, Any]:
    """Return a whole problem document, with the fields that every answer has."""
    assert headers["Content-Type"] == "application/problem+json", body
    document: dict[str, Any] = json.loads(body)
    assert {"type", "title", "status", "detail", "code", "request_id"} <= set(document)
    assert (document["status"], document["request_id"]) == (status, headers["X-Request-ID"])
    assert document["detail"].isprintable()
    return document


async def test_a_wrong_method_is_405_with_what_is_possible(running: RunningControl) -> None:
    paths = running.paths()
    assert len(paths) > 40
    for path, methods in paths.items():
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE"):
            if method in methods:
                continue
            status, headers, body = await running.call(method, path)
            assert (method, path, status, headers["Allow"]) == (method, path, 405, ", ".join(sorted(methods)))
            if method != "HEAD":
                assert problem(headers, body, 405)["code"] == "method_not_allowed"


@pytest.mark.parametrize("path", ["/nothing", "/v1", "/v1/", "/v1/services", "/v1/services/svc/nothing", "/v1/status/",
                                  "//", "/%2e%2e/v1/status", "/v1/versions/", "/v1//status", "/v2/status",
                                  "/decidex"])  # fmt: skip
async def test_an_unknown_path_is_404(running: RunningControl, path: str) -> None:
    for method in ("GET", "POST", "DELETE", "OPTIONS"):
        status, headers, body = await running.call(method, path)
        assert (method, status, problem(headers, body, 404)["code"]) == (method, 404, "path_unknown")


async def test_every_answer_has_its_fields(running: RunningControl) -> None:
    for path, methods in running.paths().items():
        for method in (*methods, "OPTIONS"):
            status, headers, _ = await running.call(method, path, headers={"X-Request-ID": "r-1"}, data=b"")
            found = {
                name: headers.get(name)
                for name in ("Server", "Cache-Control", "X-Content-Type-Options", "X-Request-ID")
            }
            kept = method in ("GET", "HEAD") and path == "/"  # the page: a browser asks by its ETag
            assert (method, path, status < 600, found) == (method, path, True, {
                "Server": "rollback-router", "Cache-Control": "no-cache" if kept else "no-store",
                "X-Content-Type-Options": "nosniff", "X-Request-ID": "r-1"})  # fmt: skip
            assert "Access-Control-Allow-Origin" not in headers


WRONG_BODIES = {
    "twice": b'{"actor": "a", "actor": "b"}',
    "twice, escaped": b'{"actor": "a", "\\u0061ctor": "b"}',
    "twice, nested": b'{"x": {"y": [1, {"z": 1, "z": 2}]}}',
    "NaN": b'{"reason": NaN}',
    "Infinity": b'{"reason": -Infinity}',
    "beyond a double": b'{"limit": 1e999}',
    "5,000 digits": b'{"limit": ' + b"9" * 5000 + b"}",
    "deep lists": b"[" * 5000 + b"]" * 5000,
    "deep objects": b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "65 levels": b'{"x":' + b"[" * 65 + b"]" * 65 + b"}",
    "half a surrogate pair": b'{"reason": "\\ud800"}',
    "half a pair as a name": b'{"\\udfff": 1}',
    "byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"reason": "a"}'.encode("utf-16"),
    "Latin-1": '{"reason": "ä"}'.encode("latin-1"),
    "trailing junk": b"{} x",
    "two documents": b"{}{}",
    "trailing comma": b'{"reason": "a",}',
    "comment": b'{"reason": "a" /* b */}',
    "single quotes": b"{'reason': 'a'}",
    "a raw NUL": b'{"reason": "a\x00b"}',
    "empty": b"",
    "white space": b"  \n",
    "a list": b"[]",
    "a number": b"1",
    "null": b"null",
    "60,000 members": b"{" + b",".join(b'"k%d":0' % number for number in range(60_000)) + b"}",
    "257 members": b"{" + b",".join(b'"k%d":0' % number for number in range(257)) + b"}",
}


@pytest.mark.parametrize("name", WRONG_BODIES)
async def test_a_wrong_text_is_a_400_on_every_route_with_a_body(running: RunningControl, name: str) -> None:
    hooks = {"Authorization": "Bearer x"}
    for method, path, _ in running.with_bodies():
        if "/hooks/" in path:
            continue  # who may send alerts is asked before; test_hooks has them
        status, headers, body = await running.call(
            method, path, data=WRONG_BODIES[name], headers={"Content-Type": "application/json", **hooks}
        )
        document = problem(headers, body, 400)
        assert (path, status) == (path, 400)
        assert document["code"] == ("member_repeated" if name.startswith("twice") else "request_invalid")
        assert len(document["errors"]) <= 20
        assert document["errors_total"] >= len(document["errors"])
        assert len(body) < 10_000


async def test_a_value_of_another_type_is_refused_by_every_member(running: RunningControl) -> None:
    tried = 0
    for method, path, model in running.with_bodies():
        if "/hooks/" in path:
            continue
        schema = model.model_json_schema()
        for name, member in schema["properties"].items():
            kinds = kinds_of(member, schema)
            for value in ("1", 1, 1.5, True, [0] * 11_000, {"a": 1}):
                if fits(value, kinds):
                    continue
                tried += 1
                status, headers, body = await running.call(method, path, json={name: value})
                document = problem(headers, body, 400)
                assert (path, name, status) == (path, name, 400)
                assert any(item["place"].startswith(f"body.{name}") for item in document["errors"]), (
                    path,
                    name,
                    value,
                    document,
                )
                assert document["errors_total"] < 100
    assert tried > 150


def kinds_of(member: dict[str, Any], schema: dict[str, Any]) -> set[str]:
    if "$ref" in member:
        member = schema["$defs"][member["$ref"].rpartition("/")[2]]
    if "anyOf" in member:
        return set().union(*(kinds_of(part, schema) for part in member["anyOf"]))
    return {member.get("type", "string")}


def fits(value: Any, kinds: set[str]) -> bool:
    match value:
        case bool():
            return "boolean" in kinds
        case int():
            return bool(kinds & {"integer", "number"})
        case float():
            return "number" in kinds
        case str():
            return "string" in kinds
    return False


@pytest.mark.parametrize(
    "fields",
    [{}, {"Content-Type": "text/plain"}, {"Content-Type": "application/json; charset=utf-16"},
     {"Content-Type": "application/json", "Content-Encoding": "gzip"}, {"Content-Type": "multipart/form-data; boundary=x"}],
)  # fmt: skip
async def test_another_content_type_is_a_415(running: RunningControl, fields: dict[str, str]) -> None:
    for method, path, _ in running.with_bodies():
        if "/hooks/" not in path:
            status, headers, body = await running.call(
                method, path, data=b"{}", headers=fields, skip_auto_headers=["Content-Type"]
            )
            assert (path, status, problem(headers, body, 415)["status"]) == (path, 415, 415)


async def test_odd_queries_and_fields_are_refused_in_time(running: RunningControl) -> None:
    many = "&".join(f"a{number}=1" for number in range(900))
    for path, methods in running.paths().items():
        if "GET" in methods and not path.startswith("/decide/") and path not in ("/v1/events", "/", "/dashboard/x1"):
            for query in (many, "a=1&" * 1900, "&" * 4000, "limit=1&" * 900):
                status, headers, body = await running.call("GET", f"{path}?{query}")
                assert (path, status, problem(headers, body, 400)["status"]) == (path, 400, 400)
    for name in ("If-Match", "Idempotency-Key"):
        for value in ("x" * 8000, '"' + "9" * 400 + '"', "\xe4"):
            how = {"headers": {name: value}, "json": {}}
            status, headers, body = await running.call("POST", "/v1/services/svc/freeze", **how)
            if (name, value[0]) != ("Idempotency-Key", '"'):
                assert (name, status) == (name, 400)
                problem(headers, body, 400)


@pytest.mark.parametrize(
    ("accept", "page"),
    [(None, False), ("*/*", False), ("application/json", False), (BROWSER, True), ("text/html", True), ("TEXT/HTML", True),
     ("application/json, text/html;q=0", False), ("text/html;q=0.1", True), ("text/htmlx", False), ("text/*", False)],
)  # fmt: skip
async def test_a_link_that_is_refused_is_a_page_for_browsers_only(
    running: RunningControl, accept: str | None, page: bool
) -> None:
    headers = {"Accept": accept} if accept else {}
    for method, path, expected in (
        ("GET", LINK, 404),
        ("POST", LINK, 404),
        ("GET", "/decide/svc-rollback-1/approve", 404),
        ("GET", "/decide/", 404),
        ("PUT", LINK, 405),
        ("GET", LINK.replace("/approve/", "/%00/"), 404),
    ):
        status, fields, body = await running.call(method, path, headers=headers)
        assert (path, status) == (path, expected)
        if page:
            assert fields["Content-Type"] == "text/html; charset=utf-8"
            assert b"Not done" in body
        else:
            problem(fields, body, expected)
        assert ("Allow" in fields) == (expected == 405)
    status, fields, body = await running.call("GET", LINK, headers={"Host": "evil.example", **headers})
    assert (status, b"<html" in body) == (421, page)
    status, fields, body = await running.call("GET", "/v1/nothing", headers=headers)
    assert problem(fields, body, 404)["code"] == "path_unknown"


async def test_the_loop_goes_on_while_a_large_body_is_read(running: RunningControl) -> None:
    """What is read beside the loop lets others be answered meanwhile: counted in turns of the loop, not in time."""
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(turn())
    cases = b'{"cases": [' + b",".join([b'{"x":[1,1,1,1,1]}'] * 10_000) + b"]}"
    status, headers, body = await running.call(
        "POST", "/v1/services/svc/cases", data=cases, headers={"Content-Type": "application/json"}
    )
    counting.cancel()
    assert (status, problem(headers, body, 400)["code"]) == (400, "case_invalid")
    assert turns > 3
