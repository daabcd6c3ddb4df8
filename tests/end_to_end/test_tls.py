"""TLS on both sides of a real router: nginx behind it, certificates that change, break and are not to be trusted."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
from pathlib import Path

import httpx
import pytest

from tests.certificate_authority import CertificateAuthority
from tests.end_to_end.conftest import StartRouter
from tests.end_to_end.real_router import Router, children, free_port, service_settings, until
from tests.end_to_end.steady import Steady
from tests.end_to_end.test_load_balancers import balancer
from tests.end_to_end.test_take_over import successor

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(60)]

NGINX = """daemon off; master_process off; pid {folder}/pid; error_log /dev/null;
events {{ worker_connections 100; }}
http {{ access_log off; client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
server {{ listen 127.0.0.1:{one} ssl; ssl_certificate {known}.pem; ssl_certificate_key {known}.key;
location / {{ return 200 hello; }} }}
server {{ listen 127.0.0.1:{two} ssl; ssl_certificate {unknown}.pem; ssl_certificate_key {unknown}.key;
location / {{ return 200 hello; }} }} }}
"""
SETTINGS = """
[services.default.backend_tls]
ca = "{ca}"

[services.stranger]
path_prefix = "/stranger"
active = {{ version = "s1", endpoints = ["https://127.0.0.1:{stranger}"] }}
probe = {{ every_s = 0.1 }}
backend_tls = {{ ca = "{ca}" }}

[tls]
certificate = "{pair.certificate}"
key = "{pair.key}"

[timeouts]
certificates_every_s = 0.1
"""


async def shown(router: Router) -> set[str]:
    """Return the names in the certificate that a new connection gets."""
    _, writer = await asyncio.open_connection("127.0.0.1", router.data_port, ssl=router.tls)
    names = writer.get_extra_info("peercert")["subjectAltName"]
    writer.close()
    return {name for _, name in names}


async def everywhere(router: Router, name: str) -> bool:
    """Return whether ten new connections get the certificate of `name`: the kernel deals them out to the workers."""
    return all([name in await shown(router) for _ in range(10)])


async def test_certificates_on_both_sides(start_router: StartRouter, tmp_path: Path) -> None:
    authority, stranger = CertificateAuthority(tmp_path), CertificateAuthority(tmp_path, "stranger")
    pair = authority.pair("127.0.0.1", "one.test")
    authority.pair("127.0.0.1", file="known")
    stranger.pair("127.0.0.1", file="unknown")
    values = {name: str(tmp_path / name) for name in ("known", "unknown")}
    one, two = free_port(), free_port()
    async with balancer("nginx", NGINX, tmp_path, one=one, two=two, **values):
        settings_text = service_settings(
            f"https://127.0.0.1:{one}", more=SETTINGS.format(ca=authority.file, stranger=two, pair=pair)
        )
        router = await start_router(settings_text, tls=authority.client())
        line = f": serving default, stranger on {router.url}, admin on {router.admin_url}, "
        await until(lambda: said(router, line), 5, "the start says https")
        await reached(router)
        await refused(router, two)
        assert await everywhere(router, "one.test")
        async with Steady(router.data_port, keeping=4, new=2, tls=router.tls) as load:
            authority.pair("127.0.0.1", "two.test")
            await until(lambda: everywhere(router, "two.test"), 5, "the new certificate is shown")
            spoil(pair.key)
            os.kill(router.pid, signal.SIGHUP)
            await until(lambda: said(router, "the old ones stay in use"), 5, "the workers name the broken pair")
            await until(
                lambda: said(router, "settings not reloaded, nothing changed: certificate"),
                5,
                "the supervisor refuses it",
            )
            await until(lambda: alarmed(router), 5, "an alarm is up")
            assert await everywhere(router, "two.test")
            authority.pair("127.0.0.1", "three.test")
            await until(lambda: everywhere(router, "three.test"), 5, "the mended pair is shown")
            await until(lambda: said(router, "alarm certificate_unusable is over"), 5, "the alarm is over")
        assert (load.lost, load.refused) == ({}, 0)
        assert load.answered > 100


BROKEN = """
[tls]
certificate = "{pair.certificate}"
key = "{pair.key}"

[timeouts]
certificates_every_s = 0.1
"""


async def test_processes_that_start_while_the_pair_is_broken(start_router: StartRouter, tmp_path: Path) -> None:
    """A killed worker has the last good certificate again; a take-over is refused, and the old router goes on."""
    authority = CertificateAuthority(tmp_path)
    pair = authority.pair("127.0.0.1", "one.test")
    settings_text = service_settings(f"http://127.0.0.1:{free_port()}", more=BROKEN.format(pair=pair))
    router = await start_router(settings_text, tls=authority.client())
    authority.pair("127.0.0.1", "two.test")
    await until(lambda: said(router, "the copies of the TLS files are renewed"), 5, "the supervisor has the new pair")
    await until(lambda: everywhere(router, "two.test"), 5, "the new certificate is shown")
    spoil(pair.key)
    spoil(pair.certificate)
    await until(lambda: alarmed(router), 5, "an alarm is up")
    killed = workers_of(router)
    await router.kill(killed)

    async def replaced() -> bool:
        return not set(killed) & set(workers_of(router)) and await router.ready()

    await until(replaced, 20, "other workers serve")
    assert await everywhere(router, "two.test")
    assert await alarmed(router)
    assert await said(router, "the certificates that were last usable are in use: ")
    new = await successor(router)
    assert new.process is not None
    assert await asyncio.wait_for(new.process.wait(), 20) != 0
    assert pair.certificate in router.log.splitlines()[-1]
    assert await everywhere(router, "two.test")
    authority.pair("127.0.0.1", "three.test")
    await until(lambda: everywhere(router, "three.test"), 5, "the mended pair is shown")
    await until(lambda: said(router, "alarm certificate_unusable is over"), 5, "the alarm is over")
    assert "PRIVATE KEY" not in router.log


def workers_of(router: Router) -> list[int]:
    commands = {pid: Path(f"/proc/{pid}/cmdline") for pid in children(router.pid)}
    return [
        pid for pid, command in commands.items() if command.exists() and b"router.proxy.main" in command.read_bytes()
    ]


def spoil(path: str) -> None:
    Path(path).write_text("broken")


async def said(router: Router, words: str) -> bool:
    return words in router.log


async def alarmed(router: Router) -> bool:
    return "certificate_unusable" in [alarm["code"] for alarm in (await router.status())["alarms"]]


async def reached(router: Router) -> None:
    """A probe is good, and httpx is answered, if it trusts the authority that the router's certificate is of."""

    async def good() -> bool:
        target = await router.target("v1")
        return target is not None and target["ready"]

    await until(good, 5, "probes over TLS are good")
    async with httpx.AsyncClient(base_url=router.url, verify=router.tls) as client:  # type: ignore[arg-type]
        answer = await client.post("/infer", json={})
        assert (answer.status_code, answer.text, answer.headers["x-served-version"]) == (200, "hello", "v1")
    async with httpx.AsyncClient(base_url=router.url, verify=ssl.create_default_context()) as client:
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await client.get("/")


async def refused(router: Router, port: int) -> None:
    """A backend whose certificate is of another authority gets no request, and no good probe."""
    reason = "TLS: unable to get local issuer certificate"
    async with httpx.AsyncClient(base_url=router.url, verify=router.tls) as client:  # type: ignore[arg-type]
        answer = await client.get("/stranger")
        assert (answer.status_code, answer.headers["x-router-error"]) == (502, "connect_failed")
        assert reason in answer.json()["detail"]

    async def unreachable() -> bool:
        [target] = (await router.status())["services"]["stranger"]["targets"]
        [endpoint] = target["endpoints"]
        probe = endpoint["last_probe"]
        return not target["ready"] and probe is not None and probe["detail"] == reason

    await until(unreachable, 5, f"no worker trusts the backend at port {port}")


HALF_OPEN = 600
LEFT_MIB = 9
"""What a worker may keep: trimming for the last 200 is not worth it. Without `malloc_trim` it keeps 20 MiB of each kind."""


def anonymous_mib(pid: int) -> float:
    """Return the memory of a process that no file is behind, in MiB."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("RssAnon:")]
    return int(line.split()[1]) / 1024


def worker_of(router: Router) -> int:
    [found] = workers_of(router)
    return found


def client_hello(context: ssl.SSLContext) -> bytes:
    out = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost").do_handshake()
    return out.read()


async def many_connections(port: int, data: bytes) -> list[socket.socket]:
    """Return connections that have sent `data` and fall silent."""
    loop, found = asyncio.get_running_loop(), []
    for _ in range(HALF_OPEN):
        sock = socket.socket()
        sock.setblocking(False)
        await loop.sock_connect(sock, ("127.0.0.1", port))
        await loop.sock_sendall(sock, data)
        found.append(sock)
    return found


@pytest.mark.nightly
@pytest.mark.parametrize("ending", ["closed", "too late"])
async def test_half_open_handshakes_give_their_memory_back(
    ending: str, start_router: StartRouter, tmp_path: Path
) -> None:
    authority = CertificateAuthority(tmp_path)
    pair = authority.pair()
    settings_text = service_settings(
        f"http://127.0.0.1:{free_port()}",
        more=f"""
[tls]
certificate = "{pair.certificate}"
key = "{pair.key}"
[timeouts]
tls_handshake_timeout_s = {2 if ending == "too late" else 60}
""",
    )
    router = await start_router(settings_text, tls=authority.client(), workers=1)
    worker = worker_of(router)
    before_mib = anonymous_mib(worker)
    hello = client_hello(router.tls)  # type: ignore[arg-type]

    async def taken() -> bool:
        return anonymous_mib(worker) > before_mib + LEFT_MIB + 6

    async def given_back() -> bool:
        return anonymous_mib(worker) < before_mib + LEFT_MIB

    for data in (hello[:-1], hello, hello):
        sockets = await many_connections(router.data_port, data)
        try:
            if data == hello:
                await until(taken, 20, "each handshake takes memory: else this test proves nothing")
            if ending == "too late":
                for sock in sockets:
                    await asyncio.wait_for(ended(sock), 30)
        finally:
            for sock in sockets:
                sock.close()
        await until(given_back, 20, f"the worker is back at {before_mib:.0f} MiB, give or take {LEFT_MIB}")


async def ended(sock: socket.socket) -> None:
    while await asyncio.get_running_loop().sock_recv(sock, 65536):
        pass
