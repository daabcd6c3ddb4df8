"""The proxies that are trusted to name the client's address, and the forwarded fields that backends receive."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

from pydantic import Field, field_validator

from router.settings.sections.values import Strict


class ForwardingSettings(Strict):
    """The proxies in front that are trusted to name the client, and the forwarded fields that backends receive. A
    change holds from the next request on, on open connections, too."""

    trusted: Annotated[list[str], Field(max_length=256)] = []
    """Networks (CIDR, one address, or "unix") whose X-Forwarded-* and Forwarded fields are trusted. The fields of other
    peers are dropped and set anew."""
    keep: list[Literal["for", "proto", "host", "port"]] = ["for", "proto", "host", "port"]
    """The X-Forwarded-* fields of a trusted proxy that are trusted. Leave out a field that the proxy neither sets nor
    removes: a client could send it."""
    forwarded: Literal["off", "append"] = "off"
    """With "append" backends receive the Forwarded field, too (RFC 7239)."""
    hops_max: Annotated[int, Field(ge=1, le=1000)] = 32
    """Only this many last members of a longer forwarded list are kept."""

    @field_validator("trusted")
    @classmethod
    def _networks(cls, value: list[str]) -> list[str]:
        return networks(value)


def networks(value: list[str]) -> list[str]:
    """Return `value` if every member is a network or "unix"; raise ValueError that gives the right spelling."""
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
