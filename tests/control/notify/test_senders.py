"""One attempt: what goes out, what comes back, and that no secret is in what is said about it."""

from __future__ import annotations

import asyncio
import socket
import threading
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import connector

from router.control.notify import senders
from router.control.notify.receiver_answer import DeliveryFailedError
from router.control.notify.senders import HttpSender, complaint, sender_of
from router.settings.sections.notify import Channel
from tests.certificate_authority import CertificateAuthority
from tests.control.notify.test_messages import LINKS, NOTIFICATION
from tests.control.proxy_server import proxying
from tests.control.receiver import receiving
from tests.control.scripted_server import answer, scripted
from tests.texts import golden


def channel(**settings: Any) -> Channel:
    return Channel.model_validate({"name": "ops", "kind": "webhook"} | settings)


async def sent(answer: Channel) -> str:
    sender = sender_of(answer, "http://router")
    try:
        async with asyncio.timeout(answer.timeout_s):
            return await sender.send(NOTIFICATION, LINKS)
    finally:
        await sender.close()


async def failed(answer: Channel) -> DeliveryFailedError:
    with pytest.raises(DeliveryFailedError) as failure:
        await sent(answer)
    assert "SECRET" not in failure.value.detail
    return failure.value


async def test_a_webhook(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a secret of sixteen")
    async with receiving() as receiver:
        answer = channel(url=receiver.url, hmac_secret_file=str(tmp_path / "secret"))
        assert await sent(answer) == "200 ok"
        ((fields, body),) = receiver.got
        assert orjson.loads(body)["id"] == NOTIFICATION.id
        assert fields["Content-Type"].startswith("application/cloudevents+json")
        assert fields["webhook-signature"].startswith("v1,")


async def test_slack_with_its_address_in_a_file(tmp_path: Path) -> None:
    async with receiving() as receiver:
        (tmp_path / "url").write_text(receiver.url + "\n")
        assert await sent(channel(kind="slack", url_file=str(tmp_path / "url"))) == "200 ok"
        ((fields, body),) = receiver.got
        assert orjson.loads(body)["attachments"]
        assert fields["Content-Type"].startswith("application/json")


@pytest.mark.parametrize(
    ("status", "refused"),
    [(500, False), (503, False), (429, False), (408, False), (400, True), (404, False), (302, False)],
)
async def test_what_a_receiver_says_no_with(status: int, refused: bool) -> None:
    async with receiving(status) as receiver:
        failure = await failed(channel(url=receiver.url))
        answered, redirected = golden("notify.answered", status=status), golden("notify.redirected", status=status)
        expected = redirected if status == 302 else answered
        assert (failure.detail, failure.refused) == (expected, refused)
        assert len(receiver.got) == 1, "redirects are not followed"


@pytest.mark.parametrize(
    ("path", "said", "shown"),
    [
        pytest.param("/s/T0SECRET0/B0SECRET0/x", "Cannot POST {path}", "Cannot POST /(hidden)", id="Express"),
        pytest.param(
            "/s/T0SECRET0/B0SECRET0/x", "no hook B0SECRET0 of T0SECRET0", "no hook (hidden) of (hidden)", id="a part"
        ),
        pytest.param("/h?sig=SECRET%2F1", "bad sig=SECRET%2F1", "bad (hidden)", id="query"),
        pytest.param("/h?a=1&sig=SECRET%2F1", '{{"sig": "SECRET/1"}}', '{{"sig": "(hidden)"}}', id="decoded"),
        pytest.param("/a/SECRET%20hook", "no /a/SECRET hook", "no /(hidden)", id="path decoded"),
        pytest.param("/secret-hook", "POST \\/secret-hook", "POST \\/(hidden)", id="escaped as PHP does"),
        pytest.param("/h/x", "no hook at /h/x", "no hook at /h/x", id="nothing that is long enough"),
        pytest.param("/hooks/T0SECRET0", "no_hooks: hooks are off", "no_hooks: hooks are off", id="other words"),
    ],
)
async def test_a_receiver_that_repeats_its_address(path: str, said: str, shown: str) -> None:
    words = said.format(path=path)
    for status in (404, 200):
        async with scripted(answer(status, words.encode())) as script:
            url = script.url + path
            detail = await sent(channel(url=url)) if status == 200 else (await failed(channel(url=url))).detail
        assert detail.endswith(f"{status} {shown.format()}")


async def test_nobody_there() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        failure = await failed(channel(url=f"http://127.0.0.1:{bound.getsockname()[1]}/SECRET"))
    assert failure.detail == "no connection: Connection refused"


async def test_an_address_that_is_none() -> None:
    assert (await failed(channel(url="http://a..b/SECRET"))).detail == golden("notify.bad_url")


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "No such file or directory"), ("", "is empty"), ("x" * 9000, "has more than 8192 bytes"),
     ("ftp://SECRET", "holds no URL"), ("two words://SECRET", "this is no URL")],
)  # fmt: skip
async def test_files_that_hold_no_address(tmp_path: Path, content: str | None, reason: str) -> None:
    file = tmp_path / "url"
    if content is not None:
        file.write_text(content)
    answer = channel(url_file=str(file))
    assert reason in (await failed(answer)).detail
    assert reason in (complaint(answer) or "")


async def test_a_file_is_read_again_after_a_failure(tmp_path: Path) -> None:
    file = tmp_path / "url"
    async with receiving(404) as old, receiving() as new:
        file.write_text(old.url)
        sender = HttpSender(channel(url_file=str(file)), "http://router")
        with pytest.raises(DeliveryFailedError):
            await sender.send(NOTIFICATION, {})
        file.write_text(new.url)
        assert await sender.send(NOTIFICATION, {}) == "200 ok"
        await sender.close()


async def test_a_name_server_that_hangs_takes_no_thread_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    real = socket.getaddrinfo

    def slow(host: Any, *rest: Any, **more: Any) -> Any:
        if host == "hangs.example":
            go_on.wait()
            raise socket.gaierror(socket.EAI_AGAIN, "too late")
        return real(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    sender = HttpSender(channel(url="http://hangs.example/SECRET"), "http://router")
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await sender.send(NOTIFICATION, {})
    # One attempt waits for the name server, however many there were; it has a thread of its own.
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("notify")] == ["notify ops"]
    assert await asyncio.to_thread(lambda: 1) == 1
    go_on.set()
    with pytest.raises(DeliveryFailedError, match="no connection"):
        await sender.send(NOTIFICATION, {})
    await sender.close()


async def test_a_proxy_of_the_environment_where_it_is_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the proxy reaches the receiver; its name is resolved by the proxy."""
    async with receiving() as receiver:
        async with proxying(int(receiver.url.split(":")[2].split("/")[0])) as proxy:
            monkeypatch.setenv("http_proxy", proxy.address)
            assert await sent(channel(kind="slack", url="http://hooks.invalid/SECRET")) == "200 ok"
            assert (await failed(channel(url="http://hooks.invalid/SECRET", proxy="none"))).detail.startswith(
                "no connection"
            )
            monkeypatch.setenv("NO_PROXY", ".invalid")
            assert (await failed(channel(url="http://hooks.invalid/SECRET"))).detail.startswith("no connection")
            assert await sent(channel(url=receiver.url)) == "200 ok", "loopback needs no proxy"
    assert proxy.asked == ["POST http://hooks.invalid/SECRET"]


async def test_a_proxy_of_the_channel_gets_its_credentials() -> None:
    async with receiving() as receiver:
        async with proxying(int(receiver.url.split(":")[2].split("/")[0]), "ann:pass@word") as proxy:
            through = channel(url="http://hooks.invalid/x", proxy=f"http://ann:pass%40word@{proxy.address}")
            assert await sent(through) == "200 ok"
    assert len(receiver.got) == 1


async def test_https_goes_through_a_tunnel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    monkeypatch.setattr(connector, "_SSL_CONTEXT_VERIFIED", authority.client())
    async with scripted(answer(200, b"ok"), tls=authority.server("hooks.invalid")) as script:
        async with proxying(int(script.url.rpartition(":")[2]), "ann:SECRET") as proxy:
            through = channel(url="https://hooks.invalid/x", proxy=f"http://ann:SECRET@{proxy.address}")
            assert await sent(through) == "200 ok"
    assert proxy.asked == ["CONNECT hooks.invalid:443"]
    assert b"Proxy-Authorization" not in script.requests[0]


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_refuses_is_named_without_its_password(scheme: str) -> None:
    async with proxying(login="ann:right") as proxy:
        failure = await failed(
            channel(url=f"{scheme}://hooks.invalid/SECRET", proxy=f"http://u:SECRET@{proxy.address}")
        )
    assert "the proxy answered 407" in failure.detail
    assert not failure.refused


async def test_a_proxy_that_is_away_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    away = await failed(channel(url="http://hooks.invalid/SECRET", proxy="http://u:SECRET@127.0.0.1:1"))
    assert away.detail == golden("notify.proxy_away")
    monkeypatch.setenv("HTTP_PROXY", "socks5://u:SECRET@127.0.0.1:1")
    assert "HTTP_PROXY names no usable proxy" in (await failed(channel(url="http://hooks.invalid/x"))).detail


APPRISE = pytest.mark.filterwarnings("ignore::DeprecationWarning")
"""Of what it imports."""


@APPRISE
async def test_apprise_delivers() -> None:
    async with receiving() as receiver:
        url = receiver.url.replace("http://", "json://")
        assert await sent(channel(kind="apprise", url=url)) == "apprise has delivered it"
        (event,) = receiver.events()
        assert event["title"] == NOTIFICATION.title
        assert event["message"].startswith("From: v8")
        assert event["type"] == "failure"


@APPRISE
async def test_apprise_takes_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving() as receiver:
        async with proxying(int(receiver.url.split(":")[2].split("/")[0])) as proxy:
            monkeypatch.setenv("http_proxy", f"http://{proxy.address}")
            assert await sent(channel(kind="apprise", url="json://hooks.invalid/x")) == "apprise has delivered it"
    assert proxy.asked == ["POST http://hooks.invalid/x"]


@APPRISE
async def test_apprise_fails_and_says_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    async with receiving(500) as receiver:
        answer = channel(kind="apprise", url=receiver.url.replace("http://", "json://"))
        assert (await failed(answer)).detail == golden("notify.apprise_failed")
    assert (await failed(channel(kind="apprise", url="nosuch://SECRET"))).detail == (
        golden("notify.apprise_unknown_url")
    )
    assert "SECRET" not in caplog.text


async def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "apprise", None)
    answer = channel(kind="apprise", url="json://127.0.0.1/SECRET")
    assert "pip install 'rollback-router[apprise]'" in (await failed(answer)).detail
    monkeypatch.setattr(senders.importlib.util, "find_spec", lambda name: None)
    assert complaint(answer) == senders.EXTRA
    assert complaint(channel(url="http://x")) is None
