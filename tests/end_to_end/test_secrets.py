"""Every source of a secret, and every way in which its use can fail: the secret is in no output and in no file of the router.

Outputs are stdout and stderr of the commands, the log, the answers of the admin API, and all files of the state directory.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from tests import backends
from tests.backends import Backend
from tests.end_to_end.conftest import StartRouter
from tests.end_to_end.real_router import SERVICE, Router, free_port, service_settings

pytestmark = [pytest.mark.end_to_end, pytest.mark.nightly, pytest.mark.timeout(180)]

SECRET: Final = "s3cr3tOfTheTest"
TOKEN: Final = f"{SECRET}-token-of-ann"
BAD: Final = {
    "line break inside": f"{TOKEN}\n{TOKEN}",
    "CR inside": f"{TOKEN}\r{TOKEN}",
    "control character": f"{TOKEN}\x1b[2J",
    "not ASCII": f"{TOKEN}é",
    "newline at the end": f"{TOKEN}\n",
    "good": TOKEN,
}
"""A secret in every form in which one arrives."""


async def output(*arguments: str, **environment: str) -> str:
    """Return all that a command prints. It must end by itself."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("ROLLBACK_ROUTER_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "router", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=known | environment,
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), 30)
    except TimeoutError:
        process.kill()
        raise
    assert b"Traceback" not in said, said.decode()
    return said.decode()


async def _garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"\x00\xff not HTTP\r\n\r\n")
    writer.close()


async def _page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>")
    writer.close()


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A debugging server: it answers with what it was sent."""
    head = await reader.readuntil(b"\r\n\r\n")
    text = json.dumps({"detail": "refused", "code": "x"}).encode()
    writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(text))
    writer.write(text)
    writer.close()
    assert head


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("form", BAD)
async def test_the_token_of_a_command(form: str, tmp_path: Path) -> None:
    token = BAD[form]
    file = tmp_path / "token"
    file.write_text(token)
    closed = f"http://127.0.0.1:{free_port()}"
    async with serving(_garbage) as garbage, serving(_page) as page, serving(_echo) as echo:
        urls = (closed, garbage, page, echo, "http://nosuch.invalid", "no URL", "unix:/nowhere.sock")
        if form != "good":  # the token ends the command before it connects
            urls = urls[:1]
        runs = [output("status", "--admin", url, ROLLBACK_ROUTER_TOKEN=token) for url in urls]
        runs += [output("status", "--admin", closed, "--token", token)]
        runs += [output("versions", "--json", "--admin", page, "--token-file", str(file))]
        runs += [output("doctor", "--admin", closed, ROLLBACK_ROUTER_TOKEN=token)]
        if form == "good":
            runs += [output("status", ROLLBACK_ROUTER_ADMIN_URL=f"http://ann:{SECRET}@127.0.0.1:1/")]
            runs += [output("status", "--admin", f"http://127.0.0.1:1/?token={SECRET}")]
        for at in range(0, len(runs), 4):
            for said in await asyncio.gather(*runs[at : at + 4]):
                assert said.strip()
                assert SECRET not in said


SETTINGS: Final = {
    "channel": f'[[notify]]\nname = "a"\nkind = "slack"\nurl = "https://h/{SECRET}\\n x"\n',
    "channel without scheme": f'[[notify]]\nname = "a"\nkind = "slack"\nurl = "{SECRET}"\n',
    "unknown member": f'[[notify]]\nname = "a"\nkind = "slack"\ntoken = "{SECRET}"\n',
    "token instead of its hash": f'[[admin.tokens]]\nname = "a"\nrole = "viewer"\nsha256 = "{SECRET}"\n',
    "hook token": f'[[alerts.tokens]]\nname = "a"\nsha256 = "{SECRET}"\n',
    "MLflow": f'[mlflow]\ntracking_uri = "http://u:{SECRET}@h"\n',
    "endpoint": f'[services.a]\nactive = {{ version = "v", endpoints = ["http://u:{SECRET}@h:1"] }}\n',
    "broken TOML": f'[mlflow]\ntoken = "{SECRET}\n',
    "good": f'[[notify]]\nname = "a"\nkind = "webhook"\nurl = "https://h/{SECRET}"\n[services.a]\n',
}


@pytest.mark.parametrize("case", SETTINGS)
async def test_secrets_in_the_settings(case: str, tmp_path: Path) -> None:
    file = tmp_path / "router.toml"
    file.write_text(SETTINGS[case])
    commands = [("config", "check", "--json"), ("config", "show"), *([("run",), ("doctor",)] if case != "good" else [])]
    for said in await asyncio.gather(*(output(*words, "--config", str(file)) for words in commands)):
        assert SECRET not in said


VARIABLES: Final = {
    "NOTIFY": [SECRET, f'[{{"url": "{SECRET}"}}]', f'[{{"name": "a", "kind": "slack", "url": "{SECRET}"}}]', f'["{SECRET}"]'],
    "ADMIN__TOKENS": [SECRET, f'[{{"name": "a", "role": "viewer", "sha256": "{SECRET}"}}]'],
    "ALERTS__TOKENS": [SECRET, f'[{{"name": "a", "sha256": "{SECRET}\\n"}}]'],
    "MLFLOW__TRACKING_URI": [f"http://u:{SECRET}@h", f"http://h/?{SECRET}"],
    "MLFLOW": [SECRET, f'{{"password": "{SECRET}"}}'],
    "NO_SUCH_SETTING": [SECRET],
}  # fmt: skip


@pytest.mark.parametrize("name", VARIABLES)
async def test_secrets_in_variables(name: str) -> None:
    variable = f"ROLLBACK_ROUTER_{name}"
    for value in VARIABLES[name]:
        said = await output("run", "--blue", "http://127.0.0.1:1", **{variable: value})
        assert (SECRET in said, variable in said) == (False, True), said


def written(folder: Path, name: str, text: str | bytes) -> str:
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(file)


@pytest.mark.parametrize("form", [*BAD, "NUL", "UTF-16", "empty", "missing"])
async def test_secrets_in_files_that_the_router_reads(form: str, tmp_path: Path, start_router: StartRouter) -> None:
    """The router runs with the files; every use of a secret fails, or reaches a server that refuses it."""
    raw = BAD.get(form, "").encode()
    if form == "NUL":
        raw = f"{TOKEN}\0".encode()
    elif form == "UTF-16":
        raw = TOKEN.encode("utf-16")
    key = str(tmp_path / "missing") if form == "missing" else written(tmp_path, "key", raw)
    url = written(tmp_path, "url", b"http://127.0.0.1:1/" + raw)
    headers = written(tmp_path, "headers", f"Authorization: Bearer {TOKEN}\nX-Key: {SECRET}\n")
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    async with Backend(backends.ok()) as old, serving(_page) as page, serving(_echo) as echo:
        more = f"""
[alerts]
hmac_secret_file = "{key}"
tokens = [{{ name = "ann", sha256 = "{digest}" }}]
[mlflow]
tracking_uri = "{page}"
secret_file = "{key}"
[[notify]]
name = "file"
kind = "webhook"
url_file = "{url}"
hmac_secret_file = "{key}"
[[notify]]
name = "refuses"
kind = "webhook"
url = "{echo}/{SECRET}?key={SECRET}"
[[notify]]
name = "page"
kind = "slack"
url = "{page}/{SECRET}"
"""
        router = await start_router(service_settings(old.url) + more, workers=1, ROLLBACK_ROUTER_TOKEN=TOKEN)
        here = ("--admin", router.admin_url)
        said = []
        for words in (
            ("status",),
            ("notify", "test"),
            ("deploy", "models:/fraud/1"),
            ("deploy", "v2", old.url, "--headers-file", headers),
            ("deploy", "v3", old.url, "--headers-file", key),
            ("deploy", "v4", f"http://u:{SECRET}@127.0.0.1:1"),
            ("explain",),
            ("doctor",),
        ):
            said.append(await output(*words, *here, ROLLBACK_ROUTER_TOKEN=TOKEN))
        said.append(await output("status", *here, ROLLBACK_ROUTER_TOKEN=f"{TOKEN}-wrong"))
        said.append(await asyncio.to_thread(lambda: answers_text(router)))
        said.append(await answers(router))
        assert await router.stop() == 0
        said.append(router.log)
        for text in said:
            assert SECRET not in text
        held = [
            str(file) for file in router.state.rglob("*") if file.is_file() and SECRET.encode() in file.read_bytes()
        ]
        assert held == []


def answers_text(router: Router) -> str:
    """Return the command lines and the environments of the children."""
    text = b""
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        try:
            parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
            if int(parent) == router.pid:
                text += Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
    return text.decode(errors="replace")


async def answers(router: Router) -> str:
    """Return what the admin API answers to every reading operation without parameters, and to wrong calls."""
    text = ""
    fields = {"Authorization": f"Bearer {TOKEN}"}
    async with aiohttp.ClientSession(headers=fields, timeout=aiohttp.ClientTimeout(total=10)) as session:
        for token in (TOKEN, f"{TOKEN}-wrong"):
            hook = f"{router.admin_url}/v1/hooks/alert"
            async with session.post(hook, data=b"{}", headers={"Authorization": f"Bearer {token}"}) as response:
                text += await response.text()
        async with session.get(f"{router.admin_url}/v1/openapi.json") as response:
            paths = [path for path, verbs in (await response.json())["paths"].items() if "get" in verbs]
        service = SERVICE
        for path in (*paths, "/metrics", "/healthz", "/readyz"):
            if path == "/v1/events" or path.endswith("/live"):
                continue
            place = path.replace("{service}", service)
            async with session.get(router.admin_url + re.sub(r"\{\w+\}", "none", place)) as response:
                text += await response.text(errors="replace")
        for body in (b"{", b'{"version": 3}', b""):
            async with session.post(f"{router.admin_url}/v1/services/{service}/deploy", data=body) as response:
                text += await response.text()
    return text
