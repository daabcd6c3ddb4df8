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
from tests.end_to_end.traffic import exchange

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(90)]

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


async def test_a_cold_version_is_refused_until_it_has_been_verified(start_router: StartRouter) -> None:
    async with Backend(backends.ok()) as old, Backend(backends.status(500)) as cold:
        router = await start_router(service_settings(old.url), workers=1)
        await router.verb("deploy", version="v2", endpoints=[cold.url])
        async with aiohttp.ClientSession() as session:
            for verb, body in (("promote", {"version": "v2"}), ("switch", {"to": "v2"})):
                async with session.post(f"{router.admin_url}{SERVICE}/{verb}", json=body) as response:
                    assert (response.status, (await response.json())["code"]) == (409, "version_not_ready"), verb
            other = {"version": "v3", "endpoints": [old.url]}
            async with session.post(f"{router.admin_url}{SERVICE}/deploy", json=other) as response:
                assert (response.status, (await response.json())["code"]) == (409, "verifying")
        assert (await router.service())["active"] == "v1"


# (id, raw request, first line of the answer)
DATA_TABLE: list[tuple[str, bytes, bytes]] = [
    ("no host", b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 400"),
    ("two hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"HTTP/1.1 400"),
    (
        "a length and chunks",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 400",
    ),
    (
        "two lengths",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"HTTP/1.1 400",
    ),
    ("a length that is none", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1_0\r\n\r\n0123456789", b"HTTP/1.1 400"),
    (
        "an unknown coding",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 400",
    ),
    (
        "chunks of HTTP/1.0",
        b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 400",
    ),
    ("a space before the colon", b"GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n", b"HTTP/1.1 400"),
    ("a folded field", b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", b"HTTP/1.1 400"),
    ("bare line feeds", b"GET / HTTP/1.1\nHost: a\n\n", b"HTTP/1.1 400"),
    ("a NUL", b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n", b"HTTP/1.1 400"),
    ("HTTP/2.0", b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", b"HTTP/1.1 505"),
    ("not HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"HTTP/1.1 400"),
    ("a huge field", b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 40_000 + b"\r\n\r\n", b"HTTP/1.1 431"),
    ("many fields", b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 120 + b"\r\n", b"HTTP/1.1 431"),
    (
        "a body too large",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n",
        b"HTTP/1.1 413",
    ),
]


async def test_the_data_port_refuses_and_no_backend_hears_of_it(start_router: StartRouter) -> None:
    async with Backend(backends.echo()) as old:
        router = await start_router(service_settings(old.url), workers=1)
        for case, raw, first in DATA_TABLE:
            answer = await exchange(router.data_port, raw, within_s=3)
            assert answer.startswith(first), (case, answer[:200])
            assert b"X-Router-Error: " in answer, case
            assert b"\r\nConnection: close\r\n" in answer, case
            assert len(re.findall(rb"HTTP/1\.1 \d{3} ", answer)) == 1, (case, "more than one answer")
        admin = await exchange(
            router.data_port, b"GET /v1/status HTTP/1.1\r\nHost: a\r\nX-Mark: yes\r\nConnection: close\r\n\r\n"
        )
        assert admin.startswith(b"HTTP/1.1 200")
        heard = [request for request in old.requests if not request.line.startswith(b"GET /health")]
        assert [(request.line, request.field("x-mark")) for request in heard] == [(b"GET /v1/status HTTP/1.1", b"yes")]
        exchanges = (await router.service())["exchanges"]
        assert all(number == 0 for outcome, number in exchanges["ended"].items() if outcome not in ("ok", "refused"))


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


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (("run", "--blue", "http://:9000"), 3, "http://:9000"),
        (("run", "--blue", "127.0.0.1:9000"), 3, "127.0.0.1:9000"),
        (("run", "--blue", "http://127.0.0.1:1", "--listen", "8080"), 3, "8080"),
        (("run", "--blue", "http://127.0.0.1:1", "--workers", "0"), 3, "workers"),
        (("run", "--config", "/nowhere/router.toml"), 3, "/nowhere/router.toml"),
        (("run", "--colour", "red"), 2, "--colour"),
        (("explode",), 2, "explode"),
        (("status", "--admin", "http://127.0.0.1:1"), 8, "http://127.0.0.1:1"),
        (("status", "--admin", "127.0.0.1"), 2, "127.0.0.1"),
        (("demo", "--headless", "--fault", "flood"), 2, "flood"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
async def test_a_wrong_command_names_the_value(arguments: tuple[str, ...], code: int, named: str) -> None:
    ended, said = await run(*arguments)
    assert ended == code, said
    assert named in said
    assert "Traceback" not in said


async def test_an_unknown_setting_is_named_wherever_it_stands(tmp_path: Path) -> None:
    file = tmp_path / "router.toml"
    for text, named in (
        ("colour = 'red'\n", "colour"),
        ("[services.a.rules.hard_failure]\nburst_share = 1\n", "burst_share"),
        ("workers = 'many'\n", "workers"),
        ("workers = \n", "line 1"),
    ):
        file.write_text(text, "utf-8")
        for command in (("config", "check", "--config", str(file)), ("run", "--config", str(file))):
            code, said = await run(*command)
            assert code == 3, (command, said)
            assert named in said, (command, said)
            assert str(file) in said, (command, said)
    code, said = await run("config", "check", ROLLBACK_ROUTER_COLOUR="red")
    assert code == 3, said
    assert "ROLLBACK_ROUTER_COLOUR" in said


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
        code, said = await run(*router.arguments())
        assert code == 6, said
        assert str(journal) in said
        assert "--assume-active" in said
        assert journal.read_bytes() == damaged, "a corrupt journal was touched"
        shutil.move(kept, journal)
        await router.start()
        assert (await router.service())["active"] == "v1"


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
