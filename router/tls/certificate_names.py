"""Which certificate of a listener a host belongs to: the one that SNI chooses for it, and each that covers it.

Names are compared in lower case without a dot at their end; `*.example.com` is one label deep (RFC 6125 §6.4.3); addresses are
compared as the system writes them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import unquote

_HOST_BYTES_MAX: Final = 3 * 255 + len(":65535")
"""Of a Host that a certificate may hold: a name of DNS, each byte percent-encoded, and a port."""


@dataclass(frozen=True, slots=True)
class Shown:
    """The certificate that a connection was made with: number `place` of `certificates`, each given by the names that it holds,
    in their plain form. `by_name` is what SNI chooses; the first is for whoever asks for no name, or for none of these.
    """

    certificates: tuple[frozenset[str], ...]
    by_name: Mapping[str, int]
    place: int

    def misdirects(self, host: bytes) -> bool:
        """Return whether a request for `host` (a Host field, in lower case) belongs to another certificate alone. No host, and
        one that no certificate knows, belong to none.
        """
        if len(host) > _HOST_BYTES_MAX:
            return False
        name = plain(_without_port(host))
        chosen = choose(name, self.by_name)
        if (chosen or 0) == self.place or _is_among(name, self.certificates[self.place]):
            return False
        return chosen is not None or any(_is_among(name, held) for held in self.certificates)

    def told(self) -> tuple[list[str], list[str]]:
        """Return what another process has to know of the certificate: the names that it holds, and those that choose it."""
        return sorted(self.certificates[self.place]), sorted(self._choosing(self.place))

    def among(self, held: Sequence[str], choosing: Sequence[str]) -> Shown:
        """Return what a connection of another process was made with, by what was `told` there: the same certificate of this
        listener, or one that this listener does not have, which no name chooses.
        """
        names = frozenset(held)
        for place, certificate in enumerate(self.certificates):
            if certificate == names and self._choosing(place) == frozenset(choosing):
                return replace(self, place=place)
        return replace(self, certificates=(*self.certificates, names), place=len(self.certificates))

    def _choosing(self, place: int) -> frozenset[str]:
        return frozenset(name for name, chosen in self.by_name.items() if chosen == place)


def choose(name: str, by_name: Mapping[str, int]) -> int | None:
    """Return what is chosen by a name in its plain form, or by its wildcard one label up; None if nothing is."""
    found = by_name.get(name)
    return found if found is not None else by_name.get(_wildcard(name))


def plain(name: str) -> str:
    """Return a name or an address in the form in which they are compared."""
    name = name.lower().removesuffix(".")
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name


def _without_port(host: bytes) -> str:
    """Return the host of an authority, percent-decoded (RFC 3986 §3.2.2), an IPv6 address without its brackets."""
    text = host.decode("latin-1")
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return unquote(text.partition(":")[0], "latin-1")


def _wildcard(name: str) -> str:
    return "*." + name.partition(".")[2]


def _is_among(name: str, names: frozenset[str]) -> bool:
    return name in names or _wildcard(name) in names
