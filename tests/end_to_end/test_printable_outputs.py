"""Texts of clients and API callers are escaped on every terminal, log, page and message."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from router.cli.app import main
from tests import backends
from tests.backends import Backend
from tests.control.receiver import receiving
from tests.end_to_end.conftest import StartRouter
from tests.end_to_end.real_router import SERVICE, RefusedError, Router, service_settings, until
from tests.end_to_end.test_rollback import healthy_but
from tests.hostile_text import HOSTILE, ORDINARY, found_in

pytestmark = [pytest.mark.end_to_end, pytest.mark.nightly, pytest.mark.timeout(120)]

TOKEN = "the-token-of-the-alerts"
GOOD = " ".join(ORDINARY[:6])
BYTES = "".join(char for char in HOSTILE if ord(char) > 0x7F).encode() + b"\x80\x9b\x9b31m\xff[bold]x[/x]:bomb:"
"""What may stand in a target or field value as it is: no byte below 0x80 that is a control character."""
SETTINGS = f"""replay = "never"
[services.{SERVICE}.cases]
headers = ["user-agent", "x-told"]
[incidents]
after_s = 1
[alerts]
tokens = [{{ name = "monitor", sha256 = "{hashlib.sha256(TOKEN.encode()).hexdigest()}" }}]
[[alerts.map]]
kind = "quality"
matchers = {{ kind = "quality" }}
service = "{SERVICE}"
"""


def channels(**urls: str) -> str:
    return "access_log = true\n" + "".join(
        f'[[notify]]\nname = "{kind}"\nkind = "{kind}"\nurl = "{url}"\n' for kind, url in urls.items()
    )


async def send(router: Router, head: bytes) -> None:
    """Send a head as it is; wait for any answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", router.data_port)
    writer.write(head)
    await asyncio.wait_for(reader.read(), 10)
    writer.close()


async def strangers_speak(router: Router) -> None:
    """Requests whose method, target and fields are hostile, most of them refused; and enough failures for a rollback."""
    refused = HOSTILE.encode("utf-8", "surrogatepass")
    for hostile in (BYTES, refused):
        for head in (
            b"GET /score?%s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % hostile,
            b"GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % hostile,
            b"%s / HTTP/1.1\r\nHost: a\r\n\r\n" % hostile,
            b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: %s\r\nX-Request-ID: %s\r\nConnection: close\r\n\r\n"
            % (hostile, hostile),
            b"GET / HTTP/1.1\r\nHost: a\r\n%s: x\r\nConnection: close\r\n\r\n" % hostile,
        ):
            await send(router, head)
    failing = b"GET /score/%s HTTP/1.1\r\nHost: a\r\nUser-Agent: %s\r\nX-Told: %s\r\nConnection: close\r\n\r\n"
    for _ in range(25):
        await send(router, failing % (BYTES, BYTES, BYTES))


async def alert(router: Router, text: str, **more: Any) -> dict[str, Any]:
    body = {
        "id": "drift-1",
        "version": "v2",
        "summary": text,
        "labels": {"kind": "quality", "alertname": text, "told": text, text: "x"},
    }
    async with aiohttp.ClientSession() as session:
        url, fields = f"{router.admin_url}/v1/hooks/alert", {"Authorization": f"Bearer {TOKEN}"}
        async with session.post(url, json=body, headers=fields) as response:
            return dict(await response.json())


def run(router: Router, *words: str) -> tuple[int, str]:
    """Run a command; return its exit code and all that it printed."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([*words, "--admin", router.admin_url])
    return code, out.getvalue() + err.getvalue()


def commands(incident: str, case: str, proposal: str, folder: Path) -> list[list[str]]:
    looked = [
        ["status"], ["explain"], ["journal", "--limit", "1000"], ["incidents"], ["incidents", incident], ["versions"],
        ["versions", "v2"], ["versions", "--live"], ["versions", "--deletable"], ["proposals", "--all"], ["cases"],
        ["cases", "check", "v1"], ["alerts"], ["notify"], ["drill", "--list"], ["acceptance"], ["inputs"], ["report"], ["advise"],
        ["check", "v1"],
        *([["proposals", proposal]] if proposal else []),
    ]  # fmt: skip
    refused = [
        ["rollback", "-m", HOSTILE], ["deploy", HOSTILE, "http://127.0.0.1:1"], ["promote", HOSTILE], ["retire", HOSTILE],
        ["switch", "v2", "-m", HOSTILE, "--override", HOSTILE], ["quarantine", HOSTILE, "-m", HOSTILE], ["status", HOSTILE],
        ["freeze", "-m", HOSTILE], ["incidents", HOSTILE], ["incidents", incident, "--comment", HOSTILE], ["proposals", HOSTILE],
        ["approve", HOSTILE], ["explain", "--service", HOSTILE], ["report", "--since", HOSTILE], ["versions", HOSTILE],
        ["deploy", "v9", HOSTILE], ["acceptance", "--set", HOSTILE], ["check", "v1", "--url", HOSTILE], ["drill", HOSTILE],
    ]  # fmt: skip
    more = [
        ["report", "--markdown"], ["cases", "show", case], ["cases", "export", str(folder / "cases.jsonl")],
        ["incidents", incident, "--md", "-"], ["incidents", incident, "--html", "-"], ["journal", f"--{HOSTILE}"], [HOSTILE],
        ["config", "check", "--config", str(folder / HOSTILE.replace("/", "_"))], ["status", "--admin", HOSTILE],
        ["config", "check", "--config", str(folder / "hostile.toml")], ["cases", "add", str(folder / "hostile.jsonl")],
    ]  # fmt: skip
    return [[*words, *flag] for words in looked + refused for flag in ([], ["--json"])] + more


async def test_no_output_holds_what_is_not_printable(start_router: StartRouter, tmp_path: Path) -> None:
    async with Backend(backends.ok()) as old, Backend(healthy_but(backends.ok())) as new:
        async with receiving() as webhook, receiving() as slack:
            settings = channels(webhook=webhook.url, slack=slack.url) + service_settings(old.url, more=SETTINGS)
            router = await start_router(settings, workers=1)
            await router.promote_new("v2", new.url)
            await router.wait_ready("v1")
            new.behaviour = healthy_but(backends.status(500))
            await strangers_speak(router)
            await router.wait_active("v1", 20)
            taken = await alert(router, HOSTILE)  # by itself it would roll back before enough has failed
            with pytest.raises(RefusedError) as refused:
                await router.verb("freeze", reason=HOSTILE)
            await router.verb("freeze", reason=GOOD)

            async def complete() -> Any:
                [listed] = (await router.call("GET", "/v1/incidents"))["incidents"]
                made = await router.call("GET", f"/v1/incidents/{listed['id']}")
                cases = (await router.call("GET", f"/v1/services/{SERVICE}/cases"))["cases"]
                return (made, cases) if made["record"]["complete"] and cases else None

            made, cases = await until(complete, 30, "a whole record, and cases")
            (tmp_path / "hostile.toml").write_text(f"[services.\"{json.dumps(HOSTILE)[1:-1]}\"]\n'{GOOD}' = 1\n")
            (tmp_path / "hostile.jsonl").write_bytes(json.dumps({HOSTILE: HOSTILE}).encode())
            printed = {}
            for words in commands(made["id"], cases[0]["id"], "", tmp_path):
                code, said = await asyncio.to_thread(run, router, *words)
                assert said, words
                assert code != 10, (words, said)
                assert found_in(said) == [], (words, said)
                printed[" ".join(words)] = said
            await asyncio.wait_for(webhook.until(3), 10)
            await asyncio.wait_for(slack.until(3), 10)
            messages = [body for _, body in (*webhook.got, *slack.got)]

    # The log of all processes, with the access log; an access line is still JSON and tells what came.
    assert found_in(router.log) == []
    lines = [
        json.loads(line.partition("{")[1] + line.partition("{")[2])
        for line in router.log.splitlines()
        if '"target"' in line
    ]
    assert any(line["target"] == "/score/" + BYTES.decode("latin-1") for line in lines)
    # What a webhook and Slack got, the files of the incident, the metrics and the API, byte by byte.
    for message in messages:
        assert found_in(message.decode()) == []
        for text in texts(orjson.loads(message)["attachments"] if b"attachments" in message else []):
            assert found_in(text) == [], text
    files = [
        path for path in (router.state / "incidents").iterdir() if path.suffix in (".md", ".html", ".svg", ".json")
    ]
    assert len(files) == 4
    for path in [*files, tmp_path / "cases.jsonl"]:
        assert found_in(path.read_text()) == [], path
    # The twin: ordinary words are shown as they are, and data are lost nowhere.
    assert GOOD in printed["status"]
    assert GOOD in router.log
    assert taken["result"] != "unusable"
    assert found_in(refused.value.document["detail"]) == []
    [kept] = json.loads(printed["alerts --json"])["alerts"]
    assert "\\u009b" in kept["labels"]["told"]
    paths = [one["path"] for one in made["failures"]["items"]]
    assert "/score/" + BYTES.decode("latin-1") in paths, paths


def texts(document: Any) -> list[str]:
    """Return every text in a document."""
    if isinstance(document, str):
        return [document]
    parts = document.values() if isinstance(document, dict) else document if isinstance(document, list) else ()
    return [text for part in parts for text in texts(part)]


async def test_raw_answers_of_the_admin_api_are_printable(start_router: StartRouter) -> None:
    async with Backend(backends.ok()) as old:
        router = await start_router(service_settings(old.url, more=SETTINGS), workers=1)
        await alert(router, HOSTILE)
        paths = [
            "/v1/alerts",
            "/v1/status",
            "/v1/journal",
            "/metrics",
            "/v1/%1b%9b%c2%9b",
            "/v1/services/%c2%9b",
            "/decide/%c2%9b",
        ]
        async with aiohttp.ClientSession() as session:
            for path in paths:
                async with session.get(f"{router.admin_url}{path}") as response:
                    assert found_in((await response.read()).decode()) == [], path
