"""Outgoing notifications: the receivers, their topics, and the limits of retries."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from router.rollout.notifications.notification import Topic
from router.settings.sections.values import NAME, Count, FilePath, Seconds, Strict

TOPICS: Final[tuple[Topic, ...]] = tuple(topic for topic in get_args(Topic) if topic not in ("alert", "test"))
"""The default topics of a channel. The outcome of an alert is sent under the topic that it leads to."""


class Channel(Strict):
    """One receiver. If its URL is a secret, as for many kinds, put it into `url_file`."""

    name: Annotated[str, Field(pattern=f"^(?:{NAME.pattern})$")]
    kind: Literal["webhook", "slack", "apprise"]
    url: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    url_file: FilePath | None = None
    events: Annotated[list[Topic], Field(min_length=1)] = list(TOPICS)
    services: list[Annotated[str, Field(pattern=f"^(?:{NAME.pattern})$")]] = []
    """Only notifications of these services; empty: of all. Those that concern the whole router are always sent."""
    hmac_secret_file: FilePath | None = None
    """For kind webhook: requests are signed by the Standard Webhooks specification (webhook-signature, version v1)."""
    timeout_s: Annotated[Seconds, Field(le=60)] = 10.0
    attempts_max: Annotated[Count, Field(le=1000)] = 100
    give_up_after_s: Seconds = 86_400.0
    queue_max: Annotated[Count, Field(le=10_000)] = 1000

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
        return self


def receiver(url: str) -> str:
    """Return `url` if it is valid; raise ValueError that does not repeat it, since it may be a secret."""
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
