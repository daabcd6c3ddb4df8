"""The HTTP calls to MLflow: credentials, redirects, proxies, limits of time and size."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import socket
import threading
from pathlib import Path

import pytest

from router.control.versions.mlflow_answer import ANSWER_BYTES_MAX
from router.control.versions.mlflow_http import REDIRECTS_MAX, redirect_objection
from router.errors import Refusal
from tests.control.proxy_server import proxying
from tests.control.scripted_server import answer, scripted
from tests.control.versions.test_mlflow_client import FRAUD_3, THREE, document, server
from tests.texts import golden


async def test_who_we_are_is_read_anew_at_each_call(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("one\n")
    async with scripted(document(THREE)) as script:
        bearer = server(script.url, secret_file=str(secret))
        await bearer.version(FRAUD_3)
        secret.write_text("two")
        await bearer.version(FRAUD_3)
        await server(script.url, secret_file=str(secret), user="ann").version(FRAUD_3)
        await server(script.url).version(FRAUD_3)
    fields = [
        [line for line in request.split(b"\r\n") if line.startswith(b"Authorization")] for request in script.requests
    ]
    basic = b"Authorization: Basic " + base64.b64encode(b"ann:two")
    assert fields == [[b"Authorization: Bearer one"], [b"Authorization: Bearer two"], [basic], []]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        ("two\nlines", "line break"),
        ("\x00", "NUL"),
        ("pass\x07word", "control"),
        ("t\u00f6ken", "ASCII"),
    ],
)
async def test_a_secret_that_is_none_is_not_sent(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "secret").write_text(text)
    async with scripted(document(THREE)) as script:
        with pytest.raises(Refusal, match=reason):
            await server(script.url, secret_file=str(tmp_path / "secret")).version(FRAUD_3)
        with pytest.raises(Refusal, match="No such file"):
            await server(script.url, secret_file=str(tmp_path / "none")).version(FRAUD_3)
    assert script.requests == []


USELESS = [
    pytest.param(b"", "Server disconnected", id="hangs up"),
    pytest.param(b"SSH-2.0-x\r\n\r\n", "Bad status line|Expected HTTP", id="another protocol"),
    pytest.param(document({"message": "down"}, 503), "answered 503 down", id="down"),
    pytest.param(document({"error_code": "REQUEST_LIMIT_EXCEEDED"}, 429), "429 REQUEST_LIMIT_EXCEEDED", id="too often"),
    pytest.param(b"HTTP/1.1 200 X\r\nContent-Length: 99\r\n\r\n{}", "Response payload|no answer within", id="cut short"),
]  # fmt: skip


@pytest.mark.parametrize(("bytes_answered", "why"), USELESS)
async def test_a_server_of_no_use(bytes_answered: bytes, why: str) -> None:
    async with scripted(bytes_answered, b"") as script:
        with pytest.raises(Refusal, match=why) as caught:
            await server(script.url, timeout_s=0.1).version(FRAUD_3)
    assert caught.value.code == "mlflow_unreachable"
    assert caught.value.detail.startswith(f"MLflow at {script.url} cannot be used now: ")
    assert caught.value.detail.isprintable()


async def test_a_server_that_hangs_is_waited_for_as_long_as_it_says() -> None:
    async with scripted(None) as script:
        with pytest.raises(Refusal, match=r"no answer within 0\.05 s"):
            await server(script.url, timeout_s=0.05).version(FRAUD_3)


async def test_nobody_listens() -> None:
    with pytest.raises(Refusal, match="cannot be used now") as caught:
        await server("http://127.0.0.1:1").version(FRAUD_3)
    assert caught.value.code == "mlflow_unreachable"


async def test_an_answer_without_end_is_not_read_to_it() -> None:
    async with scripted(answer(200, b" " * (2 * ANSWER_BYTES_MAX))) as script:
        with pytest.raises(Refusal, match=f"longer than {ANSWER_BYTES_MAX} bytes"):
            await server(script.url).version(FRAUD_3)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("where", ["/other?name=x", "{url}/other?name=x", "../other?name=x"])
async def test_a_redirect_on_the_same_host_is_followed(status: int, where: str) -> None:
    async with scripted(b"", document(THREE)) as script:
        location = where.format(url=script.url).encode()
        script.answers[0] = answer(status, b"", b"Location: " + location)
        assert (await server(script.url).version(FRAUD_3)).uri == FRAUD_3
    assert len(script.requests) == 2
    assert b"/other?name=x HTTP/1.1" in script.requests[1]


async def test_a_redirected_call_keeps_its_method_body_and_credentials(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("token")
    async with scripted(answer(308, b"", b"Location: /mlflow/set"), document({})) as script:
        await server(script.url, secret_file=str(tmp_path / "secret")).set_tag(FRAUD_3, "k", "v")
    first, second = script.requests
    assert second.startswith(b"POST /mlflow/set HTTP/1.1")
    assert second.partition(b"\r\n\r\n")[2] == first.partition(b"\r\n\r\n")[2]
    assert b"Authorization: Bearer token" in second


async def test_credentials_go_to_no_other_host(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("token")
    async with scripted(document(THREE)) as other:
        port = other.url.rpartition(":")[2]
        for location in (f"http://localhost:{port}/", f"{other.url}/"):
            async with scripted(answer(302, b"", b"Location: " + location.encode())) as script:
                with pytest.raises(Refusal, match="it redirects to") as caught:
                    await server(script.url, secret_file=str(tmp_path / "secret")).version(FRAUD_3)
                assert caught.value.code == "not_mlflow"
    assert other.requests == []


@pytest.mark.parametrize("location", [b"http://[::1", b"http://127.0.0.1:99999/", b"http://[login]/"])
async def test_a_redirect_to_no_address_is_no_answer_of_mlflow(location: bytes) -> None:
    async with scripted(answer(302, b"", b"Location: " + location)) as script:
        with pytest.raises(Refusal, match="it redirects to no HTTP URL") as caught:
            await server(script.url).version(FRAUD_3)
    assert (caught.value.code, len(script.requests)) == ("not_mlflow", 1)


async def test_redirects_without_end() -> None:
    async with scripted(answer(302, b"", b"Location: /again")) as script:
        with pytest.raises(Refusal, match=f"more than {REDIRECTS_MAX} times") as caught:
            await server(script.url).version(FRAUD_3)
    assert (caught.value.code, len(script.requests)) == ("not_mlflow", REDIRECTS_MAX + 1)


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("http://mlflow:5000/x", None),
        ("http://MLFLOW:5000/x", None),
        ("https://mlflow:5000/x", None),
        ("https://mlflow/x", None),
        ("https://mlflow:8443/x", "to port 8443"),
        ("http://mlflow/x", "to port 80"),
        ("https://login.example/?next=x", "the host login.example"),
        ("https://mlflow.evil.example/", "the host mlflow.evil.example"),
        ("ftp://mlflow:5000/", "to no HTTP URL"),
        ("javascript:alert(1)", "to no HTTP URL"),
    ],
)
def test_where_a_redirect_may_lead(target: str, why: str | None) -> None:
    objection = redirect_objection("http://mlflow:5000/api", target)
    assert objection == why if why is None else why in (objection or "")


def test_a_redirect_from_https_to_http_is_not_followed() -> None:
    assert redirect_objection("https://mlflow:5000/a", "http://mlflow:5000/a") == golden("mlflow.downgrade")
    assert redirect_objection("https://mlflow/a", "https://mlflow:443/b") is None


async def test_a_proxy_of_the_setting_is_used(tmp_path: Path) -> None:
    async with scripted(document(THREE)) as script:
        port = int(script.url.rpartition(":")[2])
        async with proxying(port, "ann:pass word@1") as proxy:
            through = f"http://ann:pass%20word%401@{proxy.address}"
            found = await server("http://mlflow.example:5000", proxy=through).version(FRAUD_3)
    assert found.uri == FRAUD_3
    assert [line.partition("?")[0] for line in proxy.asked] == [
        "GET http://mlflow.example:5000/api/2.0/mlflow/model-versions/get"
    ]


async def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with scripted(document(THREE)) as script:
        async with proxying(int(script.url.rpartition(":")[2])) as proxy:
            monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.address}")
            monkeypatch.setenv("NO_PROXY", "other.example")
            assert (await server("http://mlflow.example").version(FRAUD_3)).uri == FRAUD_3
            assert (await server(script.url).version(FRAUD_3)).uri == FRAUD_3, "loopback needs no proxy"
            with pytest.raises(Refusal):
                await server("http://mlflow.invalid", proxy="none").version(FRAUD_3)
    assert len(proxy.asked) == 1


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_what_a_proxy_refuses_is_said_of_the_proxy_without_its_password(scheme: str) -> None:
    async with proxying(login="ann:right") as proxy:
        with pytest.raises(Refusal, match="407") as caught:
            await server(f"{scheme}://mlflow.example", proxy=f"http://ann:SECRET@{proxy.address}").version(FRAUD_3)
    assert "mlflow.proxy" in caught.value.detail
    assert "SECRET" not in caught.value.detail
    assert caught.value.code == ("not_mlflow" if scheme == "http" else "mlflow_unreachable")


async def test_a_proxy_that_hangs_or_is_away_is_named() -> None:
    async with proxying(hangs=True) as proxy:
        with pytest.raises(Refusal, match=re.escape(golden("mlflow.timeout_by_proxy", proxy=proxy.address))):
            await server("https://mlflow.example", proxy=f"http://u:SECRET@{proxy.address}", timeout_s=0.1).version(
                FRAUD_3
            )
    with pytest.raises(Refusal, match=golden("mlflow.proxy_away")) as caught:
        await server("https://mlflow.example", proxy=f"http://u:SECRET@{proxy.address}").version(FRAUD_3)
    assert "SECRET" not in caught.value.detail


async def test_a_proxy_of_the_environment_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "socks5://u:SECRET@127.0.0.1:1")
    with pytest.raises(Refusal, match=r"all_proxy names no usable proxy: .*SOCKS") as caught:
        await server("https://mlflow.example").version(FRAUD_3)
    assert "SECRET" not in caught.value.detail


async def test_one_thread_waits_for_a_secret_on_a_disk_that_hangs(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    async with scripted(document(THREE)) as script:
        hanging = server(script.url, secret_file=str(fifo), timeout_s=0.05)
        for _ in range(3):
            with pytest.raises(Refusal, match=r"no answer within 0\.05 s"):
                await hanging.version(FRAUD_3)
        with fifo.open("w") as writer:  # opens only because a reader waits; a second reader would wait for ever
            writer.write("token")
        assert await asyncio.wait_for(asyncio.shield(hanging._http._credentials_read or asyncio.Future()), 5) == {
            "Authorization": "Bearer token"
        }


async def test_its_name_is_resolved_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The threads of the loop resolve names for the gate."""
    seen: list[str] = []

    def hangs(*_: object) -> list[object]:
        seen.append(threading.current_thread().name)
        raise OSError(None, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", hangs)
    with pytest.raises(Refusal, match="mlflow_unreachable"):
        await server("http://models.example").version(FRAUD_3)
    assert set(seen) == {"mlflow"}
