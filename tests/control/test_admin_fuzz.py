"""Whatever is sent to whatever route, the answer is one of the API's own: never a 500, never a verb with unchecked text.

Requests go through the whole application without a socket, so that thousands take seconds.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from aiohttp import StreamReader, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request
from hypothesis import given, settings
from hypothesis import strategies as st

from router.runtime.printable import printable
from router.settings.sections.values import VERSION_LABEL
from tests.control import fake_control
from tests.control.fake_control import FakeControl
from tests.example_counts import examples

CHANGING = {
    "deploy": ("version", "endpoints", "replace", "override", "actor", "from"),
    "promote": ("version", "reason", "override", "actor", "from"),
    "rollback": ("reason", "actor", "from"),
    "switch": ("to", "reason", "override", "actor", "from"),
    "retire": ("version", "cut", "actor", "from"),
    "freeze": ("reason", "actor"),
    "unfreeze": ("reason", "actor"),
    "versions/v1/endpoints": ("endpoints", "actor"),
    "quarantine": ("service", "reason", "actor"),
    "release": ("service", "reason", "actor"),
}
EXPECTED = {200, 202, 400, 403, 404, 405, 412, 413, 415, 421, 422}

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
versions = st.from_regex(VERSION_LABEL, fullmatch=True) | st.text()
urls = st.sampled_from(["http://127.0.0.1:9001", "http://[::1]:1", "http://host"]) | st.text().map(
    lambda t: "http://" + t
)
plausible: dict[str, st.SearchStrategy[Any]] = {
    "version": versions,
    "to": versions,
    "from": versions,
    "endpoints": st.lists(urls, max_size=3),
    "replace": st.booleans(),
    "cut": st.booleans(),
    "reason": st.text(max_size=600),
    "actor": st.text(max_size=70),
    "service": st.sampled_from(["fraud", "other"]) | st.text(),
    "override": st.fixed_dictionaries({"actor": st.text(min_size=1), "reason": st.text(min_size=1)}),
}


@st.composite
def bodies(draw: st.DrawFn, members: tuple[str, ...]) -> bytes:
    kind = draw(st.sampled_from(["bytes", "json", "object", "object", "object"]))
    if kind == "bytes":
        return draw(st.binary(max_size=200))
    if kind == "json":
        return json.dumps(draw(anything)).encode()
    given_members = draw(st.lists(st.sampled_from(members), unique=True))
    body = {name: draw(plausible[name] | anything) for name in given_members}
    return json.dumps(body | draw(st.dictionaries(st.text(), anything, max_size=1))).encode()


class Front:
    """The application, asked without a socket; one for all examples, as describing its routes takes its time."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self.runner = runner
        self.control_loop = FakeControl()
        self.application = fake_control.application(self.control_loop)
        self.application.freeze()

    def check(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> None:
        self.control_loop.calls.clear()
        checked(self, self.runner.run(self.ask(method, path, body, headers)))

    async def ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> web.Response:
        payload = StreamReader(BaseProtocol(asyncio.get_running_loop()), 1 << 16)
        payload.feed_data(body)
        payload.feed_eof()
        fields = {"Host": "localhost", "Content-Type": "application/json", **headers}
        request = make_mocked_request(method, path, headers=fields, app=self.application, payload=payload)
        match_info = await self.application.router.resolve(request)
        match_info.add_app(self.application)
        match_info.freeze()
        request._match_info = match_info
        surround = self.application.middlewares[-1]
        response = await surround(request, match_info.handler)
        assert isinstance(response, web.Response)
        return response


@pytest.fixture(scope="module")
def front() -> Iterator[Front]:
    with asyncio.Runner() as runner:
        yield Front(runner)


def checked(front: Front, response: web.Response) -> None:
    """The answer is a whole document of ours; what came through to the controller is clean."""
    assert response.status in EXPECTED, response.body
    assert isinstance(response.body, bytes)
    if response.status >= 400:
        document = orjson.loads(response.body)
        assert (response.content_type, document["status"]) == ("application/problem+json", response.status)
        assert printable(document["detail"]) == document["detail"]
    for _, asked in front.control_loop.calls:
        for name, value in asked.items():
            if isinstance(value, str):
                assert printable(value) == value, (name, value)
            if name in ("version", "to"):
                assert VERSION_LABEL.fullmatch(value)


@given(data=st.data())
@settings(max_examples=examples(400))
def test_no_body_gives_a_500(front: Front, data: st.DataObject) -> None:
    verb = data.draw(st.sampled_from(sorted(CHANGING)))
    method = "PUT" if verb.endswith("endpoints") else "POST"
    path = f"/v1/versions/v1/{verb}" if verb in ("quarantine", "release") else f"/v1/services/fraud/{verb}"
    query = data.draw(st.sampled_from(["", "?dry_run=true", "?dry_run=maybe", "?x=1"]))
    body = data.draw(bodies(CHANGING[verb]))
    front.check(method, path + query, body, {})


text = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=40)


@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD"]),
    parts=st.lists(
        st.sampled_from(["v1", "services", "versions", "fraud", "journal", "incidents", "explain", "endpoints", "deploy"])
        | st.text(min_size=1, max_size=10).map(lambda part: "".join(f"%{byte:02X}" for byte in part.encode(errors="ignore"))),
        max_size=6,
    ),
    name=st.sampled_from(["If-Match", "Idempotency-Key", "Content-Type", "X-Request-ID", "Host", "Origin", "Authorization"]),
    value=text,
)  # fmt: skip
@settings(max_examples=examples(400))
def test_no_path_and_no_field_gives_a_500(front: Front, method: str, parts: list[str], name: str, value: str) -> None:
    front.check(method, "/" + "/".join(parts), b"{}", {name: value})
