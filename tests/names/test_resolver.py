"""Names of endpoints, with the loop's resolver replaced by a table."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from router.names.resolver import Resolver
from router.rollout.model.addresses import addresses_of
from router.rollout.model.endpoint import parse_endpoint


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


async def test_a_new_address_is_used_at_once_and_an_absent_one_leaves_after_three_answers(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    table, resolver = {"model": ["10.0.0.1", "10.0.0.2"]}, Resolver()
    answer_from(monkeypatch, table, [])
    await resolver.refresh({"model"})
    changes = resolver.changes
    table["model"] = ["10.0.0.2", "10.0.0.3"]
    await resolver.refresh({"model"})
    assert resolver.known("model") == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    assert resolver.changes == changes + 1
    await resolver.refresh({"model"})
    assert "10.0.0.1" in resolver.known("model")
    await resolver.refresh({"model"})
    assert resolver.known("model") == ["10.0.0.2", "10.0.0.3"]
    assert resolver.changes == changes + 2


async def test_an_absent_address_leaves_after_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    table, resolver = {"model": ["10.0.0.1"]}, Resolver()
    answer_from(monkeypatch, table, [])
    now_s = 100.0
    monkeypatch.setattr("router.runtime.clock.now_s", lambda: now_s)
    await resolver.refresh({"model"})
    table["model"], now_s = ["10.0.0.2"], 160.0
    await resolver.refresh({"model"})
    assert resolver.known("model") == ["10.0.0.2"]


async def test_an_answer_in_another_order_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    table, resolver = {"model": ["10.0.0.1", "10.0.0.2"]}, Resolver()
    answer_from(monkeypatch, table, [])
    for _ in range(4):
        await resolver.refresh({"model"})
        table["model"].reverse()
    assert resolver.known("model") == ["10.0.0.1", "10.0.0.2"]
    assert len([record for record in caplog.records if "resolves to" in record.message]) == 1


async def test_at_most_64_addresses_are_used_and_each_endpoint_has_its_part(monkeypatch: pytest.MonkeyPatch) -> None:
    table = {"many": [f"10.0.{n // 250}.{n % 250}" for n in range(200)], "few": ["10.1.0.1", "10.1.0.2"]}
    resolver = Resolver()
    answer_from(monkeypatch, table, [])
    await resolver.refresh(table)
    assert len(resolver.known("many")) == 64
    endpoints = [parse_endpoint("http://many:80"), parse_endpoint("http://few:80"), parse_endpoint("unix:/run/m.sock")]
    used = addresses_of(endpoints, resolver)
    assert len(used) == 64
    assert [address for endpoint, address in used if endpoint.host == "few"] == ["10.1.0.1", "10.1.0.2"]
    assert [address for endpoint, address in used if endpoint.unix] == [""]


async def test_a_name_that_is_not_resolved_has_one_place_without_an_address() -> None:
    endpoints = [parse_endpoint("http://model:80"), parse_endpoint("http://[::1]:80")]
    assert [address for _, address in addresses_of(endpoints, Resolver())] == ["", "::1"]


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
