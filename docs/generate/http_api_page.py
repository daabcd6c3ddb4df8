"""docs/reference/http-api.md: every operation of the admin API, from its description."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from docs.generate.api_types import links, members, type_text
from docs.generate.markdown import code, page, prose, table
from router.control.acceptance import routes as acceptance
from router.control.admin import changes, events, health, openapi, reads
from router.control.admin.events import EventStreams
from router.control.admin.live import streams as live
from router.control.admin.live.streams import LiveStreams
from router.control.admin.operation import Operation
from router.control.admin.sessions import routes as sessions
from router.control.admin.sessions.sessions import Sessions
from router.control.alerts import routes as alerts
from router.control.cases import routes as cases
from router.control.dashboard import routes as dashboard
from router.control.drills import routes as drills
from router.control.history import routes as history
from router.control.incidents import routes as incidents
from router.control.notify import routes as notify
from router.control.proposals import routes as proposals
from router.control.quality import routes as quality
from router.control.versions import routes as versions

_INTRODUCTION: Final = """\
The admin API listens on [`admin_listen`](settings.md#top-level). The commands use it, and so can a program.
`GET /v1/openapi.json` describes every operation (OpenAPI 3.1); this page is made from that document. The name of an operation
is its `operationId`.

- **Tokens.** Without [`admin.tokens`](settings.md#admin) every caller is an admin. With them a request needs
  `Authorization: Bearer TOKEN`. A `viewer` may read, an `operator` may also change, an `admin` may do everything. This includes
  `/metrics` and `/v1/openapi.json`, which need the role `viewer`. `/livez` needs no token. `/readyz` needs none for its status,
  and the role `viewer` for its list of checks. The hooks for alerts take the tokens of [`alerts.tokens`](settings.md#alerts).
- **Browsers.** `POST /v1/session` with a token sets the cookie of a session, which stands for the token. Each change with the
  cookie needs the field `X-CSRF-Token`; its value is `csrf` of `GET /v1/session`. Or an authenticating proxy names the caller
  ([security](../operations/security.md#browsers)).
- **Bodies** are JSON with `Content-Type: application/json`. An unknown member is an error that is named.
- **Answers** are JSON. A client has to ignore members that it does not know: later releases may add some. Times are RFC 3339
  unless the name of the member ends in a unit. An unknown value is `null`, never zero.
- **Errors** are problem documents (RFC 9457) with a stable `code`; see [errors](errors.md#admin-api).
- **Dry run.** `?dry_run=true` checks a change completely and answers what would be done.
- **Idempotency.** A change with the field `Idempotency-Key` is made once. The same request with the same key gets the first
  answer again, with `Idempotency-Replayed: true`. Another request with the key is refused with 422. Keys are kept for a day.
  Those of the verbs of services and versions, and of decisions about proposals, are in the journal with their change: after a
  restart of control or of the router the answer is made from the record, with the roles of then. Other keys, and answers of
  requests that have changed nothing, are forgotten with a restart of control.
- **Conditions.** `If-Match` takes the `ETag` of a GET: the generation of a service, or the revision of an incident. `from` in
  the body names the version that must be active. A change whose condition does not hold is refused with 412 or 409.
"""
_TITLES: Final = {
    "reads": "Status",
    "changes": "Changes of the route",
    "versions": "Versions",
    "acceptance": "Acceptance",
    "incidents": "Incidents",
    "proposals": "Proposals",
    "cases": "Regression cases",
    "drills": "Drills",
    "alerts": "Alerts",
    "history": "History, report and advice",
    "quality": "Input drift",
    "notify": "Notifications",
    "sessions": "Sessions",
    "events": "Events",
    "live": "Live",
    "dashboard": "Dashboard",
    "health": "Monitoring",
}
"""The groups in the reader's order, by tag."""


def operations() -> tuple[Operation, ...]:
    """Return every operation of the API. The handlers have no add-on, so they cannot be called."""
    no_addon: Any = None
    routes: tuple[Operation, ...] = (
        *health.operations({}, {}),
        *dashboard.operations(),
        *reads.STATUS,
        *changes.OPERATIONS,
        *reads.RECORDS,
        *events.operations(EventStreams()),
        *live.operations(LiveStreams()),
        *sessions.operations(Sessions()),
        *history.operations(no_addon, no_addon, no_addon),
    )
    for feature in (acceptance, alerts, cases, drills, incidents, notify, proposals, quality, versions):
        routes += feature.operations(no_addon)
    return (*routes, health.description_route(dict))


def text() -> str:
    """Return the page."""
    routes = operations()
    document = openapi.describe(routes)
    groups: dict[str, list[str]] = {tag: [] for tag in _TITLES}
    for route in routes:
        path = openapi.template(route.path)
        described = document["paths"][path][route.method.lower()]
        groups[described["tags"][0]].append(_operation(route.method, path, described))
    schemas = sorted(document["components"]["schemas"].items())
    return page(
        "HTTP API",
        _INTRODUCTION,
        *(part for tag, title in _TITLES.items() for part in (f"## {title}", *groups[tag])),
        "## Documents",
        *(part for name, schema in schemas for part in _document(name, schema)),
    )


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    facts = "\n".join(f"- {fact}" for fact in _facts(operation))
    return f"### {operation['operationId']}\n\n`{method} {path}`\n\n{operation['summary']}.\n\n{facts}"


def _facts(operation: dict[str, Any]) -> Iterator[str]:
    yield f"Role: {operation.get('x-role', 'none')}."
    by_place: dict[str, list[str]] = {"path": [], "query": [], "header": []}
    for parameter in operation["parameters"]:
        by_place[parameter["in"]].append(_parameter(parameter))
    if by_place["query"]:
        yield f"Query: {', '.join(by_place['query'])}."
    if by_place["header"]:
        yield f"Header fields: {', '.join(by_place['header'])}."
    if body := operation.get("requestBody"):
        yield f"Body: {links(body['content']['application/json']['schema'])}."
    for status, answer in operation["responses"].items():
        if status != "default":
            yield f"Answer {status}: {_answer(answer)}."


def _parameter(parameter: dict[str, Any]) -> str:
    if parameter["in"] == "header":
        return code(parameter["name"])
    default = parameter["schema"].get("default")
    shown = "" if default in (None, "") else f", default {code(json.dumps(default))}"
    return f"{code(parameter['name'])} ({type_text(parameter['schema'])}{shown})"


def _answer(answer: dict[str, Any]) -> str:
    ((media_type, content),) = answer["content"].items()
    return links(content["schema"]) if media_type == "application/json" else media_type


def _document(name: str, schema: dict[str, Any]) -> Iterator[str]:
    yield f"### {name}"
    if schema.get("description"):
        yield prose(" ".join(schema["description"].split()))
    if schema.get("type") == "array":
        yield f"The document is a {type_text(schema)}."
        return
    rows = list(members(name, schema))
    if any(meaning for _, _, meaning in rows):
        yield table(("Member", "Type", "Meaning"), rows)
    else:
        yield table(("Member", "Type"), [(member, kind) for member, kind, _ in rows])
