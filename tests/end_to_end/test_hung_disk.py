"""A disk that stops answering during a change: the answer to the operator, and the state after the next start."""

from __future__ import annotations

from typing import Any

import pytest

from tests import backends
from tests.backends import Backend
from tests.end_to_end.conftest import StartRouter
from tests.end_to_end.real_router import RefusedError, Router, service_settings, until

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(120)]

COMMITS_BEFORE = 3
"""Of a first start with two seeds: the boot and each seed. What probes answer may be one commit or two, so there are none."""


async def codes(router: Router) -> set[str]:
    return {alarm["code"] for alarm in (await router.status())["alarms"]}


async def doubted(router: Router, verb: str, **body: Any) -> dict[str, Any]:
    """Ask for a change on which the disk hangs; return the problem document."""
    with pytest.raises(RefusedError) as caught:
        await router.verb(verb, **body)
    assert (caught.value.status, caught.value.code) == (503, "journal_unavailable")
    return caught.value.document


HANGS = {
    "switch-whole": ("journal.after", "switch", {"to": "v2"}, "completed"),
    "switch-not-whole": ("journal.handed", "switch", {"to": "v2"}, "struck_out"),
    "freeze-whole": ("journal.after", "freeze", {}, "completed"),
    "freeze-not-whole": ("journal.handed", "freeze", {}, "struck_out"),
}
BY_DEFAULT = {("switch-whole", "kill"), ("freeze-not-whole", "stop")}


@pytest.mark.parametrize(
    ("point", "verb", "body", "outcome", "end"),
    [
        pytest.param(*hang, end, id=f"{name}-{end}", marks=() if (name, end) in BY_DEFAULT else (pytest.mark.nightly,))
        for name, hang in HANGS.items()
        for end in ("kill", "stop")
    ],
)
async def test_a_change_that_hung_is_decided_by_the_next_start(
    start_router: StartRouter, point: str, verb: str, body: dict[str, Any], outcome: str, end: str
) -> None:
    passes = COMMITS_BEFORE + 1
    async with Backend(backends.ok()) as old, Backend(backends.ok()) as new:
        settings = service_settings(old.url, new.url).replace('{ path = "/health", every_s = 0.1 }', '"none"')
        router = await start_router(settings, workers=1, ROLLBACK_ROUTER_FAIL_POINT=f"{point}:{passes}:hang")
        await router.wait_ready("v2")
        assert await codes(router) == set()
        refused = await doubted(router, verb, **body)
        assert refused["in_doubt"] is True
        assert "nothing was changed" not in refused["detail"]
        await until(lambda: _has(router, {"change_in_doubt", "journal_unavailable"}), 5, "both alarms")
        degraded = " ".join((await router.call("GET", "/readyz"))["degraded"])
        assert "change_in_doubt" in degraded
        assert "journal_unavailable" in degraded
        (shown,) = (await router.status())["journal"]["in_doubt"]
        assert (shown["seq"], shown["service"]) == (refused["seq"], "default")
        behind = await doubted(router, "retire", version="v2") if verb == "freeze" else None
        assert behind is None or (behind["in_doubt"], "nothing was changed" in behind["detail"]) == (False, True)
        document = await router.service()
        assert (document["active"], document["frozen"]) == ("v1", None), "it is not in effect"
        await (router.kill() if end == "kill" else router.stop())
        await router.start()
        document, status = await router.service(), await router.status()
        done = outcome == "completed"
        assert document["active"] == ("v2" if done and verb == "switch" else "v1")
        assert (document["frozen"] is not None) is (done and verb == "freeze")
        assert [(one["seq"], one["outcome"]) for one in status["journal"]["decided"]] == [(refused["seq"], outcome)]
        assert status["journal"]["in_doubt"] == []
        (fact,) = await router.journal("doubt_decided")
        assert (fact["data"]["change"], fact["data"]["outcome"]) == (refused["seq"], outcome)
        assert await codes(router) == set()
        assert (await router.verb("switch", to="v2", reason="anew"))["active"] == "v2"


async def _has(router: Router, wanted: set[str]) -> bool:
    return await codes(router) >= wanted


@pytest.mark.nightly
async def test_a_journal_whose_end_is_missing_is_refused_and_goes_on_by_the_command_that_is_named(
    start_router: StartRouter,
) -> None:
    async with Backend(backends.ok()) as old, Backend(backends.ok()) as new:
        router = await start_router(service_settings(old.url, new.url), workers=1)
        await router.wait_ready("v2")
        await router.verb("switch", to="v2", reason="x")
        await router.kill()
        wal = router.state / "journal.sqlite-wal"
        content = bytearray(wal.read_bytes())
        content[40] ^= 1  # of the first frame's salt
        wal.write_bytes(content)
        with pytest.raises(pytest.fail.Exception, match="left with 6"):
            await router.start()
        assert "its end is missing" in router.log
        assert (router.state / "journal.sqlite-wal").read_bytes() == bytes(content)
