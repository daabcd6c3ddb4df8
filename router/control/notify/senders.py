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
from router.control.forward_proxy import ForwardProxy, proxy_for, request_options
from router.control.notify.messages import USER_AGENT, cloud_event, plain, signing_secret, slack, webhook_fields
from router.control.notify.receiver_answer import (
    ANSWER_BYTES_MAX,
    DeliveryFailedError,
    described,
    failure,
    without_address,
)
from router.rollout.notifications.notification import Notification
from router.rollout.text import shorten_line
from router.runtime import clock
from router.runtime.printable import printable
from router.runtime.text import secret_text
from router.settings.sections.notify import Channel, is_http, receiver

CALLS_MAX: Final = 2
EXTRA: Final = "the kind apprise needs the extra: pip install 'rollback-router[apprise]'"
_TYPES: Final = {"critical": "failure", "warning": "warning", "info": "info"}


class Sender(Protocol):
    """Sends the notifications of one channel."""

    route: str
    """The proxy on the way to the receiver, for texts; empty without one."""

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
        self.route = ""
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
        """Post once. An answer 2xx is success, unless its body says otherwise."""
        url, secret = await self._secrets.get()
        if self._channel.kind == "slack":
            body = slack(notification, links)
            fields = {"Content-Type": "application/json; charset=utf-8", "User-Agent": USER_AGENT}
        else:
            body = cloud_event(notification, self._source, links)
            fields = webhook_fields(notification, body, secret, clock.wall_s())
        proxy = self._proxy(url)
        try:
            async with self._session.post(
                url, data=body, allow_redirects=False, **request_options(proxy, url, fields)
            ) as answer:
                raw = b""
                while len(raw) < ANSWER_BYTES_MAX and (more := await answer.content.read(ANSWER_BYTES_MAX - len(raw))):
                    raw += more
        except (aiohttp.ClientError, OSError, ValueError) as error:
            self._secrets.forget()
            raise DeliveryFailedError(_describe_connection(error) + self.route) from None
        raw = without_address(raw, url)
        if (failed := failure(self._channel.kind, answer.status, answer.headers, raw, clock.wall_s())) is not None:
            self._secrets.forget()
            raise failed
        return described(answer.status, raw.decode("utf-8", "replace"))

    def _proxy(self, url: str) -> ForwardProxy | None:
        try:
            proxy = proxy_for(url, self._channel.proxy, "proxy")
        except ValueError as error:
            raise DeliveryFailedError(str(error)) from None
        self.route = "" if proxy is None else f", by {proxy}"
        return proxy

    async def close(self) -> None:
        """Close the session."""
        await self._session.close()


def _describe_connection(error: Exception) -> str:
    """Return the failure as text, without the URL, which aiohttp's messages may contain."""
    if isinstance(error, aiohttp.ClientHttpProxyError):
        remedy = ": set its user and password in `proxy`" if error.status == 407 else ""
        return f"the proxy answered {error.status} {shorten_line(error.message, 80)}{remedy}"
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
        self.route = ""
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
