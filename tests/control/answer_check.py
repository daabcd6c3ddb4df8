"""Compares each answer of the admin API with its schema: no member is missing, none is unknown, each has its type."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import Any

import jsonschema_rs

from router.control.admin import openapi
from router.control.admin.operation import Call, Dispatcher, Operation
from router.runtime.printable_json import json_bytes


def closed(node: Any) -> Any:
    """Return a schema that refuses members that it does not name."""
    if isinstance(node, list):
        return [closed(item) for item in node]
    if not isinstance(node, dict):
        return node
    found = {name: closed(value) for name, value in node.items()}
    if isinstance(node.get("properties"), dict):
        found.setdefault("additionalProperties", False)
    return found


@cache
def _validator(answer: Any) -> Any:
    """Return the validator of an answer, from the description of the API."""
    described = openapi.describe([Operation("GET", "/", _never, "", name="any", answer=answer)])
    schema = described["paths"]["/"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    return jsonschema_rs.validator_for({**schema, "components": closed(described["components"])})


async def _never(call: Call) -> dict[str, Any]:
    raise AssertionError


def problems(operation: Operation, document: object) -> list[str]:
    """Return where `document` differs from the schema of the operation's answer."""
    assert operation.answer is not None, f"{operation.name} answers with JSON and has no schema"
    plain = json.loads(json_bytes(document))
    return [f"{operation.name} {problem}" for problem in differences(operation.answer, plain)]


def differences(answer: Any, document: object) -> list[str]:
    """Return where `document`, as JSON, differs from the TypedDict `answer`."""
    errors = _validator(answer).iter_errors(document)
    return [f"{'/'.join(map(str, error.instance_path))}: {error.message}"[-400:] for error in errors]


def checking(handler: Any) -> Any:
    """Return `Dispatcher.handler` with a check of each document, but those of a fake control."""

    def handler_of(self: Dispatcher, operation: Operation) -> Any:
        async def checked(call: Call) -> Any:
            document = await operation.handler(call)
            if isinstance(document, dict) and type(call.queries).__name__ != "FakeControl":
                if found := problems(operation, document):
                    raise AssertionError(found)
            return document

        return handler(self, replace(operation, handler=checked))

    return handler_of
