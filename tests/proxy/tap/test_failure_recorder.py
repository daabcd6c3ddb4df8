"""What a worker keeps of requests at which a version failed, as control reads it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from router.proxy.options import TapOptions, ValidationOptions
from router.proxy.tap import failure_recorder
from router.proxy.tap.body_buffer import BodyBuffer
from router.proxy.tap.failure_recorder import BURST, FailureRecorder
from router.shm import layout as at
from router.shm.capture_ring import CaptureRing
from tests import backends
from tests.backends import Backend
from tests.proxy.engine.test_failover import closed_port
from tests.proxy.rig import Rig, until
from tests.texts import golden

HEADERS = frozenset((b"content-type", b"x-request-id", b"retry-after"))
KEEPS = TapOptions(request_bytes_max=1024, response_bytes_max=1024)
POST = (
    b"POST /score?k=5 HTTP/1.1\r\nHost: t\r\nContent-Type: text/plain\r\nAuthorization: Bearer secret\r\n"
    b"Cookie: s=1\r\nX-Request-ID: r1\r\nContent-Length: 5\r\n\r\nhello"
)
GET = b"GET /page HTTP/1.1\r\nHost: t\r\n\r\n"
LONG = backends.response(200, b"x" * 50)
SORRY = backends.status(500, b"sorry", "Retry-After: 7", "Set-Cookie: a=b")


def kept(rig: Rig) -> list[tuple[dict[str, Any], bytes]]:
    ring = CaptureRing(rig.segment, 0, at.CAPTURE_FAILURES)
    split = [capture.payload.partition(b"\n") for capture in ring.read()]
    return [(orjson.loads(line), bodies) for line, _, bodies in split]


def summary(document: dict[str, Any] | None) -> tuple[Any, ...] | None:
    return (
        None if document is None else (document["version"], document["outcome"], document["status"], document["fault"])
    )


async def test_a_server_error_is_kept_without_bodies_and_without_secrets() -> None:
    async with Backend(SORRY) as backend, Rig(captured_headers=HEADERS) as rig:
        rig.serve(backend.url)
        assert (await rig.ask(POST))[0] == 500
        ((document, bodies),) = kept(rig)
    attempt = document["attempts"][0]
    assert (attempt.pop("lasted_ms") >= 0, attempt.pop("generation") > 0) == (True, True)
    assert attempt == {
        "version": "v1",
        "slot": 0,
        "endpoint": backend.url,
        "outcome": "server_error",
        "fault": True,
        "refused": None,
        "status": 500,
    }
    assert int(document.pop("fingerprint"), 16) != 0
    assert int(document.pop("client"), 16) != 0
    assert document == {
        "method": "POST",
        "target": "/score?k=5",
        "target_whole": True,
        "headers": {"content-type": "text/plain", "x-request-id": "r1"},
        "headers_whole": True,
        "request_id": "r1",
        "request_bytes": 5,
        "request_whole": False,
        "outcome": "server_error",
        "attempts": [attempt],
        "rescue": None,
        "response_headers": {},
        "response_whole": False,
        "complaint": None,
        "request_kept": 0,
        "response_kept": 0,
    }
    assert bodies == b""


TRITON = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n%b\r\nhello"


@pytest.mark.parametrize(
    ("fields", "kept_fields", "whole"),
    [
        pytest.param(
            b"Inference-Header-Content-Length: 2\r\n", {"inference-header-content-length": "2"}, True, id="Triton"
        ),
        pytest.param(b"Content-Encoding: gzip\r\n", {"content-encoding": "gzip"}, True, id="gzip"),
        pytest.param(
            b"Content-Encoding: gzip\r\nContent-Encoding: gzip\r\n",
            {"content-encoding": "gzip, gzip"},
            True,
            id="twice gzip",
        ),
        pytest.param(
            b"Content-Type: multipart/form-data; boundary=x\r\n",
            {"content-type": "multipart/form-data; boundary=x"},
            True,
            id="multipart",
        ),
        pytest.param(
            b"Ce-Type: t\r\nCE-Id: \xc3\xa9\r\n", {"ce-type": "t", "ce-id": "é"}, True, id="CloudEvents, UTF-8"
        ),
        pytest.param(b"ce-id: \xe9\r\n", {"ce-id": "é"}, False, id="no UTF-8: it would be sent as other bytes"),
        pytest.param(
            b"grpc-encoding: gzip\r\nx-grpc-web: 1\r\n", {"grpc-encoding": "gzip", "x-grpc-web": "1"}, True, id="gRPC"
        ),
        pytest.param(
            b"Content-Type: a/b\r\nContent-Type: a/b\r\n", {"content-type": "a/b"}, True, id="repeated, the same"
        ),
        pytest.param(
            b"Content-Type: a/b\r\nContent-Type: c/d\r\n", {"content-type": "a/b, c/d"}, False, id="repeated, ambiguous"
        ),
        pytest.param(b"ce-a: " + b"x" * 1025 + b"\r\n", {"ce-a": "x" * 1023}, False, id="too long"),
        pytest.param(
            b"".join(b"ce-a%d: 1\r\n" % number for number in range(33)),
            {f"ce-a{number}": "1" for number in range(32)},
            False,
            id="too many",
        ),
        pytest.param(b"Authorization: x\r\nX-Other: 1\r\n", {}, True, id="others are not kept"),
    ],
)
async def test_fields_without_which_a_body_cannot_be_read_are_kept(
    fields: bytes, kept_fields: dict[str, str], whole: bool
) -> None:
    async with Backend(SORRY) as backend, Rig(captured_headers=frozenset(), tap=KEEPS) as rig:
        rig.serve(backend.url)
        assert (await rig.ask(TRITON % fields))[0] == 500
        ((document, _),) = kept(rig)
    assert (document["headers"], document["headers_whole"]) == (kept_fields, whole)


async def test_a_request_with_trailers_is_not_kept_whole() -> None:
    post = b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n"
    async with Backend(SORRY) as backend, Rig(captured_headers=HEADERS, tap=KEEPS) as rig:
        rig.serve(backend.url)
        await rig.ask(post)
        ((document, _),) = kept(rig)
    assert document["headers_whole"] is False


async def test_the_encoding_of_an_answer_is_kept_with_it() -> None:
    answer = backends.response(200, b"zip", content_type="a/b").replace(b"\r\n", b"\r\nContent-Encoding: gzip\r\n", 1)
    async with Backend(backends.status(500)) as bad, Backend(backends.sending(answer)) as standby:
        async with Rig(captured_headers=frozenset(), tap=KEEPS, replay="always") as rig:
            rig.serve(bad.url, standby.url)
            assert (await rig.ask(POST))[0] == 200
            ((document, bodies),) = kept(rig)
    assert (document["response_headers"], bodies) == ({"content-encoding": "gzip", "content-type": "a/b"}, b"hellozip")


async def test_where_bodies_are_kept_they_are_kept_on_both_sides() -> None:
    async with Backend(SORRY) as backend, Rig(captured_headers=HEADERS, tap=KEEPS) as rig:
        rig.serve(backend.url)
        await rig.ask(POST)
        ((document, bodies),) = kept(rig)
    assert bodies == b"hello" + b"sorry"
    assert [document[name] for name in ("request_kept", "response_kept", "request_whole", "response_whole")] == [
        5,
        5,
        1,
        1,
    ]
    assert document["response_headers"] == {"content-type": "text/plain", "retry-after": "7"}


async def test_a_rescued_request_is_kept_with_what_the_other_version_answered() -> None:
    refusing = await closed_port()
    async with Backend(backends.ok(b"way back")) as standby, Rig(captured_headers=HEADERS, tap=KEEPS) as rig:
        rig.serve(refusing, standby.url)
        assert (await rig.ask(POST))[0] == 200
        ((document, bodies),) = kept(rig)
    assert [summary(one) for one in document["attempts"]] == [("v1", "connect_failed", None, True)]
    assert summary(document["rescue"]) == ("v2", "ok", 200, False)
    assert (document["outcome"], document["response_headers"]) == ("ok", {"content-type": "text/plain"})
    assert bodies == b"hello" + b"way back"


async def test_a_failed_answer_that_was_rescued_is_kept_with_what_the_other_version_answered() -> None:
    async with Backend(backends.status(500)) as bad, Backend(backends.ok(b"way back")) as standby:
        async with Rig(captured_headers=HEADERS, tap=KEEPS, replay="always") as rig:
            rig.serve(bad.url, standby.url)
            assert (await rig.ask(POST))[0] == 200
            ((document, bodies),) = kept(rig)
    assert [summary(one) for one in document["attempts"]] == [("v1", "server_error", 500, True)]
    assert summary(document["rescue"]) == ("v2", "ok", 200, False)
    assert bodies == b"hello" + b"way back"


async def test_a_failed_answer_whose_rescue_failed_is_kept_with_both_failures() -> None:
    async with Backend(backends.status(500, b"one")) as bad, Backend(backends.status(502, b"two")) as standby:
        async with Rig(captured_headers=HEADERS, tap=KEEPS, replay="always") as rig:
            rig.serve(bad.url, standby.url)
            assert (await rig.ask(POST))[::2] == (500, b"one")
            ((document, bodies),) = kept(rig)
    assert [summary(one) for one in document["attempts"]] == [
        ("v1", "server_error", 500, True),
        ("v2", "server_error", 502, True),
    ]
    assert document["rescue"] is None
    assert bodies == b"hello" + b"one"


async def test_a_request_at_which_both_versions_failed_says_so() -> None:
    async with Rig(captured_headers=HEADERS) as rig:
        rig.serve(await closed_port(), await closed_port())
        await rig.ask(GET)
        ((document, _),) = kept(rig)
    assert [summary(one) for one in document["attempts"]] == [
        ("v1", "connect_failed", None, True),
        ("v2", "connect_failed", None, True),
    ]
    assert (document["rescue"], document["outcome"]) == (None, "connect_failed")
    assert (document["request_whole"], document["request_bytes"]) == (True, 0), "there is no body to be kept"


@pytest.mark.parametrize(
    ("behaviour", "outcome", "status"),
    [
        pytest.param(backends.cut_after(LONG, len(LONG) - 10), "truncated", 200, id="cut after the head"),
        pytest.param(backends.sending(backends.GARBAGE), "truncated", None, id="no HTTP"),
        pytest.param(backends.never(), "timed_out", None, id="no first byte"),
    ],
)
async def test_the_other_faults(behaviour: backends.Behaviour, outcome: str, status: int | None) -> None:
    async with (
        Backend(behaviour) as backend,
        Rig(captured_headers=HEADERS, tap=KEEPS, first_byte_timeout_s=0.05, replay="never") as rig,
    ):
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(GET)
        await until(lambda: kept(rig))
        ((document, bodies),) = kept(rig)
    assert summary(document["attempts"][0]) == ("v1", outcome, status, True)
    assert (document["response_whole"], bodies) == (False, b""), "what was cut is no answer"


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(backends.ok(), id="ok"),
        pytest.param(backends.status(404), id="404"),
        pytest.param(backends.status(429), id="429"),
    ],
)
async def test_what_is_no_fault_of_the_version_is_not_kept(behaviour: backends.Behaviour) -> None:
    async with Backend(behaviour) as backend, Rig(captured_headers=HEADERS) as rig:
        rig.serve(backend.url)
        await rig.ask(GET)
        assert kept(rig) == []


async def test_nothing_is_kept_where_nobody_wants_it() -> None:
    async with Backend(SORRY) as backend, Rig() as rig:
        rig.serve(backend.url)
        await rig.ask(GET)
        assert kept(rig) == []


async def test_a_storm_of_errors_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failure_recorder, "RATE_PER_S", 0.0)
    async with Backend(SORRY) as backend, Rig(captured_headers=HEADERS) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        for _ in range(BURST + 20):
            await client.ask(GET)
        assert len(kept(rig)) == BURST
        assert rig.attempts() == {"server_error": BURST + 20}


async def test_tokens_come_back_with_time() -> None:
    async with Rig(captured_headers=HEADERS) as rig:
        keeper = FailureRecorder(rig.context, 0, HEADERS, KEEPS)
        assert [keeper._admits(1000.0) for _ in range(BURST + 2)] == [True] * BURST + [False] * 2
        assert [keeper._admits(now_s) for now_s in (1000.05, 1000.1, 1000.11)] == [False, True, False]


async def test_what_does_not_fit_goes_the_response_first() -> None:
    async with Rig(captured_headers=HEADERS) as rig:
        keeper = FailureRecorder(rig.context, 0, HEADERS, KEEPS)
        large = b"x" * (at.CAPTURE_BYTES_MAX - 1000)
        keeper.keep({"case": 1}, large, large)
        keeper.keep({"case": 2}, b"x" * at.CAPTURE_BYTES_MAX, b"y")
        assert [(one["case"], one["request_kept"], one["response_kept"], len(bodies)) for one, bodies in kept(rig)] == [
            (1, len(large), 0, len(large)),
            (2, 0, 0, 0),
        ]


async def test_a_long_target_is_cut_and_says_so() -> None:
    async with Backend(SORRY) as backend, Rig(captured_headers=HEADERS) as rig:
        rig.serve(backend.url)
        await rig.ask(b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: t\r\n\r\n")
        ((document, _),) = kept(rig)
    assert (len(document["target"]), document["target_whole"]) == (8192, False)


async def test_other_settings_count_from_the_next_failure_on() -> None:
    async with Backend(SORRY) as backend, Rig(captured_headers=HEADERS) as rig:
        rig.serve(backend.url)
        await rig.ask(GET)
        service = replace(rig.options.services[0], captured_headers=None)
        rig.data_plane.reconfigure(replace(rig.options, services=(service,)))
        await rig.ask(GET)
        assert len(kept(rig)) == 1


@pytest.mark.parametrize(
    ("tap", "bodies"),
    [
        pytest.param(KEEPS, b"hello" + b'{"score": NaN}', id="where bodies are kept"),
        pytest.param(TapOptions(), b"", id="not because the validators read them"),
    ],
)
async def test_an_answer_that_a_validator_rejects_is_kept_with_why(tap: TapOptions, bodies: bytes) -> None:
    checks = ValidationOptions(response_finite=("",))
    async with (
        Backend(backends.ok(b'{"score": NaN}')) as backend,
        Rig(captured_headers=HEADERS, tap=tap, validation=checks) as rig,
    ):
        rig.serve(backend.url)
        await rig.ask(POST)
        await until(lambda: kept(rig))
        ((document, found),) = kept(rig)
    assert summary(document["attempts"][0]) == ("v1", "invalid", 200, True)
    assert (document["complaint"], found) == (golden("validator.not_finite"), bodies)


@pytest.mark.parametrize(("bytes_max", "found"), [(5, b"hello"), (4, None), (0, None)])
def test_a_body_that_is_there_for_others_is_not_taken(bytes_max: int, found: bytes | None) -> None:
    held = BodyBuffer(64, framed=False)
    held.add(b"hello")
    assert failure_recorder._payload(held, bytes_max) == found
