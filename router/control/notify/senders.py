"""One delivery attempt, by HTTP or through apprise. What went wrong is said without the URL, which may be a secret."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import aiohttp

from router.control.bulkhead import Bulkhead, BulkheadFull, BulkheadResolver
from router.control.notify.messages import USER_AGENT, cloud_event, plain, signing_secret, slack, webhook_fields
from router.errors import RouterError
from router.rollout.notifications.notification import Notification
from router.rollout.text import shorten_line
from router.runtime import clock
from router.runtime.printable import printable
from router.settings.sections.notify import Channel, is_http, receiver

ANSWER_BYTES_MAX: Final = 300
SECRET_BYTES_MAX: Final = 8192
CALLS_MAX: Final = 2
EXTRA: Final = "the kind apprise needs the extra: pip install 'rollback-router[apprise]'"
_RETRIED_4XX: Final = (408, 425, 429)
_TYPES: Final = {"critical": "failure", "warning": "warning", "info": "info"}


class DeliveryFailedError(RouterError):
    """One attempt did not succeed. `refused`: the receiver understood it and does not want it; trying on helps little."""

    def __init__(self, detail: str, *, refused: bool = False) -> None:
        super().__init__("delivery_failed", detail)
        self.refused = refused


class Sender(Protocol):
    """One channel's way out."""

    async def send(self, notice: Notification, links: Mapping[str, str]) -> str:
        """Deliver; return what the receiver said. Raise DeliveryFailedError. The caller sets the time limit."""

    async def close(self) -> None:
        """Give connections back."""


def secret_text(path: str) -> str:
    """Return the text of a small file; raise OSError or ValueError. It may hang with its disk: call it aside."""
    with Path(path).open("rb") as file:
        raw = file.read(SECRET_BYTES_MAX + 1)
    if len(raw) > SECRET_BYTES_MAX:
        raise ValueError(f"{path} has more than {SECRET_BYTES_MAX} bytes")
    text = raw.decode("utf-8").strip()
    if not text:
        raise ValueError(f"{path} is empty")
    return text


def missing_extra(channel: Channel) -> str | None:
    """Return what has to be installed for this channel, None if nothing."""
    if channel.kind == "apprise" and importlib.util.find_spec("apprise") is None:
        return EXTRA
    return None


def complaint(channel: Channel) -> str | None:
    """Return why this channel cannot work at present, None if nothing is known against it. Reads its files."""
    if (missing := missing_extra(channel)) is not None:
        return missing
    try:
        if channel.url_file is not None:
            _checked(receiver(secret_text(channel.url_file)), channel)
        if channel.hmac_secret_file is not None:
            signing_secret(secret_text(channel.hmac_secret_file))
    except (OSError, ValueError) as error:
        return _told(error, channel)
    return None


def _checked(url: str, channel: Channel) -> str:
    if channel.kind != "apprise" and not is_http(url):
        raise ValueError(f"{channel.url_file} holds no URL that begins with http:// or https://")
    return url


def _told(error: Exception, channel: Channel) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "url_file or hmac_secret_file is no text"
    if isinstance(error, OSError):
        return f"{error.filename or channel.name}: {error.strerror or type(error).__name__}"
    return str(error)


class _Secrets:
    """The URL and the key of a channel, read aside and again after every failure: a changed file needs no signal."""

    def __init__(self, channel: Channel, aside: Bulkhead) -> None:
        self._channel = channel
        self._aside = aside
        self._read: tuple[str, bytes | None] | None = None

    async def get(self) -> tuple[str, bytes | None]:
        if self._read is None:
            try:
                self._read = await self._aside.call(self._load)
            except (OSError, ValueError) as error:
                raise DeliveryFailedError(_told(error, self._channel)) from None
            except BulkheadFull:
                raise DeliveryFailedError("reading its url_file or hmac_secret_file hangs") from None
        return self._read

    def forget(self) -> None:
        self._read = None

    def _load(self) -> tuple[str, bytes | None]:
        channel = self._channel
        url = channel.url or _checked(receiver(secret_text(str(channel.url_file))), channel)
        secret = channel.hmac_secret_file
        return url, signing_secret(secret_text(secret)) if secret is not None else None


class HttpSender:
    """Webhooks: CloudEvents, or what Slack takes. Redirects are not followed: they could lead a secret elsewhere."""

    def __init__(self, channel: Channel, source: str) -> None:
        self._channel = channel
        self._source = source
        aside = Bulkhead(f"notify {channel.name}", CALLS_MAX)
        self._secrets = _Secrets(channel, aside)
        connector = aiohttp.TCPConnector(limit=1, resolver=BulkheadResolver(aside), ttl_dns_cache=60, force_close=True)
        self._session = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(total=None)
        )

    async def send(self, notice: Notification, links: Mapping[str, str]) -> str:
        """Post once. 2xx is success; any other 4xx than 408, 425 and 429 is a refusal."""
        url, secret = await self._secrets.get()
        if self._channel.kind == "slack":
            body = slack(notice, links)
            fields = {"Content-Type": "application/json; charset=utf-8", "User-Agent": USER_AGENT}
        else:
            body = cloud_event(notice, self._source, links)
            fields = webhook_fields(notice, body, secret, clock.wall_s())
        try:
            async with self._session.post(url, data=body, headers=fields, allow_redirects=False) as answer:
                said = shorten_line(
                    (await answer.content.read(ANSWER_BYTES_MAX)).decode("utf-8", "replace"), ANSWER_BYTES_MAX
                )
                told = f"{answer.status} {said}".strip()
                if 200 <= answer.status < 300:
                    return told
                self._secrets.forget()
                refused = 300 <= answer.status < 500 and answer.status not in _RETRIED_4XX
                raise DeliveryFailedError(f"the receiver answered {told}", refused=refused)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            self._secrets.forget()
            raise DeliveryFailedError(_reason(error)) from None

    async def close(self) -> None:
        """Close the session."""
        await self._session.close()


def _reason(error: Exception) -> str:
    """Say what failed without the URL: aiohttp repeats it in what it finds wrong with one."""
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno or 0
        why = os.strerror(number) if number > 0 else error.os_error.strerror
        return f"no connection: {why or type(error.os_error).__name__}"
    if isinstance(error, ValueError):  # InvalidURL is one, and a host that is no name
        return "its URL is none that can be asked"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__


class AppriseSender:
    """Everything that apprise knows. It blocks, so it runs aside; a call that hangs is given up and stays one of CALLS_MAX."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._aside = Bulkhead(f"notify {channel.name}", CALLS_MAX)
        self._secrets = _Secrets(channel, self._aside)

    async def send(self, notice: Notification, links: Mapping[str, str]) -> str:
        """Have apprise deliver once."""
        url, _ = await self._secrets.get()
        body = plain(notice, links)
        try:
            delivered = await self._aside.call(
                lambda: _through_apprise(url, printable(notice.title), body, _TYPES[notice.severity])
            )
        except BulkheadFull:
            raise DeliveryFailedError(f"{CALLS_MAX} earlier calls of apprise still hang") from None
        except (OSError, ValueError, RuntimeError) as error:
            self._secrets.forget()
            raise DeliveryFailedError(_told(error, self._channel)) from None
        if not delivered:
            self._secrets.forget()
            raise DeliveryFailedError("apprise could not deliver it")
        return "apprise has delivered it"

    async def close(self) -> None:
        """Nothing is kept open."""
        await asyncio.sleep(0)


def _through_apprise(url: str, title: str, body: str, kind: str) -> bool:
    try:
        import apprise  # 0.3 s, and an extra: only who uses it pays
    except ImportError:
        raise RuntimeError(EXTRA) from None
    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # its warnings may hold parts of the URL
    room: Any = apprise.Apprise()
    if not room.add(url):
        raise ValueError("apprise does not know this kind of URL")
    return bool(room.notify(body=body, title=title, notify_type=kind))


def sender_of(channel: Channel, source: str) -> Sender:
    """Return the way out of `channel`; made inside a running event loop."""
    return AppriseSender(channel) if channel.kind == "apprise" else HttpSender(channel, source)


Make = Callable[[Channel, str], Sender]
