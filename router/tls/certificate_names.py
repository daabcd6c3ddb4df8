"""Decides to which certificates of a listener a host belongs: SNI selects one, and others may cover the host, too.

Names are compared as hosts are (uri/authority.py). `*.example.com` covers one label (RFC 6125 §6.4.3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class PresentedCertificate:
    """The certificate that a connection's client received: number `index` of `certificates`.

    Each certificate is given by the set of its names, in the form for comparison. `by_name` maps the SNI names to
    certificates. A client that sends no SNI name, or an unknown one, gets the first certificate.
    """

    certificates: tuple[frozenset[str], ...]
    by_name: Mapping[str, int]
    index: int

    def misdirects(self, host: bytes) -> bool:
        """Return whether only another certificate covers `host`, which is in the form for comparison.

        False for an empty host, and for a host that no certificate covers.
        """
        name = host.decode("latin-1")
        chosen = choose(name, self.by_name)
        if (chosen or 0) == self.index or _covers(self.certificates[self.index], name):
            return False
        return chosen is not None or any(_covers(names, name) for names in self.certificates)

    def identity(self) -> tuple[list[str], list[str]]:
        """Return the identity of the certificate for another process: its names, and the SNI names that select it."""
        return sorted(self.certificates[self.index]), sorted(self._sni_names(self.index))

    def matching(self, names: Sequence[str], sni_names: Sequence[str]) -> PresentedCertificate:
        """Return the certificate that has this `identity`, which another process has sent.

        It is a certificate of this listener if one matches; else it is added as one that no SNI name selects.
        """
        given = frozenset(names)
        for index, certificate in enumerate(self.certificates):
            if certificate == given and self._sni_names(index) == frozenset(sni_names):
                return replace(self, index=index)
        return replace(self, certificates=(*self.certificates, given), index=len(self.certificates))

    def _sni_names(self, index: int) -> frozenset[str]:
        return frozenset(name for name, chosen in self.by_name.items() if chosen == index)


def choose(name: str, by_name: Mapping[str, int]) -> int | None:
    """Return the certificate that a name selects, directly or by its wildcard one label up; None if there is none."""
    found = by_name.get(name)
    return found if found is not None else by_name.get(_wildcard(name))


def _wildcard(name: str) -> str:
    return "*." + name.partition(".")[2]


def _covers(names: frozenset[str], name: str) -> bool:
    return name in names or _wildcard(name) in names
