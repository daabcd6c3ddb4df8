"""Behind real balancers: HAProxy that announces its clients, nginx and HAProxy that write X-Forwarded-*.

Clients come from addresses of their own in 127.0.0.0/8, so that clients can be distinguished.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from router.proxy.options import ForwardingOptions
from tests import backends
from tests.backends import Backend
from tests.end_to_end.real_router import Router, free_port, service_settings, until
from tests.proxy.rig import OPTIONS, Client, Rig

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(60)]

GET = b"GET / HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: 6.6.6.6\r\nConnection: close\r\n\r\n"
DEFAULTS = """defaults
  timeout connect 1s
  timeout client 5s
  timeout server 5s
"""
HAPROXY_TCP = """frontend one
  mode tcp
  bind 127.0.0.1:{one}
  default_backend one
frontend two
  mode tcp
  bind 127.0.0.1:{two}
  default_backend two
backend one
  mode tcp
  option httpchk GET /-/ready
  server s 127.0.0.1:{router} send-proxy check check-send-proxy inter 200ms
backend two
  mode tcp
  option httpchk GET /-/ready
  server s 127.0.0.1:{router} send-proxy-v2 proxy-v2-options crc32c,unique-id check check-send-proxy inter 200ms
"""
HAPROXY_HTTP = """frontend one
  mode http
  bind 127.0.0.1:{one}
  option forwardfor
  http-request set-header X-Forwarded-Proto https
  http-request set-header X-Forwarded-Host shop.example
  http-request set-header X-Forwarded-Port 443
  default_backend one
backend one
  mode http
  server s 127.0.0.1:{router}
"""
NGINX = """daemon off; master_process off; pid {folder}/pid; error_log /dev/null;
events {{ worker_connections 100; }}
http {{ access_log off; client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
upstream router {{ server 127.0.0.1:{router}; keepalive 8; }}
server {{ listen 127.0.0.1:{one}; location / {{ proxy_pass http://router; proxy_http_version 1.1; proxy_set_header Connection "";
proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
proxy_set_header X-Forwarded-Proto https; proxy_set_header X-Forwarded-Host shop.example;
proxy_set_header X-Forwarded-Port 443; }} }} }}
"""


@dataclass
class Announced(Router):
    """A router that clients reach only through the balancer in front of it, at `front`."""

    front: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.front}"


@asynccontextmanager
async def balancer(name: str, settings: str, folder: Path, **values: Any) -> AsyncIterator[None]:
    """Run nginx or HAProxy with these settings, in which `values` have their places; it listens at port `one`."""
    program = shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    assert program, f"{name} is missing: tests/run installs it"
    file = folder / f"{name}.conf"
    file.write_text(settings.format(folder=folder, **values))
    flags = ("-c", str(file)) if name == "nginx" else ("-db", "-f", str(file))
    process = await asyncio.create_subprocess_exec(program, *flags, stderr=asyncio.subprocess.DEVNULL)
    try:
        await until(lambda: listens(values["one"]), 10, f"{name} listens")
        yield
    finally:
        process.terminate()
        await process.wait()


async def listens(port: int) -> bool:
    try:
        (await asyncio.open_connection("127.0.0.1", port))[1].close()
    except ConnectionError:
        return False
    return True


async def send_from(port: int, source: str, raw: bytes = GET) -> bytes:
    """Return what comes back on a connection from `source`; nothing if it is reset."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    try:
        writer.write(raw)
        async with asyncio.timeout(5):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_haproxy_announces_its_clients(tmp_path: Path) -> None:
    """Both versions of the header, health checks, and connections that bypass the balancer."""
    one, two = free_port(), free_port()
    async with Backend(backends.ok()) as backend:
        settings = (
            'proxy_protocol = "required"\nproxy_protocol_from = ["127.0.0.1"]\naccess_log = true\n'
            f'[forwarding]\ntrusted = ["127.0.0.77"]\n{service_settings(backend.url)}'
        )
        router = Announced(tmp_path, settings, workers=1, front=one)
        async with balancer("haproxy", DEFAULTS + HAPROXY_TCP, tmp_path, one=one, two=two, router=router.data_port):
            try:
                await router.start()
                await until(lambda: _serves(two), 5, "its health check of version 2 is content")
                backend.requests.clear()
                for port, source in ((one, "127.0.0.5"), (two, "127.0.0.6"), (one, "127.0.0.77")):
                    assert (await send_from(port, source)).startswith(b"HTTP/1.1 200 ")
                chains = [
                    request.field("x-forwarded-for") for request in backend.requests if request.line[:6] == b"GET / "
                ]
                assert chains == [b"127.0.0.5", b"127.0.0.6", b"6.6.6.6, 127.0.0.77"]

                before = await _refused(router)
                assert await send_from(router.data_port, "127.0.0.1") == b"", "without a header"
                header = b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2\r\n"
                assert await send_from(router.data_port, "127.0.0.5", header + GET) == b"", "from elsewhere"
                assert await _refused(router) - before == 2
                assert '"client":"127.0.0.5"' in router.log
                assert '"client":"6.6.6.6"' in router.log
                assert await router.stop() == 0
                router.check_log()
            finally:
                if router.process is not None and router.process.returncode is None:
                    await router.kill()


async def _serves(port: int) -> bool:
    return (await send_from(port, "127.0.0.1")).startswith(b"HTTP/1.1 200 ")


async def _refused(router: Router) -> float:
    async with aiohttp.ClientSession() as session, session.get(f"{router.admin_url}/metrics") as response:
        for line in (await response.text()).splitlines():
            if line.startswith("rollback_router_proxy_headers_refused_total "):
                return float(line.split()[1])
    raise AssertionError("the metric is missing")


@pytest.mark.parametrize(
    ("name", "settings", "chain"),
    [
        ("nginx", NGINX, b"6.6.6.6, 127.0.0.5, 127.0.0.1"),
        ("haproxy", DEFAULTS + HAPROXY_HTTP, b"6.6.6.6, 127.0.0.5, 127.0.0.1"),
    ],
    ids=["nginx", "haproxy"],
)
async def test_what_a_balancer_writes_is_believed_of_it_alone(
    tmp_path: Path, name: str, settings: str, chain: bytes
) -> None:
    options = replace(OPTIONS, forwarding=ForwardingOptions(trusted=("127.0.0.1",)))
    async with Backend(backends.ok()) as backend, Rig(options) as rig:
        rig.serve(backend.url)
        port = free_port()
        async with balancer(name, settings, tmp_path, one=port, router=rig.port):
            for _ in range(2):
                assert (await send_from(port, "127.0.0.5")).startswith(b"HTTP/1.1 200 ")
                received = backend.requests[-1]
                assert [received.field("x-forwarded-" + what) for what in ("for", "proto", "host", "port")] == [
                    *(chain, b"https", b"shop.example", b"443")
                ]
        forger = Client(*await asyncio.open_connection("127.0.0.1", rig.port, local_addr=("127.0.0.5", 0)))
        assert (await forger.ask(GET))[0] == 200
        assert backend.requests[-1].field("x-forwarded-for") == b"127.0.0.5"
        forger.close()
