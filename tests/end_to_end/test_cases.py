"""A version fails particular inputs and is rolled back; its successor must pass the cases that were built from them."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import aiohttp
import pytest

from tests import backends
from tests.backends import Backend
from tests.end_to_end.conftest import StartRouter
from tests.end_to_end.real_router import SERVICE, RefusedError, Router, service_settings, until
from tests.texts import golden

pytestmark = [pytest.mark.end_to_end, pytest.mark.nightly, pytest.mark.timeout(120)]

POISONED = tuple(f'{{"user":{{"name":"Ann"}},"amount":-{number}}}'.encode() for number in range(1, 6))
SETTINGS = f"""replay = "always"
[services.{SERVICE}.cases]
bodies = true
redact_paths = ["/user/name"]
"""


def scorer(*, fixed: bool) -> backends.Behaviour:
    """Answer a score; one that is not fixed breaks at negative amounts."""

    async def answer(connection: backends.Connection, request: backends.RawRequest) -> None:
        broken = not fixed and b'"amount":-' in request.raw
        await connection.send(
            backends.response(500 if broken else 200, b'{"score":0.5}', content_type="application/json")
        )

    return backends.answering(answer)


async def send(router: Router, *bodies: bytes) -> list[int]:
    statuses = []
    async with aiohttp.ClientSession() as session:
        for body in bodies:
            headers = {"Content-Type": "application/json", "Authorization": "Bearer secret-token"}
            async with session.post(f"{router.url}/score", data=body, headers=headers) as response:
                statuses.append(response.status)
    return statuses


async def command(router: Router, *words: str) -> tuple[int, str]:
    """Run a command of the router's; return its exit code and all that it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "router", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "ROLLBACK_ROUTER_ADMIN_URL": router.admin_url},
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def cases_of(router: Router) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = (await router.call("GET", f"/v1/services/{SERVICE}/cases?full=true"))["cases"]
    except (aiohttp.ClientError, RefusedError):
        return []  # control starts again
    return found


async def test_what_a_version_failed_at_stops_its_successors_until_one_does_better(
    start_router: StartRouter, tmp_path: Path
) -> None:
    async with (
        Backend(scorer(fixed=True)) as good,
        Backend(scorer(fixed=False)) as bad,
        Backend(scorer(fixed=False)) as unfixed,
        Backend(scorer(fixed=True)) as fixed,
    ):
        router = await start_router(service_settings(good.url, more=SETTINGS))
        await router.promote_new("v2", bad.url)
        assert set(await send(router, *[b'{"amount":1}'] * 5)) == {200}

        async def rolled_back() -> bool:
            await send(router, *POISONED)
            return bool((await router.service())["active"] == "v1")

        await until(rolled_back, 20, "v2 is rolled back")
        control = (await router.status())["control"]["pid"]
        await router.kill([control])

        async def frozen() -> list[dict[str, Any]]:
            return await cases_of(router)

        cases = await until(frozen, 15, "the cases are frozen")
        assert sorted(case["request"]["body"] for case in cases) == sorted(
            body.decode().replace("Ann", "[redacted]") for body in POISONED
        )
        assert {(case["version"], case["failed"]["status"], *sorted(case["request"]["headers"])) for case in cases} == {
            ("v2", 500, "accept", "content-type")
        }
        stored = b"".join(path.read_bytes() for path in router.state.glob("cases.sqlite*"))
        assert (b"[redacted]" in stored, b"Ann" in stored, b"secret-token" in stored) == (True, False, False)

        await router.verb("deploy", version="v3", endpoints=[unfixed.url])

        async def checked() -> bool:
            present = (await router.service())["cases"]
            return bool(present["failing"]) and not present["pending"]

        await until(checked, 10, "the cases are checked on v3")
        with pytest.raises(RefusedError) as refused:
            await router.verb("promote", version="v3")
        assert (refused.value.status, refused.value.code) == (409, "cases_failing")
        assert sorted(refused.value.document["failing"]) == sorted(case["id"] for case in cases)

        code, said = await command(router, "deploy", "v4", fixed.url)
        assert (code, golden("cases.all_pass") in said) == (0, True), said
        report = tmp_path / "junit.xml"
        code, said = await command(router, "check", "v4", "--junit", str(report))
        assert (code, said) == (0, "5 of 5 cases pass, 0 fail\n")
        suite = ElementTree.parse(report).getroot()[0]
        assert (suite.attrib["tests"], suite.attrib["failures"], len(suite)) == ("5", "0", 5)
        assert (await router.verb("promote", version="v4"))["active"] == "v4"

        file = tmp_path / "cases.jsonl"
        assert (await command(router, "cases", "export", str(file)))[0] == 0
        code, said = await command(router, "check", "--url", unfixed.url, "--cases", str(file), "--junit", str(report))
        assert (code, said.splitlines()[-1]) == (1, "0 of 5 cases pass, 5 fail"), said
        assert ElementTree.parse(report).getroot()[0].attrib["failures"] == "5"
        kinds = [entry["type"] for entry in await router.journal() if entry["type"].startswith("cases_")]
        assert kinds == ["cases_frozen", "cases_checked", "cases_checked", "cases_checked"]
