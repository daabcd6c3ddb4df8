"""Outgoing notifications: the receivers, their topics, and the limits of retries."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from router.rollout.notifications.notification import Topic
from router.settings.sections.proxy import ENVIRONMENT, Proxy
from router.settings.sections.values import NAME, Count, FilePath, Seconds, Strict

TOPICS: Final[tuple[Topic, ...]] = tuple(topic for topic in get_args(Topic) if topic not in ("alert", "test"))
"""The default topics of a channel. The outcome of an alert is sent under the topic that it leads to."""


class Channel(Strict):
    """One receiver of notifications."""

    name: Annotated[str, Field(pattern=f"^(?:{NAME.pattern})$")]
    """Name of the channel, in `notify`, metrics and alarms."""
    kind: Literal["webhook", "slack", "apprise"]
    """Kind of the receiver: "webhook" (CloudEvents 1.0), "slack" (Slack, Mattermost, Rocket.Chat) or "apprise" (needs the extra
    `rollback-router[apprise]`)."""
    url: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    """URL of the receiver. If it is a secret, as for many kinds, use `url_file`."""
    url_file: FilePath | None = None
    """File with the URL."""
    events: Annotated[list[Topic], Field(min_length=1)] = list(TOPICS)
    """Topics that are sent. By default the outcome of an alert is sent under the topic that it leads to."""
    services: list[Annotated[str, Field(pattern=f"^(?:{NAME.pattern})$")]] = []
    """Only notifications of these services; empty: of all. Those that concern the whole router are always sent."""
    hmac_secret_file: FilePath | None = None
    """Of kind webhook: file with the secret that signs requests by the Standard Webhooks specification
    (webhook-signature, version v1)."""
    timeout_s: Annotated[Seconds, Field(le=60)] = 10.0
    """Time limit of one attempt."""
    proxy: Proxy = ENVIRONMENT
    """HTTP proxy: "environment" (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY; never for loopback), "none", or
    `http://USER:PASSWORD@HOST:PORT`. The kind apprise takes that of the environment only."""
    attempts_max: Annotated[Count, Field(le=10_000)] = 1000
    """Attempts per notification, with waits of 1 s to 5 min between them, or as long as the receiver's Retry-After asks (up to
    1 h)."""
    give_up_after_s: Seconds = 86_400.0
    """A notification of a rollback, an incident, a proposal, or that no better version exists, is given up after this time."""
    give_up_others_after_s: Seconds = 3600.0
    """Every other notification is given up after this time, or after `give_up_after_s` if that is shorter."""
    queue_max: Annotated[Count, Field(le=10_000)] = 1000
    """Notifications that may wait. One more drops the oldest that is of use for `give_up_others_after_s`, else the oldest."""

    @field_validator("url")
    @classmethod
    def _url(cls, value: str | None) -> str | None:
        return value if value is None else receiver(value)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.url is None) == (self.url_file is None):
            raise ValueError(f"channel {self.name!r} needs either url or url_file")
        if self.url is not None and self.kind != "apprise" and not is_http(self.url):
            raise ValueError(f"channel {self.name!r}: url of kind {self.kind} begins with http:// or https://")
        if self.hmac_secret_file is not None and self.kind != "webhook":
            raise ValueError(f"channel {self.name!r}: only the kind webhook is signed, {self.kind} is not")
        if self.kind == "apprise" and self.proxy != ENVIRONMENT:
            raise ValueError(
                f"channel {self.name!r}: apprise takes its proxy from the environment; set HTTPS_PROXY and NO_PROXY there"
            )
        return self


def receiver(url: str) -> str:
    """Return `url` without white space around it; raise ValueError that does not repeat it, since it may be a secret."""
    url = url.strip()
    if not url.isascii() or not url.isprintable() or " " in url or "://" not in url:
        raise ValueError("this is no URL: one line, SCHEME://…, without spaces")
    return url


def is_http(url: str) -> bool:
    """Return whether `url` is an HTTP URL with a host."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False
