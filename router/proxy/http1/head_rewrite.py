"""Rewrites a translated request head for one version: its Host, its path prefix, its further fields (rollout/model/rewrite.py).

Only versions with a rewrite pay for it (about 2 µs). The head is well formed and has been translated, so each field is one
line, and the target in its first line is the head's. The fields of the version replace those of the client, also those whose
names a backend may read as theirs (lookalikes.py).
"""

from __future__ import annotations

import re

from router.proxy.http1.lookalikes import pattern_of
from router.proxy.http1.request_head import RequestHead
from router.rollout.model.rewrite import Rewrite
from router.uri.path import with_prefix


class HeadRewrite:
    """The rewrite of one version; `prefix` is the path prefix of its service."""

    def __init__(self, rewrite: Rewrite, fields: tuple[tuple[str, str], ...], prefix: bytes) -> None:
        self._prefix = prefix
        self._new = rewrite.path_prefix.encode() if rewrite.path_prefix is not None else None
        self._host = rewrite.host is not None
        host = [("Host", rewrite.host)] if rewrite.host is not None else []
        own = [*host, *fields]
        self._lines = b"".join(b"%b: %b\r\n" % (name.encode(), value.encode()) for name, value in own)
        names = b"|".join(pattern_of(name) for name, _ in own)
        self._replaced = re.compile(rb"\r\n(?:%b):[^\r\n]*+" % names, re.IGNORECASE) if own else None

    def text(self, head: RequestHead, authority: bytes) -> bytes:
        """Return the head to send, as `RequestHead.upstream`: without the fields of this exchange and the final empty line.

        `authority` is the endpoint's: the Host if neither the version nor the client has one.
        """
        text = head.upstream
        line_end = text.find(b"\r\n")
        fields = text[line_end:]
        if self._replaced is not None:
            fields = self._replaced.sub(b"", fields)
        target = head.target if self._new is None else with_prefix(head.target, self._prefix, self._new)
        host = b"" if self._host or head.host else b"Host: %b\r\n" % authority
        return b"%b %b HTTP/1.1%b%b%b" % (head.method, target, fields, host, self._lines)


def head_rewrite(rewrite: Rewrite, fields: tuple[tuple[str, str], ...], prefix: bytes) -> HeadRewrite | None:
    """Return the rewrite of a version; None if its requests are the client's."""
    return HeadRewrite(rewrite, fields, prefix) if rewrite.distinguishes else None
