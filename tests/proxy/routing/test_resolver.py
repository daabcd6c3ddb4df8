"""Names of endpoints, with the loop's resolver replaced by a table."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from router.proxy.routing.resolver import Resolver


async def test_a_literal_is_its_own_answer_and_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    answer_from(monkeypatch, {}, asked)
    assert await Resolver().addresses("127.0.0.1") == ["127.0.0.1"]
    assert await Resolver().addresses("::1") == ["::1"]
    assert asked == []


async def test_all_addresses_are_used_and_the_last_good_answer_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    table, asked, resolver = {"model": ["10.0.0.1", "10.0.0.2"]}, [], Resolver()
    answer_from(monkeypatch, table, asked)
    assert await resolver.addresses("model") == ["10.0.0.1", "10.0.0.2"]
    assert await resolver.addresses("model") == ["10.0.0.1", "10.0.0.2"]
    assert asked == ["model"]
    del table["model"]
    await resolver.refresh({"model"})
    assert await resolver.addresses("model") == ["10.0.0.1", "10.0.0.2"]
    table["model"] = ["10.0.0.3"]
    await resolver.refresh({"model"})
    assert await resolver.addresses("model") == ["10.0.0.3"]


async def test_a_name_that_never_resolved_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    table: dict[str, list[str]] = {}
    asked: list[str] = []
    resolver = Resolver()
    answer_from(monkeypatch, table, asked)
    assert await resolver.addresses("model") == []
    table["model"] = ["10.0.0.1"]
    assert await resolver.addresses("model") == ["10.0.0.1"]


def answer_from(monkeypatch: pytest.MonkeyPatch, table: dict[str, list[str]], asked: list[str]) -> None:
    """Let the running loop resolve names from `table`."""

    class Loop:
        async def getaddrinfo(self, host: str, _: Any, *, type: int) -> list[Any]:
            asked.append(host)
            if host not in table:
                raise socket.gaierror(socket.EAI_NONAME, "unknown")
            return [(socket.AF_INET, type, 6, "", (address, 0)) for address in table[host]]

    monkeypatch.setattr(asyncio, "get_running_loop", Loop)
