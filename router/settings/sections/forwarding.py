"""Whose word counts for who the client is."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

from pydantic import Field, field_validator

from router.settings.sections.values import Strict


class ForwardingSettings(Strict):
    """Whose word counts for who the client is, and what backends are told of it."""

    trusted: Annotated[list[str], Field(max_length=256)] = []
    """Networks, or "unix", whose X-Forwarded-* are believed; from everybody else they are dropped and set anew."""
    keep: list[Literal["for", "proto", "host", "port"]] = ["for", "proto", "host", "port"]
    """Which X-Forwarded-* of a trusted proxy are believed: leave out those that it neither sets nor removes."""
    forwarded: Literal["off", "append"] = "off"
    """Whether backends get the Forwarded field, too (RFC 7239)."""
    hops_max: Annotated[int, Field(ge=1, le=1000)] = 32
    """The last so many members of a list are kept."""

    @field_validator("trusted")
    @classmethod
    def _networks(cls, value: list[str]) -> list[str]:
        return networks(value)


def networks(value: list[str]) -> list[str]:
    """Return `value` if every member is a network or "unix"; raise ValueError that says how to write one."""
    for member in value:
        if member == "unix":
            continue
        try:
            network = ipaddress.ip_network(member, strict=False)
        except ValueError:
            raise ValueError(
                f'{member!r} is no network: write 10.0.0.0/8, 2001:db8::/32, one address, or "unix"'
            ) from None
        if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped is not None:
            raise ValueError(f"{member!r} is IPv4 within IPv6: write the IPv4 network, which covers both")
        if ipaddress.ip_address(member.partition("/")[0]) != network.network_address:
            raise ValueError(f"{member!r} has bits outside its prefix: write {network}")
    return value
