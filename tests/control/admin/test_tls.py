"""The admin port over TLS, and a command that connects to it."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from router.cli.client import Client
from router.control.admin import app
from router.errors import CommandError
from router.tls import contexts
from router.tls.contexts import ServerTls
from tests.certificate_authority import CertificateAuthority
from tests.control import fake_control


async def test_a_command_trusts_the_configured_authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = CertificateAuthority(tmp_path)
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    context = contexts.server_context(ServerTls(authority.pair()))
    runner = await app.serve(fake_control.application(), sock, context)
    client = Client(f"https://127.0.0.1:{sock.getsockname()[1]}")
    with pytest.raises(CommandError, match="no router answers at https"):
        await asyncio.to_thread(client.get, "/v1/status")
    monkeypatch.setenv("SSL_CERT_FILE", authority.file)
    assert await asyncio.to_thread(client.get, "/v1/status")
    await runner.cleanup()
