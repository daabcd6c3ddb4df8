"""One route of the API, and the dispatch of its requests: authorize, parse, perform once per key, answer."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from types import UnionType
from typing import Any, Final, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from router.control.admin import http_protocol, json_text, problems
from router.control.admin.auth import LOCAL, AccessPolicy, Principal
from router.control.admin.bodies import ChangeQuery, NoQuery
from router.control.admin.idempotency import IdempotencyKeys, StoredAnswer, request_key_of
from router.control.core.executor import Preconditions
from router.control.core.operations import Operations
from router.control.store.records.earlier_changes import EarlierChange
from router.control.store.records.request_key import RequestKey
from router.control.views.queries import Queries
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.runtime.printable_json import json_bytes
from router.settings.sections.admin import Role
from router.settings.sections.values import NAME, version_label

BODY_TIMEOUT_S: Final = 10.0
WHOLE_BODY_BYTES_MAX: Final = 16 << 20
"""The most that is read of a body of which only the beginning is needed, so that its sender gets an answer."""
QUERY_PARAMETERS_MAX: Final = 32
ACCEPTED: Final = 202
"""Status of a change that waits for an approval: its document has a member `awaits`."""
REPLAYED: Final = web.RequestKey("replayed", bool)
"""Set on a request whose answer, or refusal, is that of an earlier request with the same key."""
_ETAG: Final = re.compile(r'"([0-9]{1,19})"')
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Call:
    """A request that has been authorized and parsed."""

    request: web.Request
    queries: Queries
    operations: Operations
    access_policy: AccessPolicy
    principal: Principal
    body: BaseModel | None
    query: BaseModel
    preconditions: Preconditions
    key: RequestKey | None = None

    @property
    def service(self) -> str:
        """The service that the path names, else the one that the body names, else the only one. It may not exist."""
        name = self.request.match_info.get("service") or getattr(self.body, "service", None) or self._only_service()
        if not NAME.fullmatch(name):
            raise Refusal(RefusalCode.SERVICE_UNKNOWN, f"service {name[:63]!r} is not a possible name")
        return name

    def _only_service(self) -> str:
        services = sorted(self.queries.status()["services"])
        if len(services) != 1:
            detail = f"body.service: name the service, one of {', '.join(services)}"
            raise Refusal(RefusalCode.REQUEST_INVALID, detail)
        return str(services[0])

    @property
    def version(self) -> str:
        """The version that the path names."""
        try:
            return version_label(self.request.match_info["version"])
        except ValueError as error:
            raise Refusal(RefusalCode.VERSION_INVALID, str(error)[:400]) from None

    @property
    def dry_run(self) -> bool:
        """Whether the call must change nothing."""
        return self.query_as(ChangeQuery).dry_run

    def body_as(self, model: type[Model]) -> Model:
        """Return the body; its operation declares it as a `model`."""
        assert isinstance(self.body, model)
        return self.body

    def query_as(self, model: type[Model]) -> Model:
        """Return the query; its operation declares it as a `model`."""
        assert isinstance(self.query, model)
        return self.query

    def actor(self) -> str:
        """Return the actor to journal."""
        return self.principal.actor(getattr(self.body, "actor", None))


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path. `role` None: no token is needed, only the Host and Origin checks.

    A handler returns a document, answered as JSON with `status`, or a response of its own. `name` is the operation's id in
    the description of the API; `answer` is the TypedDict of its document, or a union; None if the answer is not JSON.

    `repeated` makes the answer to a repetition of a request that has changed something before this start. A handler of an
    operation that has it gives the key of the call to the journal.
    """

    method: str
    path: str
    handler: Callable[[Call], Awaitable[Mapping[str, Any] | web.StreamResponse]]
    summary: str
    role: Role | None = "viewer"
    body: type[BaseModel] | None = None
    query: type[BaseModel] = NoQuery
    status: int = 200
    media_type: str = "application/json"
    takes: type[BaseModel] | None = None
    """The body that the handler reads itself, for the description."""
    bounds: json_text.Bounds = json_text.USUAL
    """Limits of the body."""
    repeated: Callable[[Call, EarlierChange], Mapping[str, Any]] | None = None
    name: str = field(kw_only=True)
    answer: type | UnionType | None = field(kw_only=True, default=None)


class Dispatcher:
    """Makes the aiohttp handler of each operation."""

    def __init__(self, queries: Queries, operations: Operations, access_policy: AccessPolicy) -> None:
        self._queries = queries
        self._operations = operations
        self._access_policy = access_policy
        self._keys = IdempotencyKeys(operations.earlier)

    def handler(self, operation: Operation) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Return the aiohttp handler of `operation`."""

        async def handle(request: web.Request) -> web.StreamResponse:
            principal = LOCAL if operation.role is None else self._access_policy.authorize(request, operation.role)
            query = _parse_query(request, operation.query)
            if operation.body is None:
                return await self._read(operation, self._call(request, principal, None, query))
            raw = await read_body(request, self._access_policy.body_bytes_max)
            model, bounds = operation.body, operation.bounds
            body = await json_text.off_loop(len(raw), lambda: json_text.parse(raw, model, bounds))
            return await self._change(operation, self._call(request, principal, body, query), raw)

        return handle

    def _call(self, request: web.Request, principal: Principal, body: BaseModel | None, query: BaseModel) -> Call:
        preconditions = Preconditions(_if_match(request), getattr(body, "from_version", None))
        return Call(
            request, self._queries, self._operations, self._access_policy, principal, body, query, preconditions
        )

    async def _read(self, operation: Operation, call: Call) -> web.StreamResponse:
        result = await operation.handler(call)
        return result if isinstance(result, web.StreamResponse) else document_answer(result, operation.status)

    async def _change(self, operation: Operation, call: Call, raw: bytes) -> web.StreamResponse:
        async def perform() -> StoredAnswer:
            try:
                result = await operation.handler(call)
            except Refusal as refusal:
                return StoredAnswer(problems.STATUS[refusal.code], None, refusal)
            return _stored(operation, result)

        def repeated(change: EarlierChange) -> StoredAnswer:
            assert operation.repeated is not None  # else the journal has no key of such a request
            return _stored(operation, operation.repeated(call, change))

        key, target = call.request.headers.get("Idempotency-Key"), f"{call.request.method} {call.request.path_qs}"
        call = replace(call, key=request_key_of(call.principal.name, key, target, raw))
        answer, call.request[REPLAYED] = await self._keys.once(call.key, perform, repeated)
        if answer.document is None:
            assert answer.refusal is not None
            raise answer.refusal
        return document_answer(answer.document, answer.status)


def _stored(operation: Operation, result: Mapping[str, Any] | web.StreamResponse) -> StoredAnswer:
    assert isinstance(result, dict)
    return StoredAnswer(ACCEPTED if result.get("awaits") else operation.status, result)


def document_answer(document: Mapping[str, Any], status: int = 200) -> web.Response:
    """Return `document` as JSON; its revision or generation, if any, is the ETag for `If-Match`."""
    number = document.get("revision", document.get("generation"))
    headers = {"ETag": f'"{number}"'} if isinstance(number, int) else {}
    return web.Response(status=status, body=json_bytes(document), content_type="application/json", headers=headers)


def _if_match(request: web.Request) -> int | None:
    fields = request.headers.getall("If-Match", [])
    if not fields or fields == ["*"]:
        return None
    match = _ETAG.fullmatch(fields[0].strip()) if len(fields) == 1 else None
    if match is None:
        detail = 'If-Match takes the ETag that GET gave, a number in quotes, for a service its generation: "16777217"'
        raise Refusal(RefusalCode.REQUEST_INVALID, detail)
    return int(match[1])


def _parse_query(request: web.Request, model: type[BaseModel]) -> BaseModel:
    if model.model_config.get("extra") == "forbid" and request.query_string.count("&") >= QUERY_PARAMETERS_MAX:
        detail = f"query: it has more than {QUERY_PARAMETERS_MAX} parameters, and this route has fewer"
        raise Refusal(RefusalCode.REQUEST_INVALID, detail)
    repeated = [name for name, count in Counter(name for name, _ in request.query.items()).items() if count > 1]
    if repeated:
        raise Refusal(RefusalCode.REQUEST_INVALID, f"query: {repeated[0][:64]!r} is given more than once")
    try:
        return model.model_validate(dict(request.query))
    except ValidationError as error:
        raise problems.from_validation(error, "query") from None


async def read_body(
    request: web.Request,
    bytes_max: int,
    setting: str = "admin.body_bytes_max",
    media_types: tuple[str, ...] = ("application/json",),
) -> bytes:
    """Return the body; raise Refusal 413 (which names `setting`), 415, 501 or 408. A 100 is sent after the checks."""
    _check_fields(request, media_types)
    too_large = Refusal(RefusalCode.BODY_TOO_LARGE, f"the body is larger than {setting} = {bytes_max}")
    if (request.content_length or 0) > bytes_max:
        raise too_large
    start = await read_start(request, bytes_max, media_types, whole_bytes_max=bytes_max)
    if start.size > bytes_max:
        raise too_large
    return start.body


@dataclass(frozen=True, slots=True)
class BodyStart:
    """The beginning of a body: up to a limit. `size`: the bytes that were read, of which the rest is forgotten.

    `is_read`: the body was read to its end.
    """

    body: bytes
    size: int
    is_read: bool

    @property
    def is_whole(self) -> bool:
        """Whether `body` is all of the body."""
        return self.is_read and len(self.body) == self.size


async def read_start(
    request: web.Request,
    bytes_max: int,
    media_types: tuple[str, ...] = ("application/json",),
    *,
    whole_bytes_max: int = WHOLE_BODY_BYTES_MAX,
    on_chunk: Callable[[bytes], object] = lambda chunk: None,
) -> BodyStart:
    """Return the first `bytes_max` bytes of a body, and read up to `whole_bytes_max` of it; raise Refusal 415, 501 or 408.

    `on_chunk` gets every chunk that is read. A 100 is sent after the checks.
    """
    _check_fields(request, media_types)
    body, size = bytearray(), 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            await http_protocol.send_continue(request)
            async for chunk in request.content.iter_any():
                body += chunk[: bytes_max - len(body)]
                size += len(chunk)
                on_chunk(chunk)
                if size > whole_bytes_max:
                    return BodyStart(bytes(body), size, is_read=False)
    except TimeoutError:
        raise Refusal(RefusalCode.REQUEST_TIMEOUT, f"no whole body within {BODY_TIMEOUT_S:g} s") from None
    return BodyStart(bytes(body), size, is_read=True)


def _check_fields(request: web.Request, media_types: tuple[str, ...]) -> None:
    fields = request.headers.getall("Content-Type", [])
    charset = (request.charset or "utf-8").lower()
    if request.content_type not in media_types or len(fields) != 1 or charset not in ("utf-8", "utf8"):
        given = f"it is {problems.shown(' and '.join(fields))}" if fields else "it is missing"
        detail = f"send the body as JSON in UTF-8, with Content-Type: {' or '.join(media_types)}; {given}"
        raise Refusal(RefusalCode.CONTENT_TYPE, detail)
    if (coding := request.headers.get("Content-Encoding", "identity")) != "identity":
        detail = f"send the body without Content-Encoding; it is {problems.shown(coding)}"
        raise Refusal(RefusalCode.CONTENT_ENCODING, detail)
    if [name.lower() for name in request.headers.getall("Transfer-Encoding", [])] not in ([], ["chunked"]):
        raise Refusal(RefusalCode.TRANSFER_ENCODING, "send the body with Content-Length, or with chunked alone")
