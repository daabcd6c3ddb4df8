"""The client against what is no router."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from router.cli.client import Client, one_service, segment
from router.errors import CommandError
from router.runtime.exit_codes import exit_code
from tests.cli.conftest import Command
from tests.cli.fake_admin import FakeAdmin, status
from tests.texts import golden


def test_nobody_there_is_exit_8(command: Command) -> None:
    with socket.socket() as taken:  # bound, not listening: refuses
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        assert command("status", "--admin", url) == (
            8,
            "",
            golden("cli.no_router", url=url),
        )


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b"{}", b'{"status": "ok"}'])
def test_something_else_there_is_exit_8(command: Command, answer: bytes) -> None:
    with FakeAdmin().answer("GET", "/v1/status", answer) as other:
        assert command("status", "--admin", other.url) == (
            8,
            "",
            golden("cli.not_an_admin", url=other.url),
        )


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8081", "ftp://h", "http://", "http://h:99999", "http://h/x", "unix:admin.sock"]
)
def test_an_address_that_is_none_is_exit_2(command: Command, url: str) -> None:
    code, out, err = command("status", "--admin", url)
    assert (code, out) == (2, "")
    assert err.startswith(f"rollback-router: --admin {url!r}: ")
    assert err.endswith("; write it as http://127.0.0.1:8081\n")


def test_environment_names_router_and_token(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeAdmin().answer("GET", "/v1/versions", {"versions": []}) as admin:
        monkeypatch.setenv("ROLLBACK_ROUTER_ADMIN_URL", admin.url)
        monkeypatch.setenv("ROLLBACK_ROUTER_TOKEN", "t")
        assert command("versions", "--json") == (0, '{"versions": []}\n', "")
        assert admin.fields[0]["Authorization"] == "Bearer t"


def test_silence_is_exit_8() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        client = Client(f"http://127.0.0.1:{mute.getsockname()[1]}", timeout_s=0.05)
        with pytest.raises(CommandError) as caught:
            client.get("/v1/status")
    assert (caught.value.code, exit_code(caught.value)) == ("router_unreachable", 8)


def test_the_only_service_need_not_be_named() -> None:
    with FakeAdmin().answer("GET", "/v1/status", status()) as admin:
        assert Client(admin.url).service("") == "/v1/services/default"
    assert segment("a/b c") == "a%2Fb%20c"


def test_the_admin_on_a_unix_socket(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "admin.sock"))
        listening.listen(1)
        asked: list[bytes] = []

        def answer() -> None:
            connection = listening.accept()[0]
            asked.append(connection.recv(4096))
            connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{"a": true}')
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        assert Client(f"unix:{tmp_path}/admin.sock").get("/v1/journal") == {"a": True}
        thread.join()
    assert asked[0].startswith(b"GET /v1/journal HTTP/1.1\r\nHost: localhost\r\n")
    with pytest.raises(CommandError) as caught:
        Client(f"unix:{tmp_path}/admin.sock").get("/v1/journal")
    assert caught.value.detail == golden("cli.no_router_unix", folder=tmp_path)


def test_a_service_is_named_in_either_way() -> None:
    assert [one_service(*named) for named in (("", ""), ("a", ""), ("", "a"), ("a", "a"))] == ["", "a", "a", "a"]
    with pytest.raises(CommandError, match="SERVICE and --service differ: a, b"):
        one_service("a", "b")
