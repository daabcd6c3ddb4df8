"""Probes over TLS: verified as requests are, and what is said of whom they do not trust."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from router.control.core.probe import RESPONSE_BYTES_MAX
from router.control.core.probes import Probes
from router.rollout.model.events import ProbeCompleted
from router.runtime.tasks import Tasks
from router.settings.loader import load
from router.settings.sections.service import Probe
from router.tls.kept_files import KeptFiles
from tests.backend_certificates import CASES, Case
from tests.certificate_authority import CertificateAuthority
from tests.control.scripted_server import answer, scripted


class Rig:
    """Probes of the service `fraud`, one at a time."""

    def __init__(self, kept: KeptFiles | None = None, **backend_tls: Any) -> None:
        self.tasks = Tasks()
        self.seen: asyncio.Queue[ProbeCompleted] = asyncio.Queue()
        self.probes = Probes(settings(**backend_tls), self.tasks, self.seen.put_nowait, kept=kept or {})

    async def one(self, url: str, probe: Any = None) -> tuple[bool, bool, str]:
        """Return (good, no connection, what is said)."""
        result = (await self.probes.check("fraud", (url,), probe or Probe(), 5.0))[url]
        return result.ok, result.connect_failed, result.detail

    async def __aenter__(self) -> Rig:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.probes.close()
        await self.tasks.close()


def settings(**backend_tls: Any) -> Any:
    return load(None, {"services": {"fraud": {"backend_tls": backend_tls}}})


@pytest.mark.parametrize("probe", [None, "none"], ids=["a request", "a connection"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_trusted_certificates(case: Case, probe: str | None, tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    trust = {"ca": authority.file} if case.trusted else {}
    async with scripted(answer(), tls=authority.server(*case.names, days=case.days)) as server:
        async with Rig(**trust, **case.settings) as rig:
            found = await rig.one(server.url, probe)
            if case.refused is not None:
                assert found == (False, True, f"TLS: {case.refused}")
                assert server.requests == []
            else:
                assert found == (True, False, "connected" if probe else "ok")


async def test_a_connection_is_kept_and_reused(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    async with scripted(answer(), tls=authority.server()) as server, Rig(ca=authority.file) as rig:
        for _ in range(3):
            assert await rig.one(server.url) == (True, False, "ok")
        assert (len(server.requests), server.connections) == (3, 1)


async def test_a_file_that_broke_is_no_failure_while_there_is_a_copy(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    kept = {"services.fraud.backend_tls": {authority.file: (tmp_path / authority.file).read_bytes()}}
    (tmp_path / authority.file).write_text("broken")
    async with scripted(answer(), tls=authority.server()) as server:
        async with Rig(kept, ca=authority.file) as rig:
            assert await rig.one(server.url) == (True, False, "ok")
        async with Rig(ca=authority.file) as rig:
            good, unconnected, detail = await rig.one(server.url)
            assert (good, unconnected, authority.file in detail) == (False, True, True)


async def test_a_server_without_tls_is_a_failure(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"https://127.0.0.1:{server.getsockname()[1]}"

        async def speak() -> None:
            loop = asyncio.get_running_loop()
            server.setblocking(False)
            with (await loop.sock_accept(server))[0] as client:
                await loop.sock_recv(client, 1)
                await loop.sock_sendall(client, b"HTTP/1.1 400 Bad Request\r\n\r\n")
                await loop.sock_recv(client, 65536)

        speaking = asyncio.ensure_future(speak())
        async with Rig() as rig:
            ok, connect_failed, detail = await rig.one(url)
            assert (ok, connect_failed) == (False, True)
            assert detail.startswith("TLS: ")
        speaking.cancel()


async def test_files_are_read_again_after_a_reload(tmp_path: Path) -> None:
    authority, stranger = CertificateAuthority(tmp_path), CertificateAuthority(tmp_path, "stranger")
    async with scripted(answer(), tls=authority.server()) as server, Rig(ca=str(tmp_path / "none.pem")) as rig:
        missing = f"ca {tmp_path}/none.pem: No such file or directory; name one that exists"
        assert await rig.one(server.url) == (False, True, missing)
        for ca, ok in ((authority.file, True), (stranger.file, False), (authority.file, True)):
            rig.probes.reconfigure(settings(ca=ca))
            assert (await rig.one(server.url))[0] is ok


async def test_what_is_read_while_a_reload_comes_is_not_kept(tmp_path: Path) -> None:
    authority, stranger = CertificateAuthority(tmp_path), CertificateAuthority(tmp_path, "stranger")
    async with scripted(answer(), tls=authority.server()) as server, Rig(ca=authority.file) as rig:
        asking = asyncio.ensure_future(rig.one(server.url))
        for _ in range(3):
            await asyncio.sleep(0)  # the file is being read, in a thread
        rig.probes.reconfigure(settings(ca=stranger.file))
        assert (await asking)[0], "it began with the old settings"
        assert not (await rig.one(server.url))[0]


async def test_the_identity_has_the_names_of_the_certificate_however_the_answer_arrives(tmp_path: Path) -> None:
    authority, whole = CertificateAuthority(tmp_path), answer()
    in_pieces = answer(body=bytes(32 * RESPONSE_BYTES_MAX))  # it ends the connection
    async with scripted(whole, whole, in_pieces, whole, tls=authority.server("127.0.0.1", "v7.example")) as server:
        async with Rig(ca=authority.file) as rig:
            for _ in range(4):
                found = (await rig.probes.check("fraud", (server.url,), Probe(), 5.0))[server.url].identity
                assert found is not None
                assert set(found.certificate) == {"127.0.0.1", "v7.example"}
        assert server.connections == 2
