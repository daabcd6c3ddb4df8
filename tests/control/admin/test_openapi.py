"""The description of the API cannot forget a route."""

from __future__ import annotations

import re

from aiohttp import web

from router.control.admin.openapi import template
from tests.control import fake_control
from tests.control.conftest import AdminHarness

CHANGES = {
    "deploy": "Deploy", "promote": "Promote", "rollback": "RollbackBody", "switch": "Switch", "retire": "Retire",
    "endpoints": "MoveEndpoints", "freeze": "Freeze", "unfreeze": "Unfreeze", "versions": "Register",
    "quarantine": "QuarantineBody", "release": "Release", "session": "SignIn",
}  # fmt: skip


def registered() -> set[tuple[str, str]]:
    """Every route that aiohttp knows, patterns removed; HEAD comes with GET (RFC 9110 §9.3.2)."""
    application = fake_control.application()
    return {
        (route.method.lower(), template(route.resource.canonical))
        for route in application.router.routes()
        if route.method != "HEAD" and isinstance(route.resource, web.PlainResource | web.DynamicResource)
    }


async def test_every_registered_route_is_described_and_no_other(admin: AdminHarness) -> None:
    status, _, document = await admin.call("GET", "/v1/openapi.json")
    assert (status, document["openapi"]) == (200, "3.1.0")
    assert {(method, path) for path, item in document["paths"].items() for method in item} == registered()
    assert len(registered()) == 28


async def test_bodies_are_described_by_the_models_that_check_them(admin: AdminHarness) -> None:
    _, _, document = await admin.call("GET", "/v1/openapi.json")
    described = {
        path.rsplit("/", 1)[-1]: operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        for path, item in document["paths"].items()
        for operation in item.values()
        if "requestBody" in operation
    }
    assert described == {verb: f"#/components/schemas/{model}" for verb, model in CHANGES.items()}
    assert set(document["components"]["schemas"]["RollbackBody"]["properties"]) == {"from", "reason", "actor"}
    assert document["components"]["schemas"]["Deploy"]["additionalProperties"] is False


async def test_the_document_is_closed_and_its_parameters_are_those_of_its_paths(admin: AdminHarness) -> None:
    _, _, document = await admin.call("GET", "/v1/openapi.json")
    references = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert references <= set(document["components"]["schemas"])
    ids = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(ids) == len(set(ids))
    for path, item in document["paths"].items():
        for operation in item.values():
            named = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"}
            assert named == set(re.findall(r"\{(\w+)\}", path))
            assert "default" in operation["responses"]
