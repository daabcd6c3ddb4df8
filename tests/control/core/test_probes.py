"""Probes against scripted servers: good answers, and the result of each kind of failure."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from router import __version__
from router.control.core import probe as probe_module
from router.control.core.probe import RESPONSE_BYTES_MAX
from router.control.core.probes import GATE_PROBES, Probes
from router.rollout.model.events import ProbeCompleted
from router.rollout.model.identity import Identity
from router.rollout.model.rewrite import Rewrite, SentRewrite
from router.runtime import clock
from router.runtime.tasks import Tasks
from router.settings.sections.service import Probe
from router.settings.settings import Settings
from tests.control.scripted_server import answer, scripted
from tests.texts import golden

INFERENCE: dict[str, object] = {"method": "POST", "path": "/v1/completions", "body": "{}"}
AGENT = b"User-Agent: rollback-router-probe/" + __version__.encode()


class Rig:
    """Probes whose pauses end only when the test says so."""

    def __init__(self) -> None:
        self.tasks = Tasks()
        self.seen: asyncio.Queue[ProbeCompleted] = asyncio.Queue()
        self.pauses: asyncio.Queue[tuple[float, asyncio.Future[None]]] = asyncio.Queue()
        self.probes = Probes(Settings(), self.tasks, self.seen.put_nowait, self.sleep)

    async def sleep(self, seconds: float) -> None:
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.pauses.put_nowait((seconds, over))
        await over

    async def end_pause(self) -> float:
        seconds, over = await self.pauses.get()
        over.set_result(None)
        return seconds

    async def until_good_enough(self) -> None:
        """Let pauses end until the gate has enough good probes; none of them is longer than a second."""
        for number in range(GATE_PROBES):
            assert (await self.seen.get()).ok
            if number < GATE_PROBES - 1:
                assert await self.end_pause() <= 1.0

    async def one(self, url: str, probe: Probe | str | None = None) -> ProbeCompleted:
        self.probes.watch("fraud", "v1", (url,), probe or Probe())
        return await self.seen.get()


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig()
    yield rig
    await rig.probes.close()
    await rig.tasks.close()


def closed_port() -> str:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}"


def judged(event: ProbeCompleted) -> tuple[bool, bool, str]:
    return event.ok, event.connect_failed, event.detail


async def test_a_good_probe_is_reported_whole(rig: Rig) -> None:
    async with scripted(answer()) as server:
        event = await rig.one(server.url)
        assert event == ProbeCompleted(
            "fraud", "v1", server.url, True, False, "ok", event.ms, event.at_ns, inference=False,
            identity=Identity("GET /", 2),
        )  # fmt: skip
        host = server.url.removeprefix("http://").encode()
        assert server.requests == [
            b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n" + AGENT + b"\r\n"
            b"Accept: */*\r\nAccept-Encoding: identity\r\n\r\n"
        ]
        [target] = rig.probes.targets("fraud", "v1")
        assert target["url"] == server.url
        assert target["ready"] is True
        assert target["last_probe"] == {
            "ok": True,
            "unknown": False,
            "detail": "ok",
            "ms": event.ms,
            "age_s": pytest.approx(0, abs=5),
        }


async def test_an_inference_probe_sends_its_body(rig: Rig) -> None:
    async with scripted(answer(body=b'{"outputs": [1]}')) as server:
        probe = Probe(path="/v2/models/m/infer?x=%2F", method="POST", body='{"inputs": []}', expect_text="outputs")
        event = await rig.one(server.url, probe)
        assert (event.ok, event.inference) == (True, True)
        assert server.requests[0].startswith(b"POST /v2/models/m/infer?x=%2F HTTP/1.1\r\n")
        assert server.requests[0].endswith(b"\r\n\r\n" + b'{"inputs": []}')
        assert b"\r\nContent-Type: application/json\r\n" in server.requests[0]


@pytest.mark.parametrize(
    ("probe", "reply", "expected"),
    [
        pytest.param({}, answer(503), (False, False, "status 503, expected below 500"), id="bad status"),
        pytest.param({}, answer(404), (True, False, "ok"), id="404 is below 500"),
        pytest.param({"expect_status_below": 300}, answer(302, b"", b"Location: /x"),
                     (False, False, "status 302, expected below 300"), id="a redirect is not followed"),
        pytest.param({"expect_text": "yes"}, answer(200, b"no"),
                     (False, False, "status 200, but the answer does not hold 'yes'"), id="text mismatch"),
        pytest.param(INFERENCE, answer(200, b'{"error":{"code":500}}'),
                     (False, False, 'status 200, but the answer is an error: {"error":{"code":500}}'), id="an error"),
        pytest.param(INFERENCE, answer(200, b'data: {"x":1}\n\ndata: {"error":"dead"}\n\n'),
                     (False, False, 'status 200, but the answer is an error: data: {"x":1}\n\ndata: {"error":"dead"}'),
                     id="an error in a stream"),
        pytest.param(INFERENCE, answer(200, b'{"error":null,"choices":[{}]}'), (True, False, "ok"), id="no error"),
        pytest.param(INFERENCE | {"path": "/predict"}, answer(200, b'{"error":"small"}'), (True, False, "ok"),
                     id="a result of a model"),
        pytest.param({}, answer(200, b'{"error":"dead"}'), (True, False, "ok"), id="no inference"),
        pytest.param({}, b"", (False, False, "Server disconnected"), id="hangs up"),
        pytest.param({"probe_timeout_s": 0.05}, None, (False, False, "no whole answer within 0.05 s"), id="silent"),
        pytest.param({"probe_timeout_s": 0.05}, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
                     (False, False, "no whole answer within 0.05 s"), id="stops in the middle"),
    ],
)  # fmt: skip
async def test_each_failure_has_its_detail(
    rig: Rig, probe: dict[str, object], reply: bytes | None, expected: tuple[bool, bool, str]
) -> None:
    async with scripted(reply) as server:
        assert judged(await rig.one(server.url, Probe.model_validate(probe))) == expected


async def test_bytes_that_are_not_http_are_a_bad_answer(rig: Rig) -> None:
    async with scripted(b"\x15\x03\x01\x00\x02\x02\x16\r\n\r\n") as server:
        event = await rig.one(server.url)
        assert (event.ok, event.connect_failed) == (False, False)


@pytest.mark.parametrize("probe", [Probe(), "none"], ids=["http", "connect only"])
async def test_a_refused_connection_is_a_failed_connect(rig: Rig, probe: Probe | str) -> None:
    event = await rig.one(closed_port(), probe)
    assert (event.ok, event.connect_failed) == (False, True)
    assert "Connect call failed" in event.detail


async def test_a_connect_that_is_never_answered_is_a_failed_connect(rig: Rig) -> None:
    with socket.socket() as full:  # a backlog of one that nobody accepts from: further SYNs get no answer
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = []
        for _ in range(2):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port))
            waiting.append(client)
        event = await rig.one(f"http://127.0.0.1:{port}", Probe(probe_timeout_s=0.1))
        assert judged(event) == (False, True, "no connection within 0.1 s")
        for client in waiting:
            client.close()


async def test_connect_only_sends_nothing(rig: Rig) -> None:
    async with scripted(answer()) as server:
        assert judged(await rig.one(server.url, "none")) == (True, False, "connected")
        assert server.requests == []


async def test_the_connection_is_kept_and_the_cadence_counts_from_the_begin_of_a_probe(rig: Rig) -> None:
    async with scripted(answer()) as server:
        rig.probes.watch("fraud", "v1", (server.url,), Probe(every_s=5.0))
        await rig.until_good_enough()
        assert 4.0 < await rig.end_pause() <= 5.0
        assert (await rig.seen.get()).ok
        assert (server.connections, len(server.requests)) == (1, 4)


async def test_a_kept_connection_that_the_server_dropped_is_no_evidence(rig: Rig) -> None:
    async with scripted(answer(), b"", answer()) as server:
        await rig.one(server.url, Probe(method="POST", body="{}"))
        await rig.end_pause()
        assert judged(await rig.seen.get()) == (True, False, "ok")
        assert server.connections == 2


async def test_an_endless_answer_is_read_to_the_limit_only(rig: Rig) -> None:
    body = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1000\r\n" + b"x" * 4096 + b"\r\n"
    async with scripted(body + (b"1000\r\n" + b"y" * 4096 + b"\r\n") * (RESPONSE_BYTES_MAX // 4096)) as server:
        assert judged(await rig.one(server.url, Probe(expect_text="xy"))) == (True, False, "ok")
        await rig.end_pause()
        await rig.seen.get()
        assert server.connections == 2  # the rest of the first answer was not waited for


async def test_probes_of_one_endpoint_never_overlap(rig: Rig) -> None:
    async with scripted(None) as server:
        rig.probes.watch("fraud", "v1", (server.url,), Probe(probe_timeout_s=60))
        await server.asked.wait()
        result = await rig.probes.probe_now("fraud", "v1", 0.05)
        assert result.ok is False
        assert golden("probe.unanswered", url=server.url) in result.detail
        assert (len(server.requests), rig.seen.qsize()) == (1, 0)


async def test_probe_now_is_good_if_one_endpoint_is_and_is_reported(rig: Rig) -> None:
    async with scripted(answer()) as good, scripted(answer(500)) as bad:
        rig.probes.watch("fraud", "v1", (good.url, bad.url), Probe())
        for _ in range(2):
            await rig.seen.get()
        result = await rig.probes.probe_now("fraud", "v1", 1.0)
        assert (result.ok, result.detail, result.connect_failed) == (
            True, golden("probe.some_good", url=bad.url), False,
        )  # fmt: skip
        assert rig.seen.qsize() == 2


async def test_probe_now_of_an_unwatched_version_is_bad(rig: Rig) -> None:
    result = await rig.probes.probe_now("fraud", "v3", 1.0)
    assert (result.ok, result.detail) == (False, golden("probe.not_watched"))


async def test_check_asks_endpoints_that_are_not_watched(rig: Rig) -> None:
    refused = closed_port()
    async with scripted(answer()) as server:
        results = await rig.probes.check("default", (server.url, refused), Probe(), 1.0)
        assert {url: (result.ok, result.connect_failed) for url, result in results.items()} == {
            server.url: (True, False),
            refused: (False, True),
        }
        assert rig.seen.empty()


async def test_nothing_is_reported_of_a_slot_that_is_no_longer_watched(rig: Rig) -> None:
    async with scripted(None) as server:
        rig.probes.watch("fraud", "v1", (server.url,), Probe(probe_timeout_s=0.1))
        now = rig.tasks.spawn(rig.probes.probe_now("fraud", "v1", 0.2), "probe_now")
        await server.asked.wait()
        rig.probes.unwatch("fraud", "v1")
        rig.probes.watch("fraud", "v2", (closed_port(),), Probe(every_s=60))
        await now
        assert [(event.version, event.connect_failed) for event in [await rig.seen.get()]] == [("v2", True)]
        assert rig.seen.empty()


async def test_endpoints_that_stay_keep_their_result_when_others_move(rig: Rig) -> None:
    async with scripted(answer()) as stays, scripted(answer()) as leaves, scripted(None) as comes:
        rig.probes.watch("fraud", "v1", (stays.url, leaves.url), Probe())
        for _ in range(2):
            await rig.seen.get()
        rig.probes.watch("fraud", "v1", (comes.url, stays.url), Probe())
        assert [(target["url"], target["ready"]) for target in rig.probes.targets("fraud", "v1")] == [
            (comes.url, False),
            (stays.url, True),
        ]
        assert len(stays.requests) == 1


async def test_close_ends_every_task(rig: Rig) -> None:
    async with scripted(answer()) as server:
        await rig.one(server.url)
        await rig.probes.close()
        await rig.tasks.close()
        assert (len(rig.tasks), rig.probes.targets("fraud", "v1")) == (0, [])


@pytest.mark.parametrize("probe", [Probe(path="/health"), "none"], ids=["request", "connection"])
async def test_a_backend_on_a_unix_socket(rig: Rig, tmp_path: Path, probe: Probe | str) -> None:
    async with scripted(answer()) as script:
        server = await asyncio.start_unix_server(script.serve, tmp_path / "model.sock")
        event = await rig.one(f"unix:{tmp_path}/model.sock", probe)
        assert judged(event)[:2] == (True, False), event
        if isinstance(probe, Probe):
            assert script.requests[0].startswith(b"GET /health HTTP/1.1\r\nHost: localhost\r\n")
        server.close()


async def test_a_unix_socket_without_listener_is_a_failed_connect(rig: Rig, tmp_path: Path) -> None:
    event = await rig.one(f"unix:{tmp_path}/model.sock")
    assert judged(event)[:2] == (False, True)


@pytest.mark.parametrize(("status", "expect", "ok"), [(401, 500, True), (403, 400, False)])
async def test_an_answer_that_wants_credentials_is_unknown(rig: Rig, status: int, expect: int, ok: bool) -> None:
    async with scripted(answer(status)) as server:
        event = await rig.one(server.url, Probe(method="POST", body="{}", expect_status_below=expect))
        assert (event.ok, event.unknown, event.identity) == (ok, True, None)


async def test_the_identity_of_an_answer(rig: Rig) -> None:
    async with scripted(answer(body=b'{"object": "list", "data": [{"id": "fraud-v7"}]}')) as server:
        event = await rig.one(server.url, Probe(path="/v1/models"))
        assert event.identity == Identity("GET /v1/models", 2, ("fraud-v7",))


@pytest.mark.parametrize(
    ("probe", "hurried", "at_most_s"),
    [
        (Probe(), False, 1.0),
        (Probe(method="POST"), False, 10.0),
        (Probe(method="POST"), True, 1.0),
        (Probe(path="/health_generate", infers=True), False, 10.0),
        (Probe(method="POST", every_s=0.5), True, 0.5),
        (Probe(method="POST", every_s=20), False, 20.0),
    ],
)
async def test_how_often(rig: Rig, probe: Probe, hurried: bool, at_most_s: float) -> None:
    async with scripted(answer()) as server:
        rig.probes.watch("fraud", "v1", (server.url,), probe, hurried=hurried)
        await rig.until_good_enough()
        assert at_most_s - 0.5 < await rig.end_pause() <= at_most_s


async def test_after_a_failure_it_is_probed_each_second(rig: Rig) -> None:
    async with scripted(answer(500), answer()) as server:
        assert not (await rig.one(server.url, Probe(method="POST"))).ok
        assert await rig.end_pause() <= 1.0
        await rig.until_good_enough()
        assert await rig.end_pause() > 5.0


async def test_a_version_that_becomes_hurried_is_probed_at_once(rig: Rig) -> None:
    async with scripted(answer()) as server:
        await rig.one(server.url, Probe(method="POST"))
        await rig.pauses.get()
        rig.probes.watch("fraud", "v1", (server.url,), Probe(method="POST"), hurried=True)
        assert (await rig.seen.get()).ok


async def test_a_useful_answer_of_a_client_replaces_an_inference_probe(rig: Rig) -> None:
    useful_ns = clock.now_ns() + 3_000_000_000
    rig.probes.set_useful_source(lambda service, slot, url: useful_ns)
    async with scripted(answer()) as server:
        await rig.one(server.url, Probe(method="POST"))
        for _ in range(GATE_PROBES - 1):  # a standby that answers replays must still pass as many as the gate wants
            await rig.end_pause()
            assert (await asyncio.wait_for(rig.seen.get(), 5)).ok
        await rig.end_pause()
        assert await rig.end_pause() > 10.0
        assert rig.seen.empty()


async def test_a_useful_answer_never_replaces_another_probe(rig: Rig) -> None:
    rig.probes.set_useful_source(lambda service, slot, url: clock.now_ns())
    async with scripted(answer()) as server:
        await rig.one(server.url, Probe())
        await rig.end_pause()
        assert (await rig.seen.get()).ok


async def test_a_probe_is_sent_as_requests_to_the_version_are(rig: Rig) -> None:
    rewrite = SentRewrite("/fraud", Rewrite("v8.example", "/v2/models/v8", "/f"), (("Authorization", "ours"),))
    async with scripted(answer()) as server:
        rig.probes.watch("fraud", "v1", (server.url,), Probe(path="/fraud/health?a=%2F"), rewrite=rewrite)
        assert (await rig.seen.get()).ok
        assert server.requests[0].startswith(b"GET /v2/models/v8/health?a=%2F HTTP/1.1\r\nHost: v8.example\r\n")
        assert b"\r\nAuthorization: ours\r\n" in server.requests[0]


async def test_a_probe_that_changes_is_prepared_anew(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_module, "_PREPARED_MAX", 2)
    moved = SentRewrite("/", Rewrite("v8.example", None, "/f"), ())
    async with scripted(answer()) as server, scripted(answer()) as other, scripted(answer()) as third:
        for url in (server.url, other.url, third.url, server.url):
            assert (await rig.probes.check("fraud", (url,), Probe(), 1.0))[url].ok
        health = Probe(path="/health")
        await rig.probes.check("fraud", (server.url,), health, 1.0)
        await rig.probes.check("fraud", (server.url,), health, 1.0, moved)
        assert [request.split(b"\r\n", 2)[:2] for request in server.requests[2:]] == [
            [b"GET /health HTTP/1.1", b"Host: " + server.url.removeprefix("http://").encode()],
            [b"GET /health HTTP/1.1", b"Host: v8.example"],
        ]
        assert len(rig.probes._client._prepared) <= 2
