"""Bad input gets a clear answer that names the value, the place and the remedy, a status or exit code, and changes nothing."""

from __future__ import annotations

import asyncio
import io
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests import backends
from tests.backends import Backend
from tests.end_to_end.conftest import StartRouter
from tests.end_to_end.real_router import Router, free_port, service_settings, until

pytestmark = [pytest.mark.end_to_end, pytest.mark.nightly, pytest.mark.timeout(90)]

SERVICE = "/v1/services/default"
JSON = {"Content-Type": "application/json"}

# (id, method, path, body, header fields, status, code, what the detail must name)
ADMIN_TABLE: list[tuple[str, str, str, Any, dict[str, str], int, str, str]] = [
    ("malformed JSON", "POST", "/promote", b'{"version": ', JSON, 400, "request_invalid", "body"),
    ("a million brackets", "POST", "/promote", b"[" * 1_000_000, JSON, 400, "request_invalid", "body"),
    ("a body too large", "POST", "/promote", b" " * 1_100_000, JSON, 413, "body_too_large", "body_bytes_max"),
    ("not declared as JSON", "POST", "/promote", b'{"version":"v2"}', {}, 415, "content_type", "application/json"),
    ("unknown member", "POST", "/promote", {"version": "v2", "fast": True}, {}, 400, "request_invalid", "fast"),
    ("no version", "POST", "/promote", {}, {}, 400, "request_invalid", "version"),
    ("a version label with a space", "POST", "/promote", {"version": "v 2"}, {}, 400, "version_invalid", "v 2"),
    ("unknown version", "POST", "/promote", {"version": "v9"}, {}, 404, "version_unknown", "v9"),
    ("switch to an unknown version", "POST", "/switch", {"to": "v9"}, {}, 404, "version_unknown", "v9"),
    ("retire an unknown version", "POST", "/retire", {"version": "v9"}, {}, 404, "version_unknown", "v9"),
    ("retire what serves", "POST", "/retire", {"version": "v1"}, {}, 409, "version_in_use", "v1"),
    (
        "a URL without a host",
        *("POST", "/deploy", {"version": "v3", "endpoints": ["http://:9000"]}, {}),
        *(400, "endpoint_invalid", "http://:9000"),
    ),
    (
        "a URL of another scheme",
        *("POST", "/deploy", {"version": "v3", "endpoints": ["ftp://127.0.0.1:1"]}, {}),
        *(400, "endpoint_invalid", "ftp"),
    ),
    (
        "the same label elsewhere",
        *("POST", "/deploy", {"version": "v1", "endpoints": ["http://127.0.0.1:1"]}, {}),
        *(409, "endpoints_differ", "http://127.0.0.1:1"),
    ),
    ("switch to a quarantined version", "POST", "/switch", {"to": "v2"}, {}, 409, "version_quarantined", "v2"),
    ("promote a quarantined version", "POST", "/promote", {"version": "v2"}, {}, 409, "version_quarantined", "v2"),
    ("a stale generation", "POST", "/switch", {"to": "v1"}, {"If-Match": '"1"'}, 412, "generation_stale", "generation"),
    (
        "a generation that is none",
        "POST",
        "/switch",
        {"to": "v1"},
        {"If-Match": "x"},
        400,
        "request_invalid",
        "If-Match",
    ),
    ("another version expected", "POST", "/switch", {"to": "v1", "from": "v9"}, {}, 409, "from_mismatch", "v9"),
    ("nothing to go back to", "POST", "/rollback", {"reason": "x"}, {}, 409, "no_standby", "standby"),
    ("a foreign host name", "GET", "", None, {"Host": "evil.example"}, 421, "host_not_allowed", "Host"),
    ("a foreign origin", "POST", "/freeze", {}, {"Origin": "http://evil.example"}, 403, "origin_not_allowed", "Origin"),
    ("no such method", "DELETE", "", None, {}, 405, "method_not_allowed", "DELETE"),
    ("no such verb", "POST", "/explode", {}, {}, 404, "path_unknown", "/explode"),
]


async def test_the_admin_api_refuses_and_changes_nothing(start_router: StartRouter) -> None:
    async with Backend(backends.ok()) as old, Backend(backends.ok()) as new:
        router = await start_router(service_settings(old.url, new.url), workers=1)
        await router.wait_ready("v2")
        await router.verb("switch", to="v2", reason="so that it can be rolled back")
        await router.verb("rollback", reason="to quarantine v2")

        async def drained() -> bool:
            return await router.target("v2") is None

        await until(drained, 10, "v2 is drained: from then on nothing happens by itself")
        before, entries = await router.service(), await router.journal()
        async with aiohttp.ClientSession() as session:
            for case, method, path, body, fields, status, code, named in ADMIN_TABLE:
                given: dict[str, Any] = {"data": io.BytesIO(body)} if isinstance(body, bytes) else {"json": body}
                url = router.admin_url + SERVICE + path
                async with session.request(method, url, **given, headers=fields) as response:
                    document = await response.json()
                    assert (response.status, document["code"]) == (status, code), (case, document)
                    assert response.content_type == "application/problem+json", case
                    assert named in document["detail"], (case, document)
                    assert document["request_id"], case
            async with session.get(f"{router.admin_url}/v1/services/nobody") as response:
                assert (response.status, (await response.json())["code"]) == (404, "service_unknown")
        after = await router.service()
        assert (after["generation"], after["active"]) == (before["generation"], before["active"])
        assert await router.journal() == entries


# -- the command line
async def run(*arguments: str, within_s: float = 20.0, **environment: str) -> tuple[int, str]:
    """Return (exit code, what was said) of a command that must end by itself."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "router", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={name: value for name, value in os.environ.items() if not name.startswith("ROLLBACK_ROUTER_")}
        | environment,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), within_s)
    except TimeoutError:
        process.kill()
        pytest.fail(f"{arguments} did not end: {(await process.communicate())[0].decode()}")
    assert process.returncode is not None
    return process.returncode, output.decode()


async def test_a_second_router_is_refused_and_the_first_one_goes_on(start_router: StartRouter, tmp_path: Path) -> None:
    async with Backend(backends.ok()) as old:
        router = await start_router(service_settings(old.url), workers=1)
        blue, free = ("--blue", old.url), f"127.0.0.1:{free_port()}"
        listen, admin = f"127.0.0.1:{router.data_port}", f"127.0.0.1:{router.admin_port}"
        other = str(tmp_path / "other")
        for arguments, expected, named in (
            (("--listen", listen, "--admin", free, "--state-dir", other), 4, listen),
            (("--listen", free, "--admin", admin, "--state-dir", other), 4, admin),
            (
                ("--listen", free, "--admin", f"127.0.0.1:{free_port()}", "--state-dir", str(router.state)),
                5,
                str(router.pid),
            ),
        ):
            code, said = await run("run", *blue, *arguments)
            assert (code, named in said) == (expected, True), said
        assert (await router.service())["active"] == "v1"


async def test_the_same_label_with_other_endpoints_is_refused_at_the_start(start_router: StartRouter) -> None:
    async with Backend(backends.ok()) as old:
        router = await start_router(service_settings(old.url), workers=1)
        assert await router.stop() == 0
        router.settings = service_settings("http://127.0.0.1:9")
        code, said = await run(*router.arguments())
        assert code == 7, said
        for named in (old.url, "http://127.0.0.1:9", "--fresh"):
            assert named in said
        router.settings = service_settings(old.url)
        await router.start()
        assert (await router.service())["active"] == "v1"


def torn_page(journal: Path) -> None:
    with journal.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(4096))


def not_a_database(journal: Path) -> None:
    journal.write_bytes(b"this is no journal\n" * 500)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("damage", [torn_page, not_a_database], ids=lambda damage: damage.__name__.replace("_", " "))
async def test_a_corrupt_journal_is_never_guessed_about(
    start_router: StartRouter, damage: Callable[[Path], None]
) -> None:
    async with Backend(backends.ok()) as old:
        router: Router = await start_router(service_settings(old.url), workers=1)
        for number in range(30):
            await router.verb("freeze" if number % 2 else "unfreeze", reason=f"entry {number}")
        assert await router.stop() == 0
        journal = router.state / "journal.sqlite"
        kept = journal.with_name("kept.sqlite")
        shutil.copy(journal, kept)
        damage(journal)
        damaged = journal.read_bytes()
        code, said = await run(*router.arguments(), within_s=60)
        assert code == 6, said
        assert str(journal) in said
        assert "--assume-active" in said
        assert journal.read_bytes() == damaged, "a corrupt journal was touched"
        shutil.move(kept, journal)
        await router.start()
        assert (await router.service())["active"] == "v1"

        # without a copy of the journal an operator says which version serves, by the command that the error names
        assert await router.stop() == 0
        damage(journal)
        _, said = await run(*router.arguments(), within_s=60)
        (copy,) = re.findall(r"rollback-router run --assume-active VERSION --journal-from (\S+)", said)
        command = (*router.command(), "--assume-active", "v1", "--journal-from", copy)
        router.process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
        await until(router.ready, 40, "the router goes on")
        assert (await router.service())["active"] == "v1"
        assert [path.name for path in router.state.glob("*corrupt*.sqlite")] != [], "the damaged file is kept"
        assert await router.stop() == 0


async def test_the_commands_exit_codes_say_who_refused(start_router: StartRouter) -> None:
    async with Backend(backends.ok()) as old, Backend(backends.ok()) as new:
        router = await start_router(service_settings(old.url, new.url), workers=1)
        await router.wait_ready("v2")
        admin = ("--admin", router.admin_url)
        code, said = await run("switch", "v2", "-m", "by command", *admin)
        assert code == 0, said
        code, said = await run("rollback", "-m", "by command", *admin)
        assert code == 0, said
        for arguments, expected, named in (
            (("promote", "v2"), 9, "quarantine"),
            (("switch", "v9"), 9, "v9"),
            (("switch", "v1", "--if-generation", "1"), 9, "generation"),
            (("deploy", "v3", "http://:1"), 2, "http://:1"),
            (("deploy", "v1", "http://127.0.0.1:1"), 7, "v1"),
        ):
            code, said = await run(*arguments, *admin)
            assert (code, named in said) == (expected, True), (arguments, said)
            assert "next: " in said or expected == 2, (arguments, said)
        assert (await router.service())["active"] == "v1"
