"""What public reports say of model servers, with a real router: bad versions go back, and what only looks bad stays.

Limits of the rules are shorter than the shipped ones: a case takes seconds. `benchmarks failover` measures the shipped ones.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from tests import backends
from tests.backends import Backend, Behaviour
from tests.end_to_end.conftest import StartRouter
from tests.end_to_end.real_router import SERVICE, Router, service_settings, stays, until
from tests.end_to_end.traffic import Traffic

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(90)]


CHAT = "/v1/chat/completions"
HANG_S = 3.0
RULES = f"[services.{SERVICE}.rules]\nwarmup_s = 1.0\n[services.{SERVICE}.rules.hard_failure]\nhang_after_min_s = {HANG_S}\n"
PER_S = 40.0
TOKEN = b'data: {"choices":[{"delta":{"content":"yes"}}]}\n\n'
ERROR = b'data: {"error":{"message":"CUDA error","code":500}}\n\n'
DONE = b"data: [DONE]\n\n"
COMPLETION = backends.event_stream(TOKEN, DONE)
GATEWAY_JSON = json.dumps({"model": "fraud", "stream": True, "messages": []}).encode()


def server(engine: Behaviour, *, models: Behaviour | None = None) -> Behaviour:
    """Return a live API server before an engine: its probe and its list of models answer at once."""
    return backends.by_path(engine, health=backends.ok(b"healthy"), models=models or backends.ok(b'{"data":[]}'))


async def promoted(start_router: StartRouter, old: Backend, new: Backend, traffic_s: float = 3.5) -> Router:
    """Return a router whose version v1 has answered for `traffic_s`, and v2 for a second, so that times are known."""
    router = await start_router(service_settings(old.url, more=RULES))
    async with Traffic(router.url, per_s=PER_S, path=CHAT, body=GATEWAY_JSON) as traffic:
        await traffic.more(round(PER_S * traffic_s))
        await router.promote_new("v2", new.url)
        await traffic.more(round(PER_S * 1.5))
    return router


async def rolled_back(router: Router, within_s: float) -> dict[str, Any]:
    async def entry() -> dict[str, Any] | None:
        found = await router.journal("rolled_back")
        return found[0]["data"] if found else None

    return await until(entry, within_s, "a rollback")


async def not_rolled_back(router: Router, for_s: float) -> None:
    async def none() -> bool:
        return not await router.journal("rolled_back")

    await stays(none, for_s, "v2 stays active")


async def alarms(router: Router) -> set[str]:
    return {alarm["code"] for alarm in (await router.status())["alarms"]}


@pytest.mark.parametrize(
    ("fault", "trigger", "within_s"),
    [
        pytest.param(backends.never(), "hard_failure", 12, id="E1-engine-hangs"),
        pytest.param(backends.keep_alive(), "hard_failure", 12, marks=pytest.mark.nightly, id="E3-comments-only"),
        pytest.param(backends.silent_stream(), "hard_failure", 12, marks=pytest.mark.nightly, id="E4-silent-stream"),
        pytest.param(backends.status(404), "hard_failure", 12, id="E6-unknown-model"),
        pytest.param(
            backends.event_stream(ERROR, DONE), "hard_failure", 8, marks=pytest.mark.nightly, id="E7-error-event"
        ),
        pytest.param(backends.event_stream(TOKEN, ERROR), "hard_failure", 8, id="E7-error-after-a-token"),
    ],
)
async def test_a_version_without_useful_answers_goes_back(
    start_router: StartRouter, fault: Behaviour, trigger: str, within_s: float
) -> None:
    async with Backend(server(COMPLETION)) as old, Backend(server(COMPLETION)) as new:
        router = await promoted(start_router, old, new)
        new.behaviour = server(fault)
        lists = Traffic(router.url, per_s=2, path="/v1/models", body=None)
        async with Traffic(router.url, per_s=PER_S, path=CHAT, body=GATEWAY_JSON, give_up_s=20.0), lists:
            data = await rolled_back(router, within_s)
            new.behaviour = server(COMPLETION)
        assert (data["from"], data["trigger"]["kind"]) == ("v2", trigger), data


async def test_one_bad_replica_of_four_stays_a_replica(start_router: StartRouter) -> None:
    """E8: it answers 500 at once and its own probe is red."""
    async with (
        Backend(server(COMPLETION)) as old,
        Backend(server(COMPLETION)) as bad,
        Backend(server(COMPLETION)) as one,
        Backend(server(COMPLETION)) as two,
        Backend(server(COMPLETION)) as three,
    ):
        router = await start_router(service_settings(old.url, more=RULES))
        urls = [backend.url for backend in (bad, one, two, three)]
        async with Traffic(router.url, per_s=PER_S, path=CHAT, body=GATEWAY_JSON) as traffic:
            await traffic.more(round(PER_S * 3))
            await router.verb("deploy", version="v2", endpoints=urls)
            await router.wait_ready("v2")
            await router.verb("promote", version="v2")
            await traffic.more(round(PER_S * 2))
            broken = time.monotonic()
            bad.behaviour = backends.status(500)
            await not_rolled_back(router, 10)
        failed = [seen for seen in traffic.seen if seen.started >= broken and not seen.ok]
        asked = [seen for seen in traffic.seen if seen.started >= broken]
        assert len(failed) <= max(0.03 * len(asked), 8), (len(failed), len(asked))


async def test_one_request_that_any_version_fails_on_is_a_poison_request(start_router: StartRouter) -> None:
    """E10: one client repeats it; no other traffic."""
    engine = backends.poisoned(backends.ok(b'{"choices":[]}'))
    async with Backend(server(engine)) as old, Backend(server(engine)) as new:
        router = await promoted(start_router, old, new)
        poison = Traffic(router.url, per_s=2, path=CHAT, body=b'{"poison":1}', addresses=1, same=True)
        async with poison:
            await not_rolled_back(router, 15)
        assert set(poison.endings()) == {500}
        assert "poison_request" in await alarms(router)


async def test_a_full_queue_is_no_fault(start_router: StartRouter) -> None:
    """E12: 503 with Retry-After, in a spike."""
    async with Backend(server(COMPLETION)) as old, Backend(server(COMPLETION)) as new:
        router = await promoted(start_router, old, new)
        async with Traffic(router.url, per_s=PER_S, path=CHAT, body=GATEWAY_JSON):
            new.behaviour = server(backends.status(503, b"queue is full", "Retry-After: 2"))
            await not_rolled_back(router, 8)
            new.behaviour = server(COMPLETION)
        assert (await router.service())["exchanges"]["ended"]["throttled"] > 0


async def test_the_backend_is_told_when_a_client_leaves_a_silent_stream(start_router: StartRouter) -> None:
    """E13: the client closes with a FIN."""
    async with Backend(server(COMPLETION)) as old, Backend(server(COMPLETION)) as new:
        router = await promoted(start_router, old, new)
        new.behaviour = server(backends.silent_stream())
        reader, writer = await asyncio.open_connection("127.0.0.1", router.data_port)
        head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
        writer.write(head.encode())
        assert b"text/event-stream" in await reader.readuntil(b"\r\n\r\n")
        before = len(new.open)
        writer.close()

        async def told() -> bool:
            return len(new.open) < before

        await until(told, 8, "the backend's connection is closed")

        async def ended() -> bool:
            return bool((await router.service())["exchanges"]["ended"]["client_gone"] == 1)

        await until(ended, 3, "the exchange ended as client_gone")
        new.behaviour = server(COMPLETION)


async def test_answers_that_are_slow_but_known_are_no_hang(start_router: StartRouter) -> None:
    """E11, scaled: answers take twice hang_after_min_s, as they did in the version before."""
    slow = backends.slow(2 * HANG_S, b'{"choices":[]}')
    async with Backend(server(slow)) as old, Backend(server(slow)) as new:
        router = await start_router(service_settings(old.url, more=RULES))
        async with Traffic(router.url, per_s=5, path=CHAT, body=GATEWAY_JSON, give_up_s=30) as traffic:
            await traffic.more(25)
            await router.promote_new("v2", new.url)
            await not_rolled_back(router, 3 * HANG_S)
        assert set(traffic.endings()) == {200}


@pytest.mark.parametrize(
    "engine",
    [
        pytest.param(backends.event_stream(b": keep-alive\n\n", TOKEN, every_s=0.5), id="comments-then-content"),
        pytest.param(
            backends.event_stream(
                b'data: {"choices":[{"delta":{"role":"assistant"}}]}\n\n',
                b'data: {"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}\n\n',
                DONE,
            ),
            id="tool-calls-only",
        ),
        pytest.param(
            backends.event_stream(b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n', DONE),
            id="empty-completions",
        ),
        pytest.param(backends.failing_share(0.02, b'{"choices":[]}'), id="two-percent-of-both"),
    ],
)
async def test_healthy_traffic_stays(start_router: StartRouter, engine: Behaviour) -> None:
    async with Backend(server(engine)) as old, Backend(server(engine)) as new:
        router = await promoted(start_router, old, new)
        async with Traffic(router.url, per_s=PER_S, path=CHAT, body=GATEWAY_JSON):
            await not_rolled_back(router, 8)


async def test_clients_that_leave_early_blame_no_version(start_router: StartRouter) -> None:
    """They give up at half the median time of the answers; others wait."""
    engine = backends.slow(1.0, b'{"choices":[]}')
    async with Backend(server(engine)) as old, Backend(server(engine)) as new:
        router = await promoted(start_router, old, new)
        leaving = Traffic(router.url, per_s=20, path=CHAT, body=GATEWAY_JSON, give_up_s=0.5)
        async with leaving, Traffic(router.url, per_s=2, path=CHAT, body=GATEWAY_JSON):
            await not_rolled_back(router, 8)
        assert set(leaving.endings()) == {"gave_up"}
