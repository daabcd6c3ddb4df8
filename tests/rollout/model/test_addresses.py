"""Addresses of a version: which are used, and their families."""

from __future__ import annotations

from router.rollout.model.addresses import ADDRESSES_MAX, addresses_of, family
from router.rollout.model.endpoint import parse_endpoint


class Names:
    def __init__(self, **table: list[str]) -> None:
        self._table = table

    def known(self, host: str) -> list[str]:
        return self._table.get(host, [])


def test_each_endpoint_gets_as_many_addresses_as_the_others_as_far_as_it_has_them() -> None:
    names = Names(many=[f"10.0.0.{n}" for n in range(200)], few=["10.1.0.1", "10.1.0.2"])
    endpoints = [parse_endpoint("http://many:80"), parse_endpoint("http://few:80")]
    used = addresses_of(endpoints, names)
    assert len(used) == ADDRESSES_MAX
    assert [address for endpoint, address in used if endpoint.host == "few"] == ["10.1.0.1", "10.1.0.2"]
    assert used[0] == (endpoints[0], "10.0.0.0")


def test_a_socket_and_an_unknown_name_have_one_place_without_an_address() -> None:
    endpoints = [parse_endpoint("unix:/run/m.sock"), parse_endpoint("http://unknown:80")]
    assert addresses_of(endpoints, Names()) == [(endpoint, "") for endpoint in endpoints]


def test_families() -> None:
    assert (family("127.0.0.1"), family("::1")) == (4, 6)
