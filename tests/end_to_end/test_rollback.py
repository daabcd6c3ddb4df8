"""The new version fails, in each way there is, and the router goes back by itself; or it must not, and does not."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from tests import backends
from tests.backends import Backend
from tests.end_to_end.conftest import StartRouter
from tests.end_to_end.real_router import SERVICE, RefusedError, Router, service_settings, stays, until
from tests.end_to_end.traffic import Traffic, leave, read_slowly

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(120)]


def healthy_but(behaviour: backends.Behaviour) -> backends.Behaviour:
    """Answer the probe with 200, also while inference fails."""

    async def answer(connection: backends.Connection, request: backends.RawRequest) -> None:
        if request.line.startswith(b"GET /health"):
            await connection.send(backends.response(200, b"healthy"))
        else:
            await behaviour.answer(connection, request)  # type: ignore[attr-defined]

    return backends.answering(answer)


async def rolled_back(router: Router, within_s: float) -> dict[str, Any]:
    """Return the journal's one entry of the rollback."""

    async def entry() -> dict[str, Any] | None:
        found = await router.journal("rolled_back")
        return found[0] if found else None

    return await until(entry, within_s, "a rollback")


async def _is_at(router: Router, generation: int) -> bool:
    return bool((await router.service())["generation"] == generation)


async def _ended(router: Router, outcome: str, at_least: int) -> bool:
    return bool((await router.service())["exchanges"]["ended"].get(outcome, 0) >= at_least)


@pytest.mark.parametrize(
    ("fault", "trigger", "within_s", "give_up_s"),
    [
        ("crash", ("hard_failure", "unreachable"), 5, 10.0),
        ("errors", ("hard_failure", "errors"), 5, 10.0),
        pytest.param("some errors", ("error_rate", ""), 40, 10.0, marks=pytest.mark.nightly),
        ("hang", ("hard_failure", "hang"), 20, 2.0),
    ],
)
async def test_a_failing_version_is_rolled_back(
    start_router: StartRouter, fault: str, trigger: tuple[str, str], within_s: float, give_up_s: float
) -> None:
    async with Backend(backends.ok()) as old, Backend(backends.ok()) as new:
        # In the first seconds of a version, only the first-byte timeout distinguishes a hang from a slow start.
        rules = f"[services.{SERVICE}.rules]\nwarmup_s = 1.0\n" if fault == "hang" else ""
        router = await start_router(service_settings(old.url, more=rules))
        await router.promote_new("v2", new.url)
        async with Traffic(router.url, per_s=60, give_up_s=give_up_s) as traffic:
            await traffic.more(100)
            assert traffic.endings() == {200: len(traffic.seen)}
            began = time.monotonic()
            if fault == "crash":
                await new.stop()
            elif fault == "errors":
                new.behaviour = healthy_but(backends.status(500))
            elif fault == "some errors":
                new.behaviour = healthy_but(backends.failing_share(0.3))
            else:
                new.behaviour = healthy_but(backends.never())
            entry = await rolled_back(router, within_s)
            after = time.monotonic()
            await traffic.more(100)
        data = entry["data"]
        assert (data["from"], data["to"]) == ("v2", "v1")
        assert (data["trigger"]["kind"], data["trigger"]["detail"]) == trigger
        assert traffic.versions(since=after) == {"v1"}
        assert set(traffic.endings(since=after)) == {200}
        before = [seen for seen in traffic.seen if began <= seen.started < after and not seen.ok]
        assert before or fault == "crash", "the fault was never seen by a client: the test proves nothing"
        (incident,) = (await router.call("GET", "/v1/incidents"))["incidents"]
        assert (incident["from"], incident["to"], incident["manual"]) == ("v2", "v1", False)
        assert incident["generation"] == data["generation"]
        assert incident["reason"]


@pytest.mark.nightly
async def test_clients_at_fault_roll_nothing_back_and_then_the_target_does(start_router: StartRouter) -> None:
    async def answer(connection: backends.Connection, request: backends.RawRequest) -> None:
        if b"/missing" in request.line:
            await connection.send(backends.response(404, b"no such model"))
        elif b"/throttled" in request.line:
            await connection.send(backends.response(429, b"later"))
        elif b"/thinks" in request.line:
            await asyncio.sleep(0.5)
            await connection.send(backends.response(200, b"thought"))
        elif b"/big" in request.line:
            await connection.send(backends.response(200, b"x" * 30_000_000))
        else:
            await connection.send(backends.response())

    async with Backend(backends.ok()) as old, Backend(backends.answering(answer)) as new:
        router = await start_router(service_settings(old.url))
        promoted = await router.promote_new("v2", new.url)
        readers = [asyncio.create_task(read_slowly(router.data_port, "/big", 6)) for _ in range(20)]
        for path, expected in (("/missing", 404), ("/throttled", 429)):
            traffic = Traffic(router.url, clients=20, path=path)
            async with traffic:
                await traffic.more(1000)
            assert set(traffic.endings()) == {expected}, [seen for seen in traffic.seen if seen.ending != expected]
        for _ in range(20):
            await asyncio.gather(*(leave(router.data_port, "/thinks", after_s=0.05) for _ in range(50)))
        assert all(taken > 0 for taken in await asyncio.gather(*readers))
        await until(lambda: _ended(router, "client_gone", 1000), 10, "every client that left is counted")
        document = await router.service()
        assert (document["active"], document["generation"]) == ("v2", promoted["generation"])
        ended = document["exchanges"]["ended"]
        assert ended["client_error"] >= 1000
        assert ended["throttled"] >= 1000
        assert ended["client_gone"] >= 1000
        assert await router.journal("rolled_back") == []
        new.behaviour = healthy_but(backends.status(500))
        async with Traffic(router.url, per_s=60):
            entry = await rolled_back(router, 5)
        assert (entry["data"]["from"], entry["data"]["trigger"]["kind"]) == ("v2", "hard_failure")


@pytest.mark.nightly
async def test_long_streams_at_a_normal_error_rate_roll_nothing_back(start_router: StartRouter) -> None:
    """Streams end long after they began: a count of ends alone would show only errors, for none of 200 has ended."""
    stream, number = backends.tokens(30, 0.5), 0

    async def answer(connection: backends.Connection, request: backends.RawRequest) -> None:
        nonlocal number
        if b"/health" in request.line:
            await connection.send(backends.response())
            return
        number += 1
        if number % 25 == 0:
            await connection.send(backends.response(500, b"failed"))
        else:
            await stream.answer(connection, request)  # type: ignore[attr-defined]

    async with Backend(backends.ok()) as old, Backend(backends.answering(answer)) as new:
        router = await start_router(service_settings(old.url))
        promoted = await router.promote_new("v2", new.url)
        async with Traffic(router.url, per_s=20, give_up_s=30) as traffic:
            await traffic.more(320, within_s=60)  # of 16 s, in which no stream ends
        assert traffic.endings().get(500, 0) >= 8
        assert set(traffic.endings()) == {200, 500}
        document = await router.service()
        assert (document["active"], document["generation"]) == ("v2", promoted["generation"])
        assert await router.journal("rolled_back") == []


@pytest.mark.nightly
async def test_both_bad_holds_without_flapping_until_the_standby_is_better(start_router: StartRouter) -> None:
    async with Backend(backends.ok()) as old, Backend(backends.ok()) as new:
        router = await start_router(service_settings(old.url))
        promoted = await router.promote_new("v2", new.url)
        async with Traffic(router.url, per_s=60):
            old.behaviour = backends.status(500)  # its probe fails as well
            new.behaviour = backends.status(500)

            async def held() -> list[dict[str, Any]]:
                return await router.journal("no_better_target")

            await until(held, 10, "no_better_target")
            await stays(lambda: _is_at(router, promoted["generation"]), 4, "nothing moves")
            assert len(await router.journal("no_better_target")) == 1
            assert [alarm["code"] for alarm in (await router.status())["alarms"]].count("no_better_target") == 1
            old.behaviour = backends.ok()
            document = await router.wait_active("v1", 10)
            assert document["generation"] == promoted["generation"] + 1
            # the way back is used up: when v1 fails too there is nothing to go to, and nothing moves
            old.behaviour = healthy_but(backends.status(500))
            await stays(lambda: _is_at(router, promoted["generation"] + 1), 5, "nothing moves")
            assert (await router.service())["active"] == "v1"
            assert len(await router.journal("rolled_back")) == 1


@pytest.mark.nightly
async def test_a_rolled_back_version_is_quarantined_until_a_human_says_otherwise(start_router: StartRouter) -> None:
    async with Backend(backends.ok()) as old, Backend(backends.ok()) as new:
        router = await start_router(service_settings(old.url), workers=1)
        await router.promote_new("v2", new.url)
        new.behaviour = healthy_but(backends.status(503))
        async with Traffic(router.url, per_s=60):
            entry = await rolled_back(router, 5)
        document = await router.service()
        assert (document["standby"], document["way_back"]) == (None, False)
        assert document["no_way_back"]
        new.behaviour = backends.ok()
        for verb, body in (
            ("deploy", {"version": "v2", "endpoints": [new.url]}),
            ("promote", {"version": "v2"}),
            ("switch", {"to": "v2"}),
        ):
            with pytest.raises(RefusedError) as refused:
                await router.verb(verb, **body)
            assert (refused.value.status, refused.value.code) == (409, "version_quarantined"), verb
            assert str(entry["data"]["incident"]) in str(refused.value.document)

        async def drained() -> bool:
            return await router.target("v2") is None

        await until(drained, 10, "v2 has given its slot back: until then a deploy may lose the race against that")
        override = {"actor": "ann", "reason": "the model file was damaged on disk and is mended"}
        await router.verb("deploy", version="v2", endpoints=[new.url], override=override)
        await router.wait_ready("v2")
        promoted = await router.verb("promote", version="v2", override=override)
        assert promoted["active"] == "v2"
        overrides = [
            (entry["type"], entry["data"]["override"])
            for entry in await router.journal()
            if "override" in entry["data"]
        ]
        assert overrides == [("version_deployed", override), ("promoted", override)]


@pytest.mark.nightly
async def test_an_unreachable_version_comes_back_as_standby_when_it_answers_again(start_router: StartRouter) -> None:
    async with Backend(backends.ok()) as old, Backend(backends.ok()) as new:
        router = await start_router(service_settings(old.url), workers=1)
        await router.promote_new("v2", new.url)
        async with Traffic(router.url, per_s=60) as traffic:
            await traffic.more(30)
            await new.stop()
            entry = await rolled_back(router, 5)
        assert entry["data"]["trigger"]["detail"] == "unreachable"
        assert "unreachable" not in traffic.endings()
        document = await router.service()
        assert (document["active"], document["way_back"]) == ("v1", False)
        versions = (await router.call("GET", "/v1/versions"))["versions"]
        assert [
            (version["unreachable"], version["quarantine"]) for version in versions if version["version"] == "v2"
        ] == [(True, None)]
        await new.start()

        async def standby() -> bool:
            found = await router.service()
            return found["standby"] == "v2" and found["way_back"]

        await until(standby, 10, "v2 is the standby again after 30 good probes")
        assert (await router.verb("switch", to="v2", reason="it is back"))["active"] == "v2"


@pytest.mark.nightly
async def test_a_frozen_service_is_not_rolled_back_by_itself(start_router: StartRouter) -> None:
    async with Backend(backends.ok()) as old, Backend(backends.ok()) as new:
        router = await start_router(service_settings(old.url), workers=1)
        await router.promote_new("v2", new.url)
        await router.verb("freeze", reason="we look at it ourselves")
        new.behaviour = healthy_but(backends.status(500))
        async with Traffic(router.url, per_s=60):
            at = (await router.service())["generation"]
            await stays(lambda: _is_at(router, at), 5, "nothing moves")
            assert (await router.service())["active"] == "v2"
            explained = await router.call("GET", "/v1/services/default/explain")
            assert (explained["verdict"], explained["frozen"]) == ("fail", True)
            await router.verb("unfreeze", reason="go on")
            await router.wait_active("v1", 5)
