"""A backend that reads a body late."""

from __future__ import annotations

import asyncio

from tests import backends


def reading_late(begin: asyncio.Event) -> backends.Behaviour:
    """Read one request's body only once `begin` is set, then answer: meanwhile the client is held back."""

    async def behave(connection: backends.Connection) -> None:
        head = await connection.read_head()
        await begin.wait()
        connection.backend.requests.append(
            backends.RawRequest(head, await connection.read_body(head), connection.number)
        )
        await connection.send(backends.response(200, b"ok"))

    return behave
