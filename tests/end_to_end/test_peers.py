"""The same bad requests against this router, nginx and HAProxy in one run: ours refuses every one of them outright.

`pytest -rA` shows where the peers answer otherwise, and how many whole requests each let through to the backend.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path

import pytest

from tests.end_to_end.real_router import free_port, until
from tests.end_to_end.test_load_balancers import listens
from tests.proxy.malformed import MALFORMED
from tests.proxy.recorder import Recorder
from tests.proxy.rig import Rig
from tests.proxy.smuggling import FRAMING, Bad

pytestmark = [pytest.mark.end_to_end, pytest.mark.nightly, pytest.mark.timeout(60)]

CASES = [case for case in (*FRAMING, *MALFORMED) if case.served == 0]
NGINX = """daemon off; master_process off; pid {folder}/pid; error_log /dev/null;
events {{ worker_connections 1000; }}
http {{ access_log off; client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e; client_body_timeout 1s; client_header_timeout 1s;
server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass {url}; proxy_http_version 1.1; proxy_request_buffering off; }} }} }}
"""
HAPROXY = """defaults
  mode http
  timeout connect 1s
  timeout client 1s
  timeout server 1s
  timeout http-request 1s
frontend f
  bind 127.0.0.1:{port}
  default_backend b
backend b
  server s 127.0.0.1:{backend}
"""


async def _ask(port: int, case: Bad) -> str:
    """Return the first status, or `none` if nothing came within two seconds."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(case.raw)
        async with asyncio.timeout(2):
            line = await reader.readline()
        return line[9:12].decode("latin-1") or "none"
    except (TimeoutError, ConnectionError):
        return "none"
    finally:
        writer.close()


async def _ask_all(port: int) -> list[str]:
    gate = asyncio.Semaphore(30)

    async def one(case: Bad) -> str:
        async with gate:
            return await _ask(port, case)

    return await asyncio.gather(*(one(case) for case in CASES))


async def _peer(name: str, folder: Path) -> tuple[list[str], int]:
    """Return (status for each case, whole requests that its backend got)."""
    program = shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    assert program, f"{name} is missing: tests/run installs it"
    port, settings = free_port(), folder / f"{name}.conf"
    async with Recorder() as recorder:
        template = NGINX if name == "nginx" else HAPROXY
        settings.write_text(template.format(folder=folder, port=port, url=recorder.url, backend=recorder.port))
        flags = ("-c", str(settings)) if name == "nginx" else ("-db", "-f", str(settings))
        process = await asyncio.create_subprocess_exec(program, *flags, stderr=asyncio.subprocess.DEVNULL)
        try:
            await until(lambda: listens(port), 10, f"{name} listens")
            return await _ask_all(port), len(recorder.requests)
        finally:
            process.terminate()
            await process.wait()


async def test_every_bad_request_is_refused_whatever_the_peers_do(tmp_path: Path) -> None:
    async with Recorder() as recorder, Rig() as rig:
        rig.serve(recorder.url)
        ours = await _ask_all(rig.port)
        assert recorder.requests == [], "whole requests reached the backend"
    peers = {name: await _peer(name, tmp_path) for name in ("nginx", "haproxy")}
    rows = zip(CASES, ours, *(answers for answers, _ in peers.values()), strict=True)
    differing = [(case.name, *answers) for case, *answers in rows if len({answer[0] for answer in answers}) > 1]
    sys.stdout.write(f"{len(CASES)} bad requests; whole requests at the backend: ours 0, ")
    sys.stdout.write(", ".join(f"{name} {through}" for name, (_, through) in peers.items()) + "\n")
    for name, *answers in differing:
        sys.stdout.write(f"{name[:60]:<62}{'  '.join(answers)}\n")
    wrong = [(case.name, got) for case, got in zip(CASES, ours, strict=True) if got not in map(str, case.statuses)]
    assert wrong == []
