"""Makes the description of the API (OpenAPI 3.1) from the operations and their pydantic models."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, get_args

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from router import __version__
from router.control.admin.bodies import ChangeBody
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
_SECURITY: Final[dict[str, Any]] = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "rollback-router-session",
        "description": "The cookie of POST /v1/session. Its name has a suffix that depends on the router. Changes need "
        "the field X-CSRF-Token, too",
    },
}
_AWAITING: Final = ("promoteVersion", "switchVersion")


def describe(operations: Sequence[Operation]) -> dict[str, Any]:
    """Return the OpenAPI document of `operations`."""
    schemas = _without_titles({**_schemas_of_bodies(operations), **_schemas_of_answers(operations)})
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(template(operation.path), {})[operation.method.lower()] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "rollback-router admin API", "version": __version__},
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": {**dict(sorted(schemas.items())), "Problem": _PROBLEM},
            "securitySchemes": _SECURITY,
        },
    }


def _schemas_of_bodies(operations: Sequence[Operation]) -> dict[str, Any]:
    models = sorted({body for operation in operations if (body := _body(operation))}, key=lambda model: model.__name__)
    _, schemas = models_json_schema([(model, "validation") for model in models], ref_template=_REFERENCE)
    return dict(schemas.get("$defs", {}))


def _schemas_of_answers(operations: Sequence[Operation]) -> dict[str, Any]:
    """Return the schemas of the TypedDicts that operations answer with. Clients must ignore members that they do not know."""
    answers = sorted({one for operation in operations for one in _documents(operation)}, key=lambda one: one.__name__)
    _, schemas = TypeAdapter.json_schemas(
        [(answer, "serialization", TypeAdapter(answer)) for answer in answers],
        ref_template=_REFERENCE,
        schema_generator=_AnswerSchema,
    )
    return dict(schemas.get("$defs", {}))


class _AnswerSchema(GenerateJsonSchema):
    """A dataclass in an answer has all its members, also those with a default."""

    def field_is_required(self, field: Any, total: bool) -> bool:
        """Return whether an answer always has the member."""
        return bool(field.get("required", total)) if field["type"] == "typed-dict-field" else True


def _without_titles(node: Any) -> Any:
    """Return a schema without the titles that pydantic makes of member names."""
    if isinstance(node, dict):
        return {
            name: _without_titles(value)
            for name, value in node.items()
            if not (name == "title" and isinstance(value, str))
        }
    return [_without_titles(item) for item in node] if isinstance(node, list) else node


def template(path: str) -> str:
    """Return the path of a route in the form of OpenAPI: without the patterns of its parameters."""
    return _PARAMETER.sub(r"{\1}", path)


def _described(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "summary": operation.summary,
        "operationId": operation.name,
        "tags": [_tag(operation)],
        "parameters": _path_parameters(operation) + _query_parameters(operation.query) + _fields(operation),
        "responses": {
            str(operation.status): {
                "description": "done",
                "content": {operation.media_type: {"schema": _answer(operation)}},
            },
            "default": _problem("refused: nothing was changed, unless `in_doubt` is true"),
        },
    }
    if operation.name in _AWAITING:
        content = {"application/json": {"schema": _answer(operation)}}
        described["responses"]["202"] = {"description": "it waits for approval: `awaits`", "content": content}
    if operation.role is not None:
        described |= {"security": [{name: []} for name in _SECURITY], "x-role": operation.role}
    if (body := _body(operation)) is not None:
        schema = {"$ref": _REFERENCE.format(model=body.__name__)}
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return described


def _body(operation: Operation) -> type[BaseModel] | None:
    return operation.body or operation.takes


def _answer(operation: Operation) -> dict[str, Any]:
    if operation.answer is None:
        return {"type": "string"}
    references = [{"$ref": _REFERENCE.format(model=document.__name__)} for document in _documents(operation)]
    return references[0] if len(references) == 1 else {"anyOf": references}


def _documents(operation: Operation) -> tuple[type, ...]:
    """Return the TypedDicts of an operation's answer; none if it is not JSON."""
    if operation.answer is None:
        return ()
    return get_args(operation.answer) or (operation.answer,)


def _tag(operation: Operation) -> str:
    """Return the feature of an operation: the package of its handler, within `admin` the module."""
    package, module = operation.handler.__module__.split(".")[-2:]
    return module if package == "admin" else package


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
    return operation.method == "PATCH" or (operation.body is not None and issubclass(operation.body, ChangeBody))
