"""Makes the description of the API (OpenAPI 3.1) from the operations and their pydantic models."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from router import __version__
from router.control.admin.operation import Operation

_REFERENCE: Final = "#/components/schemas/{model}"
_PARAMETER: Final = re.compile(r"\{(\w+)(?::[^{}]+(?:\{[^{}]*\})?)?\}")
_PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "description": "RFC 9457; further members hold facts, for example the present generation",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {"const": "about:blank"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "description": "stable, for machines: version_quarantined, generation_stale, …"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "description": "of a 400: the first 20 wrong places",
            "maxItems": 20,
            "items": {"type": "object", "properties": {"place": {"type": "string"}, "problem": {"type": "string"}}},
        },
        "errors_total": {"type": "integer", "description": "how many wrong places there are in all"},
        "retry_after_s": {"type": "integer", "description": "of a 429: too many wrong credentials from this address"},
        "in_doubt": {
            "type": "boolean",
            "description": "with journal_unavailable. true: the disk may have the change, which is not in effect now; the "
            "next start may complete it. false: nothing was changed",
        },
        "seq": {
            "type": "integer",
            "description": "with in_doubt: the change's number, as in `journal.in_doubt` of status",
        },
    },
}
_SWITCHED: Final[dict[str, Any]] = {
    "type": "object",
    "description": "The answer of promote, rollback and switch, given when every worker has confirmed or the time is up",
    "properties": {
        "service": {"type": "string"},
        "generation": {"type": "integer"},
        "active": {"type": ["string", "null"]},
        "standby": {"type": ["string", "null"]},
        "candidate": {"type": ["string", "null"]},
        "changed": {"type": "boolean", "description": "false: it was so already"},
        "confirmed": {"type": "boolean"},
        "workers_unconfirmed": {"type": "array", "items": {"type": "integer"}},
        "swap_us": {"type": "number", "description": "decision → store"},
        "confirmed_ms": {"type": "number", "description": "store → last worker"},
        "journalled": {"type": "boolean"},
        "incident": {"type": ["string", "null"]},
        "awaits": {"type": ["string", "null"], "description": "202: the proposal that somebody has to approve first"},
        "message": {"type": "string"},
    },
}
_SWITCHING: Final = ("/promote", "/rollback", "/switch")
_AWAITING: Final = ("/promote", "/switch")


def describe(operations: Sequence[Operation]) -> dict[str, Any]:
    """Return the OpenAPI document of `operations`."""
    bodies = sorted({body for op in operations if (body := _body(op)) is not None}, key=lambda model: model.__name__)
    _, schemas = models_json_schema([(model, "validation") for model in bodies], ref_template=_REFERENCE)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(template(operation.path), {})[operation.method.lower()] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "rollback-router admin API", "version": __version__},
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": {**schemas["$defs"], "Problem": _PROBLEM, "Switched": _SWITCHED},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def template(path: str) -> str:
    """Return the path of a route in the form of OpenAPI: without the patterns of its parameters."""
    return _PARAMETER.sub(r"{\1}", path)


def _described(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "summary": operation.summary,
        "operationId": f"{operation.method.lower()}_{re.sub('[^a-z]+', '_', template(operation.path)).strip('_')}",
        "parameters": _path_parameters(operation) + _query_parameters(operation.query) + _fields(operation),
        "responses": {
            str(operation.status): {
                "description": "done",
                "content": {operation.media_type: {"schema": _answer(operation)}},
            },
            "default": _problem("refused: nothing was changed, unless `in_doubt` is true"),
        },
    }
    if operation.path.endswith(_AWAITING):
        content = {"application/json": {"schema": _answer(operation)}}
        described["responses"]["202"] = {"description": "it waits for approval: `awaits`", "content": content}
    if operation.role is not None:
        described |= {"security": [{"bearer": []}], "x-role": operation.role}
    if (body := _body(operation)) is not None:
        schema = {"$ref": _REFERENCE.format(model=body.__name__)}
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return described


def _body(operation: Operation) -> type[BaseModel] | None:
    return operation.body or operation.takes


def _answer(operation: Operation) -> dict[str, Any]:
    if operation.media_type != "application/json":
        return {"type": "string"}
    if operation.path.endswith(_SWITCHING):
        return {"$ref": _REFERENCE.format(model="Switched")}
    return {"type": "object"}


def _problem(description: str) -> dict[str, Any]:
    schema = {"$ref": _REFERENCE.format(model="Problem")}
    return {"description": description, "content": {"application/problem+json": {"schema": schema}}}


def _path_parameters(operation: Operation) -> list[dict[str, Any]]:
    names = [match[1] for match in _PARAMETER.finditer(operation.path)]
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _query_parameters(model: type[BaseModel]) -> list[dict[str, Any]]:
    schema = model.model_json_schema()
    return [
        {"name": name, "in": "query", "required": False, "schema": member}
        for name, member in schema.get("properties", {}).items()
    ]


def _fields(operation: Operation) -> list[dict[str, Any]]:
    """Return the header fields of requests for changes."""
    if operation.body is None:
        return []
    names = ["Idempotency-Key", *(["If-Match"] if _is_conditional(operation) else [])]
    return [{"name": name, "in": "header", "required": False, "schema": {"type": "string"}} for name in names]


def _is_conditional(operation: Operation) -> bool:
    return operation.method == "PATCH" or (operation.body is not None and "from_version" in operation.body.model_fields)
