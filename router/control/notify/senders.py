"""One delivery attempt, by HTTP or through apprise. Errors never contain the URL, which may be a secret."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import aiohttp

from router.control.bulkhead import Bulkhead, BulkheadFull, BulkheadResolver
from router.control.notify.messages import USER_AGENT, cloud_event, plain, signing_secret, slack, webhook_fields
from router.errors import RouterError
from router.rollout.notifications.notification import Notification
from router.rollout.text import shorten_line
from router.runtime import clock
from router.runtime.printable import printable
from router.runtime.text import secret_text
from router.settings.sections.notify import Channel, is_http, receiver

ANSWER_BYTES_MAX: Final = 300
CALLS_MAX: Final = 2
EXTRA: Final = "the kind apprise needs the extra: pip install 'rollback-router[apprise]'"
_RETRIED_4XX: Final = (408, 425, 429)
_TYPES: Final = {"critical": "failure", "warning": "warning", "info": "info"}


class DeliveryFailedError(RouterError):
    """One attempt failed. `refused`: the receiver rejected the notification, so retries are unlikely to help."""

    def __init__(self, detail: str, *, refused: bool = False) -> None:
        super().__init__("delivery_failed", detail)
        self.refused = refused


class Sender(Protocol):
    """Sends the notifications of one channel."""

    async def send(self, notification: Notification, links: Mapping[str, str]) -> str:
        """Deliver; return the receiver's answer. Raise DeliveryFailedError. The caller sets the timeout."""

    async def close(self) -> None:
        """Close connections."""


def missing_extra(channel: Channel) -> str | None:
    """Return the extra that has to be installed for this channel; None if none is missing."""
    if channel.kind == "apprise" and importlib.util.find_spec("apprise") is None:
        return EXTRA
    return None


def complaint(channel: Channel) -> str | None:
    """Return why this channel cannot work now; None if no reason is known. Reads its files."""
    if (missing := missing_extra(channel)) is not None:
        return missing
    try:
        if channel.url_file is not None:
            _checked(receiver(secret_text.from_file(channel.url_file, ascii_only=False)), channel)
        if channel.hmac_secret_file is not None:
            signing_secret(secret_text.from_file(channel.hmac_secret_file, ascii_only=False))
    except (OSError, ValueError) as error:
        return _describe(error, channel)
    return None


def _checked(url: str, channel: Channel) -> str:
    if channel.kind != "apprise" and not is_http(url):
        raise ValueError(f"{channel.url_file} holds no URL that begins with http:// or https://")
    return url


def _describe(error: Exception, channel: Channel) -> str:
    if isinstance(error, OSError):
        return f"{error.filename or channel.name}: {error.strerror or type(error).__name__}"
    return str(error)


class _Secrets:
    """The URL and the key of a channel. They are read in a thread, and again after a failure, so a change needs no signal."""

    def __init__(self, channel: Channel, bulkhead: Bulkhead) -> None:
        self._channel = channel
        self._bulkhead = bulkhead
        self._read: tuple[str, bytes | None] | None = None

    async def get(self) -> tuple[str, bytes | None]:
        if self._read is None:
            try:
                self._read = await self._bulkhead.call(self._load)
            except (OSError, ValueError) as error:
                raise DeliveryFailedError(_describe(error, self._channel)) from None
            except BulkheadFull:
                raise DeliveryFailedError("reading its url_file or hmac_secret_file hangs") from None
        return self._read

    def forget(self) -> None:
        self._read = None

    def _load(self) -> tuple[str, bytes | None]:
        channel = self._channel
        url = channel.url or _checked(receiver(secret_text.from_file(str(channel.url_file), ascii_only=False)), channel)
        secret = channel.hmac_secret_file
        return url, signing_secret(secret_text.from_file(secret, ascii_only=False)) if secret is not None else None


class HttpSender:
    """Webhooks: CloudEvents, or Slack's format. Redirects are not followed: they could send a secret elsewhere."""

    def __init__(self, channel: Channel, source: str) -> None:
        self._channel = channel
        self._source = source
        bulkhead = Bulkhead(f"notify {channel.name}", CALLS_MAX)
        self._secrets = _Secrets(channel, bulkhead)
        connector = aiohttp.TCPConnector(
            limit=1, resolver=BulkheadResolver(bulkhead), ttl_dns_cache=60, force_close=True
        )
        self._session = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(total=None)
        )

    async def send(self, notification: Notification, links: Mapping[str, str]) -> str:
        """Post once. 2xx is success; any other 4xx than 408, 425 and 429 is a refusal."""
        url, secret = await self._secrets.get()
        if self._channel.kind == "slack":
            body = slack(notification, links)
            fields = {"Content-Type": "application/json; charset=utf-8", "User-Agent": USER_AGENT}
        else:
            body = cloud_event(notification, self._source, links)
            fields = webhook_fields(notification, body, secret, clock.wall_s())
        try:
            async with self._session.post(url, data=body, headers=fields, allow_redirects=False) as answer:
                text = shorten_line(
                    (await answer.content.read(ANSWER_BYTES_MAX)).decode("utf-8", "replace"), ANSWER_BYTES_MAX
                )
                answered = f"{answer.status} {text}".strip()
                if 200 <= answer.status < 300:
                    return answered
                self._secrets.forget()
                refused = 300 <= answer.status < 500 and answer.status not in _RETRIED_4XX
                raise DeliveryFailedError(f"the receiver answered {answered}", refused=refused)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            self._secrets.forget()
            raise DeliveryFailedError(_describe_connection(error)) from None

    async def close(self) -> None:
        """Close the session."""
        await self._session.close()


def _describe_connection(error: Exception) -> str:
    """Return the failure as text, without the URL, which aiohttp's messages may contain."""
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno or 0
        why = os.strerror(number) if number > 0 else error.os_error.strerror
        return f"no connection: {why or type(error.os_error).__name__}"
    if isinstance(error, ValueError):  # InvalidURL is one, and a host that is no name
        return "its URL cannot be requested"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__


class AppriseSender:
    """All services of apprise. It blocks, so it runs in a thread. A call that hangs is given up, but counts in CALLS_MAX."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._bulkhead = Bulkhead(f"notify {channel.name}", CALLS_MAX)
        self._secrets = _Secrets(channel, self._bulkhead)

    async def send(self, notification: Notification, links: Mapping[str, str]) -> str:
        """Deliver once through apprise."""
        url, _ = await self._secrets.get()
        body = plain(notification, links)
        try:
            delivered = await self._bulkhead.call(
                lambda: _through_apprise(url, printable(notification.title), body, _TYPES[notification.severity])
            )
        except BulkheadFull:
            raise DeliveryFailedError(f"{CALLS_MAX} earlier calls of apprise still hang") from None
        except (OSError, ValueError, RuntimeError) as error:
            self._secrets.forget()
            raise DeliveryFailedError(_describe(error, self._channel)) from None
        if not delivered:
            self._secrets.forget()
            raise DeliveryFailedError("apprise could not deliver it")
        return "apprise has delivered it"

    async def close(self) -> None:
        """Do nothing: no connection is kept open."""
        await asyncio.sleep(0)


def _through_apprise(url: str, title: str, body: str, kind: str) -> bool:
    try:
        import apprise  # takes 0.3 s, and is an optional dependency: imported only if used
    except ImportError:
        raise RuntimeError(EXTRA) from None
    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # its warnings may hold parts of the URL
    client: Any = apprise.Apprise()
    if not client.add(url):
        raise ValueError("apprise does not support this kind of URL")
    return bool(client.notify(body=body, title=title, notify_type=kind))


def sender_of(channel: Channel, source: str) -> Sender:
    """Return the sender of `channel`. Call it inside a running event loop."""
    return AppriseSender(channel) if channel.kind == "apprise" else HttpSender(channel, source)


MakeSender = Callable[[Channel, str], Sender]
